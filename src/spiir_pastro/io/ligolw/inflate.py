"""A file's bytes in blocks: inflated where gzipped, counted, and never more than allowed.

isal's igzip inflates two to three times faster than zlib and checks each member's CRC and length.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from isal import igzip_lib

from spiir_pastro.errors import TableError

MAX_BYTES = 8 << 30
"""Default limit on the bytes of one inflated file: ten million SPIIR triggers."""

_FIRST_BLOCK_BYTES = 2 << 20
_BLOCK_BYTES = 8 << 20
_CHUNK_BYTES = 256 << 10
_MOST_BLANK_CHUNKS = 64  # chunks of white space in a row; no writer produces 16 MiB of it
_GZIP = b"\x1f\x8b"
_FOREIGN = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd", b"PK\x03\x04": "zip"}


def _keep_freed_memory() -> None:
    """Have glibc reuse the memory of freed blocks.

    Otherwise it returns it to the system, which hands it back page by page: a tenth of all time
    here. It keeps freed memory in proportion to the largest chunk freed so far, up to 32 MiB (see
    M_MMAP_THRESHOLD in mallopt(3)); this one is never touched, so it costs nothing.
    """
    largest = bytes(31 << 20)
    del largest


_keep_freed_memory()


class Fingerprint:
    """What the bytes of a file were, as they went by, and its ``status`` when it was opened."""

    def __init__(self) -> None:
        self.status: os.stat_result | None = None
        self._digest = hashlib.sha256()
        self.size = 0

    def begin(self, status: os.stat_result) -> None:
        """Begin anew, with a file just opened."""
        self.status, self._digest, self.size = status, hashlib.sha256(), 0

    def take(self, data: bytes) -> bytes:
        """Count bytes, and hand them on."""
        self._digest.update(data)
        self.size += len(data)
        return data

    @property
    def sha256(self) -> str:
        """SHA-256 of the bytes so far, in hexadecimal digits."""
        return self._digest.hexdigest()


def blocks(
    path: str | Path, *, max_bytes: int = MAX_BYTES, fingerprint: Fingerprint | None = None
) -> Generator[bytes]:
    """Yield a plain or gzipped file's content in blocks of 2 to 8 MiB.

    A block ends with a line, if any ends in its last part. Close the generator to stop early: it
    closes the file. The fingerprint, if one is given, is that of the file's own bytes, compressed
    or not. TableError if the path cannot be opened or is no file, the file is damaged, inflates to
    more than ``max_bytes``, or holds white space without end.
    """
    held: list[bytes] = []
    size, enough = 0, _FIRST_BLOCK_BYTES
    for chunk in _chunks(Path(path), max_bytes, fingerprint):
        # Whole lines if possible: a row cut in two would have to be joined again by the parser.
        end = chunk.rfind(b"\n") + 1 or len(chunk)
        size += len(chunk)
        if size < enough:
            held.append(chunk)
            continue
        yield b"".join((*held, memoryview(chunk)[:end]))
        # Blocks grow from 2 to 8 MiB: the parser's threads have work early, and later little
        # overhead.
        held, size, enough = [chunk[end:]], len(chunk) - end, min(2 * enough, _BLOCK_BYTES)
    yield b"".join(held)


def _chunks(path: Path, max_bytes: int, fingerprint: Fingerprint | None) -> Iterator[bytes]:
    total = blank = 0
    try:
        with _opened(path) as file:
            if fingerprint is not None:
                fingerprint.begin(os.fstat(file.fileno()))

            def read() -> bytes:
                data = file.read(_CHUNK_BYTES)
                # Not hashed where nobody asks: that would be a twentieth of all time.
                return data if fingerprint is None else fingerprint.take(data)

            start = read()
            for kind in (kind for mark, kind in _FOREIGN.items() if start.startswith(mark)):
                raise TableError(f"compressed with {kind}; unpack it, or compress it with gzip")
            inflate = _inflated if start.startswith(_GZIP) else _plain
            for chunk in inflate(read, start):
                total += len(chunk)
                if total > max_bytes:
                    raise TableError(
                        f"inflates to more than {max_bytes} bytes; "
                        "if the file is sound, read it with a larger max_bytes"
                    )
                blank = blank + 1 if chunk.isspace() else 0
                if blank > _MOST_BLANK_CHUNKS:
                    mib = _MOST_BLANK_CHUNKS * _CHUNK_BYTES >> 20
                    raise TableError(
                        f"more than {mib} MiB of nothing but white space, before "
                        f"byte {total}; the file is damaged, or made to exhaust its reader"
                    )
                yield chunk
    except OSError as error:
        raise TableError(f"cannot be read: {error.strerror or error}") from error


def _opened(path: Path) -> BinaryIO:
    """Open a file; nothing that could keep its reader waiting, or never end."""
    if not stat.S_ISREG(path.stat().st_mode):
        kind = "a directory" if path.is_dir() else "a device or a pipe"
        raise TableError(f"is {kind}, no file; name a file")
    return path.open("rb")


def _plain(read: Callable[[], bytes], chunk: bytes) -> Iterator[bytes]:
    while chunk:
        yield chunk
        chunk = read()


def _inflated(read: Callable[[], bytes], compressed: bytes) -> Iterator[bytes]:
    """Inflate one gzip member after the other."""
    done = 0
    while compressed:
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        while not member.eof:
            try:
                chunk = member.decompress(compressed, _CHUNK_BYTES)
            except (igzip_lib.IsalError, EOFError, ValueError) as error:  # type: ignore[misc]
                raise TableError(
                    f"damaged gzip data after {done} inflated bytes ({error}); copy the file again"
                ) from error
            done += len(chunk)
            if chunk:
                yield chunk
            compressed = b""
            if member.needs_input and not member.eof:
                compressed = read()
                if not compressed:
                    raise TableError(
                        f"the gzip data end early, after {done} inflated bytes: "
                        "the file was cut short; copy it again"
                    )
        # A gzip file is a sequence of members, and tar or tape tools pad it with zeros.
        compressed = (member.unused_data or read()).lstrip(b"\0")
        while not compressed and (more := read()):  # padding is allowed
            compressed = more.lstrip(b"\0")
        if compressed and not compressed.startswith(_GZIP[: len(compressed)]):
            raise TableError(
                f"{compressed[:8]!r} follows the gzip data after {done} inflated bytes; "
                "the file is damaged or two files in one; copy it again"
            )
