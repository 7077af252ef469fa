"""A damaged or hostile file gives one error that says what, where and what to do."""

import gc
import gzip
import socket
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
