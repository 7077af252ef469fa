"""Walk the tags of an ordinary LIGO_LW document without parsing what stands between them.

In well-formed XML outside comments, CDATA sections and processing instructions every ``<`` begins a
tag, so the tags are found by a byte search that passes over megabytes of SNR series and spectra at
the speed of memory. What stands between them need only be plain (``is_plain``), and what stands
before the root is judged by expat. Whatever is not ordinary raises ``NotOrdinaryError``, and a real
XML parser reads the file instead.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple
from xml.parsers import expat

import numpy as np
import polars as pl

_SPACE = rb"[ \t\n]"  # a parser takes a carriage return for a line break; it is not ordinary
_NAME = rb"[A-Za-z_][\w.\-]*"
_VALUE = rb"\"[^\"<&\x00-\x1f\x80-\xff]*\"|'[^'<&\x00-\x1f\x80-\xff]*'"
_ATTRIBUTE = re.compile(
    rb"%(s)b+(%(name)b)%(s)b*=%(s)b*(%(value)b)" % {b"s": _SPACE, b"name": _NAME, b"value": _VALUE}
)
_TAG = re.compile(
    rb"<(?:/(%(name)b)%(s)b*|(%(name)b)((?:%(s)b+%(name)b%(s)b*=%(s)b*(?:%(value)b))*)%(s)b*(/?))>"
    % {b"s": _SPACE, b"name": _NAME, b"value": _VALUE}
)
_DECLARATION = re.compile(
    rb"<\?xml\s+version\s*=\s*[\"']1\.0[\"']"
    rb"(?:\s+encoding\s*=\s*[\"'](?i:utf-8|us-ascii)[\"'])?\s*\?>"
)
# No %, so no parameter entities, and no <!ENTITY: what is matched here cannot expand.
_DOCTYPE = re.compile(
    rb"<!DOCTYPE\s+LIGO_LW(?:\s+SYSTEM\s+(?:\"[^\"]*\"|'[^']*'))?\s*"
    rb"(?:\[(?:[^\]<%]|<!(?:ELEMENT|ATTLIST)\s[^<>]*>)*\]\s*)?>"
)
_ENTITIES = (("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&"))
_BLANK = b" \t\n"
_LONGEST_TAG_BYTES = 64 << 10
_LONGEST_LINE_BYTES = 64 << 20
_SHORT_BYTES = 16 << 10


class NotOrdinaryError(Exception):
    """The document uses more of XML than the fast lane knows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """One tag: ``<name ...>``, ``</name>``, or both in one, ``<name ... />``."""

    name: str
    attributes: dict[str, str]
    opens: bool
    closes: bool
    line: int


class Piece(NamedTuple):
    """Whole lines of text, the number of the first one in the document, and their line breaks."""

    text: bytes
    line: int
    breaks: int


def count(text: bytes, byte: bytes) -> int:
    """Count a byte; ten times faster than ``bytes.count`` where it stands often."""
    if len(text) < _SHORT_BYTES:
        return text.count(byte)
    # Polars compares to single bits; bytes.count looks for a byte with memchr, hit by hit.
    return int((pl.Series(np.frombuffer(text, np.uint8)) == byte[0]).sum())


def is_plain(piece: Piece) -> bool:
    """Whether text means the same with and without an XML parser, but for three entities."""
    text = piece.text
    return (
        # Bytes above 127 may be broken UTF-8, "]]>" is not allowed in text, an "&" may begin any
        # entity, and of control characters XML has only tab and line break (and the carriage
        # return, which a parser changes): nothing else in text depends on a parser.
        text.isascii()
        and (b"]" not in text or b"]]>" not in text)
        and (
            b"&" not in text
            or text.count(b"&") == sum(text.count(entity.encode()) for entity, _ in _ENTITIES)
        )
        and int(np.count_nonzero(np.frombuffer(text, np.uint8) < 32))
        == piece.breaks + count(text, b"\t")
    )


def decoded(text: bytes) -> str:
    """Decode plain text as an XML parser does."""
    characters = text.decode("ascii")
    for entity, character in _ENTITIES if "&" in characters else ():
        characters = characters.replace(entity, character)
    return characters


