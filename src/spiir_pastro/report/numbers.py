"""Numbers and names as people read them."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Source


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
    >>> percent(0.93), percent(0.9962), percent(0.9996), percent(0.031), percent(1)
    ('93 %', '99.6 %', '99.96 %', '3.1 %', '100 %')
    """
    if not math.isfinite(fraction):
        return "–"
    value = 100 * fraction
    far = min(value, 100 - value)
    digits = 0 if far >= 5 or value == 100 else 1 if far >= 0.1 else 2
    return f"{value:.{digits}f} %" if value else "0 %"


def percents(ends: Sequence[float]) -> str:
    """Write an interval of fractions in percent, both ends with the digits that its width needs.

    Examples
    --------
    >>> percents((0.5, 0.753)), percents((0.9655, 0.993)), percents((0.99912, 0.99988))
    ('50 to 75 %', '96.5 to 99.3 %', '99.912 to 99.988 %')
    """
    low, high = (100 * end for end in ends)
    if not math.isfinite(low + high):
        return "–"
    digits = _digits(high - low, least=0)
    return f"{low:.{digits}f} to {high:.{digits}f} %"


def between(ends: Sequence[float]) -> str:
    """Write an interval, both ends with the two digits of its width that matter.

    Examples
    --------
    >>> between((244.306, 298.45)), between((0.00579, 0.01282)), between((1.2e-9, 3.4e-7))
    ('244 to 298', '0.0058 to 0.0128', '1.2e-09 to 3.4e-07')
    """
    low, high = ends
    if not math.isfinite(low + high):
        return "–"
    if 0 < max(abs(low), abs(high)) < 1e-4:
        return f"{low:.1e} to {high:.1e}"
    digits = _digits(high - low, least=0)
    return f"{low:,.{digits}f} to {high:,.{digits}f}"


def _digits(width: float, *, least: int) -> int:
    """Return after how many decimals an interval of this width has two digits that matter."""
    if width <= 0:
        return 3
    return max(least, 1 - math.floor(math.log10(width)))


def probability(p: float | None) -> str:
    """Write a probability so that neither end of [0, 1] is reached by rounding.

    Examples
    --------
    >>> probability(0.98765), probability(1.0), probability(2e-6), probability(None)
    ('0.988', '>0.999', '2e-06', '–')
    """
    if p is None or math.isnan(p):
        return "–"
    if p >= 0.9995:
        return ">0.999"
    return f"{p:.0e}" if 0 < p < 5e-4 else f"{p:.3f}"


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


def utc(gps_ns: NDArray[np.int64]) -> list[str]:
    """Write GPS times, (n,) in ns, in UTC to the millisecond.

    Examples
    --------
    >>> utc(np.array([1_187_008_882_430_000_000]))
    ['2017-08-17 12:41:04.430']
    """
    from astropy.time import Time  # noqa: PLC0415  (slow to load; a number is no time)

    if not len(gps_ns):
        return []
    # As two numbers: a double of GPS nanoseconds would lose a tenth of a microsecond.
    seconds, rest = np.divmod(np.asarray(gps_ns, dtype=np.int64), 10**9)
    times: list[str] = Time(seconds, rest * 1e-9, format="gps", scale="tai").utc.iso.tolist()
    return times


def dates(first_ns: int, last_ns: int) -> str:
    """Write a span of GPS times, in ns, as dates in UTC.

    Examples
    --------
    >>> dates(1_241_375_886 * 10**9, 1_253_975_024 * 10**9)
    '2019-05-08 to 2019-10-01'
    >>> dates(1_262_304_018 * 10**9, 1_262_390_000 * 10**9)
    '2020-01-06'
    """
    first, last = (time[:10] for time in utc(np.array([first_ns, last_ns])))
    return first if first == last else f"{first} to {last}"
