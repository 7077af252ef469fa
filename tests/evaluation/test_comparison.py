"""A change is told from noise, and a model that got worse is stopped."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiir_pastro.errors import ConfigError, TableError
from spiir_pastro.evaluation.change import Tolerance, compare_candidates, compare_means
from spiir_pastro.evaluation.comparison import Evaluated, compare

FEW = Tolerance(resamples=200)


def _candidates(n: int = 2000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities and what they belong to."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.2, 1.0, n)
    return p, rng.random(n) < p


def _evaluated(p: np.ndarray, is_signal: np.ndarray, mergers: pl.DataFrame) -> Evaluated:
    ids = [f"e{i}" for i in range(p.size)]
    candidates = pl.DataFrame({"event_id": ids, "p_astro": p, "is_signal": is_signal})
    return Evaluated(metrics={}, candidates=candidates, known_mergers=mergers)


def _mergers(p_astro: list[float | None], called: str = "BBH") -> pl.DataFrame:
    shares = {
        name: [None if p is None else p * (name == called) for p in p_astro]
        for name in ("BNS", "NSBH", "BBH")
    }
    return pl.DataFrame(
        {
            "name": [f"GW{i}" for i in range(len(p_astro))],
            "source_class": "BBH",
            "p_astro": p_astro,
            **shares,
            "Terrestrial": [None if p is None else 1 - p for p in p_astro],
        },
        schema_overrides={
            "name": pl.String,
            **dict.fromkeys(("p_astro", "BNS", "NSBH", "BBH", "Terrestrial"), pl.Float64),
        },
    )


@given(st.integers(0, 2**32))
@settings(max_examples=5)
def test_the_same_model_never_changes(seed: int) -> None:
    p, y = _candidates(300, seed)
    for change in compare_candidates(p, p, y, rng=np.random.default_rng(0), tolerance=FEW):
        assert (change.difference, change.is_significant) == (0, False)


def test_a_model_too_sure_of_itself_is_worse_calibrated() -> None:
    p, y = _candidates()
    sure = np.where(p > 0.5, 1 - (1 - p) ** 3, p**3)
    changes = compare_candidates(p, sure, y, rng=np.random.default_rng(0), tolerance=FEW)
    assert {c.name for c in changes if c.is_worse} == {
        "log_loss",
        "brier",
        "expected_calibration_error",
    }
    back = compare_candidates(sure, p, y, rng=np.random.default_rng(0), tolerance=FEW)
    assert not any(c.is_worse for c in back)


def test_noise_is_not_taken_for_a_change() -> None:
    """Fifteen pairs of equally good models, three metrics, one chance in 200 each: 0.2 expected."""
    alarms = 0
    for seed in range(15):
        p, y = _candidates(500, seed)
        rng = np.random.default_rng(seed)
        odds = np.log(p / (1 - p))
        one, other = 1 / (1 + np.exp(-odds - rng.normal(0, 0.3, (2, p.size))))
        changes = compare_candidates(one, other, y, rng=rng, tolerance=FEW)
        alarms += sum(c.is_worse for c in changes if c.name != "auc")
    assert alarms <= 2


def test_the_interval_of_a_mean_is_the_normal_one() -> None:
    rng = np.random.default_rng(3)
    before, step = rng.normal(size=4000), rng.normal(0.05, 0.2, 4000)
    tolerance = Tolerance(resamples=4000)
    change = compare_means("x", before, before + step, rng=rng, tolerance=tolerance)
    error = step.std() / np.sqrt(step.size)
    assert change.difference == pytest.approx(step.mean())
    assert change.low == pytest.approx(step.mean() - 2.5758 * error, abs=0.3 * error)
    assert change.high == pytest.approx(step.mean() + 2.5758 * error, abs=0.3 * error)
    assert change.is_significant
    assert not change.is_worse


def test_a_sure_but_negligible_change_does_not_count() -> None:
    before = np.random.default_rng(4).normal(size=1000)
    change = compare_means("x", before, before - 1e-6, rng=np.random.default_rng(0), tolerance=FEW)
    assert change.high < 0
    assert not change.is_worse


def test_mergers_that_the_search_lost_count_against_a_model() -> None:
    p, y = _candidates(400)
    before = _evaluated(p, y, _mergers([0.99] * 20 + [None]))
    after = _evaluated(p, y, _mergers([0.99] * 8 + [None] * 13))
    comparison = compare(before, after, rng=np.random.default_rng(0), tolerance=FEW)
    assert [c.name for c in comparison.worse] == ["known_merger_agreement"]
    assert comparison.moved["name"].to_list() == [f"GW{i}" for i in range(8, 20)]
    absent = _evaluated(p, y, _mergers([]))
    emptied = compare(before, absent, rng=np.random.default_rng(0), tolerance=FEW)
    assert [c.name for c in emptied.worse] == ["known_merger_agreement"]


def test_mergers_move_by_class_or_by_p_astro() -> None:
    p, y = _candidates(400)
    before = _evaluated(p, y, _mergers([0.90, 0.90, 0.48]))
    after = _evaluated(p, y, _mergers([0.86, 0.84, 0.52]))
    moved = compare(before, after, rng=np.random.default_rng(0), tolerance=FEW).moved
    assert moved["name"].to_list() == ["GW1", "GW2"]
    assert moved["class_before"].to_list() == ["BBH", "Terrestrial"]
    assert moved["class_after"].to_list() == ["BBH", "BBH"]


def test_evaluations_of_other_events_cannot_be_compared() -> None:
    p, y = _candidates(100)
    one = _evaluated(p, y, _mergers([0.9]))
    other = Evaluated(
        metrics={},
        candidates=one.candidates.with_columns(event_id="x" + pl.col("event_id")),
        known_mergers=one.known_mergers,
    )
    with pytest.raises(TableError, match="no candidate in common"):
        compare(one, other, rng=np.random.default_rng(0))


def test_a_tolerance_must_be_one() -> None:
    with pytest.raises(ConfigError, match=r"0 < confidence < 1.*not 1\.0"):
        Tolerance(confidence=1.0)
