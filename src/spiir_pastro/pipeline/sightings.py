"""Whether a raw file still holds the bytes of its receipt, without reading it each time.

What a file's status was when its bytes were hashed is noted. While size, inode and both times stay,
so do the bytes: every write moves the ctime, and no program can set it back.
"""

import hashlib
import os
import time
from pathlib import Path
from typing import Self

import msgspec

_SETTLED_NS = 50_000_000


class Sighting(msgspec.Struct, frozen=True, kw_only=True):
    """A raw file's status and hash, as they were when its bytes were read."""

    # from its status
    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    sha256: str  # of its bytes

    @classmethod
    def of(cls, status: os.stat_result, sha256: str, *, began_ns: int) -> Self:
        """Note what a file's status was, what its bytes are, and when reading them began.

        Just after a write another may follow at the same ctime, whose clock ticks every few
        milliseconds; such a sighting is noted with a ctime that no file has.
        """
        # As git does with its index: "racily clean" entries are read again.
        settled = began_ns - status.st_ctime_ns > _SETTLED_NS
        return cls(
            size=status.st_size,
            mtime_ns=status.st_mtime_ns,
            ctime_ns=status.st_ctime_ns if settled else -1,
            inode=status.st_ino,
            sha256=sha256,
        )

    def still_is(self, status: os.stat_result) -> bool:
        """Whether a file of this status was not touched since."""
        now = Sighting.of(status, self.sha256, began_ns=time.time_ns())
        return self.ctime_ns >= 0 and now == self


def sight(path: Path, last: Sighting | None) -> Sighting:
    """Say what a file is: as last time if it was not touched since, otherwise by its bytes.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    if last is not None and last.still_is(path.stat()):
        return last
    began_ns = time.time_ns()
    with path.open("rb") as file:
        status = os.fstat(file.fileno())  # before its bytes: a write meanwhile must show
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Sighting.of(status, sha256, began_ns=began_ns)
