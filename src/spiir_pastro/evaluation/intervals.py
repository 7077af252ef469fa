r"""Intervals of fractions and of scores.

A fraction of k in n has Jeffreys' interval, the quantiles of :math:`\mathrm{Beta}(k+1/2, n-k+1/2)`.
A score has the interval of its bootstrap: every candidate counts Poisson(1) times. Candidates whose
log odds agree to 0.05 share a level, so a draw costs the same for a thousand and a million.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit
from scipy.stats import beta

Floats = NDArray[np.float64]

_BOOTSTRAP_DRAWS = 400
_LOG_ODDS_STEP = 0.05
_CELLS_AT_ONCE = 2_000_000  # of draws times levels; 16 MB
_SURE_PROBABILITY = 1e-15


def fraction_interval(hits: ArrayLike, total: ArrayLike, *, level: float = 0.9) -> Floats:
    """Return Jeffreys' central interval of fractions, (..., 2), of hits out of totals, (...).

    Examples
    --------
    >>> fraction_interval(0, 0).round(3).tolist()
    [0.006, 0.994]
    """
    k, n = np.asarray(hits, float), np.asarray(total, float)
    tails = ((1 - level) / 2, (1 + level) / 2)
    return np.stack([beta.ppf(q, k + 0.5, n - k + 0.5) for q in tails], axis=-1)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Levels:
    """Candidates gathered by probability, rising; noise first, signals second in each pair."""

    count: Floats  # (l, 2) candidates in each level
    # (l, 2) their mean contributions
    log_loss: Floats
    brier: Floats
    p: Floats  # (l,) their mean probability

    @classmethod
    def of(cls, p: Floats, is_signal: NDArray[np.bool_]) -> "_Levels":
        clipped = np.clip(p, _SURE_PROBABILITY, 1 - _SURE_PROBABILITY)
        steps = np.rint(logit(clipped) / _LOG_ODDS_STEP).astype(np.int64)
        # Steps in use, counted from the lowest: what `np.unique` gives, without a sort.
        steps -= steps.min()
        used = np.bincount(steps) > 0
        level, size = (np.cumsum(used) - 1)[steps], int(used.sum())
        cell = 2 * level + is_signal
        count = np.bincount(cell, minlength=2 * size).reshape(size, 2).astype(float)

        def mean(values: Floats) -> Floats:
            total = np.bincount(cell, weights=values, minlength=2 * size).reshape(size, 2)
            return np.asarray(total / np.maximum(count, 1))

        return cls(
            count=count,
            log_loss=mean(-np.where(is_signal, np.log(clipped), np.log1p(-clipped))),
            brier=mean((p - is_signal) ** 2),
            p=np.bincount(level, weights=p) / count.sum(axis=1),
        )

    def scores(self, weight: Floats) -> dict[str, Floats]:
        """Return log loss, Brier score, AUC and expected signals with other counts, (d, l, 2)."""
        noise, signals = weight[..., 0], weight[..., 1]
        # Candidates of one level are tied: half of the pairs count, as in Mann and Whitney's
        # statistic.
        below = np.cumsum(noise, axis=1) - noise / 2
        total = weight.sum(axis=(1, 2))
        pairs = noise.sum(axis=1) * signals.sum(axis=1)
        cells = weight.reshape(len(weight), -1)
        with np.errstate(divide="ignore", invalid="ignore"):  # draws without a candidate, or a pair
            return {
                "log_loss": cells @ self.log_loss.ravel() / total,
                "brier": cells @ self.brier.ravel() / total,
                "auc": (signals * below).sum(axis=1) / pairs,
                "expected_signals": weight.sum(axis=2) @ self.p,
            }


def score_intervals(
    p_signal: Floats, is_signal: NDArray[np.bool_], *, level: float = 0.9, seed: int = 0
) -> Mapping[str, tuple[float, float]]:
    """Bootstrap the scores of probabilities (n,) against labels (n,).

    Returns
    -------
    Mapping from ``log_loss``, ``brier``, ``auc``, ``expected_signals`` to the ends of their central
    intervals; NaN where no draw determines one.
    """
    levels = _Levels.of(np.asarray(p_signal, float), np.asarray(is_signal, bool))
    rng = np.random.default_rng(seed)
    rows = max(_CELLS_AT_ONCE // levels.count.size, 1)
    shapes = [
        (min(rows, _BOOTSTRAP_DRAWS - k), *levels.count.shape)
        for k in range(0, _BOOTSTRAP_DRAWS, rows)
    ]
    # Poisson weights of a level's candidates add up to one Poisson variate of their number.
    parts = [levels.scores(rng.poisson(levels.count, shape).astype(np.float64)) for shape in shapes]
    tails = ((1 - level) / 2, (1 + level) / 2)
    ends = {}
    for name in parts[0]:
        values = np.concatenate([part[name] for part in parts])
        known = values[np.isfinite(values)]
        low, high = np.quantile(known, tails) if known.size else (np.nan, np.nan)
        ends[name] = (float(low), float(high))
    return ends
