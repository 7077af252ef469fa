"""Read the binned arrays and the parameters of SPIIR's statistics files."""

import base64
import itertools
import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from xml.parsers import expat

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw.inflate import MAX_BYTES, blocks
from spiir_pastro.io.ligolw.layout import DTYPES, typed
from spiir_pastro.io.ligolw.reference import parse

Param = int | float | str | None


def read_arrays(path: str | Path, *, max_bytes: int = MAX_BYTES) -> dict[str, NDArray[np.generic]]:
    """Read every array of a LIGO_LW file, ``.xml`` or ``.xml.gz``, by its full name.

    A name is like ``"background_feature:H1L1_lgsnr_lgchisq_rate"``; arrays that share one get
    ``#1``, ``#2`` from the second on. The first index runs over the first ``Dim``, that is over the
    lines of the text (igwn-ligolw gives the transpose). TableError if the file is damaged, hostile
    or inflates to more than ``max_bytes``, or an array does not have the cells its dims promise.
    """
    return _gather(path, max_bytes).arrays


def read_params(path: str | Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Param]:
    """Read every parameter of a LIGO_LW file by full name; see ``read_arrays``."""
    return _gather(path, max_bytes).params


def _gather(path: str | Path, max_bytes: int) -> "_Arrays":
    try:
        handler = _Arrays()
        with closing(blocks(path, max_bytes=max_bytes)) as source:
            for _ in parse(source, handler.parser):
                pass
    except TableError as error:
        raise TableError(f"{path}: {error}") from error
    return handler


class _Arrays:
    """Receive expat's events and keep arrays and parameters."""

    def __init__(self) -> None:
        self.arrays: dict[str, NDArray[np.generic]] = {}
        self.params: dict[str, Param] = {}
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._open
        self.parser.EndElementHandler = self._close
        self.parser.CharacterDataHandler = self._text
        self._inside: list[tuple[str, dict[str, str]]] = [("", {})]  # the root has a parent too
        self._pieces: list[str] = []
        self._dims: list[int] = []

    def _open(self, name: str, attributes: dict[str, str]) -> None:
        if name == "Array":
            self._dims = []
        self._inside.append((name, attributes))
        self._pieces = []

    def _text(self, text: str) -> None:
        if self._inside[-1][0] != "Stream" or self._inside[-2][0] == "Array":
            self._pieces.append(text)

    def _close(self, name: str) -> None:
        _, attributes = self._inside.pop()
        text, self._pieces = "".join(self._pieces), []
        if name == "Dim":
            self._dims.append(int(_numbers([text], "int_8s", "a Dim")[0]))
        elif name == "Param":
            key = attributes.get("Name", "").removesuffix(":param")
            kind = attributes.get("Type", "lstring")
            self.params[_free(key, self.params)] = _param(text, kind, f"param {key}")
        elif name == "Stream" and self._inside[-1][0] == "Array":
            self._array(text, attributes, self._inside[-1][1])

    def _array(self, text: str, stream: dict[str, str], array: dict[str, str]) -> None:
        key = array.get("Name", "").removesuffix(":array")
        kind, what = array.get("Type", ""), f"array {key}"
        encoding = stream.get("Encoding", "Text").split(",")
        if stream.get("Type", "Local") != "Local":
            raise TableError(f"{what} is not in the file (Type {stream['Type']!r}); write it there")
        if encoding == ["Text"]:
            values = _numbers(_cells(text, stream.get("Delimiter", " "), what), kind, what)
        elif encoding[0] == "base64":
            values = _decoded(text, kind, encoding, what)
        else:
            raise TableError(f"{what} has the encoding {encoding[0]!r}; write it as Text")
        if values.size != math.prod(self._dims):
            raise TableError(
                f"{what} has {values.size} cells, where its dims {self._dims} promise "
                f"{math.prod(self._dims)}; the file is damaged"
            )
        try:
            if encoding == ["Text"]:
                self.arrays[_free(key, self.arrays)] = values.reshape(self._dims)
            else:  # igwn-ligolw writes these in the other order
                self.arrays[_free(key, self.arrays)] = values.reshape(self._dims[::-1]).T
        except ValueError as error:
            raise TableError(f"{what} cannot have dims {self._dims}: {error}") from error


def _cells(text: str, delimiter: str, what: str) -> Sequence[str]:
    """Split an array's text; the last cell may end in a delimiter."""
    if len(delimiter) != 1:
        raise TableError(f"{what}: {delimiter!r} cannot stand between cells; write one ' '")
    if delimiter.isspace():
        return text.split()
    cells = [cell.strip() for cell in text.split(delimiter)]
    if cells[-1] == "":
        cells.pop()
    if "" in cells:
        raise TableError(
            f"{what}: cell {cells.index('')} is empty, which no number is; the file is damaged"
        )
    return cells


def _decoded(text: str, kind: str, encoding: Sequence[str], what: str) -> NDArray[np.generic]:
    """Decode base64, whose byte order its encoding names, as igwn-ligolw takes it."""
    if kind not in DTYPES or not DTYPES[kind].is_numeric():
        raise TableError(f"{what} has the type {kind!r}, which is no type of numbers")
    orders = {"BigEndian": ">", "LittleEndian": "<"}
    order = next((mark for name, mark in orders.items() if name in encoding), None)
    if order is None:
        raise TableError(f"{what}: its encoding {','.join(encoding)!r} names no byte order")
    native = pl.Series(dtype=DTYPES[kind]).to_numpy().dtype
    try:
        content = base64.b64decode("".join(text.split()), validate=True)
        return np.frombuffer(content, native.newbyteorder(order)).astype(native)
    except ValueError as error:  # binascii.Error is one
        raise TableError(f"{what}: no base64: {error}; the file is damaged") from error


def _free(name: str, taken: Mapping[str, object]) -> str:
    """Return the name, with the first free number behind it if it is taken."""
    numbered = (f"{name}#{i}" for i in itertools.count(1))
    return next(key for key in itertools.chain([name], numbered) if key not in taken)


def _numbers(cells: Sequence[str], kind: str, what: str) -> NDArray[np.generic]:
    """Turn text into numbers of a LIGO_LW type."""
    if not DTYPES.get(kind, pl.String).is_numeric():
        raise TableError(f"{what} has the type {kind!r}, which is no type of numbers")
    text = pl.Series(cells, dtype=pl.String)
    values = typed(text, kind)
    for i in values.is_null().arg_true().head(1):
        raise TableError(f"{what}: {text[i]!r} is no {kind}; the file is damaged")
    return values.to_numpy()


def _param(text: str, kind: str, what: str) -> Param:
    """Turn a parameter's text into a value; None if there is none."""
    text = text.strip()
    if kind not in DTYPES:
        return text or None
    value = typed(pl.Series([text], dtype=pl.String), kind)[0]
    if value is None and text:
        raise TableError(f"{what}: {text!r} is no {kind}; the file is damaged")
    return value or None if isinstance(value, str) else value
