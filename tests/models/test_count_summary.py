"""The summary a model keeps says what the whole posterior says."""

from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np
import pytest

from spiir_pastro.errors import FitError
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import CountPosterior, fit_counts


@pytest.fixture(scope="module")
def posterior() -> CountPosterior:
    rng = np.random.default_rng(0)
    noise = rng.normal(-4, 2, size=(300, 3))
    signals = noise[:12] + rng.permuted([[14.0, 3.0, 0.0]] * 12, axis=1)
    return fit_counts(np.concatenate([noise, signals]), prior="jeffreys")


def test_probabilities_hold_to_the_error_that_is_kept(posterior: CountPosterior) -> None:
    summary = CountSummary.of(posterior)
    logs = np.random.default_rng(1).normal(0, 6, size=(200, 3))
    exact = posterior.probabilities(logs)
    assert summary.node_error < 1e-4
    np.testing.assert_allclose(summary.probabilities(logs), exact, atol=2 * summary.node_error)
    assert len(summary.weights) < len(posterior.lattice.weights) / 5
    np.testing.assert_array_equal(summary.mean, posterior.mean)


def test_the_interval_holds_the_probability_and_grows_with_its_level(
    posterior: CountPosterior,
) -> None:
    summary = CountSummary.of(posterior)
    logs = np.random.default_rng(2).normal(0, 6, size=(50, 3))
    p_astro = 1 - summary.probabilities(logs)[:, -1]
    low, high = summary.p_astro_interval(logs).T
    wide_low, wide_high = summary.p_astro_interval(logs, level=0.99).T
    assert ((low < p_astro) & (p_astro < high)).mean() > 0.95
    assert ((wide_low <= low) & (high <= wide_high)).all()
    whole = posterior.probability_intervals(logs)[:, :, -1]
    # Five hundred draws against two thousand.
    np.testing.assert_allclose([low, high], 1 - whole[::-1], atol=0.05)


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
        ("mean", lambda _: 5.0, "impossible std"),
        ("std", lambda std: std[:-1], "impossible std"),
        ("std", lambda std: std * np.nan, "impossible std"),
        ("std", lambda std: std * np.inf, "impossible std"),
        ("std", lambda std: -std, "impossible std"),
        ("interval", lambda interval: interval.T, "impossible interval"),
        ("draws", lambda draws: draws[:, :-1], "impossible draws"),
        ("draws", lambda draws: draws[:0], "impossible draws"),
        ("weights", lambda weights: weights[:-1], "impossible sources"),
        ("weights", lambda weights: weights * 0.9, "must weigh one"),
        (
            "sources",
            lambda sources: sources * (np.arange(len(sources)) > 0)[:, None],
            "hold sources",
        ),
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
    for answer in (summary.probabilities, summary.p_astro_interval):
        with pytest.raises(FitError, match=r"shape \(4, 2\), where \(n, 3\) belongs"):
            answer(np.zeros((4, 2)))
