"""A damaged or hostile file gives one error that says what, where and what to do."""

import base64
import gc
import gzip
import os
import socket
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from igwn_ligolw import ligolw
from igwn_ligolw import utils as ligolw_utils

from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw import consume, read_arrays, read_table, read_tables, sift_tables

GOLDEN = Path(__file__).parents[2] / "golden" / "ligolw"
GOOD = GOLDEN / "good.xml"
BAD = sorted(GOLDEN.glob("*.txt"))


@pytest.mark.parametrize("expected", BAD, ids=lambda path: path.stem)
def test_the_message_says_what_where_and_the_remedy(expected: Path) -> None:
    path = expected.with_suffix(".xml")
    with pytest.raises(TableError) as caught:
        read_table(path, "postcoh")
    assert str(caught.value).replace(str(path), "FILE") == expected.read_text().rstrip("\n")


def test_the_good_file_is_good() -> None:
    assert read_table(GOOD, "postcoh")["ifos"].to_list() == ["H1L1V1", "H1L1", "H1L1"]


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("missing_cell", "2 cells, where 3 belong"),
        ("additional_cell", "4 cells, where 3 belong"),
        ("missing_delimiter", "no delimiter ends the row, and it is not the last"),
        ("no_number", "column cohsnr: 'loud' is no real_4"),
        ("integer_too_large", "column end_time: '9187008883' is no int_4s"),
        ("open_string", "a string is not closed"),
    ],
)
def test_a_bad_row_is_set_aside_and_the_others_stay(name: str, rule: str) -> None:
    sifted = sift_tables(GOLDEN / f"{name}.xml")["postcoh"]
    good = read_table(GOOD, "postcoh")
    assert sifted.rows.equals(good[[0, 2]])
    [reject] = sifted.rejects.rows(named=True)
    assert (reject["table"], reject["row"], reject["line"]) == ("postcoh", 1, 10)
    assert reject["rule"] == rule
    assert reject["text"].strip() in (GOLDEN / f"{name}.xml").read_text()


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_damaged_gzip_data_say_how_far_they_are_good(tmp_path: Path) -> None:
    whole = gzip.compress(GOOD.read_bytes(), mtime=0)
    cases = {
        "was cut short": whole[:-20],
        "follows the gzip data": whole + b"junk",
        "damaged gzip data": whole[:40] + bytes(b ^ 0x55 for b in whole[40:60]) + whole[60:],
        "damaged gzip data after": whole[:-8] + bytes(8),
    }
    for message, content in cases.items():
        with pytest.raises(TableError, match=message):
            read_table(written(tmp_path / "t.xml.gz", content), "postcoh")


def test_gzip_members_and_padding_are_read_as_one_file(tmp_path: Path) -> None:
    content = GOOD.read_bytes()
    members = gzip.compress(content[:300]) + gzip.compress(content[300:]) + bytes(512)
    path = written(tmp_path / "t.xml.gz", members)
    assert read_table(path, "postcoh").equals(read_table(GOOD, "postcoh"))


def test_a_file_that_inflates_without_end_is_stopped(tmp_path: Path) -> None:
    bomb = GOOD.read_bytes().replace(b"7.25,", b"7.25," + b" " * 50_000_000)
    path = written(tmp_path / "bomb.xml.gz", gzip.compress(bomb, 9))
    with pytest.raises(TableError, match=r"inflates to more than 10000000 bytes.*larger max_bytes"):
        read_table(path, "postcoh", max_bytes=10_000_000)


@pytest.mark.parametrize("magic", [b"BZh91AY", b"\xfd7zXZ\x00", b"PK\x03\x04zzzz"])
def test_other_compressions_are_named(tmp_path: Path, magic: bytes) -> None:
    with pytest.raises(TableError, match=r"compressed with \w+; unpack it"):
        read_table(written(tmp_path / "t.xml", magic), "postcoh")


def test_a_missing_file_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(TableError, match=r"nothere\.xml: cannot be read: No such file"):
        read_tables(tmp_path / "nothere.xml")


@given(st.binary(max_size=300), st.sampled_from(["alone", "in front", "inside", "behind"]))
def test_binary_junk_is_an_error_or_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, place: str
) -> None:
    good = GOOD.read_bytes()
    half = good.index(b"7.25")
    content = {
        "alone": junk,
        "in front": junk + good,
        "inside": good[:half] + junk + good[half:],
        "behind": good + junk,
    }[place]
    path = tmp_path_factory.mktemp("junk") / "t.xml"
    path.write_bytes(content)
    with suppress(TableError):
        tables = sift_tables(path)
        if place == "alone":
            assert not tables
        else:
            assert tables["postcoh"].rows.height + tables["postcoh"].rejects.height >= 1


