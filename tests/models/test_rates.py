"""Rates are counts over exposures, with the errors of both."""

import math

import numpy as np
import pytest
from scipy import stats

from spiir_pastro.errors import FitError
from spiir_pastro.models.counts import fit_counts
from spiir_pastro.models.exposure import Exposure
from spiir_pastro.models.rates import RatePosterior

RATES = 1e-5
"""Relative: ends of intervals of a rate."""


def test_a_rate_per_year_is_a_scaled_count() -> None:
    posterior = fit_counts([[40.0, -40.0]] * 7 + [[-40.0, 40.0]] * 2)
    rate = RatePosterior(counts=posterior, exposures=(Exposure(size=0.5),))
    np.testing.assert_allclose(rate.mean, [16.0, 6.0], rtol=1e-9)
    np.testing.assert_allclose(rate.std, posterior.std / 0.5, rtol=1e-9)
    np.testing.assert_allclose(rate.interval(), posterior.interval() / 0.5, rtol=RATES)


@pytest.mark.parametrize("log_error", [0.05, 0.3])
@pytest.mark.parametrize("signals", [0, 4, 300, 200_000])
def test_a_merger_rate_density_is_a_gamma_over_a_log_normal(signals: int, log_error: float) -> None:
    posterior = fit_counts(np.full(signals, 300.0), expected_noise=1.0)
    rate = RatePosterior(counts=posterior, exposures=(Exposure(size=2.5, log_error=log_error),))
    count = stats.gamma(signals + 1)
    mean_square = (count.var() + count.mean() ** 2) * math.exp(2 * log_error**2)
    mean = count.mean() * math.exp(log_error**2 / 2)
    assert rate.mean == pytest.approx([mean / 2.5], rel=1e-9)
    assert rate.std == pytest.approx([math.sqrt(mean_square - mean**2) / 2.5], rel=1e-8)
    g = np.linspace(-9, 9, 4001)
    for q in (0.05, 0.5, 0.95):
        log_exposures = np.log(2.5) + log_error * g
        below = count.cdf(rate.quantile(q)[0] * np.exp(log_exposures))
        assert np.average(below, weights=stats.norm.pdf(g)) == pytest.approx(q, rel=1e-4)


def test_rate_samples_follow_the_quantiles() -> None:
    """20 000 draws; a false alarm of one in 10^4 a comparison."""
    posterior = fit_counts([[40.0, -40.0]] * 7 + [[-40.0, 40.0]] * 2)
    exposures = (Exposure(size=0.5, log_error=0.2), Exposure(size=3.0))
    rate = RatePosterior(counts=posterior, exposures=exposures)
    samples = rate.samples(20_000, np.random.default_rng(1))
    for q in (0.1, 0.5, 0.9):
        below = (samples < rate.quantile(q)).mean(axis=0)
        assert np.all(np.abs(below - q) < 4 * math.sqrt(q * (1 - q) / 20_000))


def test_equal_volumes_measure_a_binomial_fraction() -> None:
    exposure = Exposure.sensitive_volume_time(
        np.full(100, 2.0 / 400), drawn=400, livetime_yr=0.5, calibration_log_error=0.06
    )
    assert exposure.size == pytest.approx(0.25, rel=1e-12)
    assert exposure.log_error == pytest.approx(math.hypot(math.sqrt(0.75 / 100), 0.06), rel=1e-12)


def test_an_injection_without_volume_and_one_that_all_find_are_injections() -> None:
    found = Exposure.sensitive_volume_time([0.5, 0.5, 0], drawn=3, livetime_yr=2.0)
    assert found.size == pytest.approx(2.0, rel=1e-12)
    # Two of three in equal volumes: a binomial fraction again.
    assert found.log_error == pytest.approx(math.sqrt(1 / 2 - 1 / 3), rel=1e-12)
    everything = Exposure.sensitive_volume_time([1, 1], drawn=2, livetime_yr=1.0)
    assert (everything.size, everything.log_error) == (2.0, 0.0)


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5])
def test_an_interval_has_a_level_between_none_and_all(level: float) -> None:
    rate = RatePosterior(counts=fit_counts([50.0]), exposures=(Exposure(size=1.0),))
    with pytest.raises(FitError, match=f"level is {level}"):
        rate.interval(level)


def test_impossible_exposures_are_refused() -> None:
    posterior = fit_counts([[1.0, 2.0, 3.0]])
    with pytest.raises(FitError, match=r"exposure of 0\.0"):
        Exposure(size=0.0)
    with pytest.raises(FitError, match="log error of -1"):
        Exposure(size=1.0, log_error=-1.0)
    with pytest.raises(FitError, match="exposure of inf"):
        Exposure(size=math.inf)
    with pytest.raises(FitError, match="log error of nan"):
        Exposure(size=1.0, log_error=math.nan)
    with pytest.raises(FitError, match="2 injections found of 5 drawn"):
        Exposure.sensitive_volume_time([1, -0.5], drawn=5, livetime_yr=1)
    with pytest.raises(FitError, match="2 exposures belong to 3 classes"):
        RatePosterior(counts=posterior, exposures=(Exposure(size=1.0),) * 2)
    with pytest.raises(FitError, match="0 injections found of 2 drawn"):
        Exposure.sensitive_volume_time([], drawn=2, livetime_yr=1)
    with pytest.raises(FitError, match="2 injections found of 1 drawn"):
        Exposure.sensitive_volume_time([1, 1], drawn=1, livetime_yr=1)
