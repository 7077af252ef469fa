"""Livetime: how long each combination of detectors was analysed.

A detector's segments are half-open intervals [start, end) of GPS nanoseconds. At every moment the
set of detectors on is one combination, so H1L1 and H1L1V1 are disjoint and livetimes add up.
Integers throughout: nothing is lost however many segments there are.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain.detectors import join_ifos
from spiir_pastro.errors import TableError

Segments = NDArray[np.int64]


def merge_segments(segments: Segments) -> Segments:
    """Unite segments that overlap or touch, (n, 2) to (m, 2), sorted and disjoint.

    TableError if a segment ends before it starts, here and in the functions below.

    Examples
    --------
    >>> merge_segments(np.array([[5, 7], [0, 3], [2, 5]])).tolist()
    [[0, 7]]
    """
    segments = np.asarray(segments, dtype=np.int64).reshape(-1, 2)
    backward = segments[segments[:, 1] < segments[:, 0]]
    if backward.size:
        start, end = backward[0].tolist()
        raise TableError(
            f"a segment starts at {start} ns and ends before, at {end} ns; correct its times"
        )
    segments = segments[segments[:, 1] > segments[:, 0]]
    start, end = segments[np.argsort(segments[:, 0], kind="stable")].T
    # How far the segments up to each one reach: a gap is where the next begins beyond that.
    reach = np.maximum.accumulate(end)
    apart = start[1:] > reach[:-1]
    opens = np.append(True, apart)[: start.size]
    closes = np.append(apart, True)[: start.size]
    return np.stack([start[opens], reach[closes]], axis=1)


def intersect_segments(one: Segments, other: Segments) -> Segments:
    """Return what lies in segments of both, (n, 2) and (m, 2) to (k, 2), sorted and disjoint.

    Examples
    --------
    >>> intersect_segments(np.array([[0, 5], [8, 9]]), np.array([[3, 9]])).tolist()
    [[3, 5], [8, 9]]
    """
    return coincident_segments({"one": one, "other": other})


def is_within(times: NDArray[np.int64 | np.float64], segments: Segments) -> NDArray[np.bool_]:
    """Say which times lie in one of the segments, which must be sorted and disjoint, (n,).

    Examples
    --------
    >>> is_within(np.array([0, 2, 3]), np.array([[0, 1], [2, 3]])).tolist()
    [True, True, False]
    """
    # Inside where more segments have begun than ended; a segment's end is not in it.
    begun = np.searchsorted(segments[:, 0], times, side="right")
    ended = np.searchsorted(segments[:, 1], times, side="right")
    return begun > ended


def livetime_by_combination(segments: Mapping[str, Segments]) -> dict[str, int]:
    """Return the nanoseconds during which exactly each combination of detectors was on.

    Segments by detector, (n, 2) GPS nanoseconds, may overlap, which counts once. Combinations are
    written like ``H1L1``; only those that occur are there, sorted.

    Examples
    --------
    >>> livetime_by_combination({"H1": np.array([[0, 6]]), "L1": np.array([[2, 9]])})
    {'H1': 2, 'H1L1': 4, 'L1': 3}
    """
    edges, on = _combinations(segments)
    lengths = np.diff(edges)
    livetime = {}
    for pattern in np.unique(on[on > 0]).tolist():
        ifos = [ifo for bit, ifo in enumerate(segments) if pattern >> bit & 1]
        livetime[join_ifos(ifos)] = int(lengths[on == pattern].sum())
    return dict(sorted(livetime.items()))


def coincident_segments(segments: Mapping[str, Segments]) -> Segments:
    """Return when two detectors or more were on, (m, 2), sorted and disjoint.

    Segments are by detector, (n, 2) GPS nanoseconds.

    Examples
    --------
    >>> coincident_segments({"H1": np.array([[0, 6]]), "L1": np.array([[2, 9]])}).tolist()
    [[2, 6]]
    """
    edges, on = _combinations(segments)
    several = np.bitwise_count(on) >= 2
    return merge_segments(np.stack([edges[:-1][several], edges[1:][several]], axis=1))


def _combinations(segments: Mapping[str, Segments]) -> tuple[Segments, NDArray[np.int64]]:
    """Cut time where a detector goes on or off, (m + 1,); tell which are on between, as bits."""
    merged = [merge_segments(s) for s in segments.values()]
    edges = np.unique(np.concatenate([np.empty(0, np.int64), *(s.ravel() for s in merged)]))
    on = np.zeros(max(edges.size - 1, 0), dtype=np.int64)
    for bit, intervals in enumerate(merged):
        on |= is_within(edges[:-1], intervals).astype(np.int64) << bit
    return edges, on
