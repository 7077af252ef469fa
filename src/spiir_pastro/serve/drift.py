"""Whether the events come as often as the model expects.

Counts over a window are compared with a Poisson law of the expected mean. The two-sided p-value is
``2 min(P(N <= n), P(N >= n))``; below the chosen false-alarm probability the counts have drifted.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

import numpy as np

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.domain.times import DAY_S, SECOND_NS
from spiir_pastro.io.artifact import ModelArtifact

if TYPE_CHECKING:
    What = str
else:
    What = Literal["alerts", "signals", *map(str, Source)]
"""What is counted: all events, those with p_astro > 0.5, and those most probably of a class."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Expected events a day, and the 90 % interval it is known to."""

    mean: float
    low: float
    high: float

    @classmethod
    def exactly(cls, per_day: float) -> Self:
        """Take a rate as known."""
        return cls(per_day, per_day, per_day)


@dataclass(frozen=True, kw_only=True, slots=True)
class Drift:
    """How many of something were seen, and expected if that is known."""

    what: What
    observed: int
    expected: float | None = None
    has_drifted: bool = False


def expected_rates(model: object) -> dict[What, Rate]:
    """Return what a fitted model expects a day: its counts over the span of its training.

    Of anything else nothing is known. The span is taken by the calendar, so a live search with
    another duty cycle than the training's differs from it; the settings can name rates instead.
    """
    if not isinstance(model, ModelArtifact):
        return {}
    first_ns, last_ns = model.provenance.gps_span_ns
    days = (last_ns - first_ns) / SECOND_NS / DAY_S
    counts = model.model.counts
    if days <= 0 or len(counts.mean) != len(ASTROPHYSICAL):
        return {}
    bounds = np.vstack([counts.mean, counts.interval]) / days
    noise = counts.noise_mean / days
    by_class = zip(ASTROPHYSICAL, bounds.T, strict=True)
    signals = bounds.sum(axis=1)
    return {
        "alerts": Rate(*map(float, signals + noise)),
        "signals": Rate(*map(float, signals)),
        **{str(source): Rate(*map(float, column)) for source, column in by_class},
        str(Source.TERRESTRIAL): Rate.exactly(noise),
    }


def poisson_p_value(count: int, mean: float) -> float:
    """Two-sided probability of a count at least as far from the mean as this one.

    Examples
    --------
    >>> poisson_p_value(0, 0.0)
    1.0
    >>> round(poisson_p_value(0, 5.0), 6)
    0.013476
    """
    from scipy.special import pdtr, pdtrc  # noqa: PLC0415  (slow to load; an answer needs none)

    if mean == 0.0:
        return 1.0 if count == 0 else 0.0
    at_most = float(pdtr(count, mean))
    at_least = float(pdtrc(count - 1, mean)) if count else 1.0
    return min(1.0, 2.0 * min(at_most, at_least))


def compare(
    observed: Mapping[What, int],
    per_day: Mapping[What, Rate],
    *,
    days: float,
    false_alarm_probability: float,
) -> list[Drift]:
    """Judge every count whose expectation is known, by the likeliest rate of its interval.

    Examples
    --------
    >>> two = Rate.exactly(2.0)
    >>> compare({"BNS": 40}, {"BNS": two}, days=7.0, false_alarm_probability=1e-4)
    [Drift(what='BNS', observed=40, expected=14.0, has_drifted=True)]
    """
    judged = []
    for what, count in observed.items():
        if what not in per_day:
            judged.append(Drift(what=what, observed=count))
            continue
        rate = per_day[what]
        likeliest = min(max(float(count), rate.low * days), rate.high * days)
        judged.append(
            Drift(
                what=what,
                observed=count,
                expected=rate.mean * days,
                has_drifted=poisson_p_value(count, likeliest) < false_alarm_probability,
            )
        )
    return judged
