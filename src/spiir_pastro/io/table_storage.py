"""Processed tables on disk: Parquet, or HDF5 for pandas and h5py, with units beside the columns.

A Parquet file says its units and schema version in its key-value metadata. An HDF5 file holds one
compound dataset, ``/table``, with the same in its attributes: ``pandas.read_hdf(path)`` reads it,
and so does ``h5py.File(path)["table"][:]``. HDF5 has no nulls, so there an unknown float is NaN, an
unknown integer -2^63 and an unknown text empty.
"""

import json
from collections.abc import Mapping
from enum import StrEnum
from io import BytesIO
from pathlib import Path

import h5py
import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.errors import TableError
from spiir_pastro.io.atomic import atomic_path

_VERSION = "1"
_DATASET = "table"
_UNKNOWN_INTEGER = np.iinfo(np.int64).min


class FrameFormat(StrEnum):
    """How a processed table is stored; the value is the file's suffix."""

    PARQUET = "parquet"
    H5 = "h5"


def write_frame(frame: pl.DataFrame, path: Path, *, units: Mapping[str, str]) -> None:
    """Write a table, whole or not at all, in the format its suffix names, ``.parquet`` or ``.h5``.

    Columns hold text, integers, floats or booleans; ``units`` names those that have one.
    """
    described = {name: units[name] for name in frame.columns if units.get(name)}
    notes = {"spiir_pastro.schema_version": _VERSION, "units": json.dumps(described)}
    with atomic_path(path) as draft:
        match FrameFormat(path.suffix.removeprefix(".")):
            case FrameFormat.PARQUET:
                frame.write_parquet(draft, compression="zstd", metadata=notes)
            case FrameFormat.H5:
                _write_h5(frame, draft, notes)


def read_frame(path: Path, content: bytes | None = None) -> pl.DataFrame:
    """Read a table that `write_frame` wrote, or its bytes where they were read already.

    TableError if it is no such table or has another schema version.
    """
    source = path if content is None else BytesIO(content)
    _read_notes(path, source)
    if path.suffix == ".parquet":
        return pl.read_parquet(source, hive_partitioning=False)
    with h5py.File(source) as file:
        rows = file[_DATASET][:]
    return pl.DataFrame([_from_h5(name, rows[name]) for name in rows.dtype.names])


def _read_notes(path: Path, source: Path | BytesIO) -> Mapping[str, str]:
    try:
        if path.suffix == ".parquet":
            notes = pl.read_parquet_metadata(source)
        else:
            with h5py.File(source) as file:
                notes = {name: str(value) for name, value in file[_DATASET].attrs.items()}
    except (OSError, KeyError, pl.exceptions.PolarsError) as exc:
        raise TableError(f"{path} is no table of spiir-pastro: {exc}") from exc
    version = notes.get("spiir_pastro.schema_version")
    if version != _VERSION:
        raise TableError(
            f"{path} has schema version {version}, where {_VERSION} is known; process again"
        )
    return notes


def _write_h5(frame: pl.DataFrame, path: Path, notes: Mapping[str, str]) -> None:
    columns = {name: _to_h5(frame[name]) for name in frame.columns}
    rows = np.empty(frame.height, dtype=[(name, c.dtype) for name, c in columns.items()])
    for name, values in columns.items():
        rows[name] = values
    with h5py.File(path, "w") as file:
        table = file.create_dataset(
            _DATASET, data=rows, chunks=True, maxshape=(None,), compression="gzip", shuffle=True
        )
        table.attrs.update(notes)


def _to_h5(column: pl.Series) -> NDArray[np.generic]:
    if column.dtype == pl.String:
        return np.array([text.encode() for text in column.fill_null("")], dtype=np.bytes_)
    if column.dtype.is_integer():
        return column.cast(pl.Int64).fill_null(_UNKNOWN_INTEGER).to_numpy()
    if column.dtype.is_float():
        return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
    return column.to_numpy()


def _from_h5(name: str, values: NDArray[np.generic]) -> pl.Series:
    if values.dtype.kind == "S":
        texts = [text.decode() or None for text in values.tolist()]
        return pl.Series(name, texts, dtype=pl.String)
    column = pl.Series(name, values)
    if values.dtype.kind == "i":
        return column.set(column == _UNKNOWN_INTEGER, None)
    return column.fill_nan(None) if values.dtype.kind == "f" else column
