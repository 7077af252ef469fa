"""Densities come from the candidates they should, and a person's choices do what they say."""

import math
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source
from spiir_pastro.errors import FitError
from spiir_pastro.io.populations import read_populations
from spiir_pastro.models.components import CandidateDensity, ComponentDensities
from spiir_pastro.models.conditional import LeaningGrid
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.density_settings import DensitySettings
from spiir_pastro.models.factors import FACTORS, Values, values_of
from spiir_pastro.models.far_density import PowerLaw
from spiir_pastro.models.fitting import fit_densities
from spiir_pastro.models.kernels import effective_size
from spiir_pastro.models.regression import StudentRegression
from spiir_pastro.models.response import Response
from spiir_pastro.models.source_model import SourceModel
from tolerances import ROUNDING

Floats = NDArray[np.float64]

FAR_THRESHOLD = 3e-4
MASSES = {Source.BNS: 1.2, Source.NSBH: 3.0, Source.BBH: 25.0}
EXPONENTS = {Source.BNS: 0.3, Source.NSBH: 0.15, Source.BBH: 0.1}
SETTINGS = DensitySettings(density_floor=0.02, enough_for_a_class=30, enough_for_curves=400)
SOURCES = SourceModel(populations=read_populations("mass-plane"), response=Response())


class Sample:
    """Candidates with their labels: noise, then as many signals of each class as asked."""

    def __init__(self, *, noise: int = 300, seed: int = 1, **signals: int) -> None:
        rng = np.random.default_rng(seed)
        numbers = {Source(name): n for name, n in signals.items()}
        self.classes = np.repeat(["", *map(str, numbers)], [noise, *numbers.values()])
        self.is_signal = self.classes != ""
        exponents = [1.0, *(EXPONENTS[source] for source in numbers)]
        self.x = -rng.exponential(1, self.classes.size) / np.repeat(
            exponents, [noise, *numbers.values()]
        )
        log_mass = np.log([5.0, *(MASSES[source] for source in numbers)])
        self.m = np.repeat(log_mass, [noise, *numbers.values()]) + rng.normal(
            0, 0.1, self.classes.size
        )
        self.s = (
            2.2
            - 0.03 * np.maximum(self.x, -12) * self.is_signal
            + 0.1 * self.m
            + 0.1 * rng.standard_t(5, self.classes.size)
        )
        self.weights = np.ones(self.classes.size)

    def take(self, rows: NDArray[np.int64]) -> "Sample":
        taken = copy(self)
        taken.__dict__ |= {name: values[rows] for name, values in vars(self).items()}
        return taken

    def fit(
        self,
        *,
        weighted: bool = False,
        settings: DensitySettings = SETTINGS,
        is_merger: NDArray[np.bool_] | None = None,
        mtotal: Floats | None = None,
    ) -> ComponentDensities:
        masses = {} if mtotal is None else {"mtotal_det": mtotal}
        return fit_densities(
            Candidates(
                far_hz=FAR_THRESHOLD * np.exp(self.x),
                mchirp_det=np.exp(self.m),
                snr=np.exp(self.s),
                eff_distance_mpc=np.full((self.x.size, 4), np.nan),
                **masses,
            ),
            is_signal=self.is_signal,
            classes=self.classes,
            sources=SOURCES,
            reach=reach,
            far_threshold_hz=FAR_THRESHOLD,
            settings=settings,
            weights=self.weights if weighted else None,
            is_merger=is_merger,
        )


def reach(heavy: Floats, light: Floats) -> Floats:
    """Let every detector hear farther the heavier a binary is."""
    return 40.0 * (heavy + light)


RECOVERED = SOURCES.recovered(reach, span=SETTINGS.span)


def several() -> Values:
    """Return candidates of many kinds."""
    rng = np.random.default_rng(3)
    return values_of(
        Candidates(
            far_hz=FAR_THRESHOLD * np.exp(-rng.exponential(5, 40)),
            mchirp_det=np.exp(rng.uniform(-0.2, 4, 40)),
            snr=np.exp(rng.uniform(1.8, 3, 40)),
            eff_distance_mpc=np.full((40, 4), np.nan),
        ),
        far_threshold_hz=FAR_THRESHOLD,
    )


def agree(one: CandidateDensity, other: CandidateDensity, *names: str) -> bool:
    """Tell whether factors of two densities and their errors are the same; all if none is named."""
    values = several()

    def said(density: CandidateDensity, name: str) -> tuple[NDArray[np.float64], ...]:
        law, y = density.factors.get(name), values.by_factor[name]
        if law is None:
            return np.zeros(y.size), np.zeros((2, y.size))
        return tuple(map(np.nan_to_num, law.log_pdf_and_errors(y, values.features)))

    pairs = [(said(one, name), said(other, name)) for name in names or FACTORS]
    return all(
        np.allclose(log, other_log, rtol=1e-9, atol=1e-9)
        and np.allclose(errors, other_errors, rtol=1e-9, atol=2e-3)
        for (log, errors), (other_log, other_errors) in pairs
    )


