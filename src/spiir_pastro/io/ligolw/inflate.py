"""A file's bytes in blocks: inflated where gzipped, counted, and never more than allowed.

isal's igzip inflates two to three times faster than zlib and checks each member's CRC and length.
"""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO

from isal import igzip_lib

from spiir_pastro.errors import TableError

__all__ = ["MAX_BYTES", "blocks"]

MAX_BYTES = 8 << 30
"""Default limit on the bytes of one inflated file: ten million SPIIR triggers."""

_FIRST_BLOCK = 2 << 20
_BLOCK = 8 << 20
_CHUNK = 256 << 10
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


def blocks(path: str | Path, *, max_bytes: int = MAX_BYTES) -> Generator[bytes]:
    """Yield a plain or gzipped file's content in blocks of 2 to 8 MiB.

    The first are small, so that work on them begins soon. A block ends with a line, if any ends in
    its last part. Who stops early should close the generator, which closes the file.

    Raises
    ------
    TableError
        If the file cannot be opened, is damaged, or inflates to more than ``max_bytes``.
    """
    held: list[bytes] = []
    size, enough = 0, _FIRST_BLOCK
    for chunk in _chunks(Path(path), max_bytes):
        end = chunk.rfind(b"\n") + 1 or len(chunk)
        size += len(chunk)
        if size < enough:
            held.append(chunk)
            continue
        yield b"".join((*held, memoryview(chunk)[:end]))
        held, size, enough = [chunk[end:]], len(chunk) - end, min(2 * enough, _BLOCK)
    yield b"".join(held)


def _chunks(path: Path, max_bytes: int) -> Iterator[bytes]:
    total = 0
    try:
        with path.open("rb") as file:
            magic = file.read(6)
            file.seek(0)
            for kind in (kind for mark, kind in _FOREIGN.items() if magic.startswith(mark)):
                raise TableError(f"compressed with {kind}; unpack it, or compress it with gzip")
            for chunk in _inflated(file) if magic.startswith(_GZIP) else _plain(file):
                total += len(chunk)
                if total > max_bytes:
                    raise TableError(
                        f"inflates to more than {max_bytes} bytes; "
                        "if the file is sound, read it with a larger max_bytes"
                    )
                yield chunk
    except OSError as error:
        raise TableError(f"cannot be read: {error.strerror or error}") from error


def _plain(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK):
        yield chunk


def _inflated(file: BinaryIO) -> Iterator[bytes]:
    """Inflate one gzip member after the other."""
    done, compressed = 0, file.read(_CHUNK)
    while compressed:
        member = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        while not member.eof:
            try:
                chunk = member.decompress(compressed, _CHUNK)
            except (igzip_lib.IsalError, EOFError, ValueError) as error:  # type: ignore[misc]
                raise TableError(
                    f"damaged gzip data after {done} inflated bytes ({error}); copy the file again"
                ) from error
            done += len(chunk)
            if chunk:
                yield chunk
            compressed = b""
            if member.needs_input and not member.eof:
                compressed = file.read(_CHUNK)
                if not compressed:
                    raise TableError(
                        f"the gzip data end early, after {done} inflated bytes: "
                        "the file was cut short; copy it again"
                    )
        compressed = (member.unused_data or file.read(_CHUNK)).lstrip(b"\0")
        while not compressed and (more := file.read(_CHUNK)):  # padding is allowed
            compressed = more.lstrip(b"\0")
        if compressed and not compressed.startswith(_GZIP[: len(compressed)]):
            raise TableError(
                f"{compressed[:8]!r} follows the gzip data after {done} inflated bytes; "
                "the file is damaged or two files in one; copy it again"
            )
