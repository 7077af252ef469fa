"""Whether the events come as often as the model expects.

Counts over a window are compared with a Poisson law of the expected mean. The two-sided p-value is
``2 min(P(N <= n), P(N >= n))``; below the chosen false-alarm probability the two have parted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scipy.special import pdtr, pdtrc

What = Literal["alerts", "signals", "BNS", "NSBH", "BBH", "Terrestrial"]
"""What is counted: all events, those with p_astro > 0.5, and those most probably of a class."""

__all__ = ["Drift", "What", "compare", "poisson_p_value"]


def poisson_p_value(count: int, mean: float) -> float:
    """Two-sided probability of a count at least as far from the mean as this one.

    Examples
    --------
    >>> poisson_p_value(0, 0.0)
    1.0
    >>> round(poisson_p_value(0, 5.0), 6)
    0.013476
    """
    if mean == 0.0:
        return 1.0 if count == 0 else 0.0
    at_most = float(pdtr(count, mean))
    at_least = float(pdtrc(count - 1, mean)) if count else 1.0
    return min(1.0, 2.0 * min(at_most, at_least))


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """How many of something were seen, and expected if that is known."""

    what: What
    observed: int
    expected: float | None = None
    has_parted: bool = False


def compare(
    observed: Mapping[What, int],
    per_day: Mapping[What, float],
    *,
    days: float,
    false_alarm_probability: float,
) -> list[Drift]:
    """Judge every count whose expectation is known.

    Examples
    --------
    >>> compare({"BNS": 40}, {"BNS": 2.0}, days=7.0, false_alarm_probability=1e-4)
    [Drift(what='BNS', observed=40, expected=14.0, has_parted=True)]
    """
    judged = []
    for what, count in observed.items():
        if what in per_day:
            mean = per_day[what] * days
            has_parted = poisson_p_value(count, mean) < false_alarm_probability
            judged.append(Drift(what=what, observed=count, expected=mean, has_parted=has_parted))
        else:
            judged.append(Drift(what=what, observed=count))
    return judged
