"""What a table's cells become: names, types and nulls, the same whichever lane read them.

=====================================  =======
LIGO_LW                                Polars
=====================================  =======
real_4, float                          Float32
real_8, double                         Float64
int_2s, int_4s (int), int_8s           Int16, Int32, Int64
int_2u, int_4u, int_8u                 UInt16, UInt32, UInt64
lstring, string, char_s, char_v        String
ilwd:char, ``"table:column:7"``        Int64, 7
=====================================  =======

A number is written in decimal; ``nan`` and ``inf`` are numbers, an empty cell is null.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import polars as pl

from spiir_pastro.domain import join_ifos
from spiir_pastro.domain.columns import POSTCOH_TYPES, canonical_column
from spiir_pastro.errors import TableError, TriggerError

DTYPES: Mapping[str, type[pl.DataType]] = {
    "real_4": pl.Float32,
    "float": pl.Float32,
    "real_8": pl.Float64,
    "double": pl.Float64,
    "int_2s": pl.Int16,
    "int_4s": pl.Int32,
    "int": pl.Int32,
    "int_8s": pl.Int64,
    "int_2u": pl.UInt16,
    "int_4u": pl.UInt32,
    "int_8u": pl.UInt64,
    "lstring": pl.String,
    "string": pl.String,
    "char_s": pl.String,
    "char_v": pl.String,
    "ilwd:char": pl.Int64,
}

REJECTS = pl.Schema(
    {"table": pl.String, "row": pl.Int64, "line": pl.Int64, "rule": pl.String, "text": pl.String}
)
"""Columns of the rejects: the row's place in its table (from 0), the file's line, and why."""

_DETECTOR_SETS = ("ifos", "pivotal_ifo", "instruments")
_ID_PREFIX = r"^(\w+:\w+:)"


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """Some consecutive rows of one table, and the rows among them that broke a rule."""

    table: str
    frame: pl.DataFrame
    rejects: pl.DataFrame


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A table's columns as its file has them, and which of them are wanted.

    Raises
    ------
    TableError
        If two columns share a name or one has none, a wanted type is not known, or a wanted column
        is neither in the file nor one SPIIR's files may have.
    """

    table: str  # the table's name without ``:table``
    # canonical name and LIGO_LW type of each column, in the file's order
    names: tuple[str, ...]
    types: tuple[str, ...]
    # canonical names to deliver, in their order; None for all the file has
    wanted: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.names or "" in self.names:
            what = "a column without a name" if self.names else "no columns"
            raise TableError(f"table {self.table} has {what}; the file is damaged")
        for name in (name for name, count in Counter(self.names).items() if count > 1):
            raise TableError(
                f"table {self.table} has two columns {name}; keep the one that is meant"
            )
        for name in self.schema:
            if self._type(name) not in DTYPES:
                raise TableError(
                    f"table {self.table}: column {name} has the unknown type {self._type(name)!r}; "
                    f"known are {', '.join(DTYPES)}; ask for other columns"
                )

    @classmethod
    def of(
        cls, table: str, columns: Iterable[tuple[str, str]], wanted: Sequence[str] | None
    ) -> Self:
        """Build from the names and types the file declares."""
        pairs = [(canonical_column(name, table=table), kind) for name, kind in columns]
        return cls(
            table=table,
            names=tuple(name for name, _ in pairs),
            types=tuple(kind for _, kind in pairs),
            wanted=None if wanted is None else tuple(wanted),
        )

    def _type(self, name: str) -> str:
        if name in self.names:
            return self.types[self.names.index(name)]
        if self.table == "postcoh" and name in POSTCOH_TYPES:
            return POSTCOH_TYPES[name]
        raise TableError(
            f"table {self.table} has no column {name!r}; it has {', '.join(sorted(self.names))}"
        )

    @cached_property
    def present(self) -> dict[str, str]:
        """LIGO_LW type of each column that the file has and the caller wants."""
        chosen = self.names if self.wanted is None else self.wanted
        return {name: self._type(name) for name in chosen if name in self.names}

    @cached_property
    def schema(self) -> dict[str, type[pl.DataType]]:
        """Name and type of each delivered column."""
        chosen = self.names if self.wanted is None else self.wanted
        return {name: DTYPES.get(self._type(name), pl.String) for name in chosen}

    @cached_property
    def cells(self) -> dict[str, type[pl.DataType]]:
        """What the file's cells are before ids lose their prefix: numbers and strings."""
        return {
            name: pl.String if kind == "ilwd:char" else DTYPES.get(kind, pl.String)
            for name, kind in zip(self.names, self.types, strict=True)
        }

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """Names of the columns whose cells are strings, ids among them."""
        return tuple(name for name, dtype in self.cells.items() if dtype == pl.String)

    def deliver(self, columns: Iterable[pl.Series], *, height: int) -> pl.DataFrame:
        """Put columns in order, normalise detector sets, and fill absent columns with nulls."""
        have = {column.name: column for column in columns}
        absent = pl.Series([None], dtype=pl.Null)
        return pl.DataFrame(
            [
                (_joined(have[name]) if name in _DETECTOR_SETS else have[name])
                if name in have
                else absent.cast(dtype).new_from_index(0, height).alias(name)
                for name, dtype in self.schema.items()
            ]
        )

    def empty(self) -> Batch:
        """Return no rows, with the right columns."""
        frame = pl.DataFrame(schema=self.schema)
        return Batch(table=self.table, frame=frame, rejects=REJECTS.to_frame())


def _joined(column: pl.Series) -> pl.Series:
    """Write detector sets the canonical way; keep text that names no detectors as it stands."""
    if column.dtype != pl.String:
        return column
    changed = {}
    for text in column.drop_nulls().unique():
        try:
            changed[text] = join_ifos([text])
        except TriggerError:
            continue
    if all(old == new for old, new in changed.items()):
        return column
    return column.replace(changed)


def typed(text: pl.Series, kind: str) -> pl.Series:
    """Turn cells of text into a LIGO_LW type; null where empty or not of that type."""
    dtype = DTYPES[kind]
    if dtype == pl.String:
        return text
    return _ids(text) if kind == "ilwd:char" else text.str.strip_chars().cast(dtype, strict=False)


def _ids(text: pl.Series) -> pl.Series:
    """Take ``table:column:`` off ids; a table's ids all share it, as a rule."""
    for first in text.head(1).drop_nulls():
        # Taking off a known prefix is far cheaper than a pattern a cell; null where one differs.
        prefix = re.match(_ID_PREFIX, first, re.ASCII)
        ids = text.str.strip_prefix(prefix[1] if prefix else "").cast(pl.Int64, strict=False)
        if ids.null_count() == text.null_count():
            return ids
    return text.str.strip_chars().str.replace(_ID_PREFIX, "").cast(pl.Int64, strict=False)
