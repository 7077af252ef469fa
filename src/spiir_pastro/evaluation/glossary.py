"""What each name in ``metrics.json`` means, and which way is better."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

__all__ = ["METRICS", "Metric", "describe"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric.

    Attributes
    ----------
    meaning
        What it is, for people.
    better
        +1 if more is better, -1 if less is, 0 if neither.
    """

    meaning: str
    better: int = 0


def _counted(meaning: str) -> Metric:
    return Metric(meaning=meaning)


METRICS: Mapping[str, Metric] = {
    "held_out": Metric(
        meaning="whether the scores are of candidates the model was not trained on", better=+1
    ),
    "folds": _counted("models fitted for the scores, each without its span of time; or none"),
    "seen_in_training": _counted("candidates that the model was trained on"),
    "candidates": _counted("candidates judged"),
    "signals": _counted("those of them that are known mergers, or injections"),
    "expected_signals": _counted("sum of their p_astro"),
    "log_loss": Metric(
        meaning="mean of -ln of the probability given to the truth; smaller is better", better=-1
    ),
    "brier": Metric(meaning="mean squared error of p_astro; smaller is better", better=-1),
    "auc": Metric(
        meaning="area under the ROC curve: how often a signal is ranked above noise", better=+1
    ),
    "expected_calibration_error": Metric(
        meaning="mean distance between p_astro and the fraction of signals", better=-1
    ),
    "known_mergers": _counted("catalogued mergers in the time span"),
    "known_mergers_seen": Metric(meaning="those of them with a candidate", better=+1),
    "class_agreement": Metric(
        meaning="fraction of these whose most probable binary is the catalogue's", better=+1
    ),
    "class_agreement_events": _counted("how many that is a fraction of"),
    "signal_class_agreement": Metric(
        meaning="fraction of the signals whose most probable binary is the true one", better=+1
    ),
    "signal_class_agreement_events": _counted("how many that is a fraction of"),
    "called_*": _counted("candidates with p_astro of at least the number in the name"),
    "called_*_real": Metric(meaning="how many of them are signals", better=+1),
    "called_*_expected": _counted("how many should be: the sum of their p_astro"),
    "confusion.*.*": _counted("candidates of the first source most probably called the second"),
    "*_low": _counted("lower end of the metric's 90 % interval"),
    "*_high": _counted("its upper end"),
    "class.*.*": _counted("the metric for that class against everything else"),
    "bank.*.*": _counted("the metric for candidates of that bank"),
    "detectors.*.*": _counted("the metric for candidates of these detectors"),
}
"""Metric by name, or by pattern where the name holds a number, a source, a bank or detectors."""


def describe(name: str) -> Metric | None:
    """Return a metric's meaning and direction, None if it is not listed.

    A metric of a group has the direction it has for all.

    Examples
    --------
    >>> describe("called_0.9_real").meaning
    'how many of them are signals'
    >>> describe("bank.BNS.log_loss").better
    -1
    """
    if name in METRICS:
        return METRICS[name]
    matching = [pattern for pattern in METRICS if "*" in pattern and fnmatchcase(name, pattern)]
    if not matching:
        return None
    found = METRICS[max(matching, key=len)]
    whole = METRICS.get(name.rpartition(".")[2]) if name.count(".") > 1 else None
    return found if whole is None else Metric(meaning=found.meaning, better=whole.better)


COMPARED: Mapping[str, Metric] = {
    "source_log_loss": Metric(
        meaning="mean of -ln of the probability given to the true source of the four; smaller is "
        "better",
        better=-1,
    ),
    "class_log_loss": Metric(
        meaning="mean over the signals of -ln of the part of p_astro given to their class; smaller "
        "is better",
        better=-1,
    ),
    "stated_uncertainty": Metric(
        meaning="mean entropy of the four probabilities in nats, the log loss that the model "
        "expects of itself; more is worse unless a log loss is better, less is no merit",
        better=-1,
    ),
    "log_loss": METRICS["log_loss"],
    "brier": METRICS["brier"],
    "expected_calibration_error": METRICS["expected_calibration_error"],
    "auc": METRICS["auc"],
    "injections_found": Metric(
        meaning="fraction of the injections with a candidate below the smaller of both FAR "
        "thresholds",
        better=+1,
    ),
    "sensitive_volume.*": Metric(
        meaning="fraction of what was injected of a class that has a p_astro of one half or more: "
        "the volume in which mergers are called, in units of that injected",
        better=+1,
    ),
    "signal_class_agreement": Metric(
        meaning="fraction of the injections found by either whose most probable source is the true "
        "one; one that is lost is not",
        better=+1,
    ),
    "known_merger_agreement": Metric(
        meaning="fraction of the known mergers with a candidate in either whose most probable "
        "source is the catalogue's; one that is lost is not",
        better=+1,
    ),
    "noise_candidates": Metric(
        meaning="candidates of noise in the span of both, below the smaller of both FAR "
        "thresholds: FAR is a rate, so the same data must give the same number"
    ),
}
"""Metrics of a comparison; the gate holds each."""
