"""What stands in a staging directory, and what its receipts say of it.

::

    staging/
      <name>.<table>.parquet   the rows of one table of one raw file (see `raw` for its name)
      <name>.rejects.parquet   its rows that broke a rule, and which, if there are any
      <name>.receipt.json      what became of the file: written last, so what it says is there
      manifest.json            all receipts in brief, by name
      timings.jsonl            what each run did and how long it took (grows; not reproducible)

A receipt holds the hash of the raw bytes that were parsed, the checksums of the tables written, and
the version of the reader. A raw file whose size, times and inode are those of its last entry in
``timings.jsonl`` is taken for the bytes that entry names; any other is hashed (see `sightings`).
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Literal

import msgspec

from spiir_pastro.errors import ConfigError, DocumentError
from spiir_pastro.io.atomic import remove_drafts
from spiir_pastro.io.documents import Document, read_document, write_document
from spiir_pastro.io.seals import Seal, damage
from spiir_pastro.pipeline.raw_files import files_below
from spiir_pastro.pipeline.sightings import Sighting

TABLES = ("postcoh", "sim_inspiral", "segment_definer", "segment")
"""Tables of a raw file that are staged."""

_RECEIPT = ".receipt.json"
_JOURNAL = "timings.jsonl"
_REMEDY = "run spiir-pastro extract again"


class Status(StrEnum):
    """What became of a raw file."""

    DONE = "done"
    NOTHING = "nothing"  # none of its tables is used
    FAILED = "failed"


class StagedTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many rows a staged table has, and what its file's bytes must be."""

    rows: int
    seal: Seal


class Receipt(Document, frozen=True, kw_only=True):
    """What a raw file held, and what became of it."""

    name: str  # of the raw file in the campaign
    ending: str  # what its path has beyond its name, ``.xml.gz`` or ``.xml``
    # of the bytes that were parsed; of a file that failed, 0 and empty
    size: int
    sha256: str
    reader: int  # `READER_VERSION` of the reader
    status: Status
    tables: dict[str, StagedTable]  # what was staged, by table
    rejected: StagedTable | None  # the rows that broke a rule; None if there are none
    columns: tuple[str, ...] | None  # columns of ``postcoh`` asked for; None for all
    error: str | None  # why it failed
    schema_version: Literal[2] = 2

    @property
    def rows(self) -> dict[str, int]:
        """Number of rows by table."""
        return {name: table.rows for name, table in self.tables.items()}

    @property
    def rejects(self) -> int:
        """Number of rows that broke a rule."""
        return self.rejected.rows if self.rejected else 0

    @property
    def file(self) -> str:
        """The raw file's path in the campaign."""
        return self.name + self.ending


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A receipt in brief."""

    name: str
    size: int
    sha256: str
    status: Status
    rows: dict[str, int]
    rejects: int
    error: str | None


class Manifest(Document, frozen=True, kw_only=True):
    """All receipts of a staging directory in brief, by name."""

    files: tuple[Entry, ...]
    schema_version: Literal[2] = 2


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """A line of ``timings.jsonl``."""

    name: str
    fresh: bool
    seconds: float
    seen: Sighting | None


@dataclass(frozen=True, slots=True)
class Staging:
    """A staging directory."""

    folder: Path  # the directory, absolute

    def path(self, name: str, table: str) -> Path:
        """Say where a raw file's table stands, or is to stand."""
        return self.folder / f"{name}.{table}.parquet"

    def receipt(self, name: str) -> Receipt:
        """Read a raw file's receipt.

        Raises
        ------
        DocumentError
            If there is none, or it is damaged or of another version.
        """
        path = self._receipt_path(name)
        receipt = read_document(path, Receipt, remedy=_REMEDY)
        if receipt.name != name:
            raise DocumentError(f"{path} is the receipt of {receipt.name}; {_REMEDY}")
        return receipt

    def receipts_of(self, run: str) -> Iterator[str]:
        """Yield the names of those raw files of a run that have a receipt, sorted.

        OSError if a folder among theirs cannot be listed.
        """
        paths = (path.relative_to(self.folder) for path in files_below(self.folder / run))
        names = (path.as_posix() for path in paths)
        yield from sorted(n.removesuffix(_RECEIPT) for n in names if n.endswith(_RECEIPT))

    def keep(self, receipt: Receipt) -> None:
        """Write a receipt, once all that it vouches for is there."""
        write_document(self._receipt_path(receipt.name), receipt)

    def holds(self, receipt: Receipt) -> bool:
        """Whether all that a receipt vouches for is there, undamaged."""
        tables = {**receipt.tables, **({"rejects": receipt.rejected} if receipt.rejected else {})}
        return not any(
            damage(self.path(receipt.name, name), table.seal) for name, table in tables.items()
        )

    def remove(self, name: str) -> None:
        """Remove a raw file's receipt, then its tables."""
        for path in (
            self._receipt_path(name),
            *(self.path(name, table) for table in (*TABLES, "rejects")),
        ):
            path.unlink(missing_ok=True)

    def listed(self) -> list[str]:
        """Read which raw files the manifest names; none if there is no manifest."""
        path = self.folder / "manifest.json"
        if not path.exists():
            return []
        return [entry.name for entry in read_document(path, Manifest, remedy=_REMEDY).files]

    def write_manifest(self) -> None:
        """Gather all receipts in brief, by name."""
        entries = []
        for name in self.receipts_of("."):
            try:
                receipt = self.receipt(name)
            except DocumentError:  # of a raw file that was not asked for now
                continue
            given = {f: getattr(receipt, f) for f in Entry.__struct_fields__}
            entries.append(Entry(**given))
        write_document(self.folder / "manifest.json", Manifest(files=tuple(entries)))

    def sightings(self) -> dict[str, Sighting]:
        """Read when each raw file was last looked at, by name; lines that say nothing are left."""
        seen = {}
        journal = self.folder / _JOURNAL
        for line in journal.read_bytes().splitlines() if journal.is_file() else ():
            try:
                timing = msgspec.json.decode(line, type=Timing)
            except (msgspec.DecodeError, UnicodeDecodeError):  # torn, or of another version
                continue
            if timing.seen is not None:
                seen[timing.name] = timing.seen
        return seen

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        """Hold the directory, without what killed runs left; the hold ends with the process.

        Raises
        ------
        ConfigError
            If another process has the lock.
        """
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"another process extracts to {self.folder}; let it finish"
                ) from error
            remove_drafts(self.folder)
            yield

    @contextmanager
    def journal(self) -> Iterator[Callable[[Timing], object]]:
        """Give a function that appends a line to ``timings.jsonl``."""
        with (self.folder / _JOURNAL).open("a+b") as file:
            if file.tell():
                file.seek(-1, os.SEEK_END)
                if file.read() != b"\n":  # a killed run left half a line
                    file.write(b"\n")
            yield lambda timing: file.write(msgspec.json.encode(timing) + b"\n")

    def _receipt_path(self, name: str) -> Path:
        return self.folder / f"{name}{_RECEIPT}"
