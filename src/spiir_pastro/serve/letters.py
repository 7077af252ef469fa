"""Payloads that nobody understood, kept whole in a folder to be looked at."""

import hashlib
from pathlib import Path

from spiir_pastro.io.atomic import sync_folder, write_atomically

__all__ = ["DeadLetters"]


class DeadLetters:
    """A folder of payloads kept whole, under the hash of what they hold.

    Nothing of a payload becomes part of a path. The folder is bounded, so that a flood of rubbish
    cannot fill the disk.
    """

    def __init__(self, folder: Path, *, limit: int = 10_000) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.limit = limit
        self._known = {path.name for path in folder.iterdir() if path.suffix == ".alert"}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def is_full(self) -> bool:
        """Whether the folder takes no more payloads."""
        return len(self._known) >= self.limit

    def keep(self, payload: bytes) -> Path | None:
        """Write a payload to disk durably; None if the folder is full."""
        name = self.name(payload)
        path = self.folder / name
        if name in self._known:
            return path
        if self.is_full:
            return None
        write_atomically(path, payload)
        sync_folder(self.folder)
        self._known.add(name)
        return path

    @staticmethod
    def name(payload: bytes) -> str:
        """Return the name of a payload's file."""
        return f"{hashlib.sha256(payload).hexdigest()[:32]}.alert"
