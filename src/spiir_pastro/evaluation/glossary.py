"""What each name in ``metrics.json`` means."""

from collections.abc import Mapping
from fnmatch import fnmatchcase

__all__ = ["METRICS", "meaning_of"]

METRICS: Mapping[str, str] = {
    "candidates": "candidates judged",
    "signals": "those of them that are known mergers, or injections",
    "expected_signals": "sum of their p_astro",
    "log_loss": "mean of -ln of the probability given to the truth; smaller is better",
    "brier": "mean squared error of p_astro; smaller is better",
    "auc": "area under the ROC curve: how often a signal is ranked above noise",
    "expected_calibration_error": "mean distance between p_astro and the fraction of signals",
    "known_mergers": "catalogued mergers in the time span",
    "known_mergers_seen": "those of them for which there is a candidate",
    "class_agreement": "fraction of these whose most probable binary is the catalogue's",
    "class_agreement_events": "how many that is a fraction of",
    "signal_class_agreement": "fraction of the signals whose most probable binary is the true one",
    "signal_class_agreement_events": "how many that is a fraction of",
    "called_*": "candidates with p_astro of at least the number in the name",
    "called_*_real": "how many of them are signals",
    "called_*_expected": "how many should be: the sum of their p_astro",
    "confusion.*.*": "candidates of the first source whose most probable source is the second",
    "*_low": "lower end of the metric's 90 % interval",
    "*_high": "its upper end",
    "class.*.*": "the metric for that class against everything else",
    "bank.*.*": "the metric for candidates of that bank",
    "detectors.*.*": "the metric for candidates of these detectors",
}
"""Meaning by name, or by pattern where the name holds a number, a source, a bank or detectors."""


def meaning_of(name: str) -> str | None:
    """Return what a metric means, None if nobody said.

    Examples
    --------
    >>> meaning_of("called_0.9_real")
    'how many of them are signals'
    """
    if name in METRICS:
        return METRICS[name]
    matching = [pattern for pattern in METRICS if "*" in pattern and fnmatchcase(name, pattern)]
    return METRICS[max(matching, key=len)] if matching else None
