"""What each metric of a comparison means, and which way is better."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A metric."""

    meaning: str  # what it is, for people
    better: int = 0  # +1 if more is better, -1 if less is, 0 if neither


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
    "log_loss": Metric(
        meaning="mean of -ln of the probability given to the truth; smaller is better", better=-1
    ),
    "brier": Metric(meaning="mean squared error of p_astro; smaller is better", better=-1),
    "expected_calibration_error": Metric(
        meaning="mean distance between p_astro and the fraction of signals", better=-1
    ),
    "auc": Metric(
        meaning="area under the ROC curve: how often a signal is ranked above noise", better=+1
    ),
    "injections_found": Metric(
        meaning="fraction of the injections with a candidate that matches, also in chirp mass, "
        "below the smaller of both FAR thresholds",
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
"""Each by its name, or by a pattern where the name holds a class; the gate tests all of them."""
