"""One model's evaluation beside another's: what changed, and which known mergers moved.

What is compared is what both could have: the same candidates, the same injections and the same
known mergers, in the time span of both. A signal in that span that one of them has no candidate for
is missed by it; a merger outside the span of either does not count. Evaluations of other data, as
of a campaign simulated with another seed, have no event in common and are compared as two samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.errors import TableError
from spiir_pastro.evaluation.change import (
    Change,
    Contributions,
    Design,
    Tolerance,
    Verdict,
    change_of_counts,
    changes_of_means,
    contributions,
    half_an_event,
    judge,
    source_surprise,
    stated_uncertainty,
)
from spiir_pastro.evaluation.glossary import COMPARED
from spiir_pastro.evaluation.pairing import (
    beside,
    has_moved,
    in_both,
    injections_of,
    judged,
    keyed,
    mergers_beside,
    only_first,
    p_true,
    same_injections,
    within,
)
from spiir_pastro.evaluation.result import PROBABILITIES, Span

Floats = NDArray[np.float64]

_ROUNDING = 1e-12
_SCORES = ("p_astro", "is_signal")
_FEWEST_SHARED = 0.1
"""Of the smaller one's candidates in the span of both; with fewer they are of other data."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """What is compared of an evaluation."""

    name: str  # what people know it by
    metrics: Mapping[str, float]  # all of them, by name
    # with ``event_id``, ``gps_ns``, ``far_hz``, ``is_signal``, ``source_class``, ``p_astro`` and
    # the four probabilities, those that the scores are of; of a campaign also ``bank`` and
    # ``injection_gps_ns``
    candidates: pl.DataFrame
    # with ``name``, ``gps``, ``source_class``, ``p_astro`` and the four probabilities; nulls where
    # the search has no candidate
    known_mergers: pl.DataFrame
    # injections without a candidate: ``bank``, ``source_class``, ``injection_gps_ns``; None where
    # they are not known
    missed: pl.DataFrame | None
    spans: tuple[Span, ...]  # when candidates were looked for
    far_threshold_hz: float  # largest FAR of a candidate
    settings: Mapping[str, str]  # what was chosen in fitting the model, by dotted name
    # GPS ns between the folds that it was refitted without; none if it was not
    cuts_gps_ns: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Two evaluations side by side."""

    # the evaluations
    before: Evaluated
    after: Evaluated
    # candidates of both: event_id, is_signal (as known now), p_before, p_after, and the
    # probabilities of what each is, p_true_before and p_true_after
    shared: pl.DataFrame
    paired: bool  # whether events of both were compared one by one; if not, as two samples
    changes: tuple[Change, ...]  # of the metrics
    # known mergers whose most probable class changed, whose p_astro moved by more than a limit, or
    # that one model has no candidate for: name, source_class, class_before, class_after, p_before,
    # p_after
    moved: pl.DataFrame
    tolerance: Tolerance  # when a change is more than noise

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What each metric says of the change, in the order of ``changes``."""
        return judge(self.changes, self.tolerance)

    @property
    def worse(self) -> tuple[Change, ...]:
        """The metrics that got worse beyond their noise."""
        return self.having(Verdict.WORSE)

    def having(self, verdict: Verdict) -> tuple[Change, ...]:
        """Return the changes with a verdict."""
        both = zip(self.changes, self.verdicts, strict=True)
        return tuple(change for change, one in both if one is verdict)

    @property
    def is_tested(self) -> bool:
        """Whether anything was tested at all."""
        return any(verdict is not Verdict.UNTESTED for verdict in self.verdicts)

    @cached_property
    def changed_settings(self) -> Mapping[str, tuple[str | None, str | None]]:
        """Settings that differ, with their values before and after."""
        old, new = self.before.settings, self.after.settings
        names = sorted(old.keys() | new.keys())
        return {n: (old.get(n), new.get(n)) for n in names if old.get(n) != new.get(n)}

    @property
    def had_no_effect(self) -> bool:
        """Whether settings differ and yet every candidate of either is judged the same."""
        sizes = {self.shared.height, self.before.candidates.height, self.after.candidates.height}
        same = all(
            np.allclose(
                self.shared[f"{what}_before"].to_numpy(), self.shared[f"{what}_after"].to_numpy(),
                rtol=0, atol=_ROUNDING, equal_nan=True,
            )
            for what in ("p", "p_true")
        )  # fmt: skip
        return bool(self.changed_settings) and len(sizes) == 1 and same

    @property
    def caveat(self) -> str:
        """What a reader should know before the verdict; empty if there is nothing."""
        held_out = [bool(one.metrics.get("held_out", 0)) for one in (self.before, self.after)]
        if held_out[0] == held_out[1]:
            return ""
        fair, flattered = ("before", "after") if held_out[0] else ("after", "before")
        return (
            f"The scores {fair} are held out, those {flattered} are of candidates that the model "
            "may have been trained on: evaluate both alike."
        )

    @property
    def verdict(self) -> str:
        """What came out, in a sentence."""
        if not self.is_tested:
            return "Nothing could be tested."
        if self.worse:
            return f"Worse beyond noise: {', '.join(change.name for change in self.worse)}."
        better = self.having(Verdict.BETTER)
        if better:
            names = ", ".join(change.name for change in better)
            return f"Better beyond noise: {names}. Nothing is worse beyond its noise."
        tested = [v for v in self.verdicts if v is not Verdict.UNTESTED]
        if all(v is Verdict.SAME for v in tested):
            return f"All {len(tested)} metrics tested are the same."
        return f"None of the {len(tested)} metrics tested is worse beyond its noise."


