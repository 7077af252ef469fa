"""Write the tables of one raw file to staging as they stream by, in bounded memory."""

import time
from collections.abc import Iterator
from functools import partial
from itertools import chain, groupby
from pathlib import Path

import polars as pl
from polars.io.plugins import register_io_source

from spiir_pastro.errors import TableError
from spiir_pastro.io.atomic import atomic_path
from spiir_pastro.io.ligolw import Batch, Fingerprint, consume
from spiir_pastro.io.reader_version import READER_VERSION
from spiir_pastro.io.seals import seal
from spiir_pastro.pipeline.raw_files import RawFile
from spiir_pastro.pipeline.sightings import Sighting
from spiir_pastro.pipeline.staging import TABLES, Receipt, StagedTable, Staging, Status

_ROWS_PER_GROUP = 100_000


def stage_tables(
    raw: RawFile, staging: Staging, columns: tuple[str, ...] | None
) -> tuple[Receipt, Sighting | None]:
    """Write a file's tables; return its receipt, and what the file was.

    ``columns`` of ``postcoh`` are kept; None for all.
    """
    wanted = {table: columns if table == "postcoh" else None for table in TABLES}
    fingerprint, began_ns = Fingerprint(), time.time_ns()
    tables: dict[str, StagedTable] = {}
    error = None
    try:
        # Hashed as they are parsed: the receipt is of these bytes, whatever the file holds
        # afterwards.
        write = partial(_write_tables, raw.name, staging)
        tables = consume(raw.path, write, wanted, fingerprint=fingerprint)
    except TableError as exc:
        staging.remove(raw.name)
        error = str(exc)
    rejected = tables.pop("rejects", None)
    receipt = Receipt(
        name=raw.name,
        ending=raw.ending,
        size=0 if error else fingerprint.size,
        sha256="" if error else fingerprint.sha256,
        reader=READER_VERSION,
        status=Status.FAILED if error else Status.DONE if tables else Status.NOTHING,
        tables=tables,
        rejected=rejected,
        columns=columns,
        error=error,
    )
    status = fingerprint.status
    if error or status is None:
        return receipt, None
    return receipt, Sighting.of(status, receipt.sha256, began_ns=began_ns)


def _write_tables(name: str, staging: Staging, batches: Iterator[Batch]) -> dict[str, StagedTable]:
    """Write each table as it streams by, and the rejects, if any; return what was written."""
    written: dict[str, StagedTable] = {}
    rejects: list[pl.DataFrame] = []
    for table, parts in groupby(batches, key=lambda batch: batch.table):
        if table in written:
            raise TableError(f"two tables {table}, apart; put their rows into one")
        sink = _Sink(parts, rejects)
        path = staging.path(name, table)
        sink.write(path)
        written[table] = StagedTable(rows=sink.rows, seal=seal(path))
    rejected = pl.concat(rejects) if rejects else pl.DataFrame()
    if rejected.height:
        path = staging.path(name, "rejects")
        with atomic_path(path) as draft:
            rejected.write_parquet(draft, compression="zstd")
        written["rejects"] = StagedTable(rows=rejected.height, seal=seal(path))
    return written


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
        # Small tables are written whole: a source in Python starts threads, which takes longer than
        # they do.
        while self.rows <= _ROWS_PER_GROUP and (frame := next(frames, None)) is not None:
            held.append(frame)
        self._raise_hidden()
        if self.rows <= _ROWS_PER_GROUP:
            table = pl.concat(held).lazy()
        else:
            stream = chain(held, frames)
            # The schema must be known before the first row, hence of what is held.
            table = register_io_source(lambda *_: stream, schema=held[0].schema)
        with atomic_path(path) as draft:
            # Staged tables can be made again, and are read whole: speed before a tenth of their
            # size, and no statistics, by which a reader could leave rows out.
            table.sink_parquet(
                draft, compression="lz4", statistics=False, row_group_size=_ROWS_PER_GROUP
            )
            self._raise_hidden()

    def _frames(self) -> Iterator[pl.DataFrame]:
        """Give batches to Polars; it would hide an error, so keep it and end."""
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
