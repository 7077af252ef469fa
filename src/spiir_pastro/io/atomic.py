"""Files appear whole or not at all: written beside their place, synced, then renamed into it."""

import errno
import glob
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DRAFTS = ".*.part"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a draft's path that becomes the file when the block ends well, and goes otherwise.

    The file's folder is made. The draft is a hidden file beside it, named by the host and the
    process, so that writers do not meet on a disk that hosts share either. An OSError names the
    file, not the draft.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.part")
    try:
        with system_errors(path):
            yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        draft.replace(path)
    except OSError as exc:
        other = exc.filename is not None and Path(os.fsdecode(exc.filename)) != draft
        if other or exc.strerror is None:
            raise
        raise OSError(exc.errno, exc.strerror, str(path)) from exc  # the user's file, no draft
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def system_errors(path: Path) -> Iterator[None]:
    """Raise what the system refused a library, like room on a full disk, as an error about a file.

    Polars raises such errors as its own, with their text and number; of the end of a Parquet file
    it says no more than that it could not transport it.
    """
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        if found := re.search(r"\(os error (\d+)\)", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from error
        if "transport error" in str(error):
            why = "cannot be written to its end, as on a full disk"
            raise OSError(errno.EIO, why, str(path)) from error
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write bytes to a file, whole or not at all."""
    with atomic_path(path) as draft:
        draft.write_bytes(content)


def is_draft(path: Path) -> bool:
    """Whether a killed process left this of a file."""
    return path.match(_DRAFTS)


def remove_drafts(path: Path) -> None:
    """Remove what killed processes left of a file, or of all files below a folder.

    A draft of a running process on this host is left alone.
    """
    own = f".{glob.escape(path.name)}.*.part"
    for draft in path.rglob(_DRAFTS) if path.is_dir() else path.parent.glob(own):
        if not _is_being_written(draft):
            draft.unlink(missing_ok=True)


def _is_being_written(draft: Path) -> bool:
    number = draft.name.split(".")[-2]
    here = draft.name.endswith(f".{os.uname().nodename}.{number}.part")
    if not here or not number.isdecimal() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)  # asks whether it is there, and does nothing to it
        # One that ended, but was not waited for yet, is there without a command line.
        return Path(f"/proc/{number}/cmdline").read_bytes() != b""
    except (ProcessLookupError, FileNotFoundError):
        return False
    except PermissionError:  # of another user
        return True


def sync_folder(folder: Path) -> None:
    """Have a folder's entries on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
