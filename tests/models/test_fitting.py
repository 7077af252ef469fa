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
from spiir_pastro.models.components import CandidateDensity, ComponentDensities
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.far_density import PowerLaw
from spiir_pastro.models.fitting import DensitySettings, Reference, fit_densities
from spiir_pastro.models.kernels import effective_size
from spiir_pastro.models.regression import StudentRegression
from tolerances import ROUNDING

Floats = NDArray[np.float64]

FAR_THRESHOLD = 3e-4
MASSES = {Source.BNS: 1.2, Source.NSBH: 3.0, Source.BBH: 25.0}
EXPONENTS = {Source.BNS: 0.3, Source.NSBH: 0.15, Source.BBH: 0.1}
SETTINGS = DensitySettings(density_floor=0.02, enough_for_a_class=30, enough_for_curves=400)


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
        self, *, weighted: bool = False, weight: float = 10.0, reference: Reference | None = None
    ) -> ComponentDensities:
        rng = np.random.default_rng(2)
        masses = {source: mass * np.exp(rng.normal(0, 0.1, 50)) for source, mass in MASSES.items()}
        return fit_densities(
            Candidates(
                far_hz=FAR_THRESHOLD * np.exp(self.x),
                mchirp_det=np.exp(self.m),
                snr=np.exp(self.s),
                eff_distance_mpc=np.full((self.x.size, 4), np.nan),
            ),
            is_signal=self.is_signal,
            classes=self.classes,
            reference=reference or Reference(mchirp_det=masses, weight=weight),
            far_threshold_hz=FAR_THRESHOLD,
            settings=SETTINGS,
            weights=self.weights if weighted else None,
        )


def agree(one: CandidateDensity, other: CandidateDensity, *, rtol: float = 1e-9) -> bool:
    """Tell whether two densities and their errors are the same, at candidates of many kinds."""
    rng = np.random.default_rng(3)
    several = Candidates(
        far_hz=FAR_THRESHOLD * np.exp(-rng.exponential(5, 40)),
        mchirp_det=np.exp(rng.uniform(-0.5, 4, 40)),
        snr=np.exp(rng.uniform(1.8, 3, 40)),
        eff_distance_mpc=np.full((40, 4), np.nan),
    )
    (p, q), (e, f) = (
        [d.log_pdf(several, far_threshold_hz=FAR_THRESHOLD) for d in (one, other)],
        [d.log_errors(several, far_threshold_hz=FAR_THRESHOLD) for d in (one, other)],
    )
    return np.allclose(p, q, rtol=rtol, atol=rtol) and np.allclose(e, f, rtol=rtol, atol=2e-3)


def law_of(density: CandidateDensity) -> PowerLaw:
    assert isinstance(density.far, PowerLaw)
    return density.far


def test_a_class_seen_often_enough_has_a_law_of_its_own() -> None:
    signals = Sample(BNS=2_000, NSBH=29, BBH=30).fit().signals
    x = np.array([-2.0, -8.0])
    fall = {source: np.diff(density.far.log_pdf(x))[0] for source, density in signals.items()}
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
        assert density.snr is None


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


def test_seen_chirp_masses_and_the_references_are_mixed_by_number() -> None:
    sample = Sample(BNS=0, NSBH=0, BBH=30)
    sample.m[sample.is_signal] += math.log(4)  # around 100, where the reference has none
    sample.m[-1] = np.nan
    mass_above_50 = {}
    for weight in (0.0, 10.0, math.inf):
        mchirp = sample.fit(weight=weight).signals[Source.BBH].mchirp
        assert mchirp is not None
        m = np.linspace(math.log(50), math.log(200), 20_000)
        mass_above_50[weight] = np.trapezoid(np.exp(mchirp.log_pdf(m)), m)
    floor = 0.02 * math.log(4) / math.log(400)
    assert mass_above_50[0.0] == pytest.approx(0.98 + floor, abs=5e-3)
    assert mass_above_50[10.0] == pytest.approx(0.98 * 29 / 39 + floor, abs=5e-3)
    assert mass_above_50[math.inf] == pytest.approx(floor, abs=5e-3)


def test_a_seen_chirp_mass_counts_in_the_mixture_by_its_weight() -> None:
    """Two lumps of 20 signals, one of triple weight, that are worth 32 of equal weight."""
    sample = Sample(BBH=40)
    light = np.flatnonzero(sample.is_signal)[:20]
    sample.m[light] -= math.log(8)
    sample.weights[light] = 3.0
    mchirp = sample.fit(weighted=True, weight=8.0).signals[Source.BBH].mchirp
    assert mchirp is not None
    m = np.linspace(math.log(1), math.log(9), 20_000)
    floor = 0.02 * math.log(9) / math.log(400)
    found = np.trapezoid(np.exp(mchirp.log_pdf(m)), m)
    assert found == pytest.approx(0.98 * 32 / (32 + 8) * 60 / 80 + floor, abs=5e-3)


