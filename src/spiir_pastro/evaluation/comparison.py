"""One model's evaluation beside another's: what changed, and which known mergers moved."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import Source
from spiir_pastro.errors import TableError
from spiir_pastro.evaluation.change import Change, Tolerance, compare_candidates, compare_means

__all__ = ["GATED", "Comparison", "Evaluated", "compare"]

GATED = ("log_loss", "expected_calibration_error", "known_merger_agreement")
"""Metrics that may not get worse beyond their noise."""

_CLASSES = [str(source) for source in Source]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluated:
    """What an evaluation left behind.

    Attributes
    ----------
    metrics
        All of them, by name.
    candidates
        With ``event_id``, ``p_astro`` and ``is_signal``.
    known_mergers
        With ``name``, ``source_class``, ``p_astro`` and the four probabilities; nulls where the
        search has no candidate.
    """

    metrics: Mapping[str, float]
    candidates: pl.DataFrame
    known_mergers: pl.DataFrame


@dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """Two evaluations side by side.

    Attributes
    ----------
    before, after
        The evaluations.
    shared
        Candidates of both: event_id, is_signal (as known now), p_before, p_after.
    changes
        Of the metrics, on the shared candidates and known mergers.
    moved
        Known mergers whose most probable class changed, whose p_astro moved by more than a limit,
        or that one model has no candidate for: name, source_class, class_before, class_after,
        p_before, p_after.
    """

    before: Evaluated
    after: Evaluated
    shared: pl.DataFrame
    changes: tuple[Change, ...]
    moved: pl.DataFrame

    @property
    def worse(self) -> tuple[Change, ...]:
        """The gated metrics that got worse beyond their noise."""
        return tuple(c for c in self.changes if c.name in GATED and c.is_worse)


def compare(
    before: Evaluated,
    after: Evaluated,
    *,
    rng: np.random.Generator,
    tolerance: Tolerance | None = None,
    moved_by: float = 0.05,
) -> Comparison:
    """Compare two evaluations.

    Parameters
    ----------
    before, after
        The evaluations.
    rng
        Draws the resamples.
    tolerance
        When a change is more than noise.
    moved_by
        The least change of a known merger's p_astro worth telling.

    Raises
    ------
    TableError
        If the evaluations have no candidate in common.
    """
    shared = after.candidates.select("event_id", "is_signal", p_after="p_astro").join(
        before.candidates.select("event_id", p_before="p_astro"),
        on="event_id", maintain_order="left",
    )  # fmt: skip
    if shared.is_empty():
        raise TableError(
            "the evaluations have no candidate in common, so nothing can be said of the change; "
            "evaluate both models on the same triggers"
        )
    mergers = _beside(before.known_mergers, after.known_mergers)
    changes = compare_candidates(
        shared["p_before"].to_numpy(),
        shared["p_after"].to_numpy(),
        shared["is_signal"].to_numpy(),
        rng=rng,
        tolerance=tolerance,
    )
    seen = pl.col("p_before").is_not_null() | pl.col("p_after").is_not_null()
    judged = mergers.filter(pl.col("source_class").is_not_null(), seen)
    if judged.height:
        agrees = [_agrees(judged[name], judged) for name in ("class_before", "class_after")]
        changes += (compare_means(GATED[-1], *agrees, rng=rng, tolerance=tolerance),)
    return Comparison(
        before=before,
        after=after,
        shared=shared,
        changes=changes,
        moved=mergers.filter(_has_moved(moved_by)),
    )


def _agrees(named: pl.Series, judged: pl.DataFrame) -> NDArray[np.float64]:
    """Return 1 where the class named is the catalogue's, else 0; also where none is named."""
    return (named == judged["source_class"]).fill_null(value=False).cast(pl.Float64).to_numpy()


def _beside(before: pl.DataFrame, after: pl.DataFrame) -> pl.DataFrame:
    """Put what was said of each known merger before beside what is said now."""
    told_before = before.select(
        "name", class_in_before="source_class", class_before=_most_probable(), p_before="p_astro"
    )
    told_after = after.select(
        "name", "source_class", class_after=_most_probable(), p_after="p_astro"
    )
    both = told_after.join(
        told_before, on="name", how="full", coalesce=True, maintain_order="left_right"
    )
    return both.select(
        "name",
        pl.coalesce("source_class", "class_in_before").alias("source_class"),
        "class_before",
        "class_after",
        "p_before",
        "p_after",
    )


def _most_probable() -> pl.Expr:
    """Name the class with the highest probability; null without a candidate."""
    highest = pl.max_horizontal(_CLASSES)
    return pl.coalesce(pl.when(pl.col(name) == highest).then(pl.lit(name)) for name in _CLASSES)


def _has_moved(by: float) -> pl.Expr:
    one_is_absent = pl.col("p_before").is_null() != pl.col("p_after").is_null()
    far = (pl.col("p_after") - pl.col("p_before")).abs() > by
    return pl.any_horizontal(
        one_is_absent, far, pl.col("class_before") != pl.col("class_after")
    ).fill_null(value=False)
