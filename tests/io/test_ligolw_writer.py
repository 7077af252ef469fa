"""What is written reads back the same, by the reference reader too."""

import gzip
import math
import re
from pathlib import Path

import igwn_ligolw.ligolw
import igwn_ligolw.lsctables
import igwn_ligolw.utils
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spiir_pastro.domain.columns import canonical_column
from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw import read_table
from spiir_pastro.io.ligolw.layout import DTYPES
from spiir_pastro.io.ligolw_layouts import (
    ID_OWNERS,
    LEGACY_NAMES,
    LEGACY_POSTCOH,
    POSTCOH,
    PROCESS,
    SEGMENT,
    SEGMENT_DEFINER,
    SIM_INSPIRAL,
)
from spiir_pastro.io.ligolw_writer import LigolwTable, write_ligolw

COLUMNS = {"event_id": "ilwd:char", "far": "real_4", "dec": "real_8", "n": "int_8s", "s": "lstring"}


def reference_rows(path: Path, name: str) -> list[list[object]]:
    """Read a table with igwn-ligolw; ids stay text."""
    document = igwn_ligolw.utils.load_filename(
        str(path), contenthandler=igwn_ligolw.ligolw.LIGOLWContentHandler
    )
    (table,) = igwn_ligolw.ligolw.Table.getTablesByName(document, name)
    names = [column.Name for column in table.getElementsByTagName("Column")]
    return [[getattr(row, column) for column in names] for row in table]


