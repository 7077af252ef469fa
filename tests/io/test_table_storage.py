"""A table written is the table read, by us and by other people's readers."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from spiir_pastro.errors import TableError
from spiir_pastro.io.table_storage import FrameFormat, _read_notes, read_frame, write_frame

_rows = st.lists(
    st.tuples(
        st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1),
        st.none() | st.integers(-(2**63) + 1, 2**63 - 1),
        st.none() | st.floats(allow_nan=False),
        st.booleans(),
    ),
    max_size=8,
)
_SCHEMA = {"event_id": pl.String, "gps_ns": pl.Int64, "snr": pl.Float64, "known": pl.Boolean}


@pytest.mark.parametrize("suffix", list(FrameFormat))
@given(rows=_rows)
def test_write_then_read_is_identity(
    rows: list[tuple[object, ...]], suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"frame.{suffix}"
    frame = pl.DataFrame(rows, schema=_SCHEMA, orient="row")
    write_frame(frame, path, units={"gps_ns": "ns (GPS)", "snr": "", "other": "Hz"})
    assert_frame_equal(read_frame(path), frame)
    assert json.loads(_read_notes(path, path)["units"]) == {"gps_ns": "ns (GPS)"}


def test_pandas_and_h5py_read_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "table.h5"
    frame = pl.DataFrame({"event_id": ["a", "bc"], "gps_ns": [1, 2**62], "snr": [8.5, None]})
    write_frame(frame, path, units={})
    for table in (pd.read_hdf(path), pd.DataFrame(h5py.File(path)["table"][:])):
        assert isinstance(table, pd.DataFrame)
        assert table["gps_ns"].to_list() == [1, 2**62]
        np.testing.assert_array_equal(table["snr"], [8.5, np.nan])
        names = [n.decode() if isinstance(n, bytes) else n for n in table["event_id"]]
        assert names == ["a", "bc"]


def test_another_schema_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "other.parquet")
    with pytest.raises(TableError, match=r"other\.parquet has schema version None"):
        read_frame(tmp_path / "other.parquet")
    (tmp_path / "torn.h5").write_bytes(b"\x89HDF")
    with pytest.raises(TableError, match=r"torn\.h5 is no table"):
        read_frame(tmp_path / "torn.h5")
