"""Follow the tags that declare tables: what stands where, in either lane."""

from collections.abc import Mapping, Sequence

from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw.layout import Layout

Wanted = Mapping[str, Sequence[str] | None]
"""Columns to deliver, by table; None for all columns of that table."""

_SHOWN_CHARACTERS = 50


class Declarations:
    """The table being declared, and the layouts of the tables declared before it.

    ``wanted`` are the tables to read; None for all of them.
    """

    def __init__(self, wanted: Wanted | None) -> None:
        self._wanted = wanted
        self._has_root = False
        self._table: str | None = None
        self._columns: list[tuple[str, str]] = []
        self._has_stream = False
        self._layouts: dict[str, Layout] = {}

    def open(self, name: str, attributes: Mapping[str, str]) -> Layout | None:
        """Take an opening tag; return a layout where a wanted table's rows begin."""
        if not self._has_root and name != "LIGO_LW":
            raise TableError(
                f"the document is <{name[:_SHOWN_CHARACTERS]}>, not LIGO_LW; "
                "name a file that SPIIR or GraceDB wrote"
            )
        self._has_root = True
        if name == "Table":
            self._table = attributes.get("Name", "").removesuffix(":table")
            self._columns = []
            self._has_stream = False
        elif name == "Column" and self._table is not None:
            self._columns.append((attributes.get("Name", ""), attributes.get("Type", "")))
        elif name == "Stream" and self._table is not None:
            for key, only in (("Type", "Local"), ("Encoding", "Text")):
                if attributes.get(key, only) != only:
                    raise TableError(
                        f"table {self._table}: a stream of {key} {attributes[key]!r} cannot be "
                        f"read; write the table with {key} {only!r}"
                    )
            self._has_stream = True
            return self._declare()
        return None

    def close(self, name: str) -> Layout | None:
        """Take a closing tag; return a layout where a wanted table ends that has no stream."""
        if name != "Table" or self._table is None:
            return None
        layout = None if self._has_stream else self._declare()
        self._table = None
        return layout

    def _declare(self) -> Layout | None:
        table = self._table or ""
        if self._wanted is not None and table not in self._wanted:
            return None
        layout = Layout.of(table, self._columns, (self._wanted or {}).get(table))
        if self._layouts.setdefault(table, layout) != layout:
            raise TableError(
                f"two tables named {table} have different columns; split the file between them"
            )
        return layout
