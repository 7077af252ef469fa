"""Both lanes give what LIGO_LW means, cell by cell, whatever the table and its layout."""

import codecs
import gzip
import math
import zlib
from contextlib import suppress
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from igwn_ligolw import ligolw, utils

from ligolw_documents import INTEGERS, Document, documents
from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw import Sifted, ordinary
from spiir_pastro.io.ligolw.inflate import blocks
from spiir_pastro.io.ligolw.layout import DTYPES, Layout
from spiir_pastro.io.ligolw.lines import parse_lines
from spiir_pastro.io.ligolw.markup import NotOrdinaryError, Piece, count
from spiir_pastro.io.ligolw.ordinary import ordinary_batches
from spiir_pastro.io.ligolw.reference import reference_batches
from spiir_pastro.io.ligolw.tables import gathered

# fmt: off
ODD_CELLS = [
    "abc", '"abc"', "1.5", "99999999999999999999", "-1", "1e", "0x10", "1_0", '""', 'x"y"',
    '"a"b', '"a""b"', '"', '"a,b', "1,2", '"1,2"', "'a'", "nan", "true", "-", "+", ".",
    "a:b:c:5", '"a:b:+5"', "a:b:7", "\\", '" 1"', '"1 "', "'a b'", "a b", "1\t", "\t1",
    "\x0b",
]
# fmt: on


def fast_lane(xml: bytes, step: int = 1 << 20) -> Sifted | None:
    pieces = iter([xml[i : i + step] for i in range(0, len(xml), step)])
    try:
        return gathered(ordinary_batches(pieces, None))["t"]
    except NotOrdinaryError:
        return None


def slow_lane(xml: bytes) -> Sifted:
    return gathered(reference_batches(iter([xml]), None))["t"]


def value_of(cell: str, kind: str) -> object:
    """What a cell means, by Python's own numbers."""
    if not cell:
        return None
    if cell.startswith('"'):
        text = cell[1:-1].replace('\\"', '"').replace("\\\\", "\\")
        return int(text.rpartition(":")[2]) if kind == "ilwd:char" else text
    return int(cell) if kind in INTEGERS else float(cell)


def is_near(found: object, meant: object, kind: str) -> bool:
    if not isinstance(meant, float) or not isinstance(found, float):
        return found == meant and type(found) is type(meant)
    if DTYPES[kind] == pl.Float64:
        return found == meant or (math.isnan(found) and math.isnan(meant))
    with np.errstate(over="ignore"):
        near = np.float32(meant)  # rounds twice, so what is right may be its neighbour
        around = (near, *(np.nextafter(near, np.float32(to)) for to in (-np.inf, np.inf)))
    return found in around or (math.isnan(found) and math.isnan(meant))


def assert_means(document: Document, frame: pl.DataFrame) -> None:
    assert frame.height == len(document.rows)
    for i, (name, kind) in enumerate(zip(document.names, document.kinds, strict=True)):
        assert frame.schema[name] == DTYPES[kind]
        for found, row in zip(frame[name].to_list(), document.rows, strict=True):
            assert is_near(found, value_of(row[i], kind), kind), (row[i], kind, found)


@given(documents(), st.sampled_from([1 << 20, 7, 64]))
def test_lanes_agree_on_any_layout(document: Document, step: int) -> None:
    slow = slow_lane(document.xml)
    assert_means(document, slow.rows)
    assert slow.rejects.is_empty()
    fast = fast_lane(document.xml, step)
    if fast is not None:
        assert fast.rows.schema == slow.rows.schema
        assert fast.rows.equals(slow.rows)
        assert fast.rejects.is_empty()


@given(documents(ordinary=True), st.sampled_from([1 << 20, 7, 64]))
@example(  # what is left to the tokenizer is one row, on two lines of two cells each
    Document(
        ("char_s",) * 4, (('""', '""', "", '""'), ('""', "", '"\n"', '""')), last_delimiter=False
    ),
    7,
)
def test_ordinary_layouts_are_read_in_the_fast_lane_and_alike(
    document: Document, step: int
) -> None:
    fast = fast_lane(document.xml, step)
    text = document.xml.decode()
    if text.isascii():
        assert fast is not None
    if fast is not None:
        assert_means(document, fast.rows)
        assert fast.rows.equals(slow_lane(document.xml).rows)


