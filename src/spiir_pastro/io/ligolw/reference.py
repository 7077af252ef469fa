"""The slow lane: expat reads the XML, igwn-ligolw's tokenizer the cells, whatever their layout.

No entity may be declared, so none expands without end, and nothing outside the file is fetched.
Of encodings only those that expat itself decodes are read: for others it would ask Python's codecs.
"""

from collections.abc import Generator, Iterator
from xml.parsers import expat

from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw.cells import CellReader
from spiir_pastro.io.ligolw.declarations import Declarations, Wanted
from spiir_pastro.io.ligolw.layout import Batch

_STEP_BYTES = 1 << 20
_ENCODINGS = ("utf-8", "us-ascii", "iso-8859-1", "utf-16", "utf-16le", "utf-16be")


def reference_batches(blocks: Iterator[bytes], wanted: Wanted | None) -> Generator[Batch]:
    """Yield the rows of the wanted tables in the file's order, at least one batch for a table.

    TableError if the XML or a table is damaged beyond single rows.
    """
    handler = _Tables(wanted)
    for _ in parse(blocks, handler.parser):
        yield from handler.ready
        handler.ready.clear()


def parse(blocks: Iterator[bytes], parser: expat.XMLParserType) -> Iterator[None]:
    """Feed a parser, and pause after each piece."""
    # Otherwise expat calls back for each line of text, ten thousand times a megabyte.
    parser.buffer_text = True
    parser.XmlDeclHandler = _refuse_encoding
    parser.EntityDeclHandler = _refuse_entity
    parser.SkippedEntityHandler = _refuse_unknown_entity
    try:
        for block in blocks:
            for start in range(0, len(block), _STEP_BYTES):
                parser.Parse(block[start : start + _STEP_BYTES], False)
                yield
        parser.Parse(b"", True)
        yield
    except expat.ExpatError as error:
        raise TableError(
            f"line {error.lineno}, column {error.offset}: {expat.ErrorString(error.code)}; "
            "the file is no whole XML document; copy or write it again"
        ) from error


def _refuse_encoding(_version: str, encoding: str | None, _standalone: int) -> None:
    if encoding is not None and encoding.lower() not in _ENCODINGS:
        raise TableError(f"is written in the encoding {encoding!r}; write it in utf-8")


def _refuse_entity(name: str, *_: object) -> None:
    raise TableError(
        f"declares the XML entity {name!r}, which LIGO_LW never needs and which may expand "
        "without end; remove the declaration"
    )


def _refuse_unknown_entity(name: str, *_: object) -> None:
    raise TableError(f"uses the XML entity {name!r}, which nothing declares; write the text itself")


class _Tables:
    """Receive expat's events and leave the batches they complete in ``ready``."""

    def __init__(self, wanted: Wanted | None) -> None:
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._open
        self.parser.EndElementHandler = self._close
        self.parser.CharacterDataHandler = self._text
        self.ready: list[Batch] = []
        self._declarations = Declarations(wanted)
        self._reader: CellReader | None = None

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if self._reader is not None:
            raise TableError(
                f"line {self.parser.CurrentLineNumber}: <{name}> inside a table's rows; "
                "the file is damaged"
            )
        layout = self._declarations.open(name, attributes)
        if layout:
            self.ready.append(layout.empty())
            self._reader = CellReader(
                layout,
                delimiter=attributes.get("Delimiter", ","),
                line=self.parser.CurrentLineNumber,
            )

    def _text(self, text: str) -> None:
        if self._reader is not None:
            self.ready.extend(self._reader.feed(text))

    def _close(self, name: str) -> None:
        if self._reader is not None:
            self.ready.extend(self._reader.feed("", last=True))
            self._reader = None
        if layout := self._declarations.close(name):
            self.ready.append(layout.empty())