@given(st.integers(0, GOOD.stat().st_size - 2))
def test_a_file_cut_anywhere_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "t.xml"
    path.write_bytes(GOOD.read_bytes()[:length])
    with pytest.raises(TableError, match=r"t\.xml: "):
        read_tables(path)


def test_nothing_outside_the_file_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the reader opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    odd = GOOD.read_bytes().replace(b"7.25", b"<!-- slow lane -->7.25")
    path = written(tmp_path / "t.xml", odd)
    assert read_table(path, "postcoh").equals(read_table(GOOD, "postcoh"))


def test_arrays_that_do_not_fill_their_dims_are_refused(tmp_path: Path) -> None:
    xml = (
        b"<LIGO_LW><Array Name='a:array' Type='real_8'><Dim>2</Dim><Dim>2</Dim>"
        b"<Stream Type='Local' Delimiter=' '>1 2 3</Stream></Array></LIGO_LW>"
    )
    with pytest.raises(TableError, match=r"array a has 3 cells, where its dims \[2, 2\] promise 4"):
        read_arrays(written(tmp_path / "t.xml", xml))
    with pytest.raises(TableError, match="array a: 'x' is no real_8"):
        read_arrays(written(tmp_path / "t.xml", xml.replace(b"3<", b"x 4<")))


@pytest.mark.parametrize(
    ("found", "odd", "message"),
    [
        ("<Dim>2</Dim><Dim>2</Dim>", "<Dim>-2</Dim><Dim>-2</Dim>", r"cannot have dims \[-2, -2\]"),
        ("<Dim>2</Dim><Dim>2</Dim>", "<Dim>4</Dim>" + "<Dim>1</Dim>" * 64, "cannot have dims"),
        ("Delimiter=' '", "Delimiter=''", "array a: '' cannot stand between cells; write one ' '"),
        ("Delimiter=' '", "Delimiter=', '", "array a: ', ' cannot stand between cells"),
    ],
)
def test_absurd_arrays_are_refused(tmp_path: Path, found: str, odd: str, message: str) -> None:
    xml = (
        "<LIGO_LW><Array Name='a:array' Type='real_8'><Dim>2</Dim><Dim>2</Dim>"
        "<Stream Type='Local' Delimiter=' '>1 2 3 4</Stream></Array></LIGO_LW>"
    )
    assert read_arrays(written(tmp_path / "t.xml", xml.encode()))["a"].shape == (2, 2)
    with pytest.raises(TableError, match=message):
        read_arrays(written(tmp_path / "t.xml", xml.replace(found, odd).encode()))


def test_a_stream_that_is_the_root_is_no_array(tmp_path: Path) -> None:
    assert read_arrays(written(tmp_path / "t.xml", b"<Stream Delimiter=' '>1 2</Stream>")) == {}


