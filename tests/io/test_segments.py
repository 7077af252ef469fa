"""Segment files say what was analysed."""

import gzip
import re
from pathlib import Path

import pytest
from igwn_segments import segment, segmentlist

from spiir_pastro.domain import livetime_by_combination
from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw import read_tables
from spiir_pastro.io.segments import analysed_segments

_ROW = re.compile(r'(\d+),(\d+),"[^"]*","segment_definer:segment_def_id:(\d)","[^"]*",(\d+),(\d+)')


def test_livetime_of_real_segments_is_what_igwn_segments_finds(real_data: Path) -> None:
    path = next((real_data / "spiir" / "segments").glob("*_SEGMENTS_*.xml.gz"))
    times: dict[str, segmentlist] = {"0": segmentlist(), "1": segmentlist()}
    text = gzip.decompress(path.read_bytes()).decode()
    for end, end_ns, definer, start, start_ns in _ROW.findall(text):
        edges = int(start) * 10**9 + int(start_ns), int(end) * 10**9 + int(end_ns)
        times[definer].append(segment(*edges))
    h1, l1 = times["0"].coalesce(), times["1"].coalesce()
    assert livetime_by_combination(analysed_segments([(path.name, read_tables(path))] * 2)) == {
        "H1": abs(h1 - l1),
        "H1L1": abs(h1 & l1),
        "L1": abs(l1 - h1),
    }


def test_a_file_without_segments_is_refused() -> None:
    with pytest.raises(TableError, match=r"H1_SEGMENTS_0_1: no table segment_definer"):
        analysed_segments([("H1_SEGMENTS_0_1", {})])