def test_a_candidate_of_unknown_mass_or_snr_changes_no_law_of_either() -> None:
    for noise in (300, 500):  # a regression; curves
        sample = Sample(noise=noise, BBH=40)
        known, more = sample.fit().noise, np.append(np.arange(sample.x.size), [0, 1, 2])
        without_mass, without_snr = sample.take(more), sample.take(more)
        without_mass.m[-3:] = without_snr.s[-3:] = np.nan
        assert agree(without_mass.fit().noise, known)
        assert agree(replace(without_snr.fit().noise, mchirp=None), replace(known, mchirp=None))


def test_the_snr_of_noise_is_described_mass_by_mass_where_there_is_enough() -> None:
    assert isinstance(Sample(noise=400, BBH=40).fit().noise.snr, ConditionalGrid)
    few = Sample(noise=399, BBH=200).fit()
    assert isinstance(few.noise.snr, StudentRegression)
    # Noise's SNR goes with the chirp mass, not with FAR; that of signals with both.
    assert few.noise.snr.coefficients[1] == pytest.approx(0, abs=ROUNDING)
    snr = few.signals[Source.BBH].snr
    assert isinstance(snr, StudentRegression)
    assert snr.coefficients[1] == pytest.approx(-0.03, abs=0.01)
    assert snr.coefficients[3] == pytest.approx(0, abs=ROUNDING)
    pooled = Sample(BNS=25, NSBH=25, BBH=25).fit().signals[Source.BBH].snr
    assert isinstance(pooled, StudentRegression)
    assert pooled.coefficients[2] == pytest.approx(0.1, abs=0.04)  # three standard errors


def test_the_snr_of_noise_may_bend_with_the_logarithm_of_its_mass() -> None:
    bent = Sample(noise=300, BBH=40)
    bent.m[:300] = np.linspace(0, 4, 300)
    bent.s[:300] = 2 + 0.05 * bent.m[:300] ** 2 + 0.01 * np.random.default_rng(4).normal(size=300)
    snr = bent.fit().noise.snr
    assert isinstance(snr, StudentRegression)
    np.testing.assert_allclose(snr.coefficients, [2, 0, 0, 0.05], atol=0.01)


def test_the_floor_of_a_far_density_is_the_one_asked_for() -> None:
    sample = Sample(BBH=400)
    sample.x[sample.is_signal] = np.append(np.linspace(-12, 0, 380), np.linspace(-51, -50, 20))
    far = sample.fit().signals[Source.BBH].far
    between = np.exp(far.log_pdf(np.array([-30.0]))[0])
    assert between == pytest.approx(SETTINGS.density_floor / 50, rel=0.2)


@pytest.mark.parametrize(("noise", "signals", "used"), [(8, 8, True), (7, 9, False), (9, 7, False)])
def test_snr_is_left_out_of_both_sides_where_either_is_too_few(
    noise: int, signals: int, *, used: bool
) -> None:
    for density in Sample(noise=noise, BBH=signals).fit():
        assert (density.snr is not None) == used


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
    assert edge.fit().noise.far == PowerLaw(exponent=1.0)


def test_an_injection_keeps_its_weight_through_its_images() -> None:
    """As many events as injections, or as their weights are worth; not as many as images."""
    true = {source: np.array([10.0, 42.0, 30.0]) for source in ASTROPHYSICAL}
    weights = {Source.BBH: np.array([1.0, 3.0, 2.0])}
    reference = Reference.of_injections(true, weight=5.0, sample_weights=weights)
    assert reference.weight == 5.0
    assert Reference.of_injections(true).weight == Reference(mchirp_det=true).weight == 10.0
    assert reference.events == {Source.BNS: 3, Source.NSBH: 3, Source.BBH: pytest.approx(36 / 14)}
    masses, carried = reference.mchirp_det[Source.BBH], reference.sample_weights[Source.BBH]
    far_off = (masses < 17) & (masses != 10)
    parts = [carried[rows].sum() for rows in (masses == 10, far_off, masses == 42, masses == 30)]
    # 30 solar masses are not heavier than 30.
    np.testing.assert_allclose(np.array(parts) / sum(parts), np.array([1, 0.9, 2.1, 2]) / 6)
    assert Source.BNS not in reference.sample_weights


