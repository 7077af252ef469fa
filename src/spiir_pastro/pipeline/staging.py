"""What stands in a staging directory, and what its receipts say of it.

::

    staging/
      <name>.<table>.parquet   the rows of one table of one raw file (see `raw` for its name)
      <name>.rejects.parquet   its rows that broke a rule, and which, if there are any
      <name>.receipt.json      what became of the file: written last, so what it says is there
      manifest.json            all receipts, by name
      timings.jsonl            what each run did and how long it took (grows; not reproducible)
"""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec

from spiir_pastro.errors import ConfigError
from spiir_pastro.io.atomic import remove_drafts, write_atomically
from spiir_pastro.io.runs import RunsFile
from spiir_pastro.pipeline.raw import raw_triggers
from spiir_pastro.pipeline.store import StagedFile

__all__ = ["TABLES", "Receipt", "Staging", "Status", "staged_files"]

TABLES = ("postcoh", "sim_inspiral", "segment_definer", "segment")
"""Tables of a raw file that are staged."""

_SCHEMA_VERSION = 1
_RECEIPT = ".receipt.json"


class Status(StrEnum):
    """What became of a raw file."""

    DONE = "done"
    NOTHING = "nothing"  # none of its tables is used
    FAILED = "failed"


class Receipt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a raw file held, and what became of it."""

    name: str
    size: int
    sha256: str
    status: Status
    rows: dict[str, int] = {}
    rejects: int = 0
    columns: tuple[str, ...] | None = None
    error: str | None = None
    schema_version: int = _SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Staging:
    """A staging directory.

    Attributes
    ----------
    folder
        The directory, absolute.
    """

    folder: Path

    def path(self, name: str, table: str) -> Path:
        """Say where a raw file's table stands, or is to stand."""
        return self.folder / f"{name}.{table}.parquet"

    def receipt(self, name: str) -> Receipt | None:
        """Read a raw file's receipt; None if there is none of this version."""
        try:
            return msgspec.json.decode(self._receipt_path(name).read_bytes(), type=Receipt)
        except (FileNotFoundError, msgspec.DecodeError):
            return None

    def keep(self, receipt: Receipt) -> None:
        """Write a receipt, once all that it vouches for is there."""
        write_atomically(self._receipt_path(receipt.name), _encoded(receipt))

    def holds(self, receipt: Receipt) -> bool:
        """Whether all that a receipt vouches for is there."""
        tables = (*receipt.rows, *(["rejects"] if receipt.rejects else []))
        return all(self.path(receipt.name, table).exists() for table in tables)

    def remove(self, name: str) -> None:
        """Remove a raw file's receipt, then its tables, and what a killed run left of it."""
        for path in (
            self._receipt_path(name),
            *(self.path(name, table) for table in (*TABLES, "rejects")),
        ):
            path.unlink(missing_ok=True)
            remove_drafts(path)

    def write_manifest(self) -> None:
        """Gather all receipts, by name."""
        names = sorted(
            str(path.relative_to(self.folder)).removesuffix(_RECEIPT)
            for path in self.folder.rglob(f"*{_RECEIPT}")
        )
        files = [receipt for name in names if (receipt := self.receipt(name))]
        content = {"schema_version": _SCHEMA_VERSION, "files": files}
        manifest = self.folder / "manifest.json"
        remove_drafts(manifest)
        write_atomically(manifest, _encoded(content))

    @contextmanager
    def sole_writer(self) -> Iterator[None]:
        """Hold the directory; the hold ends with the process, however that ends.

        Raises
        ------
        ConfigError
            If another process holds it.
        """
        with (self.folder / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ConfigError(
                    f"another process extracts to {self.folder}; let it finish"
                ) from error
            yield

    def _receipt_path(self, name: str) -> Path:
        return self.folder / f"{name}{_RECEIPT}"


def staged_files(runs: RunsFile, folder: Path) -> dict[str, list[StagedFile]]:
    """Find the staged triggers of each run, by its name; files that failed are left out.

    Raises
    ------
    ConfigError
        If a run's file was never extracted.
    """
    staging = Staging(folder)
    staged: dict[str, list[StagedFile]] = {run.name: [] for run in runs.runs}
    for run in runs.runs:
        for raw in raw_triggers(run):
            receipt = staging.receipt(raw.name)
            if receipt is None:
                raise ConfigError(f"{raw.path} is not in {folder}; extract the runs file first")
            if "postcoh" in receipt.rows:
                path = staging.path(raw.name, "postcoh")
                staged[run.name].append(StagedFile(path=path, name=raw.name))
    return staged


def _encoded(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"
