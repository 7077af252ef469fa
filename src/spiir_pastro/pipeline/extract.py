"""Extract: LIGO_LW files to columnar staging, once each, whatever interrupts.

::

    staging/
      <name>.<table>.parquet   the rows of one table of one raw file (see `raw` for its name)
      <name>.rejects.parquet   its rows that broke a rule, and which, if there are any
      <name>.receipt.json      what became of the file: written last, so what it says is there
      manifest.json            all receipts, by name
      timings.jsonl            what each run did and how long it took (grows; not reproducible)

The tables are ``postcoh``, ``sim_inspiral``, ``segment_definer`` and ``segment``; a zerolag file
gives one Parquet. A file is done again if its size, its hash or the columns asked for changed, or
if it failed. Everything but ``timings.jsonl`` depends on the input alone: it is the same to the
byte however the work was spread, interrupted and resumed. ``staged_files`` finds a run's triggers.
"""

import fcntl
import glob
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from spiir_pastro.errors import ConfigError, TableError
from spiir_pastro.io.atomic import atomic_path, write_atomically
from spiir_pastro.io.ligolw import Batch, consume
from spiir_pastro.io.runs import RunsFile
from spiir_pastro.pipeline.executors import run_all
from spiir_pastro.pipeline.raw import RawFile, raw_triggers
from spiir_pastro.pipeline.store import StagedFile

__all__ = ["TABLES", "Outcome", "Receipt", "Status", "extract", "staged_files"]

TABLES = ("postcoh", "sim_inspiral", "segment_definer", "segment")
"""Tables that later stages use."""

_SCHEMA_VERSION = 1
_ROWS_PER_GROUP = 100_000


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

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the Parquet files, below the staging directory."""
        kinds = (*self.rows, *(["rejects"] if self.rejects else []))
        return tuple(f"{self.name}.{kind}.parquet" for kind in kinds)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A receipt, whether work was done for it now, and how long that took."""

    receipt: Receipt
    fresh: bool
    seconds: float


def staged_files(runs: RunsFile, staging: Path) -> dict[str, list[StagedFile]]:
    """Find the staged triggers of each run, by its name; files that failed are left out.

    Raises
    ------
    ConfigError
        If a run's file was never extracted.
    """
    staged: dict[str, list[StagedFile]] = {run.name: [] for run in runs.runs}
    for run in runs.runs:
        for raw in raw_triggers(run):
            receipt = _receipt(staging, raw.name)
            if receipt is None:
                raise ConfigError(f"{raw.path} is not in {staging}; extract the runs file first")
            if "postcoh" in receipt.rows:
                path = staging / f"{raw.name}.postcoh.parquet"
                staged[run.name].append(StagedFile(path=path, name=raw.name))
    return staged


def extract(
    files: Sequence[RawFile],
    staging: Path,
    *,
    columns: Sequence[str] | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    strict: bool = False,
    on_outcome: Callable[[Outcome], None] = lambda _: None,
) -> list[Receipt]:
    """Bring raw files to staging, those that are not there yet as they are now.

    Parameters
    ----------
    files
        What to extract.
    staging
        Where to; see the module.
    columns
        Columns of ``postcoh`` to keep; all if not given.
    workers, scheduler
        See `run_all`.
    strict
        Stop at the first file that fails.
    on_outcome
        Called for each file as it is done.

    Returns
    -------
    list of Receipt
        In the order of ``files``.

    Raises
    ------
    TableError
        If ``strict``, and a file fails.
    ConfigError
        If another process extracts to the same staging directory.
    """
    staging.mkdir(parents=True, exist_ok=True)
    columns = None if columns is None else tuple(columns)
    tasks = [_Task(raw=raw, staging=staging.resolve(), columns=columns) for raw in files]
    receipts: dict[str, Receipt] = {}
    with _sole_writer(staging), (staging / "timings.jsonl").open("a") as timings:
        for outcome in run_all(_extract_file, tasks, workers=workers, scheduler=scheduler):
            receipt = receipts[outcome.receipt.name] = outcome.receipt
            entry = {"name": receipt.name, "fresh": outcome.fresh, "seconds": outcome.seconds}
            timings.write(json.dumps(entry) + "\n")
            on_outcome(outcome)
            if strict and receipt.status is Status.FAILED:
                raise TableError(f"{receipt.error} (stopped, as strict asks)")
        _write_manifest(staging)
    return [receipts[raw.name] for raw in files]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    raw: RawFile
    staging: Path
    columns: tuple[str, ...] | None


def _extract_file(task: _Task) -> Outcome:
    """Extract one file, unless its receipt says that this was done."""
    start = time.perf_counter()
    old = _receipt(task.staging, task.raw.name)
    new = _identify(task)
    known = (old.size, old.sha256, old.columns) if old else None
    fresh = (
        old is None
        or known != (new.size, new.sha256, new.columns)
        or old.status is Status.FAILED
        or not all((task.staging / output).exists() for output in old.outputs)
    )
    if old is None or fresh:
        _remove_outputs(task)
        new = old = _stage(task, new) if new.error is None else new
        write_atomically(_receipt_path(task.staging, new.name), _encoded(new))
    return Outcome(receipt=old, fresh=fresh, seconds=time.perf_counter() - start)