def law_of(density: CandidateDensity) -> PowerLaw:
    far = density.factors["far"]
    assert isinstance(far, PowerLaw)
    return far


def mchirp_of(densities: ComponentDensities, source: Source) -> GridDensity:
    mchirp = densities.signals[source].factors["mchirp"]
    assert isinstance(mchirp, GridDensity)
    return mchirp


def mass_between(density: GridDensity, low: float, high: float) -> float:
    m = np.linspace(math.log(low), math.log(high), 20_000)
    return float(np.trapezoid(np.exp(density.log_pdf(m)), m))


def test_a_class_seen_often_enough_has_a_law_of_its_own() -> None:
    signals = Sample(BNS=2_000, NSBH=29, BBH=30).fit().signals
    x = np.array([-2.0, -8.0])
    fall = {
        source: np.diff(density.factors["far"].log_pdf(x, np.zeros((2, 4))))[0]
        for source, density in signals.items()
    }
    assert fall[Source.BNS] == pytest.approx(-6 * EXPONENTS[Source.BNS], rel=0.15)
    assert fall[Source.BBH] > -6 * 0.2  # thirty are enough
    # Twenty-nine are not: all signals speak for them, and most of those are BNS.
    assert fall[Source.NSBH] == pytest.approx(fall[Source.BNS], rel=0.1)
    few = Sample(BNS=4, NSBH=0, BBH=12)
    together = few.x[few.is_signal]
    for density in few.fit().signals.values():
        assert law_of(density).exponent == pytest.approx(-1 / together.mean(), rel=ROUNDING)
        assert law_of(density).exponent_std == pytest.approx(
            law_of(density).exponent / 4, rel=ROUNDING
        )


def test_with_no_signal_at_all_the_typical_law_stands_in_with_a_large_error() -> None:
    signals = Sample().fit().signals
    for density in signals.values():
        assert law_of(density).exponent == pytest.approx(0.1)
        assert law_of(density).exponent_std == pytest.approx(0.05)
        assert "snr" not in density.factors


def test_signals_without_weight_tell_nothing() -> None:
    for numbers in ({"BNS": 9, "BBH": 12}, {"BNS": 40, "NSBH": 5, "BBH": 60}):
        sample = Sample(**numbers)
        sample.weights = np.where(sample.is_signal & (np.arange(sample.x.size) % 3 > 0), 0.0, 1.0)
        sample.s[sample.weights == 0] += 2.0
        sample.m[sample.weights == 0] += 1.0
        without = sample.take(np.flatnonzero(sample.weights))
        fits = (each.fit(weighted=True) for each in (sample, without))
        for one, other in zip(*fits, strict=True):
            assert agree(one, other)


def test_weights_make_one_population_of_another() -> None:
    """Signals of exponent 0.1 weighted into exponent 0.2; 4 standard errors."""
    sample = Sample(BBH=25)
    sample.weights = np.where(sample.is_signal, 2 * np.exp(0.1 * sample.x), 1.0)
    law = law_of(sample.fit(weighted=True).signals[Source.BBH])
    mine = sample.weights[sample.is_signal]
    expected = mine.sum() / -(mine * sample.x[sample.is_signal]).sum()
    assert law.exponent == pytest.approx(expected, rel=ROUNDING)
    assert law.exponent_std == pytest.approx(expected / math.sqrt(effective_size(mine)))
    assert abs(law.exponent - 0.2) < 4 * law.exponent_std


def test_seen_chirp_masses_and_the_planes_are_mixed_by_number() -> None:
    sample = Sample(BNS=0, NSBH=0, BBH=30)
    sample.m[sample.is_signal] += math.log(4)  # around 100, where the plane has few
    sample.m[-1] = np.nan
    expected = RECOVERED[Source.BBH].mchirp
    from_plane = mass_between(expected, 70, 199)
    assert 0 < from_plane < 0.3
    for events in (10.0, 1e9):
        found = sample.fit(settings=replace(SETTINGS, population_events=events))
        share = 29 / (29 + events)
        mixed = share * 1 + (1 - share) * from_plane
        assert mass_between(mchirp_of(found, Source.BBH), 70, 199) == pytest.approx(mixed, abs=0.01)
        # No BNS was seen.
        np.testing.assert_array_equal(
            mchirp_of(found, Source.BNS).log_values, RECOVERED[Source.BNS].mchirp.log_values
        )


