"""What is heard before the merger, against LALSimulation's noise curve and a campaign."""

from dataclasses import replace

import lal
import lalsimulation
import numpy as np
import polars as pl
import pytest

from spiir_pastro.domain import Source
from spiir_pastro.errors import ConfigError
from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.io.populations import MASS_PLANE, read_populations
from spiir_pastro.models.early_warning import heard_fraction, last_frequency_hz, nearer
from spiir_pastro.models.response import Response
from spiir_pastro.models.source_model import Binaries, SourceModel
from spiir_pastro.simulation import SIMULATED, CampaignConfig, build_campaign, draw_candidates
from spiir_pastro.simulation.bank import template_duration_s
from spiir_pastro.simulation.binaries import draw_detectable

CHIRP_MASS, TOTAL_MASS = np.array([1.2188, 1.9, 2.6]), np.array([2.8, 5.0, 8.0])


@pytest.mark.parametrize("seconds", [0.5, 3.0, 10.0, 30.0, 60.0])
def test_the_fraction_is_that_under_the_noise_curve(seconds: float) -> None:
    """The integrals by the trapezoidal rule over the curve LAL has, in quarters of a hertz."""
    series = lal.CreateREAL8FrequencySeries("", 0, 0, 0.25, lal.DimensionlessUnit, 16_384)
    lalsimulation.SimNoisePSDaLIGOaLIGOO3LowT1800545(series, 15.0)
    f = np.arange(16_384) * 0.25
    inside = (f >= 15) & (series.data.data > 0)
    power = np.zeros(f.size)
    power[inside] = f[inside] ** (-7 / 3) / series.data.data[inside]
    below = np.cumsum(power)
    merger_hz = 1 / (3**1.5 * np.pi * TOTAL_MASS * lal.MTSUN_SI)
    cut_hz = (5 / (256 * seconds)) ** 0.375 / np.pi * (CHIRP_MASS * lal.MTSUN_SI) ** -0.625
    expected = np.sqrt(np.interp(cut_hz, f, below) / np.interp(merger_hz, f, below))
    np.testing.assert_allclose(last_frequency_hz(CHIRP_MASS, seconds), cut_hz, rtol=1e-9)
    np.testing.assert_allclose(
        heard_fraction(CHIRP_MASS, TOTAL_MASS, seconds), np.minimum(expected, 1), atol=0.01
    )


def test_all_is_heard_at_the_merger_and_nothing_of_the_heavy_long_before() -> None:
    assert (heard_fraction(CHIRP_MASS, TOTAL_MASS, 0.0) == 1).all()
    assert heard_fraction(np.array([30.0]), np.array([70.0]), 5.0) == 0


def test_an_early_campaign_is_nearer_and_shorter() -> None:
    whole = CampaignConfig(
        seed=3,
        days=8,
        banks=(Source.BNS,),
        groups=1,
        far_max_hz=3e-4,
        injection_interval_s=200,
        mergers_per_day=dict.fromkeys((Source.BNS, Source.BBH), 20.0),
        unassigned_s=0,
    )
    populations = {source: nearer(p, 10.0) for source, p in SIMULATED.items()}
    early = replace(
        whole, early_warning_s=10.0, injection_population=populations, merger_population=populations
    )
    assert build_campaign(early).mergers[Source.BBH].numbers.size == 0
    seen = {}
    for name, config in (("whole", whole), ("early", early)):
        rows = draw_candidates(config, injected=True).filter(pl.col("origin") == "injection")
        binaries = build_campaign(config).injections[Source.BNS].binaries
        seen[name] = rows, np.median(binaries.distance_mpc[rows["origin_id"].to_numpy()])
    (rows, distance), (early_rows, early_distance) = seen["whole"], seen["early"]
    assert rows.height > 50
    assert early_rows.height > 50
    assert early_distance / distance == pytest.approx(0.52, rel=0.12)
    assert (early_rows["f_final"] < 70).all()
    assert (rows["f_final"] == 1024).all()
    np.testing.assert_allclose(
        early_rows["template_duration"] + 10, template_duration_s(early_rows["mchirp"].to_numpy())
    )


@pytest.mark.parametrize("source", [Source.NSBH, Source.BBH])
def test_the_densities_are_of_the_masses_that_the_campaign_detects(source: Source) -> None:
    """Within 0.06 of the median of 400 draws, where that of whole signals is far off."""
    population = nearer(SIMULATED[source], 10.0)
    config = CampaignConfig(early_warning_s=10.0)
    gps = np.full(400, float(config.gps_start))
    drawn, _ = draw_detectable(source, gps, config, np.random.default_rng(1), population)
    median = np.median(np.log(drawn.mchirp_det))

    def found(seconds: float) -> float:
        sources = SourceModel(
            populations=read_populations(MASS_PLANE), response=Response(), early_warning_s=seconds
        )
        nodes = Binaries.found(population, sources.reach(read_horizons()))
        order = np.argsort(nodes.log_mchirp_det)
        below = np.cumsum(nodes.weight[order])
        return float(np.interp(0.5, below, nodes.log_mchirp_det[order]))

    assert found(10.0) == pytest.approx(median, abs=0.06)
    assert found(0.0) > median + 0.12


def test_what_is_never_heard_is_refused() -> None:
    config = CampaignConfig(
        banks=(Source.BBH,), early_warning_s=120.0, mergers_per_day={}, injection_interval_s=600
    )
    with pytest.raises(
        ConfigError, match=r"0 of 400000 BBH drawn can be detected .* leave its bank out of --banks"
    ):
        build_campaign(config)
