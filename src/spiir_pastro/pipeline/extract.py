"""Extract: LIGO_LW files to columnar staging, once each, whatever interrupts.

A zerolag file gives one Parquet (see `staging` for what stands where). A file is done again if its
size, its hash or the columns asked for changed, or if it failed. Everything but ``timings.jsonl``
depends on the input alone: it is the same to the byte however the work was spread, interrupted and
resumed.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import msgspec
import polars as pl
from polars.io.plugins import register_io_source

from spiir_pastro.errors import TableError
from spiir_pastro.io.atomic import atomic_path
from spiir_pastro.io.ligolw import Batch, consume
from spiir_pastro.pipeline.executors import run_all
from spiir_pastro.pipeline.raw import RawFile
from spiir_pastro.pipeline.staging import TABLES, Receipt, Staging, Status

__all__ = ["Outcome", "extract"]

_ROWS_PER_GROUP = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A receipt, whether work was done for it now, and how long that took."""

    receipt: Receipt
    fresh: bool
    seconds: float


def extract(
    files: Sequence[RawFile],
    folder: Path,
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
    folder
        The staging directory; it is made if it is not there.
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
    folder.mkdir(parents=True, exist_ok=True)
    staging = Staging(folder.resolve())
    columns = None if columns is None else tuple(columns)
    tasks = [_Task(raw=raw, staging=staging, columns=columns) for raw in files]
    receipts: dict[str, Receipt] = {}
    with staging.sole_writer(), (folder / "timings.jsonl").open("a") as timings:
        for outcome in run_all(_extract_file, tasks, workers=workers, scheduler=scheduler):
            receipt = receipts[outcome.receipt.name] = outcome.receipt
            entry = {"name": receipt.name, "fresh": outcome.fresh, "seconds": outcome.seconds}
            timings.write(json.dumps(entry) + "\n")
            on_outcome(outcome)
            if strict and receipt.status is Status.FAILED:
                raise TableError(f"{receipt.error} (stopped, as strict asks)")
        staging.write_manifest()
    return [receipts[raw.name] for raw in files]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    raw: RawFile
    staging: Staging
    columns: tuple[str, ...] | None


def _extract_file(task: _Task) -> Outcome:
    """Extract one file, unless its receipt says that this was done."""
    start = time.perf_counter()
    old = task.staging.receipt(task.raw.name)
    new = _identify(task)
    known = (old.size, old.sha256, old.columns) if old else None
    fresh = (
        old is None
        or known != (new.size, new.sha256, new.columns)
        or old.status is Status.FAILED
        or not task.staging.holds(old)
    )
    if old is None or fresh:
        task.staging.remove(task.raw.name)
        new = old = _stage(task, new) if new.error is None else new
        task.staging.keep(new)
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
        task.staging.remove(task.raw.name)
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
        sink.write(task.staging.path(task.raw.name, table))
        rows[table] = sink.rows
    rejected = pl.concat(rejects) if rejects else pl.DataFrame()
    if rejected.height:
        with atomic_path(task.staging.path(task.raw.name, "rejects")) as draft:
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
