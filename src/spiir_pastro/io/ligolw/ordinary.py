"""The fast lane: tags by byte search, rows by the CSV reader."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import partial

import polars as pl

from spiir_pastro.io.ligolw.cells import CellReader
from spiir_pastro.io.ligolw.declarations import Declarations, Wanted
from spiir_pastro.io.ligolw.layout import Batch, Layout
from spiir_pastro.io.ligolw.lines import ParsedLines, parse_lines
from spiir_pastro.io.ligolw.markup import Markup, NotOrdinaryError, Piece, Tag, decoded, is_plain

Lines = tuple[Piece, bool]  # whole lines of a table, and whether they are its last
_THREADS = 2  # each waits for the CSV reader's own; two, so that those never rest
_PIECES_AHEAD = 3
_BLANK = b" \t\n"


def ordinary_batches(blocks: Iterator[bytes], wanted: Wanted | None) -> Generator[Batch]:
    """Yield the rows of the wanted tables in the file's order, at least one batch for a table.

    NotOrdinaryError, at any moment, if the document is not; what came before may then be wrong.
    """
    markup, declarations = Markup(blocks), Declarations(wanted)
    for tag in markup.tags():
        if tag.opens and (layout := declarations.open(tag.name, tag.attributes)):
            yield layout.empty()
            if not tag.closes:
                yield from _rows(markup, layout, tag)
        if tag.closes and (layout := declarations.close(tag.name)):
            yield layout.empty()


def _rows(markup: Markup, layout: Layout, stream: Tag) -> Iterator[Batch]:
    """Yield a table's rows: by the CSV reader, and from where that fails by the tokenizer."""
    delimiter = stream.attributes.get("Delimiter", ",")
    parse = partial(_parse, layout if delimiter == "," else None)
    reader, row = None, 0
    with closing(_ahead(parse, markup.text())) as pieces:
        for (piece, last), parsed in pieces:
            batch = parsed.proved() if parsed and reader is None else None
            # is_plain is looked at only where there is no proof, which covers it and costs less.
            if batch is None and not is_plain(piece):
                raise NotOrdinaryError(f"line {piece.line}: text that only an XML parser can read")
            if batch is not None:
                row += batch.frame.height
                yield batch
                continue
            # From here to the table's end: the tokenizer holds cells of unfinished rows.
            if reader is None:
                reader = CellReader(layout, delimiter=delimiter, line=piece.line, row=row)
            yield from reader.feed(decoded(piece.text), last=last)


def _parse(layout: Layout | None, lines: Lines) -> ParsedLines | None:
    """Parse some lines as CSV, if a layout is given; None if they are not."""
    piece, last = lines
    return None if layout is None else parse_lines(_ended(piece) if last else piece, layout)


def _ahead(
    parse: Callable[[Lines], ParsedLines | None], pieces: Iterator[Lines]
) -> Generator[tuple[Lines, ParsedLines | None]]:
    """Yield pieces in order with what was parsed of them, while threads parse the next ones.

    Where Polars keeps to one thread, as beside other workers, all is done in turn: a thread more
    would only be woken on a core that another worker needs.
    """
    if pl.thread_pool_size() == 1:
        for lines in pieces:
            yield lines, parse(lines)
        return
    with ThreadPoolExecutor(_THREADS) as threads:
        coming: deque[tuple[Lines, Future[ParsedLines | None]]] = deque()
        for lines in pieces:
            coming.append((lines, threads.submit(parse, lines)))
            # In order, and no more than so many pieces are in memory.
            if len(coming) > _PIECES_AHEAD:
                first, parsed = coming.popleft()
                yield first, parsed.result()
        for lines, parsed in coming:
            yield lines, parsed.result()


def _ended(piece: Piece) -> Piece:
    """End the last row as every other row ends."""
    text = piece.text.rstrip(_BLANK)
    if not text:
        return piece._replace(text=b"", breaks=0)
    breaks = piece.breaks - piece.text.count(b"\n", len(text)) + 1
    ending = b"\n" if text.endswith(b",") else b",\n"
    return piece._replace(text=text + ending, breaks=breaks)
