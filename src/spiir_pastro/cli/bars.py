"""Bars of text, for a terminal and for a log."""

from collections.abc import Iterator, Sequence

_BAR, _AXIS = "█", "│"


def waterfall(
    names: Sequence[str], added: Sequence[float], *, total: str, width: int = 40
) -> Iterator[str]:
    r"""Draw a bar for each number that begins where the last one ended, and one of their sum.

    Examples
    --------
    >>> print("\n".join(waterfall(["counts", "FAR"], [-20.0, 30.0], total="sum", width=12)))
    counts     -20.0  ████████│
    FAR        +30.0  ████████████
    sum        +10.0          ████
    """
    ends = [0.0]
    for value in added:
        ends.append(ends[-1] + value)
    low, high = min(ends), max(ends)

    def column(value: float) -> int:
        return round(width * (value - low) / (high - low)) if high > low else 0

    spans = [*zip(names, ends, ends[1:], strict=False), (total, 0.0, ends[-1])]
    longest = max(len(name) for name, _, _ in spans)
    for name, start, end in spans:
        line = [" "] * (width + 1)
        first, last = sorted((column(start), column(end)))
        line[first:last] = _BAR * (last - first)
        if line[column(0)] == " ":
            line[column(0)] = _AXIS
        yield f"{name:{longest}}  {end - start:+8.1f}  {''.join(line).rstrip()}"