@pytest.mark.parametrize("mark", [b"<!-- slow lane -->", b"\x01"])
def test_no_thread_outlives_its_file(tmp_path: Path, mark: bytes) -> None:
    """Left to the garbage collector, a thread would be joined wherever that happens to run."""
    path = written(tmp_path / "t.xml", GOOD.read_bytes().replace(b"7.25", mark + b"7.25"))
    threads = threading.active_count()
    gc.disable()
    try:
        with suppress(TableError):
            read_table(path, "postcoh")
        with suppress(TableError):
            read_arrays(path)
        with suppress(ZeroDivisionError):
            consume(path, lambda batches: 1 // next(batches).frame.height)
        assert threading.active_count() == threads
    finally:
        gc.enable()


@pytest.mark.parametrize("given", [2, 3, 5, 8])
def test_a_wrong_number_of_cells_in_every_line_is_refused(tmp_path: Path, given: int) -> None:
    """Twelve lines, so that any number of cells fills whole rows of the four declared."""
    columns = "".join(f"<Column Name='t:c{i}' Type='int_4s'/>" for i in range(4))
    row = "".join(f"{cell}," for cell in range(given))
    head = f"<LIGO_LW><Table Name='t:table'>{columns}<Stream Type='Local' Delimiter=','>\n"
    for text in ("\n".join([row] * 12) + "\n", "\n".join([row] * 12)[:-1] + "\n"):
        path = written(tmp_path / "t.xml", f"{head}{text}</Stream></Table></LIGO_LW>".encode())
        with pytest.raises(TableError, match=f"each line has {given} cells, where 4 columns"):
            read_table(path, "t")


@pytest.mark.parametrize(
    "text", ["1,2,3,4,5,6,7,8", "1,\n2,\n3,\n4,\n5,\n6,\n7,\n8,", "1,2,3,4,\n5,6,\n7,8"]
)
def test_lines_may_break_between_cells(tmp_path: Path, text: str) -> None:
    columns = "".join(f"<Column Name='t:c{i}' Type='int_4s'/>" for i in range(4))
    head = f"<LIGO_LW><Table Name='t:table'>{columns}<Stream Delimiter=','>"
    path = written(tmp_path / "t.xml", f"{head}{text}</Stream></Table></LIGO_LW>".encode())
    rows = read_table(path, "t").rows()
    assert rows == [(1, 2, 3, 4), (5, 6, 7, 8)]


@pytest.mark.parametrize("blank", [b" ", b"\n", b"\t\n"])
@pytest.mark.parametrize("place", [b"<LIGO_LW>", b"7.25,", b"</Table>"])
def test_white_space_without_end_is_refused_early(
    tmp_path: Path, place: bytes, blank: bytes
) -> None:
    good = GOOD.read_bytes()
    at = good.index(place) + len(place)
    path = tmp_path / "bomb.xml.gz"
    with gzip.open(path, "wb", 1) as file:
        file.write(good[:at])
        for _ in range(40):
            file.write(blank * (1 << 20))
        file.write(good[at:])
    with pytest.raises(TableError, match="more than 16 MiB of nothing but white space"):
        read_tables(path)


def test_pipes_devices_and_folders_are_refused(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.xml"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(TableError, match=rf"{path}: is a device or a pipe, no file"):
            read_tables(path)
    with pytest.raises(TableError, match="is a directory, no file"):
        read_tables(tmp_path)


@pytest.mark.parametrize("encoding", ["base64", "Text"])
@pytest.mark.parametrize("kind", ["f8", "i4", "u8"])
def test_arrays_in_base64_are_what_the_reference_reads(
    tmp_path: Path, encoding: str, kind: str
) -> None:
    written_by_reference = np.arange(6).reshape(2, 3).astype(kind)
    document = ligolw.Document()
    root = document.appendChild(ligolw.LIGO_LW())
    root.appendChild(ligolw.Array.build("a", written_by_reference, encoding=encoding))
    with (tmp_path / "t.xml").open("w") as file:
        document.write(file)
    read = read_arrays(tmp_path / "t.xml")["a"]
    reference = ligolw_utils.load_filename(str(tmp_path / "t.xml"))
    (array,) = reference.getElementsByTagName("Array")
    np.testing.assert_array_equal(read, array.array.T)


def test_base64_may_have_either_byte_order(tmp_path: Path) -> None:
    values = np.array([1.5, -2.0], dtype=">f8")
    text = base64.b64encode(values.tobytes()).decode()
    xml = (
        "<LIGO_LW><Array Name='a:array' Type='real_8'><Dim>2</Dim>"
        f"<Stream Encoding='base64,BigEndian'>\n{text[:9]}\n{text[9:]}</Stream></Array></LIGO_LW>"
    )
    assert read_arrays(written(tmp_path / "t.xml", xml.encode()))["a"].tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("stream", "text", "message"),
    [
        ("Delimiter=','", "1,,3,4", "array a: cell 1 is empty"),
        ("Delimiter=','", ",1,2,3,4", "array a: cell 0 is empty"),
        ("Encoding='base64,LittleEndian'", "AAA", "array a: no base64"),
        ("Encoding='base64,LittleEndian'", "AAAA", "array a: no base64"),
        ("Encoding='base64'", "AAAA", "array a: its encoding 'base64' names no byte order"),
        ("Encoding='hex'", "00", "array a has the encoding 'hex'; write it as Text"),
        ("Type='Remote'", "x.bin", r"array a is not in the file \(Type 'Remote'\)"),
    ],
)
def test_arrays_that_cannot_be_read_are_refused_by_name(
    tmp_path: Path, stream: str, text: str, message: str
) -> None:
    xml = (
        "<LIGO_LW><Array Name='a:array' Type='real_8'><Dim>2</Dim><Dim>2</Dim>"
        f"<Stream {stream}>{text}</Stream></Array></LIGO_LW>"
    )
    with pytest.raises(TableError, match=message):
        read_arrays(written(tmp_path / "t.xml", xml.encode()))