def test_a_seen_chirp_mass_counts_in_the_mixture_by_its_weight() -> None:
    """Two lumps of 20 signals, one of triple weight, that are worth 32 of equal weight."""
    sample = Sample(BBH=40)
    sample.m[sample.is_signal] += math.log(4)
    light = np.flatnonzero(sample.is_signal)[:20]
    sample.m[light] -= math.log(40)
    sample.weights[light] = 3.0
    found = mchirp_of(sample.fit(weighted=True), Source.BBH)
    from_plane = mass_between(RECOVERED[Source.BBH].mchirp, 0.9, 5)
    expected = 32 / (32 + 10) * 60 / 80 + 10 / (32 + 10) * from_plane
    assert mass_between(found, 0.9, 5) == pytest.approx(expected, abs=5e-3)


def test_an_injection_tells_nothing_of_the_masses_in_the_sky() -> None:
    sample = Sample(BBH=30)
    injected = sample.fit(is_merger=np.zeros(sample.x.size, dtype=np.bool_))
    np.testing.assert_array_equal(
        mchirp_of(injected, Source.BBH).log_values, RECOVERED[Source.BBH].mchirp.log_values
    )


def test_a_kernel_in_chirp_mass_is_no_spike_however_alike_events_are() -> None:
    sample = Sample(BBH=30)
    sample.m[sample.is_signal] = math.log(25)
    found = mchirp_of(sample.fit(), Source.BBH)
    peak = np.exp(found.log_pdf(np.log([25.0]))[0])
    assert peak < 1 / (0.1 * math.sqrt(2 * math.pi)) + 2  # of one kernel, and the plane's
    one_noise = Sample(noise=1, BBH=30)
    noise = one_noise.fit().noise.factors["mchirp"]
    assert isinstance(noise, GridDensity)
    assert np.exp(noise.log_pdf(one_noise.m[:1])[0]) < 1 / (0.1 * math.sqrt(2 * math.pi)) + 0.1


def test_the_mass_ratio_counts_where_templates_tell_it() -> None:
    sample = Sample(BBH=40)
    eta = np.random.default_rng(5).uniform(0.05, 0.25, sample.x.size)
    mtotal = np.exp(sample.m) * eta**-0.6
    with_w = sample.fit(mtotal=mtotal)
    assert all("w" in density.factors for density in with_w)
    mtotal[7:300] = np.nan  # seven of noise are too few
    assert not any("w" in density.factors for density in sample.fit(mtotal=mtotal))


def test_a_candidate_of_unknown_mass_or_snr_changes_no_law_of_either() -> None:
    for noise in (300, 500):  # a regression; curves
        sample = Sample(noise=noise, BBH=40)
        known, more = sample.fit().noise, np.append(np.arange(sample.x.size), [0, 1, 2])
        without_mass, without_snr = sample.take(more), sample.take(more)
        without_mass.m[-3:] = without_snr.s[-3:] = np.nan
        assert agree(without_mass.fit().noise, known)
        assert agree(without_snr.fit().noise, known, "far", "snr")


def test_the_snr_of_noise_is_described_mass_by_mass_where_there_is_enough() -> None:
    assert isinstance(Sample(noise=400, BBH=40).fit().noise.factors["snr"], LeaningGrid)
    few = Sample(noise=399, BBH=200).fit()
    noise, bbh = few.noise.factors["snr"], few.signals[Source.BBH].factors["snr"]
    assert isinstance(noise, StudentRegression)
    assert isinstance(bbh, StudentRegression)
    # Both go with FAR as they were drawn, and with the chirp mass; three standard errors.
    assert noise.coefficients[1] == pytest.approx(0, abs=0.02)
    assert bbh.coefficients[1] == pytest.approx(-0.03, abs=0.01)
    assert bbh.coefficients[3] == pytest.approx(0, abs=ROUNDING)
    pooled = Sample(BNS=25, NSBH=25, BBH=25).fit().signals[Source.BBH].factors["snr"]
    assert isinstance(pooled, StudentRegression)
    assert pooled.coefficients[2] == pytest.approx(0.1, abs=0.04)


@pytest.mark.parametrize("noise", [300, 2000])
def test_the_snr_of_noise_may_lean_on_its_far(noise: int) -> None:
    """By line or by curves: SNR that grows by 0.05 for each e of FAR, at all masses alike."""
    leaning = Sample(noise=noise, BBH=40)
    leaning.s[:noise] -= 0.05 * leaning.x[:noise]
    snr = leaning.fit().noise.factors["snr"]
    slope = snr.slope if isinstance(snr, LeaningGrid) else None
    if isinstance(snr, StudentRegression):
        slope = snr.coefficients[1]
    assert slope == pytest.approx(-0.05, abs=4 * 0.13 / math.sqrt(noise))


