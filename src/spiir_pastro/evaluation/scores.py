r"""How well probabilities tell signals from noise.

With labels :math:`y_i \in \{0, 1\}` and probabilities :math:`p_i`: log loss
:math:`-\langle y \ln p + (1-y) \ln(1-p) \rangle`, Brier score :math:`\langle (p-y)^2 \rangle`,
AUC the probability that a signal is ranked above noise, and calibration: of those called
:math:`p`, how many are signals.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.evaluation.intervals import fraction_interval

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

LEAST_PROBABILITY = 1e-15
"""Probabilities nearer to 0 or 1 than this count as this, lest one surprise be infinite."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of n probabilities against labels."""

    # how many, and how many of them are signals
    candidates: int
    signals: int
    expected_signals: float  # sum of the probabilities
    # mean scores; smaller is better
    log_loss: float
    brier: float
    auc: float  # area under the ROC curve; NaN unless there are both signals and noise


def score(p_signal: Floats, is_signal: Labels) -> Scores:
    """Score probabilities of being a signal, (n,), against what they were, (n,)."""
    p, y = _checked(p_signal, is_signal)
    clipped = np.clip(p, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    surprise = -np.where(y, np.log(clipped), np.log1p(-clipped))
    signals = int(y.sum())
    pairs = signals * (y.size - signals)
    # AUC by Mann and Whitney's statistic, in which ties count half. To sort values is ten times
    # faster than to rank them.
    noise, found = np.sort(p[~y]), np.sort(p[y])
    twice_below = sum(int(np.searchsorted(noise, found, side).sum()) for side in ("left", "right"))
    return Scores(
        candidates=y.size,
        signals=signals,
        expected_signals=float(p.sum()),
        log_loss=float(surprise.mean()),
        brier=float(((p - y) ** 2).mean()),
        auc=twice_below / (2 * pairs) if pairs else math.nan,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Roc:
    """Receiver operating characteristic: a point a distinct probability, from (0, 0) to (1, 1)."""

    # (k,) fractions of noise and of signals at or above each threshold
    false_alarm: Floats
    efficiency: Floats
    thresholds: Floats  # (k,) falling; the first is infinite

    @property
    def clean_efficiency(self) -> float:
        """Fraction of signals above all noise."""
        return float(self.efficiency[self.false_alarm == 0].max())

    @property
    def left_edge(self) -> float:
        """Half the least false alarm above none: where a logarithmic axis shows none."""
        return 0.5 * float(self.false_alarm[self.false_alarm > 0].min(initial=1.0))

    def thinned(self, points: int) -> "Roc":
        """Return at most so many points, evenly along the curve over ln(false alarms)."""
        if self.thresholds.size <= points:
            return self
        x = np.log(np.maximum(self.false_alarm, self.left_edge))
        # A point where the curve has moved, in either direction: even steps in one would miss its
        # bends.
        steps = np.diff(x) / np.ptp(x) + np.diff(self.efficiency)
        length = np.concatenate([[0.0], np.cumsum(steps)])
        along = np.linspace(0, length[-1], points)
        kept = np.unique(np.clip(np.searchsorted(length, along), 0, length.size - 1))
        return Roc(
            false_alarm=self.false_alarm[kept],
            efficiency=self.efficiency[kept],
            thresholds=self.thresholds[kept],
        )


def roc(p_signal: Floats, is_signal: Labels) -> Roc:
    """Trace the ROC curve of probabilities (n,) against labels (n,)."""
    p, y = _checked(p_signal, is_signal)
    order = np.argsort(-p, kind="stable")
    # Candidates of the same probability are called together, so a threshold is a distinct value.
    last = np.flatnonzero(np.append(np.diff(p[order]) != 0, True))
    hits = np.cumsum(y[order])[last]
    noise = last + 1 - hits
    return Roc(
        false_alarm=np.concatenate([[0.0], noise / max(int((~y).sum()), 1)]),
        efficiency=np.concatenate([[0.0], hits / max(int(y.sum()), 1)]),
        thresholds=np.concatenate([[np.inf], p[order][last]]),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Reliability:
    """Calibration in bins of probability."""

    edges: Floats  # (k + 1,) of the bins
    # (k,) candidates and signals in each
    count: NDArray[np.int64]
    signals: NDArray[np.int64]
    # (k,) mean probability and fraction of signals; NaN in an empty bin
    mean_probability: Floats
    fraction: Floats
    interval: Floats  # (k, 2) central 90 % interval of the true fraction (Jeffreys)

    def bins_of(self, p_signal: Floats) -> NDArray[np.int64]:
        """Return the bin of each probability, (n,)."""
        return _bins_of(p_signal, self.count.size)

    @property
    def expected_calibration_error(self) -> float:
        """Mean over candidates of |fraction - mean probability|."""
        gap = np.abs(self.fraction - self.mean_probability)
        return float(np.nansum(gap * self.count) / self.count.sum())


def reliability(p_signal: Floats, is_signal: Labels, *, bins: int = 10) -> Reliability:
    """Bin probabilities (n,) and compare each bin's mean with its fraction of signals."""
    p, y = _checked(p_signal, is_signal)
    edges = np.linspace(0, 1, bins + 1)
    which = _bins_of(p, bins)
    count = np.bincount(which, minlength=bins)
    signals = np.bincount(which, weights=y, minlength=bins).astype(np.int64)
    total = np.bincount(which, weights=p, minlength=bins)
    filled = np.where(count > 0, count, np.nan)
    return Reliability(
        edges=edges,
        count=count,
        signals=signals,
        mean_probability=total / filled,
        fraction=signals / filled,
        interval=fraction_interval(signals, count),
    )


def _bins_of(p: Floats, bins: int) -> NDArray[np.int64]:
    return np.minimum((p * bins).astype(np.int64), bins - 1)


def _checked(p_signal: Floats, is_signal: Labels) -> tuple[Floats, Labels]:
    p, y = np.asarray(p_signal, float), np.asarray(is_signal, bool)
    if p.shape != y.shape or p.ndim != 1 or not p.size or not ((p >= 0) & (p <= 1)).all():
        raise FitError(
            f"scores need equal numbers of probabilities in [0, 1] and labels, not shapes "
            f"{p.shape} and {y.shape} with values from {np.min(p, initial=np.inf)} "
            f"to {np.max(p, initial=-np.inf)}"
        )
    return p, y
