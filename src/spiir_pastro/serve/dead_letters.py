"""Payloads that could not be answered, kept whole in a folder to be looked at and tried again."""

import hashlib
from pathlib import Path

from spiir_pastro.serve.spool_file import Disk, LocalDisk


class DeadLetters:
    """A folder of payloads kept whole, under the hash of what they hold.

    Nothing of a payload becomes part of a path. The folder is bounded in number and bytes, so that
    many bad payloads cannot fill the disk.
    """

    def __init__(
        self,
        folder: Path,
        *,
        limit: int = 10_000,
        limit_bytes: int = 256 * 2**20,
        disk: Disk | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.limit = limit
        self.limit_bytes = limit_bytes
        self._disk = disk or LocalDisk()
        self._sizes: dict[str, int] = {}
        self.look()

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def size(self) -> int:
        """How large they are in all."""
        return sum(self._sizes.values())

    def look(self) -> None:
        """See what is there by now: people look at letters, and take them away."""
        found = {}
        for path in self._files():
            if path.suffix == ".alert":
                try:
                    found[path.name] = path.stat().st_size
                except OSError:
                    continue
        self._sizes = found

    def _files(self) -> list[Path]:
        try:
            return list(self.folder.iterdir())
        except FileNotFoundError:  # taken away with the spool, whose check tells of it
            return []

    def problem(self) -> str | None:
        """Say that the folder takes no more, if so."""
        if len(self) < self.limit and self.size < self.limit_bytes:
            return None
        return (
            f"{self.folder} is full with {len(self)} payloads of {self.size} bytes; no more are "
            "kept: replay or remove them"
        )

    def keep(self, payload: bytes) -> Path | None:
        """Write a payload to disk durably; None if there is no room."""
        name = self.name(payload)
        path = self.folder / name
        if name in self._sizes:
            return path
        if len(self) >= self.limit or self.size + len(payload) > self.limit_bytes:
            self.look()
            if len(self) >= self.limit or self.size + len(payload) > self.limit_bytes:
                return None
        self._disk.write(path, payload)
        self._sizes[name] = len(payload)
        return path

    def names(self) -> list[str]:
        """Return the names of all that are kept, in order."""
        self.look()
        return sorted(self._sizes)

    def read(self, name: str) -> bytes | None:
        """Return a payload; None if it is gone."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def remove(self, name: str) -> None:
        """Take a payload away: it was answered."""
        (self.folder / name).unlink(missing_ok=True)
        self._sizes.pop(name, None)

    @staticmethod
    def name(payload: bytes) -> str:
        """Return the name of a payload's file."""
        # By content: an alert that comes again, on another topic or after a restart, is one file.
        return f"{hashlib.sha256(payload).hexdigest()[:32]}.alert"
