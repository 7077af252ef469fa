"""Numbers and names as people read them."""

import math
from collections.abc import Callable, Sequence

from spiir_pastro.domain import Source

__all__ = ["count_of", "figure", "percent", "source_name", "span"]


def figure(value: float, digits: int = 3) -> str:
    """Write a number with a few digits.

    Examples
    --------
    >>> figure(0.0106097), figure(31.0036), figure(1234.5), figure(2e-7), figure(float("nan"))
    ('0.0106', '31', '1,234', '2e-07', '–')
    """
    if not math.isfinite(value):
        return "–"
    if value == 0 or (float(value).is_integer() and abs(value) < 1e9):
        return f"{value:,.0f}"
    if 1e-3 <= abs(value) < 10**digits:
        return f"{value:.{digits}g}"
    return (
        f"{value:,.0f}" if 1 <= abs(value) < 1e9 else f"{value:.{digits - 1}e}".replace(".00e", "e")
    )


def percent(fraction: float) -> str:
    """Write a fraction in percent.

    Examples
    --------
    >>> percent(0.93), percent(0.9995), percent(0.031), percent(1)
    ('93 %', '99.95 %', '3.1 %', '100 %')
    """
    if not math.isfinite(fraction):
        return "–"
    value = 100 * fraction
    digits = 2 if 99 < value < 99.995 or 0 < value < 1 else 1 if value < 10 else 0
    return f"{value:.{digits}f} %" if value else "0 %"


def span(ends: Sequence[float], write: Callable[[float], str]) -> str:
    """Write an interval.

    Examples
    --------
    >>> span((0.5, 0.75), percent)
    '50 to 75 %'
    """
    low, high = (write(end) for end in ends)
    return f"{low.removesuffix(' %') if high.endswith(' %') else low} to {high}"


def count_of(count: int, noun: str) -> str:
    """Write how many there are of something.

    Examples
    --------
    >>> count_of(1, "injection"), count_of(1200, "injection")
    ('1 injection', '1,200 injections')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def source_name(source: Source) -> str:
    """Name a source as people do."""
    return "noise" if source is Source.TERRESTRIAL else str(source)
