"""Write LIGO_LW tables the way SPIIR writes them, fast and streamed.

A table's rows stand in one ``<Stream>``, one a line, tab-indented, cells separated by commas, every
row but the last ending in one (the last too if its last cell is empty). Strings are quoted; inside
them ``"`` and the backslash are escaped by a backslash, and ``&``, ``<`` and ``>`` are XML
entities. Null is an empty cell. An ``ilwd:char`` id is the integer behind its column's prefix:
``"postcoh:event_id:2341"``. Floats are the shortest decimals that read back as the same float32
(``real_4``) or float64 (``real_8``), whole numbers without a point.

The rows come as Polars frames, any number of them, and are formatted by Polars' own CSV writer, a
chunk at a time: memory is that of the largest chunk. Compressed output carries neither time nor
name, so the same rows give the same bytes.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

import polars as pl
from isal import igzip

from spiir_pastro.errors import TableError
from spiir_pastro.io.atomic import atomic_path
from spiir_pastro.io.ligolw.layout import DTYPES

_HEAD = """<?xml version='1.0' encoding='utf-8'?>
<!DOCTYPE LIGO_LW SYSTEM "http://ldas-sw.ligo.caltech.edu/doc/ligolwAPI/html/ligolw_dtd.txt">
<LIGO_LW>
"""
_INDENT = "\n\t\t\t"
_COMPRESSION = 2  # isal's levels: 2 is as fast as 1 and smaller


@dataclass(frozen=True, kw_only=True)
class LigolwTable:
    """One table: its name, its columns in order, and its rows in chunks.

    Raises
    ------
    TableError
        If a type is none of LIGO_LW's.
    """

    name: str  # like ``postcoh``
    columns: Mapping[str, str]  # column name to LIGO_LW type, in the file's order
    # frames that hold at least these columns; an id column holds integers
    rows: Iterable[pl.DataFrame] = ()
    # whose id a column's values are, where not this table's: ``{"process_id": "process"}``
    id_owners: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        for column, kind in self.columns.items():
            if kind not in DTYPES:
                raise TableError(
                    f"table {self.name}, column {column}: there is no type {kind!r} in LIGO_LW; "
                    f"take one of {', '.join(DTYPES)}"
                )

    def cells(self) -> list[pl.Expr]:
        """Return one expression a column: its values as they are to stand in the file."""
        return [self._cell(column, kind) for column, kind in self.columns.items()]

    def _cell(self, column: str, kind: str) -> pl.Expr:
        values = pl.col(column).cast(DTYPES[kind])
        if kind == "ilwd:char":
            owner = (self.id_owners or {}).get(column, self.name)
            return pl.format(f'"{owner}:{column}:{{}}"', values).alias(column)
        if DTYPES[kind] == pl.String():
            return pl.format('"{}"', _escaped(values)).alias(column)
        if DTYPES[kind].is_float():
            # Polars writes the shortest decimals that read back the same; SPIIR writes 5 for 5.0.
            return values.cast(pl.String).str.strip_suffix(".0")
        return values


def write_ligolw(path: str | Path, tables: Iterable[LigolwTable]) -> None:
    """Write a LIGO_LW document, gzipped if its name ends in ``.gz``; whole or not at all.

    Each table's rows are drawn when their turn comes. TableError if the file cannot be written, or
    a frame lacks a column or holds another kind of values.
    """
    path = Path(path)
    try:
        with (
            atomic_path(path) as draft,
            draft.open("wb") as raw,
            _compressed(raw) if path.suffix == ".gz" else raw as out,
        ):
            out.write(_HEAD.encode())
            for table in tables:
                _write_table(out, table)
            out.write(b"</LIGO_LW>\n")
    except OSError as exc:
        raise TableError(f"{path} cannot be written: {exc.strerror}") from exc
    except pl.exceptions.PolarsError as exc:
        reason = str(exc).partition("\n")[0]
        raise TableError(f"{path} cannot be written: {reason}; give each column as typed") from exc


def _compressed(raw: BinaryIO) -> BinaryIO:
    """Return a gzip stream without time or name; closing it leaves the file open."""
    packed = igzip.IGzipFile(  # type: ignore[no-untyped-call]
        filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=raw, mtime=0
    )
    return cast("BinaryIO", packed)


def _write_table(out: BinaryIO, table: LigolwTable) -> None:
    out.write(f'\t<Table Name="{table.name}:table">\n'.encode())
    out.writelines(
        f'\t\t<Column Name="{table.name}:{column}" Type="{kind}"/>\n'.encode()
        for column, kind in table.columns.items()
    )
    out.write(f'\t\t<Stream Delimiter="," Name="{table.name}:table" Type="Local">'.encode())
    cells, last = table.cells(), None
    for frame in table.rows:
        if frame.height:
            separator = "" if last is None else ","
            last = frame.select(cells)
            out.write(f"{separator}{_INDENT}".encode())
            out.write(_format_rows(last))
    if last is not None and last[-1, -1] is None:
        out.write(b",")  # without it a reader would not see the last, empty cell
    out.write(b"\n\t\t</Stream>\n\t</Table>\n")


def _format_rows(frame: pl.DataFrame) -> memoryview:
    """Format rows with their separators between, not after, them."""
    end = f",{_INDENT}"
    text = BytesIO()
    # Quotes are ours already: LIGO_LW escapes by a backslash, CSV by doubling.
    frame.write_csv(text, include_header=False, quote_style="never", line_terminator=end)
    return text.getbuffer()[: -len(end)]


def _escaped(text: pl.Expr) -> pl.Expr:
    replacements = {"\\": "\\\\", '"': '\\"', "&": "&amp;", "<": "&lt;", ">": "&gt;"}
    for plain, safe in replacements.items():
        text = text.str.replace_all(plain, safe, literal=True)
    return text
