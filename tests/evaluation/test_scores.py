"""Scores against scikit-learn's definitions written out, and cases known by heart."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.errors import FitError
from spiir_pastro.evaluation.breakdown import class_agreement
from spiir_pastro.evaluation.scores import reliability, roc, score
from tolerances import ROUNDING

labelled = st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=40)


def _arrays(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    p, y = zip(*rows, strict=True)
    return np.array(p), np.array(y)


@given(labelled)
def test_auc_is_the_chance_that_a_signal_outranks_noise(rows: list[tuple[float, bool]]) -> None:
    p, y = _arrays(rows)
    pairs = [(a > b) + 0.5 * (a == b) for a in p[y] for b in p[~y]]
    expected = float(np.mean(pairs)) if pairs else math.nan
    assert score(p, y).auc == pytest.approx(expected, rel=ROUNDING, nan_ok=True)


@given(labelled)
def test_the_area_under_the_curve_is_the_auc(rows: list[tuple[float, bool]]) -> None:
    p, y = _arrays(rows)
    if y.all() or not y.any():
        return
    curve = roc(p, y)
    area = np.trapezoid(curve.efficiency, curve.false_alarm)
    assert area == pytest.approx(score(p, y).auc, abs=ROUNDING)
    assert (curve.false_alarm[-1], curve.efficiency[-1]) == (1.0, 1.0)


@given(labelled)
def test_reliability_counts_every_candidate_once(rows: list[tuple[float, bool]]) -> None:
    p, y = _arrays(rows)
    bins = reliability(p, y)
    assert bins.count.sum() == p.size
    assert bins.signals.sum() == y.sum()
    inside = ~np.isnan(bins.fraction)
    assert (bins.interval[inside, 0] <= bins.fraction[inside] + 0.05).all()
    assert 0 <= bins.expected_calibration_error <= 1


def test_scores_of_a_case_known_by_heart() -> None:
    scores = score(np.array([0.9, 0.2, 0.5]), np.array([True, False, True]))
    assert scores.log_loss == pytest.approx(-math.log(0.9 * 0.8 * 0.5) / 3, rel=ROUNDING)
    assert scores.brier == pytest.approx((0.01 + 0.04 + 0.25) / 3, rel=ROUNDING)
    assert scores.auc == 1.0
    assert scores.expected_signals == pytest.approx(1.6, rel=ROUNDING)


def test_certainty_that_was_wrong_costs_much_but_not_everything() -> None:
    assert score(np.array([0.0, 1.0]), np.array([True, False])).log_loss == pytest.approx(
        34.54, abs=0.01
    )


@pytest.mark.parametrize("p", [[], [1.1], [math.nan], [0.5, 0.5]])
def test_what_is_no_probability_is_refused(p: list[float]) -> None:
    with pytest.raises(FitError, match=r"probabilities in \[0, 1\]"):
        score(np.array(p), np.array([True]))


def test_class_agreement_counts_only_what_both_sides_name() -> None:
    probabilities = np.array(
        [[0.8, 0.1, 0, 0.1], [0.1, 0.2, 0.3, 0.4], [0.1, 0.8, 0, 0.1], [np.nan] * 4, [0, 0, 1, 0]]
    )
    agreement = class_agreement(probabilities, np.array(["BNS", "BBH", "BBH", "BNS", ""]))
    np.testing.assert_array_equal(agreement.confusion, [[1, 0, 0], [0, 0, 0], [0, 1, 1]])
    assert (agreement.events, agreement.fraction) == (3, 2 / 3)
    assert math.isnan(class_agreement(probabilities[:0], np.array([], dtype=np.str_)).fraction)