@given(documents(ordinary=True), st.sampled_from([1 << 20, 7, 64]), st.data())
def test_lanes_agree_on_damaged_cells(document: Document, step: int, data: st.DataObject) -> None:
    """Whatever stands in a cell, both lanes keep and reject the same rows for the same reasons."""
    if not document.rows:
        return
    odd = st.sampled_from(ODD_CELLS)
    rows = [list(row) for row in document.rows]
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.sampled_from(rows))
        row[data.draw(st.integers(0, len(row) - 1))] = data.draw(odd)
    damaged = Document(
        document.kinds, tuple(map(tuple, rows)), last_delimiter=document.last_delimiter
    )
    outcomes: list[object] = []
    for lane in (partial(fast_lane, step=step), slow_lane):
        try:
            outcomes.append(lane(damaged.xml))
        except Exception as error:  # noqa: BLE001  (both must fail alike, however they fail)
            outcomes.append((type(error), str(error)))
    fast, slow = outcomes
    if fast is None:
        return
    if isinstance(slow, Sifted):
        assert isinstance(fast, Sifted)
        assert fast.rows.equals(slow.rows)
        assert fast.rejects.equals(slow.rejects)
    else:
        assert fast == slow


@pytest.mark.parametrize("threads", [1, 2])
def test_blocks_come_in_order_with_threads_and_without(
    monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(pl, "thread_pool_size", lambda: threads)
    rows = tuple((str(i), f"{i}.5") for i in range(300))
    fast = fast_lane(Document(("int_4s", "real_8"), rows).xml, 256)
    assert fast is not None
    assert fast.rows.rows() == [(i, i + 0.5) for i in range(300)]


@pytest.mark.parametrize("rows", [3, 600, 1500])
def test_a_bad_row_behind_the_rows_read_as_lines_is_set_aside(rows: int) -> None:
    """Although it is alone, or nearly, in the block that the tokenizer sees first."""
    good = tuple((str(i), '"a-string-longer-than-half-a-block-of-64"') for i in range(rows))
    document = Document(("int_4s", "lstring"), (*good, ("7",)))
    fast, slow = fast_lane(document.xml, 64), slow_lane(document.xml)
    assert fast is not None
    assert fast.rows.height == rows
    assert fast.rejects["rule"].to_list() == ["1 cells, where 2 belong"]
    assert fast.rows.equals(slow.rows)
    assert fast.rejects.equals(slow.rejects)


@pytest.mark.parametrize(
    ("found", "odd"),
    [
        (b"http://x", b"http://\xff"),
        (b'SYSTEM "http://x/dtd.txt"', b"[<!ELEMENT>]"),
        (b'SYSTEM "http://x/dtd.txt"', b'[<!ATTLIST Column Type (int_4s|real_4) "int_4s">]'),
        (b"'1.0'", b"'1.0\""),
        (b"<LIGO_LW>", b"<LIGO_LW>\x01"),
        (b"<LIGO_LW>", b"<LIGO_LW>&amp;&undeclared;"),
        (b"<LIGO_LW>", b"<LIGO_LW>]]>"),
        (b"<LIGO_LW>", b"<LIGO_LW\x0b>"),
        (b"</Table>", b"</Table x='1'>"),
        (b"</Table>", b"</Table/>"),
        (b"</LIGO_LW>", b"</LIGO_LW>&amp;"),
        (b'Type="int_4s"', b'Type=" int_4s "'),
        (b"<LIGO_LW>", b"<LIGO_LW>\r"),
        (b"<LIGO_LW>", b"<LIGO_LW\r>"),
        (b"<!DOCTYPE ", b"<!DOCTYPE \r"),
        (b'Name="t:c0"', b'Name="t:c\xff"'),
        (b'Name="t:c0"', b'Name="t:c\x01"'),
    ],
)
@pytest.mark.parametrize("step", [1 << 20, 7])
def test_the_fast_lane_answers_only_where_the_xml_is_sound(
    found: bytes, odd: bytes, step: int
) -> None:
    xml = Document(("int_4s", "real_4"), (("1", "2"), ("3",), ("4", "5"))).xml
    assert found in xml
    xml = xml.replace(found, odd, 1)
    try:
        slow = slow_lane(xml)
    except TableError:
        with suppress(TableError):
            assert fast_lane(xml, step) is None
        return
    fast = fast_lane(xml, step)
    if fast is not None:
        assert fast.rows.equals(slow.rows)
        assert fast.rejects.equals(slow.rejects)


def test_what_the_document_type_says_of_a_stream_holds_in_both_lanes() -> None:
    dtd = b'[<!ELEMENT LIGO_LW ANY><!ATTLIST Stream Delimiter CDATA ";" Type (Local) "Local">]'
    xml = Document(("int_4s", "real_4"), (("1", "2"), ("3", "4")), delimiter=";").xml
    xml = xml.replace(b'SYSTEM "http://x/dtd.txt"', dtd).replace(b' Delimiter=";"', b"")
    fast = fast_lane(xml)
    assert fast is not None
    assert fast.rows.rows() == slow_lane(xml).rows.rows() == [(1, 2.0), (3, 4.0)]


@given(documents())
def test_igwn_ligolw_itself_reads_the_same(document: Document) -> None:
    """Against the reference reader as a whole, where it is right.

    It takes ``ilwd:char`` for text, unescapes XML twice, reads a leading 0 as octal, and clips
    integers to 64 bits with a sign.
    """
    cells = [cell for row in document.rows for cell in row]
    octal = any(cell[:1] == "0" and len(cell) > 1 for cell in cells)
    if not cells or octal or any("&" in cell for cell in cells):
        return
    table = ligolw.Table.get_table(utils.load_fileobj(BytesIO(document.xml)), "t")
    ours = slow_lane(document.xml).rows
    assert len(table) == ours.height
    for name, kind in zip(document.names, document.kinds, strict=True):
        if kind not in ("ilwd:char", "int_8u"):
            theirs = table.getColumnByName(name)
            for meant, found in zip(theirs, ours[name].to_list(), strict=True):
                assert is_near(found, meant, kind)


def test_ordinary_rows_never_reach_the_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = ("ilwd:char", "lstring", "real_4", "int_4s")
    rows = tuple((f'"a:b:{i}"', '"H1,L1"', f"{i / 7:.8g}", "") for i in range(500))
    document = Document(kinds, rows)
    expected = slow_lane(document.xml)
    monkeypatch.setattr(ordinary, "CellReader", None)
    fast = fast_lane(document.xml, 1000)
    assert fast is not None
    assert fast.rows.equals(expected.rows)


@pytest.mark.parametrize(
    "text",
    [
        zlib.compress(b'"a",1,\n', level=1),
        zlib.compress(b'"a",1,\n', level=5),
        gzip.compress(b'"a",1,\n'),
        codecs.BOM_UTF8 + b'"a",1,\n',
        b"x^,1,\n",  # zlib data can be made of letters only
    ],
    ids=["zlib, fast", "zlib", "gzip", "byte-order mark", "zlib of letters"],
)
def test_the_csv_reader_gets_nothing_that_it_would_unpack_or_strip(
    monkeypatch: pytest.MonkeyPatch, text: bytes
) -> None:
    layout = Layout(table="t", names=("c0", "c1"), types=("lstring", "int_4s"))
    assert parse_lines(Piece(b'"a",1,\n', line=1, breaks=1), layout) is not None
    monkeypatch.setattr(pl, "read_csv", None)
    assert parse_lines(Piece(text, line=1, breaks=1), layout) is None


NUMBERS = sorted(
    kind for kind, dtype in DTYPES.items() if dtype.is_numeric() and kind != "ilwd:char"
)


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("cell", ["%s12", "1%s2", "12%s", "%s", "12%s%s"])
def test_the_csv_reader_takes_no_byte_in_a_number_that_the_format_reads_otherwise(
    kind: str, cell: str
) -> None:
    """Which is why the fast lane looks at strings only."""
    around = Document((kind, "real_8"), (("7", "1"), ("@", "2"), ("8", "3"))).xml
    layout = Layout(table="t", names=("c0", "c1"), types=(kind, "real_8"))
    taken = 0
    for byte in range(256):
        odd = cell.encode().replace(b"%s", bytes([byte]))
        text = b"\t7,1,\n\t" + odd + b",2,\n\t8,3,\n"
        parsed = parse_lines(Piece(text, line=1, breaks=text.count(b"\n")), layout)
        batch = parsed.proved() if parsed else None
        if batch is not None:
            taken += 1
            assert batch.frame.equals(slow_lane(around.replace(b"@", odd)).rows)
    assert taken >= 10 or cell == "12%s%s"


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 16, 50])
def test_a_byte_is_counted(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spiir_pastro.io.ligolw.markup._SHORT_BYTES", 8)
    text = (b",a,\n,,b,,\xff,,,," * 5)[:length]
    for byte in (b",", b"\n", b"\xff", b"x"):
        assert count(text, byte) == text.count(byte)


def test_real_files_read_alike_in_both_lanes(real_data: Path) -> None:
    files = sorted((real_data / "spiir").glob("*/*.xml*"))
    assert len(files) > 10
    for path in files:
        fast = gathered(ordinary_batches(blocks(path), None))
        slow = gathered(reference_batches(blocks(path), None))
        assert list(fast) == list(slow)
        for table, sifted in fast.items():
            assert sifted.rows.schema == slow[table].rows.schema
            assert sifted.rows.equals(slow[table].rows)
            assert sifted.rejects.is_empty()
            assert slow[table].rejects.is_empty()