texts = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn", "Co"]), max_size=20
)
rows = st.tuples(
    st.integers(0, 2**53),
    st.floats(width=32, allow_nan=False, allow_infinity=False) | st.none(),
    st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    st.integers(-(2**62), 2**62) | st.none(),
    texts | st.none(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.lists(rows, max_size=8), st.integers(1, 8))
def test_the_reference_reader_finds_what_was_written(
    tmp_path: Path, cells: list[tuple[object, ...]], chunk: int
) -> None:
    schema = {"event_id": pl.Int64, "far": pl.Float32, "dec": pl.Float64, "n": pl.Int64, "s": str}
    frame = pl.DataFrame(cells, schema=schema, orient="row")
    path = tmp_path / "t.xml.gz"
    chunks = [frame[i : i + chunk] for i in range(0, frame.height, chunk)]
    write_ligolw(path, [LigolwTable(name="postcoh", columns=COLUMNS, rows=chunks)])
    found = reference_rows(path, "postcoh")
    assert len(found) == frame.height
    for (key, *known), (written_key, *written) in zip(frame.iter_rows(), found, strict=True):
        assert written_key == f"postcoh:event_id:{key}"
        assert written[1:] == known[1:]
        assert written[0] is known[0] or np.float32(str(written[0])) == known[0]


def test_cells_look_like_those_of_spiir(tmp_path: Path) -> None:
    path = tmp_path / "t.xml"
    frame = pl.DataFrame(
        {
            "event_id": [2341, 2342],
            "process_id": [0, 0],
            "cohsnr": [9.4354286, 1024.0],
            "deff": [882.7631386012827, 0.0],
            "far": [5.8467839e-07, None],
            "ifos": ['H1"L1', "a<b&\\"],
        }
    )
    kinds = {
        "event_id": "ilwd:char",
        "process_id": "ilwd:char",
        "cohsnr": "real_4",
        "deff": "real_8",
        "far": "real_4",
        "ifos": "lstring",
    }
    write_ligolw(
        path, [LigolwTable(name="postcoh", columns=kinds, rows=[frame], id_owners=ID_OWNERS)]
    )
    lines = [line.strip() for line in path.read_text().splitlines() if "event_id:" in line]
    assert lines == [
        '"postcoh:event_id:2341","process:process_id:0",9.435429,882.7631386012827,'
        + lines[0].split(",")[4]
        + ',"H1\\"L1",',
        '"postcoh:event_id:2342","process:process_id:0",1024,0,,"a&lt;b&amp;\\\\"',
    ]
    assert math.isclose(float(lines[0].split(",")[4]), 5.8467839e-07, rel_tol=1e-7)


def test_same_rows_same_bytes_however_they_are_chunked(tmp_path: Path) -> None:
    frame = pl.DataFrame({"event_id": range(100), "far": 1.5, "dec": 2.5, "n": 3, "s": "x"})
    for name, size in (("a", 100), ("b", 7)):
        folder = tmp_path / name
        folder.mkdir()
        chunks = (frame[i : i + size] for i in range(0, 100, size))
        write_ligolw(
            folder / "t.xml.gz", [LigolwTable(name="postcoh", columns=COLUMNS, rows=chunks)]
        )
    whole, chunked = ((tmp_path / name / "t.xml.gz").read_bytes() for name in "ab")
    assert gzip.decompress(whole) == gzip.decompress(chunked)
    assert whole[3] == 0, "no name in the gzip header"
    assert whole[4:8] == bytes(4), "no time in the gzip header"


def test_a_file_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    good = pl.DataFrame({"event_id": [1], "far": [1.0], "dec": [1.0], "n": [1], "s": ["x"]})
    table = LigolwTable(name="postcoh", columns=COLUMNS, rows=[good, good.drop("n")])
    with pytest.raises(TableError, match=r"t\.xml\.gz cannot be written.*give each column"):
        write_ligolw(tmp_path / "t.xml.gz", [table])
    assert list(tmp_path.iterdir()) == []


def test_a_type_that_is_none_is_refused() -> None:
    with pytest.raises(TableError, match="table t, column x: there is no type 'real_16'"):
        LigolwTable(name="t", columns={"x": "real_16"})


def columns_in(text: str, table: str) -> dict[str, str]:
    found = re.findall(rf'<Column Name="{table}:(\w+)" Type="([^"]+)"/>', text)
    return dict(found)


@pytest.mark.real_data
def test_layouts_are_those_of_real_files(real_data: Path) -> None:
    for path in sorted((real_data / "spiir" / "coinc").glob("*.xml")):
        text = path.read_text()
        assert list(columns_in(text, "postcoh").items()) == list(POSTCOH.items())
        assert columns_in(text, "process") == dict(PROCESS)
    (segments,) = (real_data / "spiir" / "segments").glob("*.xml.gz")
    text = gzip.decompress(segments.read_bytes()).decode()
    assert columns_in(text, "segment") == dict(SEGMENT)
    assert columns_in(text, "segment_definer") == dict(SEGMENT_DEFINER)


def test_injection_columns_are_ligolws() -> None:
    known = igwn_ligolw.lsctables.SimInspiralTable.validcolumns
    for name, kind in SIM_INSPIRAL.items():
        if kind != "ilwd:char":
            assert known[name] == kind


@pytest.mark.parametrize(
    ("today", "old"),
    [
        ("chisq_H1", "chisq_H"),
        ("end_time_ns_sngl_L1", "end_time_ns_L"),
        ("far_1d_sngl_V1", "far_v_1d"),
        ("far_sngl_H1", "far_h"),
        ("far_1d", "far_1d"),
    ],
)
def test_legacy_names(today: str, old: str) -> None:
    assert LEGACY_NAMES[today] == old


def test_legacy_names_lead_back_to_todays() -> None:
    assert len(LEGACY_POSTCOH) == len(POSTCOH)
    for today, old in LEGACY_NAMES.items():
        assert canonical_column(old) == today
        assert LEGACY_POSTCOH[old] == POSTCOH[today]


def test_our_own_reader_finds_what_was_written(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "event_id": [7, 8],
            "far": [1e-9, None],
            "dec": [0.1, -2.0],
            "n": [1, None],
            "s": ["a,b", ""],
        },
        schema={name: DTYPES[kind] for name, kind in COLUMNS.items()},
    )
    write_ligolw(tmp_path / "t.xml.gz", [LigolwTable(name="t", columns=COLUMNS, rows=[frame])])
    assert_frame_equal(read_table(tmp_path / "t.xml.gz", "t"), frame)
