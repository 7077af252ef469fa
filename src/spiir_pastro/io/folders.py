"""Whole folders: several files that belong together, and one that names them by their hashes.

The files are written first, each whole, and last the one that names each by its hash; readers trust
what it names and nothing else. So a folder that a killed program leaves, with some files of its own
and some of an earlier result, is refused, and the same command again makes it whole.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from spiir_pastro.errors import ConfigError, DocumentError
from spiir_pastro.io.atomic import remove_drafts, write_atomically


def write_folder(
    folder: Path,
    files: Mapping[str, bytes | Callable[[Path], object]],
    *,
    last: str,
    vouch: Callable[[Mapping[str, str]], bytes],
    replaces: Callable[[str], bool],
) -> None:
    """Write files into a folder, then the file that names them by their hashes.

    Parameters
    ----------
    files
        Content by path below the folder, or a function that writes it to the path it is given, as
        `spiir_pastro.io.atomic.atomic_path` does.
    last
        Name of the file with the hashes.
    vouch
        Makes its content of the SHA-256 of each file.
    replaces
        Which other files, by path below the folder, are of an earlier result; they are removed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_drafts(folder)
    hashes = {}
    for name, content in files.items():
        path = folder / name
        if isinstance(content, bytes):
            write_atomically(path, content)
        else:
            content(path)
        with path.open("rb") as written:
            hashes[name] = hashlib.file_digest(written, "sha256").hexdigest()
    write_atomically(folder / last, vouch(hashes))
    # An earlier result's other files go last, when nothing names them any more.
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in files and name != last and replaces(name):
            path.unlink()


def read_verified(path: Path, sha256: str, *, remedy: str) -> bytes:
    """Read a file that must have the hash its folder names; DocumentError if it has another."""
    try:
        content = path.read_bytes()
    except OSError as exc:
        raise DocumentError(f"{path}: {exc.strerror}; {remedy}") from exc
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DocumentError(
            f"{path} is damaged or of another result than the files beside it; {remedy}"
        )
    return content


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Lock a folder, which is made; the lock ends with the process, however that ends.

    ConfigError if another process has the lock.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as exc:
        raise ConfigError(f"another process writes to {folder}; let it finish") from exc
    finally:
        os.close(descriptor)
