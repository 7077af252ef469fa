"""Read a table's cells with Polars' CSV reader, where that provably gives what LIGO_LW means.

Ordinary rows stand one a line, ``<indent>cell,cell,...,cell,``, so a table of n columns is CSV of
n + 1 fields, the last one empty. CSV and LIGO_LW agree when

1. the text is ASCII without backslash (LIGO_LW's escape), without control characters other than
   tabs and line breaks, and without ``]]>``, and its only entities are ``&lt;``, ``&gt;`` and
   ``&amp;``;
2. each line became a row, and each row has exactly n delimiters. No row has more, since Polars
   refuses it, and the total is n times the rows (commas inside strings not counted), so none has
   fewer. (All columns are read even if few are wanted: reading fewer would refuse nothing, and
   other proofs take longer than what is saved.)
3. each row's last field is empty;
4. no string holds a quote, an apostrophe or white space: what is left reads the same with quotes
   around it as without.

Numbers are parsed by the same code in both lanes (Polars', which rounds correctly).
"""

import polars as pl

from spiir_pastro.io.ligolw.layout import DTYPES, REJECTS, Batch, Layout, typed
from spiir_pastro.io.ligolw.markup import Piece, count

__all__ = ["decoded", "read_lines"]

_LAST = "\n"  # no column can be called so
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_NOT_PLAIN = "\"' \t\n"


def read_lines(piece: Piece, layout: Layout) -> Batch | None:
    """Read whole lines of a table; None if the reading cannot be proved right.

    Parameters
    ----------
    piece
        Plain text (see ``is_plain``); each line is one row and ends in a delimiter.
    layout
        The table's columns.
    """
    text = piece.text
    if not text:
        return layout.empty()
    if b"\\" in text:
        return None
    kinds = dict(zip(layout.names, layout.types, strict=True))
    strings = [name for name, kind in kinds.items() if _is_text(kind)]
    if layout.names[0] in strings:  # the CSV reader would take an indent for part of a string
        text = _without_indent(text)
    schema = {name: pl.String if _is_text(kind) else DTYPES[kind] for name, kind in kinds.items()}
    try:
        frame = pl.read_csv(text, has_header=False, schema=schema | {_LAST: pl.String})
    except pl.exceptions.PolarsError:
        return None
    if frame.height != piece.breaks or not _is_proved(text, frame, strings):
        return None
    return _deliver(frame, layout, entities=b"&" in text)


def _is_text(kind: str) -> bool:
    return kind == "ilwd:char" or DTYPES.get(kind, pl.String) == pl.String


def _without_indent(text: bytes) -> bytes:
    indent = text[: len(text) - len(text.lstrip(b" \t"))]
    return text.removeprefix(indent).replace(b"\n" + indent, b"\n") if indent else text


def decoded(text: bytes) -> str:
    """Decode plain text as an XML parser does."""
    characters = text.decode("ascii")
    for entity, character in _ENTITIES if "&" in characters else ():
        characters = characters.replace(entity, character)
    return characters


def _is_proved(text: bytes, frame: pl.DataFrame, strings: list[str]) -> bool:
    """Check rules 2 to 4, where each line became a row."""
    if frame[_LAST].null_count() != frame.height:
        return False
    inside = "".join(frame[name].str.join().item() for name in strings)
    delimiters = count(text, b",") - inside.count(",")
    return delimiters == (frame.width - 1) * frame.height and not any(
        mark in inside for mark in _NOT_PLAIN
    )


def _deliver(frame: pl.DataFrame, layout: Layout, *, entities: bool) -> Batch | None:
    """Turn text into values; None if a cell does not fit, so that the other lane says why."""
    values = []
    for name, kind in layout.present.items():
        value = frame[name]
        if _is_text(kind):
            for entity, character in _ENTITIES if entities else ():
                value = value.str.replace_all(entity, character, literal=True)
            value = typed(value, kind)
            if value.null_count() != frame[name].null_count():
                return None
        values.append(value)
    rows = layout.deliver(values, height=frame.height)
    return Batch(table=layout.table, frame=rows, rejects=REJECTS.to_frame())