def test_a_reference_is_weighted_and_has_a_floor() -> None:
    """Three quarters of the weight at the heavier mass; elsewhere the floor alone."""
    masses = dict.fromkeys(ASTROPHYSICAL, np.repeat([2.0, 20.0], 50))
    weights = dict.fromkeys(ASTROPHYSICAL, np.repeat([1.0, 3.0], 50))
    sample = Sample(BBH=9)
    reference = Reference(mchirp_det=masses, weight=math.inf, sample_weights=weights)
    mchirp = sample.fit(reference=reference).signals[Source.NSBH].mchirp
    assert mchirp is not None
    m = np.linspace(math.log(6), math.log(200), 20_000)
    floor = SETTINGS.density_floor / math.log(400)
    expected = 0.75 * (1 - SETTINGS.density_floor) + floor * math.log(200 / 6)
    assert np.trapezoid(np.exp(mchirp.log_pdf(m)), m) == pytest.approx(expected, rel=0.02)
    assert mchirp.log_pdf(np.log([190.0]))[0] == pytest.approx(math.log(floor), abs=0.02)


def test_images_of_an_injection_are_no_events() -> None:
    """One law of chirp mass, whose errors go with the injections, or what they are worth."""
    true = {source: mass * np.linspace(0.7, 1.3, 40) for source, mass in MASSES.items()}
    sample = Sample(BBH=9)

    def error(reference: Reference) -> float:
        mchirp = sample.fit(reference=reference).signals[Source.BNS].mchirp
        assert mchirp is not None
        return float(mchirp.log_errors(np.log([1.2])).max())

    plain = error(Reference.of_injections(true, weight=math.inf))
    few = {Source.BNS: np.where(np.arange(40) % 4, 0.0, 1.0)}
    tenth = error(Reference.of_injections(true, weight=math.inf, sample_weights=few))
    as_images = error(
        Reference(mchirp_det=Reference.of_injections(true).mchirp_det, weight=math.inf)
    )
    assert plain / as_images == pytest.approx(math.sqrt(30), rel=0.2)
    assert tenth / plain == pytest.approx(math.sqrt(40 / 10), rel=0.2)


def _recovered(true: NDArray[np.float64], settings: DensitySettings) -> NDArray[np.float64]:
    reference = Reference.of_injections({Source.BBH: true}, settings=settings)
    return reference.mchirp_det[Source.BBH]


def test_as_many_heavy_masses_as_chosen_are_recovered_far_off() -> None:
    true = np.array([10.0, 40.0, 60.0])
    settings = DensitySettings(
        misrecovered_fraction=0.25, misrecovered_ratio_min=0.5, misrecovered_ratio_max=0.6
    )
    recovered = _recovered(true, settings)
    assert np.bincount(np.digitize(recovered, [15, 38, 50])).tolist() == [36, 18, 27, 27]
    assert recovered[(recovered > 15) & (recovered < 38)].min() == pytest.approx(20.0)


def test_none_is_recovered_far_off_if_so_chosen() -> None:
    true = np.array([10.0, 40.0])
    settings = DensitySettings(misrecovered_fraction=0.0)
    np.testing.assert_array_equal(_recovered(true, settings), true)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"mchirp_min": 300.0}, "mchirp_min < mchirp_max"),
        ({"mchirp_min": 0.0}, "0 < mchirp_min"),
        ({"density_floor": 0.0}, "0 < density_floor < 1"),
        ({"enough_for_curves": 1}, "enough_for_curves of 2 or more"),
        ({"heavy_mchirp": math.nan}, "heavy_mchirp >= 0"),
        ({"misrecovered_fraction": 1.0}, "misrecovered_fraction of 0, or"),
        ({"mchirp_min": 7.0, "mchirp_max": 7.0}, "mchirp_min < mchirp_max"),
        ({"mchirp_max": math.inf}, "mchirp_min < mchirp_max"),
        ({"density_floor": 1.0}, "density_floor < 1"),
        ({"misrecovered_ratio_min": 0.5}, "misrecovered_ratio_min <= misrecovered_ratio_max"),
        ({"misrecovered_ratio_min": 0.0}, "0 < misrecovered_ratio_min"),
        ({"misrecovered_ratio_max": math.inf}, "misrecovered_ratio_max"),
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(FitError, match=rule):
        DensitySettings(**wrong)


@pytest.mark.parametrize(
    "edge",
    [
        {"enough_for_a_class": 2, "enough_for_curves": 2},
        {"heavy_mchirp": 0.0},
        {"misrecovered_fraction": 0.01},
        {"misrecovered_fraction": 0.9},
        {"misrecovered_ratio_min": 0.3, "misrecovered_ratio_max": 0.3},
    ],
)
def test_the_edges_of_what_makes_sense_are_allowed(edge: dict[str, Any]) -> None:
    settings = DensitySettings(**edge)
    assert {name: getattr(settings, name) for name in edge} == edge
