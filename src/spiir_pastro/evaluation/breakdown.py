"""Where a model is right and where it is wrong: by threshold, class, group and true value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.evaluation.intervals import fraction_interval, score_intervals
from spiir_pastro.evaluation.scores import Scores, score

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

CALL_THRESHOLDS = (0.1, 0.5, 0.9, 0.99)


@dataclass(frozen=True, kw_only=True)
class Call:
    """What becomes of the candidates whose p_astro reaches a threshold."""

    threshold: float
    # candidates at or above it, and how many of them are signals
    called: int
    real: int
    expected: float  # how many of them should be: the sum of their p_astro
    signals: int
    # central 90 % intervals of real / called and real / signals
    purity_interval: tuple[float, float]
    efficiency_interval: tuple[float, float]


def calls(
    p_astro: Floats, is_signal: Labels, thresholds: Sequence[float] = CALL_THRESHOLDS
) -> list[Call]:
    """Count what is called a signal, and what of it is one, at each threshold."""
    found = []
    signals = int(is_signal.sum())
    for threshold in thresholds:
        called = p_astro >= threshold
        count, real = int(called.sum()), int(is_signal[called].sum())
        pure, efficient = fraction_interval([real, real], [count, signals]).tolist()
        found.append(
            Call(
                threshold=threshold,
                called=count,
                real=real,
                expected=float(p_astro[called].sum()),
                signals=signals,
                purity_interval=tuple(pure),
                efficiency_interval=tuple(efficient),
            )
        )
    return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Confusion:
    """What candidates are against what they are called, both in the order of ``Source``."""

    count: NDArray[np.int64]  # (4, 4) candidates by truth (rows) and most probable source (columns)
    # (4, 4) sum of the probabilities: what the counts would be on average if the truth were drawn
    # from them
    expected: Floats

    @classmethod
    def of(cls, probabilities: Floats, truth: NDArray[np.str_]) -> Self:
        """Tabulate probabilities (n, 4) by truth (n,); a truth that is no source does not count."""
        names = [str(source) for source in Source]
        known = np.isin(truth, names)
        true, p = _places(truth[known], names), probabilities[known]
        columns = [np.bincount(true, weights=column, minlength=len(names)) for column in p.T]
        return cls(count=_tabulated(true, p), expected=np.stack(columns, axis=1))

    def mistakes(self) -> list[tuple[Source, Source, int]]:
        """Return truth, call and number of every mistake made, the commonest first."""
        sources = list(Source)
        off = [
            (true, called, int(self.count[i, j]))
            for i, true in enumerate(sources)
            for j, called in enumerate(sources)
            if i != j and self.count[i, j]
        ]
        return sorted(off, key=lambda mistake: -mistake[2])


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassAgreement:
    """Classes of signals against the model's most probable class of binary."""

    # (3, 3) events by true class (rows) and predicted class (columns), in the order of
    # ``ASTROPHYSICAL``
    confusion: NDArray[np.int64]

    @property
    def events(self) -> int:
        """How many events have a class and a prediction."""
        return int(self.confusion.sum())

    @property
    def fraction(self) -> float:
        """Fraction of events whose class agrees; NaN without events."""
        return float(np.trace(self.confusion) / self.events) if self.events else float("nan")


def class_agreement(probabilities: Floats, true_class: NDArray[np.str_]) -> ClassAgreement:
    """Compare predicted classes, from probabilities (n, 4), with the true ones, (n,).

    Events without a class or without a prediction do not count.
    """
    names = [str(source) for source in ASTROPHYSICAL]
    counted = np.isin(true_class, names) & ~np.isnan(probabilities).any(axis=1)
    true = _places(true_class[counted], names)
    return ClassAgreement(confusion=_tabulated(true, probabilities[counted, : len(names)]))


def _places(labels: NDArray[np.str_], names: Sequence[str]) -> NDArray[np.int64]:
    """Return the index of each label among the names, (n,)."""
    alphabetical = np.argsort(names)
    return alphabetical[np.searchsorted(names, labels, sorter=alphabetical)]


def _tabulated(true: NDArray[np.int64], p: Floats) -> NDArray[np.int64]:
    """Count candidates by truth (rows) and by the most probable of p's columns, (k, k)."""
    count = np.zeros((p.shape[1], p.shape[1]), dtype=np.int64)
    np.add.at(count, (true, p.argmax(axis=1)), 1)
    return count


@dataclass(frozen=True, kw_only=True, eq=False)
class Efficiency:
    """Fraction of signals called, in bins of a quantity with about equally many signals."""

    edges: Floats  # (k + 1,) of the bins
    # (k,) signals, and those whose p_astro reaches the threshold
    count: NDArray[np.int64]
    found: NDArray[np.int64]
    interval: Floats  # (k, 2) central 90 % interval of the fraction

    @property
    def fraction(self) -> Floats:
        """Fraction called, (k,); NaN in an empty bin."""
        return np.asarray(self.found / np.where(self.count, self.count, np.nan))


def efficiency(
    quantity: Floats, p_astro: Floats, *, threshold: float = 0.5, most_bins: int = 10
) -> Efficiency:
    """Bin signals by a positive quantity (n,) and count those called; unknown values are left out.

    Bins hold ten signals or more, so few signals make few bins.
    """
    known = np.isfinite(quantity)
    values, called = quantity[known], p_astro[known] >= threshold
    bins = int(np.clip(values.size // 10, 1, most_bins))
    edges = np.unique(np.quantile(values, np.linspace(0, 1, bins + 1))) if values.size else values
    if edges.size < 2:
        empty = np.zeros(0, dtype=np.int64)
        return Efficiency(edges=edges, count=empty, found=empty, interval=np.zeros((0, 2)))
    which = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, edges.size - 2)
    count = np.bincount(which, minlength=edges.size - 1)
    found = np.bincount(which[called], minlength=edges.size - 1)
    return Efficiency(
        edges=edges, count=count, found=found, interval=fraction_interval(found, count)
    )


@dataclass(frozen=True, kw_only=True)
class GroupScores:
    """Scores of one group of candidates, with the ends of their 90 % intervals by name."""

    kind: str
    name: str
    scores: Scores
    intervals: dict[str, tuple[float, float]]


def score_groups(kind: str, candidates: pl.DataFrame, column: str) -> list[GroupScores]:
    """Score candidates of each value of a column by themselves; sorted by that."""
    group = pl.col(column).cast(pl.String).fill_null("unknown")
    grouped = candidates.select("p_astro", "is_signal", group).partition_by(column, as_dict=True)
    return [
        scored(kind, name, rows["p_astro"].to_numpy(), rows["is_signal"].to_numpy())
        for (name,), rows in sorted(grouped.items())
    ]


def scored(kind: str, name: str, p: Floats, is_signal: Labels) -> GroupScores:
    """Score one group, with intervals."""
    return GroupScores(
        kind=kind,
        name=name,
        scores=score(p, is_signal),
        intervals=dict(score_intervals(p, is_signal)),
    )