def _identify(task: _Task) -> Receipt:
    """Begin a receipt: which bytes it is about."""
    digest, size, error = hashlib.sha256(), 0, None
    try:
        with task.raw.path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
                size += len(block)
    except OSError as exc:
        error = f"{task.raw.path}: cannot be read: {exc.strerror}"
    return Receipt(
        name=task.raw.name,
        size=size,
        sha256=digest.hexdigest(),
        columns=task.columns,
        status=Status.FAILED if error else Status.DONE,
        error=error,
    )


def _stage(task: _Task, begun: Receipt) -> Receipt:
    """Write a file's tables and complete its receipt."""
    wanted = {table: task.columns if table == "postcoh" else None for table in TABLES}
    try:
        rows, rejects = consume(task.raw.path, partial(_write_tables, task), wanted)
    except TableError as error:
        _remove_outputs(task)
        return msgspec.structs.replace(begun, status=Status.FAILED, error=str(error))
    status = Status.DONE if rows else Status.NOTHING
    return msgspec.structs.replace(begun, status=status, rows=rows, rejects=rejects)


def _write_tables(task: _Task, batches: Iterator[Batch]) -> tuple[dict[str, int], int]:
    """Write each table as it streams by; return their rows and the number of rejects."""
    rows: dict[str, int] = {}
    rejects: list[pl.DataFrame] = []
    for table, parts in groupby(batches, key=lambda batch: batch.table):
        if table in rows:
            raise TableError(f"two tables {table}, apart; put their rows into one")
        sink = _Sink(parts, rejects)
        sink.write(task.staging / f"{task.raw.name}.{table}.parquet")
        rows[table] = sink.rows
    rejected = pl.concat(rejects) if rejects else pl.DataFrame()
    if rejected.height:
        with atomic_path(task.staging / f"{task.raw.name}.rejects.parquet") as draft:
            rejected.write_parquet(draft, compression="zstd")
    return rows, rejected.height


class _Sink:
    """Write one table's batches to Parquet as they come, in bounded memory."""

    def __init__(self, batches: Iterator[Batch], rejects: list[pl.DataFrame]) -> None:
        self._batches = batches
        self._rejects = rejects
        self._error: Exception | None = None
        self.rows = 0

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all; the same bytes whether it is small or streamed."""
        held: list[pl.DataFrame] = []
        frames = self._frames()
        while self.rows <= _ROWS_PER_GROUP and (frame := next(frames, None)) is not None:
            held.append(frame)
        with atomic_path(path) as draft:
            if self.rows <= _ROWS_PER_GROUP:
                self._raise_hidden()
                pl.concat(held).write_parquet(
                    draft, compression="zstd", row_group_size=_ROWS_PER_GROUP
                )
                return
            stream = chain(held, frames)
            source = register_io_source(lambda *_: stream, schema=held[0].schema)
            source.sink_parquet(draft, compression="zstd", row_group_size=_ROWS_PER_GROUP)
            self._raise_hidden()

    def _frames(self) -> Iterator[pl.DataFrame]:
        """Feed Polars; it would hide an error, so keep it and end."""
        try:
            for batch in self._batches:
                self.rows += batch.frame.height
                if batch.rejects.height:
                    self._rejects.append(batch.rejects)
                yield batch.frame
        except Exception as error:  # noqa: BLE001  (raised again by _raise_hidden)
            self._error = error

    def _raise_hidden(self) -> None:
        if self._error is not None:
            raise self._error


def _receipt_path(staging: Path, name: str) -> Path:
    return staging / f"{name}.receipt.json"


def _receipt(staging: Path, name: str) -> Receipt | None:
    """Read a file's receipt; None if there is none of this version."""
    try:
        return msgspec.json.decode(_receipt_path(staging, name).read_bytes(), type=Receipt)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _encoded(content: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def _remove_outputs(task: _Task) -> None:
    """Remove a file's receipt, then all it vouched for, and what a killed run left."""
    receipt = _receipt_path(task.staging, task.raw.name)
    receipt.unlink(missing_ok=True)
    base = receipt.name.removesuffix(".receipt.json")
    for table in (*TABLES, "rejects"):
        (receipt.parent / f"{base}.{table}.parquet").unlink(missing_ok=True)
    _remove_drafts(receipt.parent, base)


def _remove_drafts(folder: Path, base: str) -> None:
    for draft in folder.glob(f".{glob.escape(base)}.*.part"):
        draft.unlink(missing_ok=True)


def _write_manifest(staging: Path) -> None:
    """Gather all receipts below staging, by name."""
    _remove_drafts(staging, "manifest.json")
    names = sorted(
        str(path.relative_to(staging)).removesuffix(".receipt.json")
        for path in staging.rglob("*.receipt.json")
    )
    files = [receipt for name in names if (receipt := _receipt(staging, name))]
    content = {"schema_version": _SCHEMA_VERSION, "files": files}
    write_atomically(staging / "manifest.json", _encoded(content))


@contextmanager
def _sole_writer(staging: Path) -> Iterator[None]:
    """Hold the staging directory; the hold ends with the process, however that ends."""
    with (staging / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigError(f"another process extracts to {staging}; let it finish") from error
        yield
