"""Checksums of a Parquet file by row group and column, so that only what is read need be checked.

Parquet has a place for checksums of pages, but Polars neither writes nor checks them, and they
leave out the pages' own headers. A seal holds the CRC-32 of every column chunk, and of all that is
in no chunk (the footer). A CRC-32 finds every burst of up to 32 bits, and igzip computes it at
20 GB/s. Where the chunks are stands in the footer, in Thrift's compact protocol; the format is
https://github.com/apache/parquet-format, the protocol
https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
from isal import isal_zlib

from spiir_pastro.errors import TableError

_MAGIC = b"PAR1"
_TAIL_BYTES = 8  # the footer's length, and the magic number
_ROW_GROUPS, _COLUMNS, _META = 4, 1, 3  # fields of FileMetaData, RowGroup and ColumnChunk
_PATH, _LENGTH, _DATA, _DICTIONARY = 3, 7, 9, 11  # fields of ColumnMetaData


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    """One column of one row group: its first byte, how many there are, and their CRC-32."""

    offset: int
    length: int
    crc32: int


class Seal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a Parquet file's bytes must be.

    ``size`` is how many, ``rest`` the CRC-32 of those in no column; ``columns`` has each column's
    chunks, in the order of the row groups.
    """

    size: int
    rest: int
    columns: dict[str, tuple[Chunk, ...]]


def seal(path: Path) -> Seal:
    """Seal a Parquet file as it is now."""
    import polars as pl  # noqa: PLC0415  (slow to load; who only checks a seal needs none)

    found: defaultdict[str, list[Chunk]] = defaultdict(list)
    with path.open("rb") as file:
        descriptor = file.fileno()
        size = os.fstat(descriptor).st_size
        for name, offset, length in _chunks(_footer(descriptor, size)):
            # By pread: several may read the same file at once, and no position is shared.
            crc32 = isal_zlib.crc32(os.pread(descriptor, length, offset))
            found[name].append(Chunk(offset, length, crc32))
        # A table without rows has no row group that would name its columns.
        names = found or pl.read_parquet_schema(path)
        columns = {name: tuple(found[name]) for name in names}
        return Seal(size=size, rest=_rest(descriptor, size, columns), columns=columns)


def damage(path: Path, sealed: Seal, columns: Iterable[str] | None = None) -> str | None:
    """Say what is wrong with a file, as far as some columns are read, or all; None if nothing."""
    names = sealed.columns if columns is None else columns
    try:
        with path.open("rb") as file:
            descriptor = file.fileno()
            size = os.fstat(descriptor).st_size
            if size != sealed.size:
                return f"has {size} bytes, where {sealed.size} were written"
            if _rest(descriptor, size, sealed.columns) != sealed.rest:
                return "its footer is damaged"
            for name in names:
                for group, (offset, length, crc32) in enumerate(
                    msgspec.structs.astuple(chunk) for chunk in sealed.columns[name]
                ):
                    if isal_zlib.crc32(os.pread(descriptor, length, offset)) != crc32:
                        return f"column {name} of row group {group} is damaged"
    except FileNotFoundError:
        return "is not there"
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"
    return None


def _rest(descriptor: int, size: int, columns: dict[str, tuple[Chunk, ...]]) -> int:
    """CRC-32 of the bytes that are in no chunk."""
    crc32, at = 0, 0
    chunks = sorted((c.offset, c.length) for chunks in columns.values() for c in chunks)
    for offset, length in (*chunks, (size, 0)):
        if offset > at:
            crc32 = isal_zlib.crc32(os.pread(descriptor, offset - at, at), crc32)
        at = max(at, offset + length)
    return int(crc32)


def _footer(descriptor: int, size: int) -> bytes:
    tail = os.pread(descriptor, _TAIL_BYTES, max(size - _TAIL_BYTES, 0))
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length + _TAIL_BYTES > size:
        raise TableError("no Parquet file: it does not end as one")
    return os.pread(descriptor, length, size - _TAIL_BYTES - length)


def _chunks(footer: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield name, offset and length of each column chunk that a footer lists."""
    try:
        groups = _Thrift(footer).struct(last=_ROW_GROUPS).get(_ROW_GROUPS, ())
    except StopIteration as exc:
        raise TableError("no Parquet file: its footer is cut short") from exc
    for group in groups:
        for column in group[_COLUMNS]:
            meta = column[_META]
            # A chunk begins with its dictionary, if it has one; an offset of 0 means it has none.
            start = min(meta[_DATA], meta.get(_DICTIONARY) or meta[_DATA])
            yield b".".join(meta[_PATH]).decode(), start, meta[_LENGTH]


class _Thrift:
    """Read Thrift's compact protocol: structs as dicts by field, the rest as Python's own."""

    def __init__(self, data: bytes) -> None:
        self._bytes = iter(data)
        self._byte = self._bytes.__next__

    def struct(self, *, last: int | None = None) -> dict[int, Any]:
        """Read a struct, or its fields up to one."""
        fields: dict[int, Any] = {}
        field = 0
        # A head of 0 ends a struct. Its upper half is the step to the next field's number, 0 where
        # that follows by itself; its lower half the kind, in which booleans are their own value.
        while head := self._byte():
            step, kind = head >> 4, head & 15
            field = field + step if step else self._integer()
            fields[field] = kind == 1 if kind in (1, 2) else self._value(kind)
            if field == last:
                break
        return fields

    def _value(self, kind: int) -> Any:  # noqa: ANN401  (what the file holds)
        match kind:
            case 4 | 5 | 6:
                return self._integer()
            case 8:
                return self._take(self._varint())
            case 12:
                return self.struct()
            case 9 | 10:
                return self._list()
            case 1 | 2 | 3:
                return self._byte()
            case 7:
                return self._take(8)
        raise TableError(f"no Parquet file: its footer holds a value of the kind {kind}")

    def _list(self) -> Sequence[Any]:
        head = self._byte()
        # Lengths up to 14 stand in the head itself.
        length = self._varint() if head >> 4 == 15 else head >> 4
        return [self._value(head & 15) for _ in range(length)]

    def _integer(self) -> int:
        number = self._varint()
        return number >> 1 ^ -(number & 1)  # "zigzag": 0, -1, 1, -2, ...

    def _varint(self) -> int:
        number = shift = 0
        while (byte := self._byte()) & 128:
            number |= (byte & 127) << shift
            shift += 7
        return number | byte << shift

    def _take(self, length: int) -> bytes:
        taken = bytes(islice(self._bytes, length))
        if len(taken) < length:
            raise StopIteration
        return taken