class Markup:
    """A document, read forward."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._data = b""
        self._at = 0
        self._line = 1
        self._open: list[str] = []
        self._declared: _Declared = {}

    def tags(self) -> Iterator[Tag]:
        """Yield every tag; between two tags, ``text`` may take what stands there."""
        self._prolog()
        while self._find_tag():
            line, match = self._line, self._match(_TAG)
            tag = Tag(
                name=(match[1] or match[2]).decode(),
                attributes=self._attributes(match[2], match[3]) if match[2] else {},
                opens=not match[1],
                closes=bool(match[1] or match[4]),
                line=line,
            )
            self._nest(tag)
            yield tag
            if not self._open:
                break
        else:
            raise NotOrdinaryError("the document has no root, or does not close it")
        if self._find_tag():
            raise NotOrdinaryError("the document goes on after its root")

    def _nest(self, tag: Tag) -> None:
        """Check that each tag closes the one opened last."""
        if tag.opens:
            self._open.append(tag.name)
        if tag.closes and (not self._open or self._open.pop() != tag.name):
            raise NotOrdinaryError(f"line {tag.line}: </{tag.name}> closes nothing")

    def text(self) -> Iterator[tuple[Piece, bool]]:
        """Yield the text up to the next tag in whole lines, without a line break after this tag.

        Each piece comes with whether it is the last. The last one holds at least the last line that
        is not blank.
        """
        if (self._at < len(self._data) or self._more()) and self._data.startswith(b"\n", self._at):
            self._take(self._at + 1)
        while (end := self._data.find(b"<", self._at)) < 0:
            end = self._data.rfind(b"\n", self._at) + 1
            # What follows may be </Stream>, which would make this line the last row: it is then
            # ended as a row by _ended, so it must be in the last piece.
            if not self._data.endswith(b",\n"):  # the last row may end without a delimiter
                end = self._data.rfind(b"\n", self._at, end - 1) + 1
            if end > self._at:
                yield self._take(end), False
            if not self._more():
                raise NotOrdinaryError("the document ends inside a table")
        # The "<" is the block's last byte: whether a "/" follows stands in the next block.
        if end + 1 == len(self._data) and self._more():
            end = self._data.find(b"<")
        # A comment or CDATA section among the rows is allowed in XML, but hides what a byte search
        # finds.
        if not self._data.startswith(b"</", end):
            raise NotOrdinaryError(f"line {self._line}: markup inside a table's rows")
        yield self._take(end), True

    def _take(self, end: int) -> Piece:
        text = self._data[self._at : end]
        piece = Piece(text, self._line, count(text, b"\n"))
        self._line += piece.breaks
        self._at = end
        return piece

    def _more(self) -> bool:
        """Append a block; False at the end of the document."""
        block = next(self._blocks, None)
        if block is None:
            return False
        # The unread rest is a part of one line, as a rule, so this copies little more than the
        # block.
        self._data = self._data[self._at :] + block
        self._at = 0
        if len(self._data) > _LONGEST_LINE_BYTES:
            raise NotOrdinaryError("a line without end")
        return True

    def _find_tag(self) -> bool:
        """Move to the next ``<``; False if there is none."""
        while (found := self._data.find(b"<", self._at)) < 0:
            self._pass(self._data.rfind(b"\n") + 1)
            if not self._more():
                self._pass(len(self._data))
                return False
        self._pass(found)
        return True

    def _pass(self, end: int) -> None:
        """Move past text outside tables; outside the root only white space may stand."""
        piece = self._take(max(end, self._at))
        if piece.text.strip(_BLANK) and not (self._open and is_plain(piece)):
            raise NotOrdinaryError(f"line {piece.line}: text that only an XML parser can judge")

    def _match(self, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        """Match a pattern here, and move past it."""
        while (match := pattern.match(self._data, self._at)) is None:
            if len(self._data) - self._at > _LONGEST_TAG_BYTES or not self._more():
                raise NotOrdinaryError(f"line {self._line}: no ordinary tag")
        self._take(match.end())
        return match

    def _prolog(self) -> None:
        head = b""
        self._more()
        if self._data.startswith(b"<?"):
            head = self._match(_DECLARATION)[0]
        if self._find_tag() and self._data.startswith(b"<!", self._at):
            head += self._match(_DOCTYPE)[0]
        if b"\r" in head:
            raise NotOrdinaryError("carriage returns before the root")
        self._declared = _declared(head)

    def _attributes(self, element: bytes, text: bytes) -> dict[str, str]:
        """Read a tag's attributes, with what the document type says of them."""
        pairs = [(name.decode(), value[1:-1].decode()) for name, value in _ATTRIBUTE.findall(text)]
        attributes = dict(pairs)
        if len(attributes) < len(pairs):
            raise NotOrdinaryError("an attribute stands twice")
        for name, (kind, default) in self._declared.get(element.decode(), {}).items():
            if default is not None:
                attributes.setdefault(name, default)
            value = attributes.get(name, "")
            # A parser trims and joins white space in attributes of other types (XML 1.0, section
            # 3.3.3).
            if kind != "CDATA" and value != " ".join(value.split(" ")).strip():
                raise NotOrdinaryError("white space that a parser would take off")
        return attributes


_Declared = dict[str, dict[str, tuple[str, str | None]]]
"""Type and default of attributes, by element and name."""


def _declared(prolog: bytes) -> _Declared:
    """Have expat read what stands before the root."""
    found: _Declared = {}

    def declare(element: str, name: str, kind: str, default: str | None, _required: int) -> None:
        found.setdefault(element, {}).setdefault(name, (kind, default))

    parser = expat.ParserCreate()
    parser.AttlistDeclHandler = declare
    try:
        # An empty root makes a whole document of it: expat judges declarations better than a
        # pattern.
        parser.Parse(prolog + b"<LIGO_LW/>", True)
    except expat.ExpatError as error:
        raise NotOrdinaryError(f"the document type is damaged: {error}") from error
    return found