def test_the_snr_of_noise_may_bend_with_the_logarithm_of_its_mass() -> None:
    bent = Sample(noise=300, BBH=40)
    bent.m[:300] = np.linspace(0, 4, 300)
    bent.s[:300] = 2 + 0.05 * bent.m[:300] ** 2 + 0.01 * np.random.default_rng(4).normal(size=300)
    snr = bent.fit().noise.factors["snr"]
    assert isinstance(snr, StudentRegression)
    np.testing.assert_allclose(snr.coefficients, [2, 0, 0, 0.05], atol=0.01)


def test_the_floor_of_a_far_density_is_the_one_asked_for() -> None:
    sample = Sample(BBH=400)
    sample.x[sample.is_signal] = np.append(np.linspace(-12, 0, 380), np.linspace(-51, -50, 20))
    far = sample.fit().signals[Source.BBH].factors["far"]
    between = np.exp(far.log_pdf(np.array([-30.0]), np.zeros((1, 4)))[0])
    assert between == pytest.approx(SETTINGS.density_floor / 50, rel=0.2)


def test_the_floor_between_signals_and_noise_is_not_that_between_classes() -> None:
    sample = Sample(BBH=40)
    heavy = np.log([150.0])  # no noise is there
    plain, floored, outlying = (
        sample.fit(settings=s)
        for s in (
            SETTINGS,
            replace(SETTINGS, density_floor=0.2),
            replace(SETTINGS, outlier_fraction=0.05),
        )
    )
    for source in ASTROPHYSICAL:
        for other in (floored, outlying):
            np.testing.assert_array_equal(
                mchirp_of(other, source).log_values, mchirp_of(plain, source).log_values
            )
    noise = [
        d.noise.factors["mchirp"].log_pdf(heavy, np.zeros((1, 4)))[0] for d in (plain, floored)
    ]
    assert noise[1] - noise[0] == pytest.approx(math.log(0.2 / 0.02), abs=0.02)
    assert (plain.outliers.fraction, outlying.outliers.fraction) == (0.005, 0.05)


@pytest.mark.parametrize(("noise", "signals", "used"), [(8, 8, True), (7, 9, False), (9, 7, False)])
def test_snr_is_left_out_of_both_sides_where_either_is_too_few(
    noise: int, signals: int, *, used: bool
) -> None:
    for density in Sample(noise=noise, BBH=signals).fit():
        assert ("snr" in density.factors) == used


def test_candidates_that_no_model_can_be_fitted_to_are_refused() -> None:
    above, unknown, edge = (Sample(BBH=9) for _ in range(3))
    above.x[4] = 0.5
    unknown.x[4] = np.nan
    for sample in (above, unknown):
        with pytest.raises(FitError, match=r"1 of 309 candidates have no FAR below 0\.0003 Hz"):
            sample.fit()
    with pytest.raises(FitError, match="0 are noise"):
        Sample(noise=0, BBH=9).fit()
    edge.x[4] = 0.0
    assert law_of(edge.fit().noise) == PowerLaw(exponent=1.0)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"mchirp_min": 300.0}, "mchirp_min < mchirp_max"),
        ({"mchirp_min": 0.0}, "0 < mchirp_min"),
        ({"density_floor": 0.0}, "0 < density_floor < 1"),
        ({"enough_for_curves": 1}, "enough_for_curves of 2 or more"),
        ({"mchirp_min": 7.0, "mchirp_max": 7.0}, "mchirp_min < mchirp_max"),
        ({"mchirp_max": math.inf}, "mchirp_min < mchirp_max"),
        ({"density_floor": 1.0}, "density_floor < 1"),
        ({"outlier_fraction": 0.0}, "0 < outlier_fraction < 1"),
        ({"outlier_fraction": math.nan}, "0 < outlier_fraction < 1"),
        ({"population_error": -0.1}, "errors of 0 or more"),
        ({"response_error": math.inf}, "errors of 0 or more"),
        ({"population_events": 0.0}, "population_events above 0"),
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(FitError, match=rule):
        DensitySettings(**wrong)


@pytest.mark.parametrize(
    "edge",
    [
        {"enough_for_a_class": 2, "enough_for_curves": 2},
        {"population_error": 0.0, "response_error": 0.0},
    ],
)
def test_the_edges_of_what_makes_sense_are_allowed(edge: dict[str, Any]) -> None:
    settings = DensitySettings(**edge)
    assert {name: getattr(settings, name) for name in edge} == edge
