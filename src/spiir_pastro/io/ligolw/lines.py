"""Read a table's cells with Polars' CSV reader, where that provably gives what LIGO_LW means.

Ordinary rows stand one a line, ``<indent>cell,cell,...,cell,``, so a table of n columns is CSV of
n + 1 fields, the last one empty. CSV and LIGO_LW agree when

1. each line became a row, and each row has exactly n delimiters. No row has more, since Polars
   refuses it, and the total is n times the rows (commas inside strings not counted), so none has
   fewer. (All columns are read even if few are wanted: reading fewer would refuse nothing, and
   other proofs take longer than what is saved.)
2. each row's last field is empty;
3. no string holds a quote, an apostrophe, white space, LIGO_LW's escape (a backslash), the ``&`` of
   an entity, the ``]`` of XML's ``]]>``, or a character that is not printable: what is left reads
   the same with quotes around it as without, and with an XML parser as without;
4. the text is ASCII and holds no carriage return. Of all other bytes Polars takes none in a number
   that LIGO_LW or XML would read otherwise (the tests try each), so numbers need not be looked at;
5. the text begins as rows do, not as compressed data, which Polars would unpack.

Numbers are parsed by the same code in both lanes (Polars', which rounds correctly).
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from spiir_pastro.io.ligolw.layout import REJECTS, Batch, Layout, typed
from spiir_pastro.io.ligolw.markup import Piece, count

_LAST = "\n"  # no column can be called so
_BEGINNINGS = frozenset(bytes([byte]) for byte in b' \t"+-.,0123456789')
_SPACE, _DELETE = 0x20, 0x7F  # what stands between them is printable
_NOT_IN_STRINGS = (b'"', b"'", b"\\", b"&", b"]")


@dataclass(frozen=True, slots=True)
class ParsedLines:
    """Whole lines of a table, and what the CSV reader made of them."""

    piece: Piece
    frame: pl.DataFrame
    layout: Layout

    def proved(self) -> Batch | None:
        """Return the rows; None if it cannot be proved that they were read right."""
        follows = self.frame.height == self.piece.breaks and self._follows_rules()
        return self._deliver() if follows else None

    def _follows_rules(self) -> bool:
        """Check rules 1 to 3, where each line became a row."""
        frame = self.frame
        if frame[_LAST].null_count() != frame.height:
            return False
        # All strings at once: rule 3 is about bytes, and where they stood does not matter.
        inside = "".join(frame[name].str.join().item() for name in self.layout.strings).encode()
        delimiters = count(self.piece.text, b",") - count(inside, b",")
        characters = np.frombuffer(inside, np.uint8)
        return (
            delimiters == (frame.width - 1) * frame.height
            and bool(((characters > _SPACE) & (characters < _DELETE)).all())
            and not any(mark in inside for mark in _NOT_IN_STRINGS)
        )

    def _deliver(self) -> Batch | None:
        """Turn strings into values; None if a cell does not fit: the other lane says why."""
        values = []
        for name, kind in self.layout.present.items():
            value = self.frame[name]
            if name in self.layout.strings:
                value = typed(value, kind)
                # A cell that was there and gave nothing, like an id without a number.
                if value.null_count() != self.frame[name].null_count():
                    return None
            values.append(value)
        rows = self.layout.deliver(values, height=self.frame.height)
        return Batch(table=self.layout.table, frame=rows, rejects=REJECTS.to_frame())


def parse_lines(piece: Piece, layout: Layout) -> ParsedLines | None:
    """Have the CSV reader parse whole lines of a table; None if it must not, or cannot.

    Each line is one row and ends in a delimiter.
    """
    # The delimiter that ends each row makes a further, empty field of it.
    text, schema = piece.text, layout.cells | {_LAST: pl.String}
    if not text:
        return ParsedLines(piece, pl.DataFrame(schema=schema), layout)
    if layout.names[0] in layout.strings:  # the CSV reader would take an indent for part of it
        text = _without_indent(text)
    if not text.isascii() or b"\r" in text or text[:1] not in _BEGINNINGS:
        return None
    try:
        frame = pl.read_csv(text, has_header=False, schema=schema)
    except pl.exceptions.PolarsError:
        return None
    return ParsedLines(piece, frame, layout)


def _without_indent(text: bytes) -> bytes:
    indent = text[: len(text) - len(text.lstrip(b" \t"))]
    return text.removeprefix(indent).replace(b"\n" + indent, b"\n") if indent else text
