"""Clustering: of triggers close in time, only the most significant counts.

One merger makes many triggers (neighbouring templates, several banks, two and three detectors).
The Poisson mixture counts independent candidates, so a trigger is kept if and only if

    no more significant trigger lies within the window, |t' - t| <= window.

This is a property of the set of triggers: it does not depend on the order of rows, survivors lie
more than a window apart, and clustering twice changes nothing. It is not the same as clustering
parts and then their union: cluster once, over everything.
"""

import numpy as np
import polars as pl

from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.selection.windows import Ints, ranges_within

CLUSTER_WINDOW_NS = SECOND_NS
"""SPIIR's practice: one merger is uploaded up to ten times, within a second."""


def cluster(triggers: pl.DataFrame, *, window_ns: int = CLUSTER_WINDOW_NS) -> pl.DataFrame:
    """Keep each trigger that has no more significant one within the window.

    Parameters
    ----------
    triggers
        Columns ``gps_ns`` (GPS nanoseconds), ``far_hz``, ``snr``, ``event_id``, and any others.
    window_ns
        Largest distance in time, in nanoseconds, at which a trigger hides another.

    Returns
    -------
    polars.DataFrame
        The kept rows, sorted by (gps_ns, event_id).

    Examples
    --------
    >>> times = [0, 400_000_000, 3_000_000_000]
    >>> triggers = pl.DataFrame(
    ...     {"event_id": ["a", "b", "c"], "gps_ns": times, "far_hz": [1e-4, 1e-9, None], "snr": 8.0}
    ... )
    >>> cluster(triggers)["event_id"].to_list()
    ['b', 'c']
    """
    gps_ns = triggers["gps_ns"].to_numpy()
    in_time = np.argsort(gps_ns, kind="stable")
    rank = significance_rank(triggers)[in_time]
    times = gps_ns[in_time]
    first, after = ranges_within(times, times, window_ns=window_ns)
    kept = in_time[_range_minimum(rank, first, after) == rank]
    return triggers[pl.Series(kept)].sort("gps_ns", "event_id", maintain_order=True)


def significance_rank(triggers: pl.DataFrame) -> Ints:
    """Rank triggers by significance, 0 the most significant, (n,).

    The smaller ``far_hz`` is the more significant, an unknown one the least; between equals the
    larger ``snr``, then the smaller ``event_id``, then the earlier ``gps_ns``.
    """
    far_hz = triggers["far_hz"].fill_null(np.inf).fill_nan(np.inf).to_numpy()
    order = np.argsort(far_hz)
    as_before = far_hz[order[1:]] == far_hz[order[:-1]]
    # Most FARs differ, so only runs of equal ones are ordered by the other criteria.
    tied = np.flatnonzero(np.append(as_before, False) | np.append(False, as_before))
    order[tied] = order[tied][_order_by_all(triggers[pl.Series(order[tied])])]
    rank = np.empty(triggers.height, dtype=np.int64)
    rank[order] = np.arange(triggers.height)
    return rank


def _order_by_all(triggers: pl.DataFrame) -> Ints:
    """Order by every criterion; slow, because of the names, so only for equal rates."""
    order = triggers.select(
        pl.arg_sort_by(
            pl.col("far_hz").fill_nan(None),
            pl.col("snr").fill_nan(None),
            "event_id",
            "gps_ns",
            descending=[False, True, False, False],
            nulls_last=True,
            maintain_order=True,
        )
    )
    return order.to_series().to_numpy().astype(np.int64)


def _range_minimum(values: Ints, first: Ints, after: Ints) -> Ints:
    """Return the minimum of ``values[first:after]`` for each range; none is empty, (n,).

    A range of length l is covered by two of length 2^k <= l, so one pass a power of two is enough:
    O(n log l) time and O(n) memory.
    """
    level = np.frexp(after - first)[1] - 1
    smallest = np.empty(first.size, dtype=np.int64)
    minima = values
    for k in range(int(level.max(initial=-1)) + 1):
        if k:
            half = 1 << (k - 1)
            minima = np.minimum(minima[:-half], minima[half:])
        here = np.flatnonzero(level == k)
        smallest[here] = np.minimum(minima[first[here]], minima[after[here] - (1 << k)])
    return smallest
