"""A change is told from noise, and a model that got worse is stopped."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spiir_pastro.errors import ConfigError, TableError
from spiir_pastro.evaluation.change import (
    Change,
    Design,
    Tolerance,
    Verdict,
    changes_of_means,
    contributions,
    judge,
    stated_uncertainty,
)
from spiir_pastro.evaluation.comparison import Comparison, Evaluated, compare
from spiir_pastro.evaluation.scores import reliability, score

SECOND_NS = 10**9
BANKS = ("BNS", "NSBH", "BBH")


def _probabilities(n: int = 2000, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Calibrated probabilities and what they belong to."""
    rng = np.random.default_rng(seed)
    p = rng.beta(0.2, 1.0, n)
    return p, rng.random(n) < p


def _shares(p: np.ndarray, called: np.ndarray) -> dict[str, np.ndarray]:
    shares = {name: p * (called == name) for name in BANKS}
    return {**shares, "Terrestrial": 1 - p}


def _evaluated(
    p: np.ndarray, is_signal: np.ndarray, mergers: pl.DataFrame | None = None, *, first: int = 0
) -> Evaluated:
    """Build an evaluation of a campaign: every signal is an injection; a third more are missed."""
    times = (first + 100 * np.arange(p.size)) * SECOND_NS
    source = np.array(BANKS)[np.arange(p.size) % 3]
    candidates = pl.DataFrame(
        {
            "event_id": [f"e{t}" for t in times],
            "gps_ns": times,
            "bank": source,
            "far_hz": 1e-5,
            "is_signal": is_signal,
            "source_class": pl.Series(np.where(is_signal, source, "")).replace("", None),
            "injection_gps_ns": pl.Series(np.where(is_signal, times, -1)).replace(-1, None),
            "p_astro": p,
            **_shares(p, source),
        }
    )
    made = np.arange(p.size // 3) * 300 * SECOND_NS + first * SECOND_NS + 7
    missed = pl.DataFrame({"bank": "BNS", "source_class": "BNS", "injection_gps_ns": made})
    return Evaluated(
        name="some evaluation",
        metrics={},
        candidates=candidates,
        known_mergers=_mergers([]) if mergers is None else mergers,
        missed=missed,
        spans=((int(times[0]), int(times[-1])),),
        far_threshold_hz=3e-4,
        settings={},
        cuts_gps_ns=(first,),
    )


def _mergers(p_astro: list[float | None], called: str = "BBH") -> pl.DataFrame:
    shares = {
        name: [None if p is None else p * (name == called) for p in p_astro] for name in BANKS
    }
    return pl.DataFrame(
        {
            "name": [f"GW{i}" for i in range(len(p_astro))],
            "gps": [100.0 * i for i in range(len(p_astro))],
            "source_class": "BBH",
            "p_astro": p_astro,
            **shares,
            "Terrestrial": [None if p is None else 1 - p for p in p_astro],
        },
        schema_overrides={
            "name": pl.String,
            **dict.fromkeys(("gps", "p_astro", *BANKS, "Terrestrial"), pl.Float64),
        },
    )


def _keep(one: Evaluated, rows: pl.Expr) -> Evaluated:
    """Lose candidates; an injection among them is missed."""
    lost = one.candidates.filter(~rows & pl.col("is_signal"))
    assert one.missed is not None
    missed = pl.concat([one.missed, lost.select(one.missed.columns)])
    return replace(one, candidates=one.candidates.filter(rows), missed=missed)


def _names(comparison: Comparison) -> set[str]:
    return {change.name for change in comparison.worse}


def _verdict(comparison: Comparison, name: str) -> Verdict:
    names = [change.name for change in comparison.changes]
    return comparison.verdicts[names.index(name)]


def test_contributions_have_the_scores_as_their_means() -> None:
    p, y = _probabilities(500)
    scores = score(p, y)
    means = {c.name: c.values.mean() for c in contributions(p, y)}
    assert means["log_loss"] == pytest.approx(scores.log_loss, rel=1e-12)
    assert means["brier"] == pytest.approx(scores.brier, rel=1e-12)
    assert means["auc"] == pytest.approx(scores.auc, rel=1e-12)
    expected = reliability(p, y).expected_calibration_error
    assert means["expected_calibration_error"] == pytest.approx(expected, rel=1e-12)


def test_the_standard_error_of_the_auc_is_that_of_resampling() -> None:
    p, y = _probabilities(800)
    auc = next(c for c in contributions(p, y) if c.name == "auc")
    rng = np.random.default_rng(0)
    drawn = [score(p[i], y[i]).auc for i in rng.integers(0, p.size, (600, p.size))]
    error = auc.values.std(ddof=1) / np.sqrt(p.size)
    assert error == pytest.approx(np.std(drawn), rel=0.12)  # a spread of 600 is good to 3 %


@given(st.integers(0, 2**32))
@settings(max_examples=5)
def test_the_same_model_is_the_same(seed: int) -> None:
    one = _evaluated(*_probabilities(300, seed), _mergers([0.9, None]))
    comparison = compare(one, one)
    tested = {v for v in comparison.verdicts if v is not Verdict.UNTESTED}
    assert tested == {Verdict.SAME}
    assert "are the same" in comparison.verdict


def test_rounding_is_no_change() -> None:
    p, y = _probabilities(300)
    other = np.clip(p * (1 + 1e-15), 0, 1)
    assert _verdict(compare(_evaluated(p, y), _evaluated(other, y)), "brier") is Verdict.SAME


def test_what_was_not_tested_is_not_called_the_same() -> None:
    p, y = _probabilities(300)
    one = replace(_evaluated(p, y), missed=None)
    comparison = compare(one, one)
    assert _verdict(comparison, "known_merger_agreement") is Verdict.UNTESTED
    nothing = replace(one, candidates=one.candidates.clear())
    empty = compare(nothing, nothing)
    assert (empty.is_tested, empty.verdict) == (False, "Nothing could be tested.")


def test_a_model_too_sure_of_itself_is_worse_calibrated() -> None:
    p, y = _probabilities()
    sure = np.where(p > 0.5, 1 - (1 - p) ** 3, p**3)
    good, bad = _evaluated(p, y), _evaluated(sure, y)
    assert _names(compare(good, bad)) >= {"log_loss", "brier", "expected_calibration_error"}
    assert not _names(compare(bad, good))
    assert "log_loss" in compare(bad, good).verdict


def test_classes_that_are_said_less_surely_are_worse_though_the_same_one_leads() -> None:
    """One half of p_astro is shared evenly: among the classes the same one leads."""
    p, y = _probabilities(n=400)
    one = _evaluated(p, y)
    shared = (pl.col(name) / 2 + pl.col("p_astro") / 6 for name in BANKS)
    other = replace(one, candidates=one.candidates.with_columns(shared))
    compared = compare(one, other)
    by_name = {change.name: change for change in compared.changes}
    assert by_name["class_log_loss"].after == pytest.approx(np.log(3 / 2))
    assert by_name["class_log_loss"].events == y.sum()
    assert by_name["log_loss"].is_same
    assert "class_log_loss" in {change.name for change in compared.worse}
    assert not compare(other, one).worse


def _with_odds(times: float, p: np.ndarray) -> np.ndarray:
    return np.asarray(p**times / (p**times + (1 - p) ** times))


def test_a_model_that_hedges_is_worse_where_no_score_shows_it() -> None:
    """Log odds of four fifths: the log loss of 400 candidates rises by less than its noise."""
    p, y = _probabilities(400)
    hedged = compare(_evaluated(p, y), _evaluated(_with_odds(0.8, p), y))
    assert _names(hedged) == {"stated_uncertainty"}
    sharper = compare(_evaluated(_with_odds(0.8, p), y), _evaluated(p, y))
    assert not _names(sharper)
    assert "stated_uncertainty" not in {c.name for c in sharper.having(Verdict.BETTER)}


def test_doubt_of_refits_is_not_held_against_that_of_a_whole_model() -> None:
    p, y = _probabilities(400)
    whole, refits = _evaluated(p, y), _evaluated(_with_odds(0.8, p), y)
    in_folds = replace(refits, cuts_gps_ns=(1, 2))
    assert not _names(compare(whole, in_folds))
    assert not _names(compare(replace(whole, cuts_gps_ns=(1, 3)), in_folds))
    assert _names(compare(whole, refits)) == {"stated_uncertainty"}


def test_doubt_that_the_scores_ask_for_is_not_worse() -> None:
    p, y = _probabilities()
    too_sure, right = _evaluated(_with_odds(3.0, p), y), _evaluated(p, y)
    by_name = {c.name: c for c in compare(too_sure, right).changes}
    assert by_name["stated_uncertainty"].p_worse < 1e-6
    assert not _names(compare(too_sure, right))


def test_injections_that_are_lost_count_as_missed() -> None:
    p, y = _probabilities()
    one = _evaluated(p, y)
    fewer = _keep(one, ~pl.col("is_signal") | (pl.int_range(pl.len()) % 10 > 3))
    comparison = compare(one, fewer)
    assert "injections_found" in _names(comparison)
    assert {f"sensitive_volume.{bank}" for bank in BANKS} <= _names(comparison)
    assert not _names(compare(fewer, one))


def test_injections_that_match_no_longer_are_not_found_though_learned_from() -> None:
    p, y = _probabilities()
    before, after = (
        replace(one, candidates=one.candidates.with_columns(is_matched=matched))
        for one in [_evaluated(p, y)]
        for matched in (pl.lit(value=True), pl.int_range(pl.len()) % 10 > 3)
    )
    assert _names(compare(before, after)) == {"injections_found"}


def test_injections_nobody_tells_of_any_more_are_lost_too() -> None:
    one = _evaluated(*_probabilities())
    kept = one.candidates.filter(~pl.col("is_signal") | (pl.int_range(pl.len()) % 10 > 3))
    silent = replace(one, candidates=kept)
    assert "injections_found" in _names(compare(one, silent))


def test_noise_that_is_gone_is_noticed() -> None:
    one = _evaluated(*_probabilities())
    half = _keep(one, pl.col("is_signal") | (pl.int_range(pl.len()) % 2 == 0))
    assert _names(compare(one, half)) == {"noise_candidates"}
    assert _names(compare(half, one)) == {"noise_candidates"}  # so much noise more is as odd


def test_a_part_of_the_span_is_compared_with_that_part() -> None:
    one = _evaluated(*_probabilities(), _mergers([0.9] * 40))
    start = one.spans[0][0] + 100_000 * SECOND_NS
    inside = pl.col("gps_ns") >= start
    assert one.missed is not None
    part = replace(
        one,
        candidates=one.candidates.filter(inside),
        missed=one.missed.filter(pl.col("injection_gps_ns") >= start),
        known_mergers=one.known_mergers.filter(pl.col("gps") >= start / 1e9),
        spans=((start, one.spans[0][1]),),
    )
    for comparison in (compare(one, part), compare(part, one)):
        assert {*comparison.verdicts} <= {Verdict.SAME, Verdict.UNTESTED}


def test_a_lower_threshold_is_compared_below_it() -> None:
    one = _evaluated(*_probabilities())
    far = pl.Series(np.geomspace(1e-9, 3e-4, one.candidates.height)).shuffle(seed=1)
    one = replace(one, candidates=one.candidates.with_columns(far_hz=far))
    lower = replace(_keep(one, pl.col("far_hz") <= 2e-4), far_threshold_hz=2e-4)
    assert not _names(compare(one, lower)) & {"noise_candidates", "injections_found"}


def test_another_order_is_no_change() -> None:
    one = _evaluated(*_probabilities())
    shuffled = one.candidates.sample(fraction=1, shuffle=True, seed=3)
    renamed = shuffled.with_columns(event_id=pl.int_range(pl.len()).cast(pl.String))
    assert not _names(compare(one, replace(one, candidates=renamed)))
    comparison = compare(one, replace(one, candidates=renamed))
    assert {*comparison.verdicts} <= {Verdict.SAME, Verdict.UNTESTED}


def test_other_data_are_compared_as_two_samples() -> None:
    p, y = _probabilities(3000, 1)
    other = _evaluated(*_probabilities(3000, 2), first=50)
    comparison = compare(_evaluated(p, y), other)
    assert not comparison.paired
    assert not _names(comparison)
    sure = np.where(p > 0.5, 1 - (1 - p) ** 4, p**4)
    assert "log_loss" in _names(compare(other, _evaluated(sure, y)))


def test_noise_is_not_taken_for_a_change() -> None:
    """Two hundred pairs of equally good models: 0.2 alarms are expected."""
    alarms = 0
    for seed in range(200):
        p, y = _probabilities(500, seed)
        rng = np.random.default_rng(seed)
        odds = np.log(p / (1 - p))
        one, other = 1 / (1 + np.exp(-odds - rng.normal(0, 0.3, (2, p.size))))
        sides = (
            (stated_uncertainty(np.stack([q, 1 - q], axis=1)), *contributions(q, y))
            for q in (one, other)
        )
        changes = changes_of_means(*sides, design=Design(paired=True, same_training=True))
        alarms += Verdict.WORSE in judge(changes, Tolerance(negligible=0))
    assert alarms <= 2


def test_what_another_training_set_does_is_not_taken_for_a_change() -> None:
    """It moves all events together, which their signs do not know."""
    alarms = {True: 0, False: 0}
    for seed in range(200):
        p, y = _probabilities(500, seed)
        powers = np.exp(np.random.default_rng(seed).normal(0, 0.2, 2))
        sides = [contributions(_with_odds(power, p), y) for power in powers]
        for same in alarms:
            changes = changes_of_means(*sides, design=Design(paired=True, same_training=same))
            alarms[same] += Verdict.WORSE in judge(changes, Tolerance(negligible=0))
    assert alarms[True] > 10
    assert alarms[False] <= 1


def _change(*, standard_error: float = 0.05) -> Change:
    return Change(
        name="x", events=9, better=1, p_fall=1e-9, p_rise=1.0, before=1.0, after=0.9, low=-0.2,
        high=0.0, standard_error=standard_error,
    )  # fmt: skip


def test_a_sure_but_negligible_change_does_not_count() -> None:
    assert judge([_change()], Tolerance()) == (Verdict.WORSE,)
    assert judge([_change(standard_error=0.2)], Tolerance()) == (Verdict.WITHIN_NOISE,)


def test_mergers_that_the_search_lost_count_against_a_model() -> None:
    p, y = _probabilities(400)
    before = _evaluated(p, y, _mergers([0.99] * 30 + [None]))
    after = _evaluated(p, y, _mergers([0.99] * 8 + [None] * 23))
    comparison = compare(before, after)
    assert _names(comparison) == {"known_merger_agreement"}
    assert comparison.moved["name"].to_list() == [f"GW{i}" for i in range(8, 30)]
    assert _names(compare(before, _evaluated(p, y))) == {"known_merger_agreement"}


def test_mergers_move_by_class_or_by_p_astro() -> None:
    p, y = _probabilities(400)
    before = _evaluated(p, y, _mergers([0.90, 0.90, 0.48]))
    after = _evaluated(p, y, _mergers([0.86, 0.84, 0.52]))
    moved = compare(before, after).moved
    assert moved["name"].to_list() == ["GW1", "GW2"]
    assert moved["class_before"].to_list() == ["BBH", "Terrestrial"]
    assert moved["class_after"].to_list() == ["BBH", "BBH"]


def test_settings_without_effect_are_told_from_those_with_one() -> None:
    p, y = _probabilities(300)
    one = replace(_evaluated(p, y), settings={"noise_trials": "8.0", "prior": "1"})
    other = replace(one, settings={"noise_trials": "9.0", "prior": "1"})
    comparison = compare(one, other)
    assert comparison.changed_settings == {"noise_trials": ("8.0", "9.0")}
    assert comparison.had_no_effect
    moved = replace(_evaluated(p**1.1, y), settings=other.settings)
    assert not compare(one, moved).had_no_effect
    assert not compare(one, one).had_no_effect


def test_held_out_scores_beside_flattering_ones_are_told() -> None:
    one = _evaluated(*_probabilities(100))
    fair, flattered = (replace(one, metrics={"held_out": value}) for value in (1.0, 0.0))
    assert compare(fair, fair).caveat == compare(flattered, flattered).caveat == ""
    assert "scores before are held out, those after" in compare(fair, flattered).caveat
    assert "scores after are held out, those before" in compare(flattered, fair).caveat


def test_evaluations_of_other_times_cannot_be_compared() -> None:
    p, y = _probabilities(100)
    with pytest.raises(TableError, match="no span of time in common"):
        compare(_evaluated(p, y), _evaluated(p, y, first=10**8))


def test_a_tolerance_must_be_one() -> None:
    with pytest.raises(ConfigError, match=r"0 < false alarm rate < 1.*not 1\.0"):
        Tolerance(false_alarm_rate=1.0)
