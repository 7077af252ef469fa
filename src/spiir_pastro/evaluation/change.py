r"""Is one model worse than another? Each metric of both, on the same events.

A metric is a mean over events, or nearly so: every event has a contribution, and the difference of
two models' contributions is what the event says of the change. What both find hard cancels, so that
small real differences show. Log loss and Brier score are means. Calibration error is the mean of
:math:`\pm(p_i - y_i)` with the sign of the event's bin. AUC has the placements of DeLong et al.
(1988, Biometrics 44, 837): of a signal the fraction of noise below it, of noise that of signals
above it.

Whether a change is real is asked by random signs (`randomisation`), with one rate of false alarms
for all metrics together. Signs are of events, so that they know the chance of which events there
are, but not that of which events a model was trained on: one training set moves all events' scores
together. Unless both models had the same, a change must also be beyond what two training sets do,
a normal deviate of `TRAINING` standard errors of the metric. A sure change may still be too small
to matter: it counts if it is also more than a part of the metric's own standard error.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom, norm, rankdata

from spiir_pastro.errors import ConfigError
from spiir_pastro.evaluation.randomisation import holm, sign_flip_p_value
from spiir_pastro.evaluation.scores import LEAST_PROBABILITY, reliability, score

Floats = NDArray[np.float64]
Labels = NDArray[np.bool_]

_ROUNDING = 1e-12
"""Of a metric's own size; models that differ by less are the same."""

UNCERTAINTY = "stated_uncertainty"

_LOG_LOSSES = ("source_log_loss", "class_log_loss", "log_loss")

_DOUBT = 1.75
"""How much more of its standard errors stated uncertainty may rise than a score may fall.

Models of seven campaigns like benchmarks/bench_gate.py's, on the candidates of campaigns that they
were not fitted on, differ by up to 1.6 standard errors; with half of noise's density uniform by 2.0
or more.
"""

TRAINING = 0.7
"""How far two training sets part equally good models, in standard errors of a metric.

Models of ten campaigns like benchmarks/bench_gate.py's part by 0.3 to 0.5 in scores, by 0.5 to 0.8
in classes; those of uploads with 25 signals among 2,800 candidates by up to 0.5.
"""

_WIDTH = float(norm.ppf(0.95))
"""Half the central 90 % of a normal law, in standard errors."""


