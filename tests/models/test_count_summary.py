"""The summary a model keeps says what the whole posterior says."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import logit

from spiir_pastro.errors import FitError
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import CountPosterior, Prior, fit_counts

Floats = NDArray[np.float64]


@pytest.fixture(scope="module")
def posterior() -> CountPosterior:
    rng = np.random.default_rng(0)
    noise = rng.normal(-4, 2, size=(300, 3))
    signals = noise[:12] + rng.permuted([[14.0, 3.0, 0.0]] * 12, axis=1)
    return fit_counts(np.concatenate([noise, signals]), prior="jeffreys")


@pytest.mark.parametrize("prior", ["jeffreys", "uniform"])
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_a_new_candidate_gets_what_a_refit_with_it_gives(prior: Prior, classes: int) -> None:
    """The refit counts the candidate itself, and is then asked about a candidate of the fit."""
    rng = np.random.default_rng(4)
    logs = rng.normal(-4, 2, size=(300, classes))
    logs[:12] += rng.permuted([[14.0, 3.0, 0.0][:classes]] * 12, axis=1)
    without = fit_counts(logs, prior=prior)
    new = rng.normal(0, 4, size=(2, classes))
    refits = [fit_counts(np.concatenate([logs, row[None]]), prior=prior) for row in new]
    expected = [one.probabilities(row[None])[0] for one, row in zip(refits, new, strict=True)]
    np.testing.assert_allclose(without.predictive(new), expected, atol=1e-6)
    np.testing.assert_allclose(CountSummary.of(without).predictive(new), expected, atol=1e-6)


def test_means_are_those_of_the_posterior(posterior: CountPosterior) -> None:
    summary = CountSummary.of(posterior)
    np.testing.assert_array_equal(summary.means[:-1], posterior.mean)
    assert summary.means[-1] == posterior.noise_mean


def weighted_quantile(values: Floats, weights: Floats, level: float) -> float:
    order = np.argsort(values)
    return float(np.interp(level, np.cumsum(weights[order]) / weights.sum(), values[order]))


def test_the_interval_is_that_of_many_draws_weighted_by_the_candidates_intensity(
    posterior: CountPosterior,
) -> None:
    """128 draws against 100,000: an end is a mean and a spread, known to some 5 % each."""
    logs = np.random.default_rng(2).normal(0, 6, size=(50, 3))
    ends = CountSummary.of(posterior).p_astro_interval(logs)
    draws = posterior.draws(100_000, np.random.default_rng(5))
    for row, (low, high) in zip(logs, logit(ends), strict=True):
        signal = draws[:, :-1] @ np.exp(row)
        log_odds, intensity = np.log(signal / draws[:, -1]), signal + draws[:, -1]
        expected = [weighted_quantile(log_odds, intensity, level) for level in (0.05, 0.95)]
        # Means and spreads of 128 draws scatter by 9 % and 6 % of a spread; counts that are few
        # are skewed, which a normal interval does not follow.
        width = expected[1] - expected[0]
        assert abs(low - expected[0]) < 0.12 * width
        assert abs(high - expected[1]) < 0.12 * width


def test_the_interval_holds_the_probability(posterior: CountPosterior) -> None:
    summary = CountSummary.of(posterior)
    logs = np.random.default_rng(2).normal(0, 6, size=(50, 3))
    p_astro = 1 - summary.predictive(logs)[:, -1]
    low, high = summary.p_astro_interval(logs).T
    assert ((low < p_astro) & (p_astro < high)).all()


def test_errors_of_the_densities_widen_the_interval_as_a_normal_deviate_of_the_log_odds() -> None:
    certain = fit_counts(np.repeat([50.0, -50.0], 20_000), prior="uniform")  # odds of one
    summary = CountSummary.of(certain)
    errors = np.array([[0.5, 3.0, 0.0], [0.5, 1.0, 0.0]])
    low, high = summary.p_astro_interval(np.zeros((3, 1)), log_odds_errors=errors).T
    counts_alone = np.sqrt(2 / 20_000)  # of ln odds
    spread = 1.6449 * np.hypot(errors, counts_alone)
    # Five hundred draws leave 1 % of a standard deviation where they are spread evenly.
    np.testing.assert_allclose(np.log(low / (1 - low)), -spread[0], rtol=0.03, atol=0.003)
    np.testing.assert_allclose(np.log(high / (1 - high)), spread[1], rtol=0.03, atol=0.003)


def test_an_interval_stays_within_zero_and_one_however_little_is_known(
    posterior: CountPosterior,
) -> None:
    summary = CountSummary.of(posterior)
    logs = np.random.default_rng(3).normal(0, 20, size=(50, 3))
    plain = summary.p_astro_interval(logs)
    wide = summary.p_astro_interval(logs, log_odds_errors=np.full((2, 50), 1e4))
    assert ((wide[:, 0] <= plain[:, 0]) & (plain[:, 1] <= wide[:, 1])).all()
    assert ((wide >= 0) & (wide <= 1)).all()


def parts_of(summary: CountSummary) -> dict[str, Any]:
    return {field.name: getattr(summary, field.name) for field in fields(summary)}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mean", lambda _: 5.0, "impossible mean"),
        ("std", lambda std: std[:-1], "impossible std"),
        ("std", lambda std: std * np.nan, "impossible std"),
        ("std", lambda std: std * np.inf, "impossible std"),
        ("std", lambda std: -std, "impossible std"),
        ("interval", lambda interval: interval.T, "impossible interval"),
        ("draws", lambda draws: draws[:, :-1], "impossible draws"),
        ("draws", lambda draws: draws[:0], "impossible draws"),
        ("draws", lambda draws: draws * (np.arange(len(draws)) > 0)[:, None], "draws above 0"),
        ("noise_mean", lambda _: 0.0, "needs some noise"),
        ("noise_mean", lambda _: np.nan, "needs some noise"),
        ("noise_mean", lambda _: np.inf, "needs some noise"),
    ],
)
def test_a_summary_that_is_none_is_refused(
    posterior: CountPosterior, name: str, change: Callable[[Any], object], message: str
) -> None:
    parts = parts_of(CountSummary.of(posterior))
    with pytest.raises(FitError, match=message):
        CountSummary(**parts | {name: change(parts[name])})


def test_a_summary_holds_read_only_floats_whatever_it_is_given(posterior: CountPosterior) -> None:
    parts = parts_of(CountSummary.of(posterior))
    summary = CountSummary(**parts | {"std": [0, 1, 2]})
    assert summary.std.dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        summary.std[0] = 1.0


def test_factors_of_other_classes_are_refused(posterior: CountPosterior) -> None:
    summary = CountSummary.of(posterior)
    for answer in (summary.predictive, summary.p_astro_interval):
        with pytest.raises(FitError, match=r"shape \(4, 2\), where \(n, 3\) belongs"):
            answer(np.zeros((4, 2)))