def compare(
    before: Evaluated,
    after: Evaluated,
    *,
    tolerance: Tolerance | None = None,
    moved_by: float = 0.05,
) -> Comparison:
    """Compare two evaluations.

    Parameters
    ----------
    before, after
        The evaluations.
    tolerance
        When a change is more than noise.
    moved_by
        The least change of a known merger's p_astro worth telling.

    Raises
    ------
    TableError
        If no span of time is in both.
    """
    spans = in_both(before.spans, after.spans)
    if not spans:
        raise TableError(
            f"{before.name} and {after.name} have no span of time in common, so nothing can be "
            "said of the change; evaluate both models on the same triggers"
        )
    far_hz = min(before.far_threshold_hz, after.far_threshold_hz)
    old, new = (within(one.candidates, "gps_ns", spans) for one in (before, after))
    both = beside(judged(old, far_hz), judged(new, far_hz))
    smaller = min(old.height, new.height)
    paired = both.height >= _FEWEST_SHARED * smaller and smaller > 0
    mergers = mergers_beside(before.known_mergers, after.known_mergers, spans)
    # Refits without the same spans of time were trained on the same table.
    alike = before.cuts_gps_ns == after.cuts_gps_ns != ()
    design = Design(paired=paired, same_training=paired and alike)
    scores = _scores(both, judged(old, far_hz), judged(new, far_hz), design)
    changes = (
        # How sure a model rightly is depends on what it was trained on: refits without a fold know
        # less than a whole model, and few signals make one surer than others.
        *(score for score in scores if design.same_training or not score.is_only_a_cost),
        *_signals(before, after, spans, far_hz, design),
        *_agreement(mergers, design),
        _noise(old, new, far_hz, paired=paired),
    )
    return Comparison(
        before=before,
        after=after,
        shared=both,
        paired=paired,
        changes=changes,
        moved=mergers.filter(has_moved(moved_by)),
        tolerance=tolerance or Tolerance(),
    )


def _scores(
    both: pl.DataFrame, old: pl.DataFrame, new: pl.DataFrame, design: Design
) -> tuple[Change, ...]:
    """Compare scores, of each evaluation against the truth it was given."""
    if design.paired:
        sides = [
            both.select(
                *(pl.col(f"{name}_{when}").alias(name) for name in PROBABILITIES),
                p_astro=f"p_{when}",
                is_signal=is_signal,
                p_true=f"p_true_{when}",
            )
            for when, is_signal in (("before", "was_signal"), ("after", "is_signal"))
        ]
    else:
        sides = [
            side.select(*PROBABILITIES, "p_astro", "is_signal", p_true=p_true())
            for side in (old, new)
        ]
    if any(side.is_empty() for side in sides):
        return ()
    by_source = _known([side["p_true"] for side in sides], paired=design.paired)
    by_class = _known([side.select(_p_class()).to_series() for side in sides], paired=design.paired)
    before, after = (
        (
            source_surprise(of_sources),
            source_surprise(of_classes, name="class_log_loss"),
            stated_uncertainty(side.select(PROBABILITIES).to_numpy()),
            *contributions(*(side[c].to_numpy() for c in _SCORES)),
        )
        for side, of_sources, of_classes in zip(sides, by_source, by_class, strict=True)
    )
    return changes_of_means(before, after, design=design)


