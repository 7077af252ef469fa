r"""Is one model worse than another? Metrics of both on the same events, resampled together.

The difference :math:`\Delta` of a metric is drawn again and again from the same events, resampled
with replacement (paired bootstrap; Efron and Tibshirani 1993, chapter 16). What both models find
hard cancels, so small real differences show, and a difference carried by one or two events does
not. A change counts as worse if nearly all resamples say so *and* it is more than a small part of
the metric's own standard error: a sure difference can still be too small to matter.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import ConfigError
from spiir_pastro.evaluation.scores import reliability, score

__all__ = ["CANDIDATE_METRICS", "Change", "Tolerance", "compare_candidates", "compare_means"]

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

CANDIDATE_METRICS: Mapping[str, int] = {
    "log_loss": -1,
    "brier": -1,
    "expected_calibration_error": -1,
    "auc": +1,
}
"""Metrics of candidates, and whether more is better (+1) or worse (-1)."""


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """When a change is more than noise.

    Attributes
    ----------
    confidence
        Of the interval of a change, which must not hold zero.
    negligible
        The least change that matters, in the metric's own standard errors.
    resamples
        How often to resample.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    confidence: float = 0.99
    negligible: float = 0.1
    resamples: int = 1000

    def __post_init__(self) -> None:
        if not (0 < self.confidence < 1 and self.negligible >= 0 and self.resamples >= 100):
            raise ConfigError(
                "a tolerance needs 0 < confidence < 1, negligible >= 0 and at least 100 resamples, "
                f"not {self.confidence}, {self.negligible} and {self.resamples}"
            )


@dataclass(frozen=True, kw_only=True)
class Change:
    """A metric before and after.

    Attributes
    ----------
    name
        Of the metric.
    before, after
        Its values on the events of both.
    low, high
        Interval of after - before.
    standard_error
        Of the metric itself, before.
    better
        +1 if more is better, -1 if less is.
    tolerance
        When it is more than noise.
    """

    name: str
    before: float
    after: float
    low: float
    high: float
    standard_error: float
    better: int
    tolerance: Tolerance

    @property
    def difference(self) -> float:
        """After - before."""
        return self.after - self.before

    @property
    def is_significant(self) -> bool:
        """Whether the change is neither noise nor negligible."""
        matters = abs(self.difference) > self.tolerance.negligible * self.standard_error
        return matters and (self.low > 0 or self.high < 0)

    @property
    def is_worse(self) -> bool:
        """Whether it is significant, and for the worse."""
        return self.is_significant and self.difference * self.better < 0


def compare_candidates(
    before: Floats,
    after: Floats,
    is_signal: Labels,
    *,
    rng: np.random.Generator,
    tolerance: Tolerance | None = None,
) -> tuple[Change, ...]:
    """Compare two models' probabilities of being a signal for the same candidates.

    Parameters
    ----------
    before, after : (n,)
        What the models say.
    is_signal : (n,)
        What is true.
    rng
        Draws the resamples.
    tolerance
        When a change is more than noise.

    Returns
    -------
    tuple of Change
        In the order of `CANDIDATE_METRICS`.
    """

    def metrics(rows: NDArray[np.int64]) -> Floats:
        return np.stack([_metrics(p[rows], is_signal[rows]) for p in (before, after)])

    return _compare(CANDIDATE_METRICS, metrics, is_signal.size, rng, tolerance or Tolerance())


def compare_means(
    name: str,
    before: Floats,
    after: Floats,
    *,
    rng: np.random.Generator,
    tolerance: Tolerance | None = None,
) -> Change:
    """Compare the means of a number of which more is better, (n,), for the same events."""

    def mean(rows: NDArray[np.int64]) -> Floats:
        return np.array([[before[rows].mean()], [after[rows].mean()]])

    return _compare({name: +1}, mean, before.size, rng, tolerance or Tolerance())[0]


def _metrics(p_signal: Floats, is_signal: Labels) -> Floats:
    scores = score(p_signal, is_signal)
    error = reliability(p_signal, is_signal).expected_calibration_error
    return np.array([scores.log_loss, scores.brier, error, scores.auc])


def _compare(
    better: Mapping[str, int],
    metrics: Callable[[NDArray[np.int64]], Floats],
    events: int,
    rng: np.random.Generator,
    tolerance: Tolerance,
) -> tuple[Change, ...]:
    """Compare metrics, rows of events -> (2, k), between the first row and the second."""
    drawn = np.stack(
        [metrics(rng.integers(events, size=events)) for _ in range(tolerance.resamples)]
    )
    tail = (1 - tolerance.confidence) / 2
    low, high = _quantiles(drawn[:, 1] - drawn[:, 0], (tail, 1 - tail))
    before, after = metrics(np.arange(events))
    return tuple(
        Change(
            name=name,
            before=float(before[i]),
            after=float(after[i]),
            low=float(low[i]),
            high=float(high[i]),
            standard_error=float(drawn[:, 0, i].std()),
            better=sign,
            tolerance=tolerance,
        )
        for i, (name, sign) in enumerate(better.items())
    )


def _quantiles(drawn: Floats, at: tuple[float, float]) -> Floats:
    """Quantiles of each column, (2, k); NaN where a resample has none, as without signals."""
    defined = ~np.isnan(drawn).any(axis=0)
    found = np.full((2, drawn.shape[1]), math.nan)
    found[:, defined] = np.quantile(drawn[:, defined], at, axis=0)
    return found
