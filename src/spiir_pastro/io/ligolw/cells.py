"""Split a table's text into cells by LIGO_LW's own rules, with igwn-ligolw's tokenizer.

The format lets a line break stand between any two cells, so rows are counted off. Nearly all files
write a row a line, though, and there a line with too few or too many cells is one bad row, not the
end of the file: where most lines hold exactly one row, each line is taken by itself, and those that
break a rule become rejects.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Self

import polars as pl
from igwn_ligolw import tokenizer

from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw.layout import REJECTS, Batch, Layout, typed

_BATCH_CHARACTERS = 4 << 20
_MOST_LINE_CHARACTERS = 256 << 20
_SAMPLE_LINES = 1000
_LINES_IN_A_STRING = 100
_SHOWN_CHARACTERS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class _Row:
    line: int
    text: str
    cells: Sequence[str | None]
    rule: str | None = None


class CellReader:
    """Read one table's text piece by piece.

    The text begins on ``line`` of the file, after ``row`` rows of the table.
    """

    def __init__(self, layout: Layout, *, delimiter: str, line: int, row: int = 0) -> None:
        if len(delimiter) != 1 or delimiter in "\"'\\\n":
            raise TableError(
                f"table {layout.table}: {delimiter!r} cannot stand between cells; write one ','"
            )
        self._layout = layout
        self._delimiter = delimiter
        self._line = line
        self._row = row
        self._pieces: list[str] = []
        self._length = 0
        self._rows: _RowALine | _Counted | None = None

    def feed(self, text: str, *, last: bool = False) -> Iterator[Batch]:
        """Take more text and yield the rows it completes."""
        self._pieces.append(text)
        self._length += len(text)
        if self._length < _BATCH_CHARACTERS and not last:
            return
        ready = "".join(self._pieces)
        # A line that is not whole yet waits for more text.
        cut = len(ready) if last else ready.rfind("\n") + 1
        self._pieces, self._length = [ready[cut:]], len(ready) - cut
        if self._length > _MOST_LINE_CHARACTERS:
            raise TableError(
                f"line {self._line}: a line of more than {_MOST_LINE_CHARACTERS} characters"
            )
        if self._rows is None:
            self._rows = self._choose(ready[:cut])
        lines = enumerate(ready[:cut].split("\n"), self._line)
        self._line += ready.count("\n", 0, cut)
        rows = [row for number, line in lines for row in self._rows.feed(line, number)]
        if last:
            rows += self._rows.finish()
        if rows:
            yield self._batch(rows)

    def _choose(self, text: str) -> "_RowALine | _Counted":
        """Take lines one by one if most of them hold exactly one row."""
        columns = len(self._layout.names)
        lines = [line for line in text.split("\n") if line.strip()]
        before = min(self._row, _SAMPLE_LINES)
        splits = [_Split.of(line, self._delimiter) for line in lines[: _SAMPLE_LINES - before]]
        full = before + sum(
            split.rule is None
            and len(split.cells) == columns
            and (split.delimited or i == len(lines) - 1)
            for i, split in enumerate(splits)
        )
        # By the majority of the first thousand lines: some bad ones must not turn a table of a row
        # a line into a stream of cells, in which one missing cell would shift every later row.
        by_line = columns > 1 and 2 * full > before + len(splits)
        return (_RowALine if by_line else _Counted)(columns, self._delimiter)

    def _batch(self, rows: Sequence[_Row]) -> Batch:
        """Convert cells, and set aside the rows where that fails."""
        layout = self._layout
        rules = [row.rule for row in rows]
        blank = (None,) * len(layout.names)
        columns = zip(*(blank if row.rule else row.cells for row in rows), strict=True)
        values = []
        for name, cells in zip(layout.names, columns, strict=True):
            if (kind := layout.present.get(name)) is None:
                continue
            text = pl.Series(name, cells, dtype=pl.String)
            value = typed(text, kind)
            values.append(value)
            for i in (value.is_null() & text.is_not_null()).arg_true():
                if text[i].strip() or value.dtype == pl.String:
                    rules[i] = rules[i] or f"column {name}: {text[i]!r} is no {kind}"
        good = pl.Series([rule is None for rule in rules], dtype=pl.Boolean)
        frame = layout.deliver(values, height=len(rows)).filter(good)
        bad = [
            (layout.table, self._row + i, row.line, rule, row.text[:_SHOWN_CHARACTERS])
            for i, (row, rule) in enumerate(zip(rows, rules, strict=True))
            if rule is not None
        ]
        self._row += len(rows)
        rejects = pl.DataFrame(bad, schema=REJECTS, orient="row")
        return Batch(table=layout.table, frame=frame, rejects=rejects)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Split:
    """A text's cells, and whether a delimiter ends them; or a rule that says why there are none."""

    cells: Sequence[str | None]
    rule: str | None = None
    delimited: bool = True
    open_string: bool = False

    @classmethod
    def of(cls, text: str, delimiter: str) -> Self:
        """Split a whole row's text."""
        tokens = _tokenizer(delimiter)
        try:
            cells = list(tokens.append(text))
            if not tokens.data.strip():
                return cls(cells=cells)
            # The last row of a table may end without a delimiter; a string that is open stays open.
            closing = list(tokens.append(delimiter))
        except ValueError as error:
            return cls(cells=(), rule=f"cannot be split into cells: {error}")
        if closing:
            return cls(cells=cells + closing, delimited=False)
        return cls(cells=(), rule="a string is not closed", open_string=True)


