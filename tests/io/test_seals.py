"""Seals find every flipped bit, and say where chunks are as Parquet's own library does."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from spiir_pastro.errors import TableError
from spiir_pastro.io.seals import damage, seal


@pytest.fixture
def table(tmp_path: Path) -> Path:
    noise = np.random.default_rng(5)
    frame = pl.DataFrame(
        {
            "far": noise.random(2500),
            "ifos": noise.choice(["H1L1", "H1L1V1"], 2500),
            "event_id": range(2500),
            "none": pl.Series([None] * 2500, dtype=pl.Int64),
        }
    )
    path = tmp_path / "table.parquet"
    frame.write_parquet(path, compression="zstd", row_group_size=1000)
    return path


def test_chunks_are_where_arrow_says(table: Path) -> None:
    sealed, metadata = seal(table), pq.read_metadata(table)
    assert metadata.num_row_groups == 3
    for group in range(metadata.num_row_groups):
        for column in map(metadata.row_group(group).column, range(metadata.num_columns)):
            chunk = sealed.columns[column.path_in_schema][group]
            starts = column.data_page_offset, column.dictionary_page_offset
            assert chunk.offset == min(start for start in starts if start is not None)
            assert chunk.length == column.total_compressed_size


def test_a_table_without_rows_still_has_columns(tmp_path: Path) -> None:
    path = tmp_path / "empty.parquet"
    pl.DataFrame(schema={"far": pl.Float64, "ifos": pl.String}).write_parquet(path)
    sealed = seal(path)
    assert list(sealed.columns) == ["far", "ifos"]
    assert damage(path, sealed, ["far"]) is None


def test_every_flipped_bit_is_found_or_is_none_of_what_is_read(table: Path) -> None:
    good, sealed = table.read_bytes(), seal(table)
    kept = pl.read_parquet(table, columns=["far"])
    assert damage(table, sealed) is None
    missed = 0
    for bit in np.random.default_rng(6).choice(8 * len(good), 400, replace=False).tolist():
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        table.write_bytes(flipped)
        assert damage(table, sealed) is not None
        if damage(table, sealed, ["far"]) is None:
            missed += 1
            assert pl.read_parquet(table, columns=["far"]).equals(kept)
    assert 0 < missed < 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda good: good[:-1], "bytes, where"),
        (lambda good: good + b"\0", "bytes, where"),
        (lambda good: good[:4] + b"\0" * 40 + good[44:], "column far of row group 0 is damaged"),
        (lambda good: good[:-20] + b"\0" * 4 + good[-16:], "its footer is damaged"),
    ],
)
def test_it_says_what_is_damaged(table: Path, change: object, message: str) -> None:
    sealed = seal(table)
    table.write_bytes(change(table.read_bytes()))  # type: ignore[operator]
    assert message in str(damage(table, sealed))


def test_what_is_not_there_is_said_to_be(table: Path) -> None:
    sealed = seal(table)
    table.unlink()
    assert damage(table, sealed) == "is not there"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"no table at all", b"\0" * 8 + b"PAR1"])
def test_what_is_no_parquet_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "no.parquet"
    path.write_bytes(content)
    with pytest.raises(TableError, match="no Parquet file"):
        seal(path)
