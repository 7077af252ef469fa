"""Livetime is exact, and every moment belongs to one combination."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from igwn_segments import segment, segmentlist

from spiir_pastro.domain import (
    DETECTORS,
    coincident_segments,
    livetime_by_combination,
    merge_segments,
)
from spiir_pastro.errors import TableError

_segments = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 8)).map(lambda s: (s[0], s[0] + s[1])), max_size=12
)
_network = st.dictionaries(st.sampled_from(DETECTORS), _segments)


def _array(segments: list[tuple[int, int]]) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    return np.array(segments, dtype=np.int64).reshape(-1, 2)


@given(_segments)
def test_merging_is_what_igwn_segments_does(segments: list[tuple[int, int]]) -> None:
    merged = [tuple(s) for s in merge_segments(_array(segments)).tolist()]
    expected = segmentlist(segment(*s) for s in segments if s[0] < s[1]).coalesce()
    assert merged == [tuple(s) for s in expected]


@given(_network)
def test_each_combination_is_what_igwn_segments_finds(
    network: dict[str, list[tuple[int, int]]],
) -> None:
    lists = {i: segmentlist(segment(*s) for s in network[i]).coalesce() for i in network}
    expected = {}
    for pattern in range(1, 1 << len(lists)):
        on = [ifo for bit, ifo in enumerate(lists) if pattern >> bit & 1]
        together = segmentlist([segment(-100, 100)])
        for ifo, times in lists.items():
            together = together & times if ifo in on else together - times
        if abs(together):
            expected["".join(ifo for ifo in DETECTORS if ifo in on)] = int(abs(together))
    found = livetime_by_combination({ifo: _array(s) for ifo, s in network.items()})
    assert found == expected
    everything = segmentlist(s for times in lists.values() for s in times).coalesce()
    assert sum(found.values()) == abs(everything)


@given(_network)
def test_coincident_time_is_that_of_combinations_of_two_or_more(
    network: dict[str, list[tuple[int, int]]],
) -> None:
    segments = {ifo: _array(s) for ifo, s in network.items()}
    together = coincident_segments(segments)
    combined = livetime_by_combination(segments)
    assert np.diff(together).sum() == sum(t for ifos, t in combined.items() if len(ifos) > 2)
    assert (together[1:, 0] > together[:-1, 1]).all()


def test_nanoseconds_of_a_long_run_are_not_lost() -> None:
    year = 31_557_600_000_000_001
    gps = 1_238_166_018_000_000_000
    segments = {"H1": _array([(gps, gps + year)]), "L1": _array([(gps + 1, gps + year)])}
    assert livetime_by_combination(segments) == {"H1": 1, "H1L1": year - 1}


def test_a_segment_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(TableError, match="starts at 7 ns and ends before, at 5 ns"):
        merge_segments(_array([(0, 3), (7, 5)]))
