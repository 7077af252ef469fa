"""Rates of a simulated campaign: injections of one population measure another, or say why not."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
import pytest

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.domain.times import YEAR_S
from spiir_pastro.errors import FitError
from spiir_pastro.io.artifact import ModelArtifact, load_model, write_model
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.documents import write_document
from spiir_pastro.io.provenance import Rates
from spiir_pastro.io.trigger_tables import from_postcoh
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.population import BinaryPopulation, DistanceLaw, MassLaw, RedshiftLaw
from spiir_pastro.pipeline.assessment import evaluate_processed
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.processed import open_processed
from spiir_pastro.pipeline.training import from_processed, from_uploads
from spiir_pastro.pipeline.workflow import Workspace, run
from spiir_pastro.simulation import SIMULATED, CampaignConfig, build_campaign, draw_candidates

_STAR = MassLaw(low=1.0, high=2.5)
_BROAD = {
    Source.BNS: BinaryPopulation(
        primary=_STAR, secondary=_STAR, redshift=RedshiftLaw(evolution=-2.0, high=0.15)
    ),
    Source.NSBH: BinaryPopulation(
        primary=MassLaw(low=4.0, high=30.0, exponent=-1.0),
        secondary=_STAR,
        redshift=RedshiftLaw(high=0.35),
    ),
    Source.BBH: BinaryPopulation(
        primary=MassLaw(low=4.0, high=100.0, exponent=-1.0),
        secondary=MassLaw(low=4.0),
        redshift=RedshiftLaw(high=1.5),
    ),
}
_CONFIG = CampaignConfig(
    seed=31,
    days=2.0,
    groups=1,
    far_max_hz=3e-4,
    injection_interval_s=60.0,
    mergers_per_day=dict.fromkeys(ASTROPHYSICAL, 40.0),
    unassigned_s=0,
    duty_cycle=dict.fromkeys(("H1", "L1", "V1"), 1.0),
    injection_population=_BROAD,
)


@pytest.fixture(name="processed", scope="module")
def _processed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace(root=tmp_path_factory.mktemp("rates"))
    stages = run(workspace, simulation=_CONFIG)
    while next(stages).stage != "process":
        pass
    return workspace.processed


def _fitted(processed: Path, population: Mapping[Source, BinaryPopulation] | None) -> ModelArtifact:
    settings = FitSettings(population=population)
    training = from_processed(processed, settings=settings)
    return fit(training, read_distances(CAMPAIGN), settings=settings)


@pytest.fixture(name="reweighted", scope="module")
def _reweighted(processed: Path) -> ModelArtifact:
    return _fitted(processed, SIMULATED)


def _found_directly(source: Source) -> tuple[float, float]:
    """Volume in Gpc^3 and its log error by injecting the sky itself, from the truth of each row."""
    config = replace(_CONFIG, seed=32, banks=(source,), injection_population=SIMULATED)
    campaign = build_campaign(config)
    drawn = draw_candidates(config, injected=True)
    numbered = drawn.with_columns(event_id=pl.int_range(pl.len()))
    reported = from_postcoh(numbered).triggers.filter(pl.col("far_hz") <= 3e-4)["event_id"]
    seen = numbered.filter(pl.col("event_id").cast(pl.String).is_in(reported.implode()))
    found = seen.filter(origin="injection")["origin_id"].n_unique()
    volume = SIMULATED[source].volume_gpc3 * found / campaign.drawn[source]
    return volume, 1 / math.sqrt(found)


@pytest.mark.parametrize("source", ASTROPHYSICAL)
def test_reweighted_injections_measure_the_volume_of_the_sky(
    reweighted: ModelArtifact, source: Source
) -> None:
    """Against a campaign injected with the sky's population; 4 sigma, false alarm 6e-5 a class."""
    rates = reweighted.provenance.rates
    one = rates.classes[source]
    assert one.exposure is not None
    assert rates.livetime_yr is not None
    measured = one.exposure.size / rates.livetime_yr
    volume, error = _found_directly(source)
    assert 30 < one.effective < one.found
    assert abs(math.log(measured / volume)) < 4 * math.hypot(error, one.exposure.log_error)
    assert math.hypot(error, one.exposure.log_error) < 0.2


@pytest.mark.parametrize("source", ASTROPHYSICAL)
def test_the_merger_rate_put_in_is_found(reweighted: ModelArtifact, source: Source) -> None:
    """Within the central 99.9 %, by the 90 % interval stretched; once and for all by the seed."""
    one = reweighted.provenance.rates.classes[source]
    campaign = build_campaign(replace(_CONFIG, injection_population=SIMULATED, banks=(source,)))
    kept = len(campaign.injections[source].binaries) / campaign.drawn[source]
    volume = SIMULATED[source].volume_gpc3 * kept
    put_in = _CONFIG.mergers_per_day[source] * 365.25 / volume
    assert one.mergers_per_gpc3_yr is not None
    median, low, high = np.log(one.mergers_per_gpc3_yr)
    pull = (math.log(put_in) - median) / ((high - low) / 3.29)
    assert abs(pull) < 3.3
    counts = np.array(one.detections_per_yr[1:]) * _CONFIG.seconds / YEAR_S
    drawn = reweighted.model.counts.interval[:, ASTROPHYSICAL.index(source)]  # of 40 000 draws
    np.testing.assert_allclose(counts, drawn, rtol=0.02)


