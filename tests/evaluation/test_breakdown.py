"""Intervals hold what they should; tables count what they say."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from spiir_pastro.domain import Source
from spiir_pastro.evaluation.breakdown import Confusion, calls, efficiency, score_groups
from spiir_pastro.evaluation.intervals import fraction_interval, score_intervals
from spiir_pastro.evaluation.scores import score
from tolerances import ROUNDING


def test_a_fractions_interval_covers_it_nine_times_in_ten() -> None:
    n, true = 60, 0.3
    k = np.arange(n + 1)
    low, high = fraction_interval(k, n).T
    coverage = binom.pmf(k, n, true)[(low <= true) & (true <= high)].sum()
    assert 0.86 < coverage < 0.94  # exact, not drawn; Jeffreys' is right on average over fractions


def test_the_bootstrap_agrees_with_one_that_draws_candidates() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(0.4, 0.8, 400)
    y = rng.random(400) < p
    ends = score_intervals(p, y)
    drawn = [score(p[i], y[i]) for i in rng.integers(0, 400, (600, 400))]
    for name in ("log_loss", "brier", "auc"):
        values = np.array([getattr(s, name) for s in drawn])
        low, high = np.quantile(values, [0.05, 0.95])
        # The ends of either are known to a tenth of the width from so many draws (3 sigma).
        assert ends[name] == pytest.approx((low, high), abs=0.15 * (high - low))


@given(st.integers(0, 2**32 - 1))
def test_intervals_hold_the_score_and_repeat(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p, y = rng.random(50), rng.random(50) < 0.5
    if y.all() or not y.any():
        return
    ends, scores = score_intervals(p, y), score(p, y)
    assert ends == score_intervals(p, y)
    for name, (low, high) in ends.items():
        assert low - 0.05 * abs(low) <= getattr(scores, name) <= high + 0.05 * abs(high)


def test_calls_count_by_hand() -> None:
    p, y = np.array([0.95, 0.92, 0.5, 0.1, 0.9]), np.array([True, False, True, False, True])
    (call,) = calls(p, y, [0.9])
    assert (call.called, call.real, call.signals) == (3, 2, 3)
    assert call.expected == pytest.approx(2.77)
    assert call.purity_interval == pytest.approx(tuple(fraction_interval(2, 3)))


def test_confusion_counts_by_hand_and_leaves_unknown_truths_out() -> None:
    probabilities = np.array(
        [[0.7, 0.2, 0.1, 0.0], [0.1, 0.6, 0.1, 0.2], [0.0, 0.0, 0.1, 0.9], [0.0, 0.0, 1.0, 0.0]]
    )
    confusion = Confusion.of(probabilities, np.array(["BNS", "BBH", "Terrestrial", ""]))
    assert confusion.count.tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    np.testing.assert_allclose(confusion.expected[2], probabilities[1], rtol=ROUNDING)
    assert confusion.mistakes() == [(Source.BBH, Source.NSBH, 1)]


@given(st.integers(0, 400), st.integers(0, 2**32 - 1))
def test_efficiency_bins_hold_every_signal_once(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    quantity = rng.lognormal(size=n)
    quantity[::7] = np.nan
    found = efficiency(quantity, rng.random(n))
    if np.isfinite(quantity).sum() > 1:
        assert found.count.sum() == np.isfinite(quantity).sum()
    assert (found.found <= found.count).all()
    assert ((found.interval >= 0) & (found.interval <= 1)).all()


def test_groups_are_scored_by_themselves() -> None:
    rng = np.random.default_rng(0)
    p, y = rng.random(60), rng.random(60) < 0.5
    ifos = ["H1L1V1", *["H1L1"] * 20, *["H1L1V1"] * 37, None, None]
    table = pl.DataFrame({"p_astro": p, "is_signal": y, "ifos": ifos})
    first, second, unknown = score_groups("detectors", table, "ifos")
    assert (first.name, second.name, unknown.name) == ("H1L1", "H1L1V1", "unknown")
    assert unknown.scores.candidates == 2
    assert first.scores == score(p[1:21], y[1:21])