def _tokenizer(delimiter: str) -> tokenizer.Tokenizer:
    tokens = tokenizer.Tokenizer(delimiter)
    tokens.set_types([str])
    return tokens


class _RowALine:
    """Rows of a table that has a row a line (or several lines, inside a string)."""

    def __init__(self, columns: int, delimiter: str) -> None:
        self._columns = columns
        self._delimiter = delimiter
        self._held: list[tuple[str, int]] = []  # lines of a row whose string is still open
        self._last: _Row | None = None  # a row without a delimiter at its end

    def feed(self, line: str, number: int) -> Iterator[_Row]:
        """Take a line and yield the rows it completes."""
        if not (self._held or line.strip()):
            return
        if self._last:
            yield replace(self._last, rule="no delimiter ends the row, and it is not the last")
            self._last = None
        self._held.append((line, number))
        text, first = "\n".join(held for held, _ in self._held), self._held[0][1]
        split = _Split.of(text, self._delimiter)
        # A string may hold line breaks, but a quote that was lost must not swallow the file.
        if split.open_string and len(self._held) < _LINES_IN_A_STRING:
            return
        if split.rule and len(self._held) > 1:
            yield from self._give_up()
            return
        self._held = []
        rule = split.rule
        if rule is None and len(split.cells) != self._columns:
            rule = f"{len(split.cells)} cells, where {self._columns} belong"
        row = _Row(line=first, text=text, cells=split.cells, rule=rule)
        if split.delimited or rule:
            yield row
        else:
            self._last = row

    def _give_up(self) -> Iterator[_Row]:
        """Reject the line that opens a string, and look at the lines after it anew."""
        (text, number), *rest = self._held
        self._held = []
        yield _Row(line=number, text=text, cells=(), rule="a string is not closed")
        for line, place in rest:
            yield from self.feed(line, place)

    def finish(self) -> Iterator[_Row]:
        """Yield what is left at the end of the text."""
        while self._held:
            yield from self._give_up()
        if self._last:
            yield self._last


class _Counted:
    """Rows counted off a stream of cells, wherever its lines break."""

    def __init__(self, columns: int, delimiter: str) -> None:
        self._columns = columns
        self._delimiter = delimiter
        self._tokens = _tokenizer(delimiter)
        self._cells: list[str | None] = []
        self._number = 0
        self._taken = 0  # cells
        self._widths: set[int] = set()  # cells of the lines that had any, but for the last
        self._width = 0  # cells of the last of these lines
        self._goes_on = False  # whether a string goes on over a line's end

    def feed(self, line: str, number: int) -> Iterator[_Row]:
        """Take a line and yield the rows it completes."""
        self._number, before = number, self._taken
        # What a line leaves over is the last cell, unless more text follows: then it is a string.
        self._goes_on |= bool(line.strip() and self._tokens.data.strip())
        yield from self._append(line + "\n")
        if self._taken > before:
            self._widths |= {self._width} - {0}
            self._width = self._taken - before

    def _append(self, text: str) -> Iterator[_Row]:
        try:
            cells = list(self._tokens.append(text))
        except ValueError as error:
            raise TableError(f"line {self._number}: {error}; mend or remove the row") from error
        self._taken += len(cells)
        self._cells += cells
        whole = len(self._cells) - len(self._cells) % self._columns
        for start in range(0, whole, self._columns):
            cells = self._cells[start : start + self._columns]
            text = self._delimiter.join(cell or "" for cell in cells)
            yield _Row(line=self._number, text=text, cells=cells)
        del self._cells[:whole]

    def finish(self) -> Iterator[_Row]:
        """Yield the last row."""
        if self._tokens.data.strip():
            yield from self._append(self._delimiter)
            self._width += 1
        self._refuse_a_wrong_width()
        if self._cells or self._tokens.data.strip():
            raise TableError(
                f"line {self._number}: the table ends inside a row, after {len(self._cells)} of "
                f"{self._columns} cells; a cell is missing or too many somewhere before"
            )

    def _refuse_a_wrong_width(self) -> None:
        """Refuse a table whose lines agree on another number of cells than its columns.

        Counted off, its rows would be shifted, each by more than the one before. A cell a line is a
        way to write any table, and a line that ends inside a string says nothing.
        """
        agreed = self._widths == {self._width} and not self._goes_on
        if agreed and self._width not in (1, self._columns):
            raise TableError(
                f"line {self._number}: each line has {self._width} cells, where {self._columns} "
                "columns are declared; the declarations and the rows do not belong together"
            )