def test_a_model_with_rates_is_stored_and_read(reweighted: ModelArtifact, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    write_model(reweighted, path)
    read = load_model(path).provenance
    assert read.rates == reweighted.provenance.rates
    assert read.settings.population == SIMULATED
    assert all(30 < size < 400 for size in read.effective_signals.values())


def test_rates_as_injected_are_those_of_the_population_injected(processed: Path) -> None:
    rates = _fitted(processed, None).provenance.rates
    same = _fitted(processed, _BROAD).provenance.rates
    assert rates.livetime_yr == pytest.approx(_CONFIG.seconds / YEAR_S, rel=1e-6)
    for source in ASTROPHYSICAL:
        ours, theirs = rates.classes[source], same.classes[source]
        assert ours.exposure is not None
        assert theirs.exposure is not None
        assert ours.effective == pytest.approx(ours.found, rel=1e-6)
        assert ours.exposure.size == pytest.approx(theirs.exposure.size, rel=1e-6)
        # Counts differ, for the densities of masses are of the population that is named; what
        # is divided by does not, up to how quantiles of few values are interpolated.
        mine, other = (
            np.divide(c.mergers_per_gpc3_yr or np.nan, c.detections_per_yr) for c in (ours, theirs)
        )
        np.testing.assert_allclose(mine, other, rtol=0.1)


def test_binaries_recovered_at_another_mass_are_signals_too(
    reweighted: ModelArtifact, processed: Path
) -> None:
    """Without them no heavy binary would be misrecovered, and all would be more significant."""
    seen = open_processed(processed).injections_seen().filter(pl.col("far_hz") <= 3e-4)
    shift = (pl.col("mchirp_det") / pl.col("injection_mchirp_det")).log().abs()
    heavy = seen.filter(pl.col("injection_mchirp_det") > 30)
    far_off = heavy.select((shift > math.log(2)).mean()).item()
    assert 0.15 < far_off < 0.45  # 0.3 is drawn
    assert heavy["snr"].null_count() == 0
    found = reweighted.model.sources.response.misrecovered_fraction
    assert found == pytest.approx(far_off, abs=0.05)


def test_efficiency_against_true_values_counts_the_injections_missed(
    reweighted: ModelArtifact, processed: Path
) -> None:
    evaluation = evaluate_processed(reweighted, processed)
    made = sum(run.analysed for run in open_processed(processed).summary.injections)
    called = int(((evaluation.p_astro >= 0.5) & evaluation.is_signal).sum())
    for quantity in ("injection_distance_mpc", "injection_mchirp_det"):
        efficiency = evaluation.efficiency(quantity, threshold=0.5)
        assert (efficiency.count.sum(), efficiency.found.sum()) == (made, called)
    near, *_, far = evaluation.efficiency("injection_distance_mpc", threshold=0.5).fraction
    assert near > 2 * far
    of_candidates = evaluation.efficiency("snr", threshold=0.5)
    assert of_candidates.count.sum() == evaluation.is_signal.sum() < made


def _changed(processed: Path, folder: Path, **change: Any) -> Path:  # noqa: ANN401
    """Copy a processed campaign whose runs say something else of their injections."""
    for path in processed.rglob("*.*"):
        copy = folder / path.relative_to(processed)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    summary = open_processed(processed).summary
    injections = tuple(msgspec.structs.replace(run, **change) for run in summary.injections)
    changed = msgspec.structs.replace(summary, injections=injections)
    write_document(folder / "summary.json", changed)
    return folder


def test_without_a_population_injected_there_are_no_merger_rates(
    processed: Path, tmp_path: Path
) -> None:
    unknown = _changed(processed, tmp_path, injected=None)
    classes = _fitted(unknown, None).provenance.rates.classes
    assert all(one.mergers_per_gpc3_yr is None for one in classes.values())
    assert all(one.detections_per_yr[0] > 0 for one in classes.values())
    assert "run bns_inj does not say what its injections" in classes[Source.BNS].why_not
    with pytest.raises(FitError, match="BNS cannot be reweighted: run bns_inj does not say"):
        _fitted(unknown, SIMULATED)


def test_injections_by_distance_need_a_population(processed: Path, tmp_path: Path) -> None:
    by_distance = BinaryPopulation(
        primary=MassLaw(low=0.5, high=300.0),
        secondary=MassLaw(low=0.5),
        distance=DistanceLaw(low=0.1, high=20_000.0),
        frame="detector",
    )
    changed = _changed(processed, tmp_path, injected=by_distance)
    classes = _fitted(changed, None).provenance.rates.classes
    assert "fills no volume; choose a population" in classes[Source.BBH].why_not


def test_a_population_that_was_not_injected_is_refused(processed: Path) -> None:
    heavy = replace(SIMULATED[Source.BBH], primary=MassLaw(low=80.0, high=160.0))
    with pytest.raises(FitError, match=r"BBH cannot .* \d+% of the detectable mergers .* never"):
        _fitted(processed, {**SIMULATED, Source.BBH: heavy})
    rare = BinaryPopulation(
        primary=MassLaw(low=2.4, high=2.5),
        secondary=MassLaw(low=2.4, high=2.5),
        redshift=RedshiftLaw(),
    )
    with pytest.raises(FitError, match=r"BNS cannot be reweighted: the \d+ injections found are"):
        _fitted(processed, {**SIMULATED, Source.BNS: rare})


def test_uploads_have_no_rates(uploads: tuple[Path, Path], distances: Path) -> None:
    training = from_uploads(uploads[0], known_events_path=uploads[1], settings=FitSettings())
    rates = fit(training, read_distances(distances)).provenance.rates
    assert rates == Rates(why_not="the livetime of these candidates is not known")
    with pytest.raises(FitError, match="uploads have no injections"):
        from_uploads(
            uploads[0], known_events_path=uploads[1], settings=FitSettings(population=SIMULATED)
        )
