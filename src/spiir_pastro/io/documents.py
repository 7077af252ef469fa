"""JSON documents that stages hand to each other: typed, versioned, and with a checksum.

A document is a `Document`: it says its ``schema_version``, and its ``checksum`` is the SHA-256 of
all the rest. `read_document` refuses another version, a key that is missing or not known, a value
of another type and a checksum that does not fit, each in one sentence with the remedy.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from spiir_pastro.errors import DocumentError
from spiir_pastro.io.atomic import write_atomically


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document; each kind adds ``schema_version``, a `Literal` of the only version it reads.

    ``checksum`` is the SHA-256 of the rest; empty until it is written.
    """

    checksum: str = ""


D = TypeVar("D", bound=Document)


class _Head(msgspec.Struct, frozen=True):
    schema_version: int


def encode_document(document: Document) -> bytes:
    """Return a document's text, with its checksum."""
    whole = msgspec.structs.replace(document, checksum=_checksum(document))
    return msgspec.json.format(msgspec.json.encode(whole), indent=1) + b"\n"


def write_document(path: Path, document: Document) -> None:
    """Write a document, whole or not at all."""
    write_atomically(path, encode_document(document))


def read_document(path: Path, kind: type[D], *, remedy: str) -> D:
    """Read a document of a kind; ``remedy``, how to get a good one, ends the sentence of an error.

    DocumentError if the file is not there, damaged, incomplete or of another version.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError as exc:
        raise DocumentError(f"{path} is not there; {remedy}") from exc
    except OSError as exc:
        raise DocumentError(f"{path} cannot be read: {exc.strerror}; {remedy}") from exc
    try:
        return decode_document(text, kind)
    except DocumentError as exc:
        raise DocumentError(f"{path}: {exc}; {remedy}") from exc


def decode_document(text: bytes, kind: type[D]) -> D:
    """Read a document from its text; see `read_document`."""
    known = next(f for f in msgspec.structs.fields(kind) if f.name == "schema_version").default
    try:
        version = msgspec.json.decode(text, type=_Head).schema_version
        if version != known:
            raise DocumentError(f"has schema version {version}, where {known} is known")
        document = msgspec.json.decode(text, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        what = "" if isinstance(exc, msgspec.ValidationError) else "damaged: "
        raise DocumentError(f"{what}{exc}") from exc
    if document.checksum != _checksum(document):
        raise DocumentError("damaged or edited: its checksum does not fit what it says")
    return document


def unread_places(given: Any, made: Any, place: str = "") -> Iterator[str]:  # noqa: ANN401  (JSON)
    """Name the places of a document that say something else than what was made of it.

    Dataclasses pass over keys that they do not know; a document of ours must not have any.
    """
    if isinstance(given, dict) and isinstance(made, dict):
        for key, value in given.items():
            if key in made:
                yield from unread_places(value, made[key], f"{place}{key}.")
            else:
                yield f"{place}{key}"
    elif given != made:
        yield place.removesuffix(".")


def _checksum(document: Document) -> str:
    # Of the decoded values, encoded anew: white space and the order of keys do not matter.
    bare = msgspec.structs.replace(document, checksum="")
    return hashlib.sha256(msgspec.json.encode(bare)).hexdigest()