def _p_class() -> pl.Expr:
    """Return the part of p_astro given to the true class; null of noise, or where not known."""
    is_known = pl.col("is_signal") & (pl.col("p_astro") > 0)
    return pl.when(is_known).then(pl.col("p_true") / pl.col("p_astro"))


def _known(sides: Sequence[pl.Series], *, paired: bool) -> list[Floats]:
    """Return the values that are known; of pairs, where both are."""
    if not paired:
        return [side.drop_nulls().to_numpy() for side in sides]
    known = sides[0].is_not_null() & sides[1].is_not_null()
    return [side.filter(known).to_numpy() for side in sides]


def _signals(
    before: Evaluated, after: Evaluated, spans: Sequence[Span], far_hz: float, design: Design
) -> tuple[Change, ...]:
    """Compare which injections were found, called and given their class."""
    old, new = (injections_of(e.candidates, e.missed, spans, far_hz) for e in (before, after))
    if old is None or new is None:
        return ()
    if design.paired:
        old, new = same_injections(old, new)
    # Which are found the search says, whatever a model was trained on.
    changes = _means("injections_found", "found", old, new, replace(design, same_training=True))
    for source in ASTROPHYSICAL:
        was, now = (side.filter(pl.col("source_class") == str(source)) for side in (old, new))
        changes += _means(f"sensitive_volume.{source}", "heard", was, now, design)
    was, now = (side.filter("counts", pl.col("source_class").is_not_null()) for side in (old, new))
    changes += _means("signal_class_agreement", "right", was, now, design)
    return changes


def _agreement(mergers: pl.DataFrame, design: Design) -> tuple[Change, ...]:
    """Compare which known mergers were called what the catalogue says."""
    with_class = mergers.filter(pl.col("source_class").is_not_null())
    seen = [pl.col("p_before").is_not_null(), pl.col("p_after").is_not_null()]
    counts = [pl.any_horizontal(seen)] * 2 if design.paired else seen
    old, new = (
        with_class.filter(rows).select(right=(pl.col(called) == pl.col("source_class")))
        for called, rows in zip(("class_before", "class_after"), counts, strict=True)
    )
    return _means("known_merger_agreement", "right", old, new, design)


def _means(
    name: str, column: str, old: pl.DataFrame, new: pl.DataFrame, design: Design
) -> tuple[Change, ...]:
    """Compare how often something is true; unknown is not true."""
    pattern = name if name in COMPARED else f"{name.partition('.')[0]}.*"
    sides = (
        Contributions(
            name=name,
            better=COMPARED[pattern].better,
            values=side[column].fill_null(value=False).cast(pl.Float64).to_numpy(),
            least_error=half_an_event(side.height),
        )
        for side in (old, new)
    )
    return changes_of_means(*([side] for side in sides), design=design)


def _noise(old: pl.DataFrame, new: pl.DataFrame, far_hz: float, *, paired: bool) -> Change:
    """Compare how many candidates of noise there are: none may come or go unnoticed.

    Of different data it is not tested: how long they were analysed is not the same.
    """
    was, now = (keyed(side.filter(pl.col("far_hz") <= far_hz)) for side in (old, new))
    if not paired:
        was, now = was.clear(), now.clear()
    gone, come = only_first(was, now), only_first(now, was)
    before, after, gone_noise, come_noise = (
        side.filter(~pl.col("is_signal")).height for side in (was, now, gone, come)
    )
    return change_of_counts(
        "noise_candidates", before=before, after=after, gone=gone_noise, come=come_noise,
        better=COMPARED["noise_candidates"].better,
    )  # fmt: skip