class Verdict(StrEnum):
    """What a metric says of a change."""

    WORSE = "worse"
    BETTER = "better"
    WITHIN_NOISE = "within noise"
    SAME = "same"
    UNTESTED = "not tested"


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """When a change is more than noise.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    # probability that two equally good models differ, in any metric
    false_alarm_rate: float = 0.001
    negligible: float = 1.0  # the least change that matters, in the metric's own standard errors

    def __post_init__(self) -> None:
        if not (0 < self.false_alarm_rate < 1 and self.negligible >= 0):
            raise ConfigError(
                "a tolerance needs 0 < false alarm rate < 1 and negligible >= 0, not "
                f"{self.false_alarm_rate} and {self.negligible}"
            )


@dataclass(frozen=True, kw_only=True)
class Change:
    """A metric before and after."""

    name: str  # of the metric
    # its values
    before: float
    after: float
    # central 90 % interval of after - before
    low: float
    high: float
    standard_error: float  # of the metric itself, before
    events: int  # on how many events it was tested; none if there are none
    better: int  # +1 if more is better, -1 if less is, 0 if it should stay as it is
    # how often equally good models would show as large a fall, or rise
    p_fall: float
    p_rise: float
    # whether less of it is no merit by itself; see `stated_uncertainty`
    is_only_a_cost: bool = False

    @property
    def difference(self) -> float:
        """After - before."""
        return self.after - self.before

    @property
    def is_same(self) -> bool:
        """Whether both are equal to rounding."""
        size = max(abs(self.before), abs(self.after))
        return abs(self.difference) <= _ROUNDING * max(size, _ROUNDING)

    @property
    def p_worse(self) -> float:
        """How often equally good models would look as much worse."""
        if self.better == 0:
            return min(2 * min(self.p_fall, self.p_rise), 1.0)
        return self.p_fall if self.better > 0 else self.p_rise

    @property
    def p_better(self) -> float:
        """How often equally good models would look as much better."""
        if self.better == 0 or self.is_only_a_cost:
            return 1.0
        return self.p_rise if self.better > 0 else self.p_fall


@dataclass(frozen=True, kw_only=True, eq=False)
class Contributions:
    """What each event contributes to a metric, whose mean it is."""

    name: str  # of the metric
    better: int  # as in `Change`
    values: Floats  # (n,) of the events
    is_only_a_cost: bool = False  # as in `Change`
    # Of the mean, whatever the scatter of these values: of few events none may be a rare one.
    least_error: float = 0.0

    @property
    def standard_error(self) -> float:
        """Of the mean."""
        n = self.values.size
        return (
            max(float(self.values.std(ddof=1)) / math.sqrt(n), self.least_error)
            if n > 1
            else math.nan
        )


def contributions(p_signal: Floats, is_signal: Labels) -> tuple[Contributions, ...]:
    """Return what each candidate contributes to the scores of probabilities, (n,).

    Parameters
    ----------
    p_signal : (n,)
        Of being a signal.
    is_signal : (n,)
        What is true.
    """
    p = np.clip(p_signal, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    surprise = -np.where(is_signal, np.log(p), np.log1p(-p))
    bins = reliability(p_signal, is_signal)
    # The error of calibration is a sum of |mean of p - y| over bins; with each bin's sign held, it
    # is a mean over candidates.
    lean = np.sign(bins.mean_probability - bins.fraction)[bins.bins_of(p_signal)]
    return (
        Contributions(
            name="log_loss", better=-1, values=surprise, least_error=_error_of_surprise(p)
        ),
        Contributions(name="brier", better=-1, values=(p_signal - is_signal) ** 2),
        Contributions(
            name="expected_calibration_error", better=-1, values=lean * (p_signal - is_signal)
        ),
        Contributions(
            name="auc",
            better=+1,
            values=_placements(p_signal, is_signal),
            least_error=half_an_event(min(int(is_signal.sum()), int((~is_signal).sum()))),
        ),
    )


def half_an_event(n: int) -> float:
    """Return the error of a fraction of n events that is not seen to scatter."""
    return 0.5 / max(n, 1)


def _error_of_surprise(p: Floats) -> float:
    """Return the standard error of the mean surprise of probabilities that are right, (n,).

    Each is of one of two outcomes. Where all were likely, and came, surprises hardly scatter.
    """
    logit = np.log(p) - np.log1p(-p)
    return float(np.sqrt((p * (1 - p) * logit**2).sum()) / max(p.size, 1))


def source_surprise(p_true: Floats, *, name: str = "source_log_loss") -> Contributions:
    """Return what candidates contribute to the log loss over all sources, or over the classes.

    Parameters
    ----------
    p_true : (n,)
        Probability given to what each is.
    name
        Of the metric.
    """
    # One certainty that is wrong must not make every other event irrelevant.
    p = np.clip(p_true, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return Contributions(name=name, better=-1, values=-np.log(p), least_error=_error_of_surprise(p))


def stated_uncertainty(probabilities: Floats) -> Contributions:
    """Return what candidates contribute to the uncertainty that a model states.

    That is the entropy of its probabilities, the log loss it expects of itself. A model that
    spreads its probabilities scores no worse on a few hundred events than one that does not, and
    yet says less. But only scores say which of two is right, so that being sure is no merit:
    stating more doubt is worse where no log loss gets better by it.

    Parameters
    ----------
    probabilities : (n, 4)
        Of the sources.
    """
    p = np.clip(probabilities, LEAST_PROBABILITY, 1.0)
    return Contributions(
        name=UNCERTAINTY, better=-1, values=-(p * np.log(p)).sum(axis=1), is_only_a_cost=True
    )


def _placements(p: Floats, is_signal: Labels) -> Floats:
    """Spread the AUC over candidates; NaN unless there are both signals and noise."""
    auc = score(p, is_signal).auc
    rank = rankdata(p)
    placed = np.empty(p.size)
    for members in (is_signal, ~is_signal):
        others = max(p.size - int(members.sum()), 1)
        # An event's rank among all, less that among its own kind, counts those of the other kind
        # below it.
        within = rankdata(p[members]) if members.any() else np.zeros(0)
        below = (rank[members] - within) / others
        fraction = below if members is is_signal else 1 - below
        placed[members] = auc + (fraction - auc) * p.size / max(int(members.sum()), 1)
    return placed


@dataclass(frozen=True, kw_only=True)
class Design:
    """What two evaluations that are compared have in common."""

    paired: bool  # whether events are the same, in the same order
    same_training: bool  # whether the models were trained on the same events


def changes_of_means(
    before: Sequence[Contributions], after: Sequence[Contributions], *, design: Design
) -> tuple[Change, ...]:
    """Compare metrics."""
    compare = _paired if design.paired else _unpaired
    training = 0.0 if design.same_training else TRAINING
    return tuple(compare(b, a, training) for b, a in zip(before, after, strict=True))


def change_of_counts(
    name: str, *, before: int, after: int, gone: int, come: int, better: int
) -> Change:
    """Compare two numbers of events, so many of which are only in the first, or the second."""
    # Events in both cancel. Of those in one only, each could as well be in the other.
    differing = gone + come
    half = _WIDTH * math.sqrt(differing)
    return Change(
        name=name,
        before=float(before),
        after=float(after),
        low=after - before - half,
        high=after - before + half,
        standard_error=math.sqrt(before),
        events=max(before, after),
        better=better,
        p_rise=float(binom.sf(come - 1, differing, 0.5)) if differing else 1.0,
        p_fall=float(binom.cdf(come, differing, 0.5)) if differing else 1.0,
    )


def judge(changes: Sequence[Change], tolerance: Tolerance) -> tuple[Verdict, ...]:
    """Return the verdict on each change, with one rate of false alarms for all."""
    tested = np.array([c.events > 0 and not math.isnan(c.difference) for c in changes], dtype=bool)
    worse, better = np.zeros((2, len(changes)), dtype=np.bool_)
    if tested.any():
        of_tested = [c for c, was in zip(changes, tested, strict=True) if was]
        rate = tolerance.false_alarm_rate
        worse[tested] = holm(np.array([c.p_worse for c in of_tested]), rate)
        better[tested] = holm(np.array([c.p_better for c in of_tested]), rate)
    verdicts = [
        _verdict(change, tolerance, tested=bool(t), worse=bool(w), better=bool(b))
        for change, t, w, b in zip(changes, tested, worse, better, strict=True)
    ]
    if not _is_doubt_justified(changes, verdicts):
        return tuple(verdicts)
    return tuple(
        Verdict.WITHIN_NOISE if change.is_only_a_cost and verdict is Verdict.WORSE else verdict
        for change, verdict in zip(changes, verdicts, strict=True)
    )


def _is_doubt_justified(changes: Sequence[Change], verdicts: Sequence[Verdict]) -> bool:
    """Tell whether a log loss is better beyond noise."""
    return any(
        verdict is Verdict.BETTER and change.name in _LOG_LOSSES
        for change, verdict in zip(changes, verdicts, strict=True)
    )


def _verdict(
    change: Change, tolerance: Tolerance, *, tested: bool, worse: bool, better: bool
) -> Verdict:
    if not tested:
        return Verdict.UNTESTED
    if change.is_same:
        return Verdict.SAME
    negligible = tolerance.negligible * (_DOUBT if change.is_only_a_cost else 1.0)
    if abs(change.difference) > negligible * change.standard_error:
        if worse:
            return Verdict.WORSE
        if better:
            return Verdict.BETTER
    return Verdict.WITHIN_NOISE


def _paired(before: Contributions, after: Contributions, training: float) -> Change:
    differences = after.values - before.values
    n = differences.size
    of_events = float(differences.std(ddof=1)) / math.sqrt(n) if n > 1 else math.nan
    p_values = [sign_flip_p_value(s * differences) for s in (1.0, -1.0)]
    if training and n > 1:
        error = math.hypot(of_events, training * before.standard_error)
        p_values = np.maximum(p_values, _tails(float(differences.mean()), error)).tolist()
        return _change(before, after, error=error, events=n, p_values=p_values)
    return _change(before, after, error=of_events, events=n, p_values=p_values)


def _unpaired(before: Contributions, after: Contributions, training: float) -> Change:
    old, new = before.standard_error, after.standard_error
    events = min(before.values.size, after.values.size)
    if not events:
        return _change(before, after, error=math.nan, events=0, p_values=(1.0, 1.0))
    error = math.hypot(old, new, training * old)
    p_values = _tails(float(after.values.mean() - before.values.mean()), error)
    return _change(before, after, error=error, events=events, p_values=p_values)


def _tails(difference: float, error: float) -> tuple[float, float]:
    """Return how often a normal deviate is as much above 0, and as much below."""
    z = difference / error if error > 0 else 0.0
    return float(norm.sf(z)), float(norm.cdf(z))


def _change(
    before: Contributions,
    after: Contributions,
    *,
    error: float,
    events: int,
    p_values: Sequence[float],
) -> Change:
    first, last = (float(c.values.mean()) if c.values.size else math.nan for c in (before, after))
    half = _WIDTH * error
    p_rise, p_fall = p_values
    return Change(
        name=before.name,
        before=first,
        after=last,
        low=last - first - half,
        high=last - first + half,
        standard_error=before.standard_error,
        events=events,
        better=before.better,
        p_fall=p_fall,
        p_rise=p_rise,
        is_only_a_cost=before.is_only_a_cost,
    )
