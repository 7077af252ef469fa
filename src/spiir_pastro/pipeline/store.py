"""Canonical triggers of a campaign on disk, to be read a span of time at a time."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import TableError
from spiir_pastro.io.atomic import system_errors
from spiir_pastro.io.runs import Run
from spiir_pastro.io.trigger_tables import POSTCOH_COLUMNS, TRIGGER_TYPES, from_postcoh
from spiir_pastro.pipeline.fates import Fate, Fates
from spiir_pastro.pipeline.inventory import StagedFile
from spiir_pastro.selection.windows import Ints, is_near

_ROWS_AT_ONCE = 300_000
_FILE = "file"

_TRIGGERS: Mapping[str, type[pl.DataType]] = {
    **TRIGGER_TYPES,
    "run": pl.String,
    "bank": pl.String,
}
_REJECTS: Mapping[str, type[pl.DataType]] = {
    "run": pl.String,
    "file": pl.String,
    "row": pl.Int64,
    "event_id": pl.String,
    "rule": pl.String,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class _Part:
    """A file of triggers sorted by time, and the times of the first and the last."""

    path: Path
    first_ns: int
    last_ns: int


@dataclass(frozen=True, kw_only=True)
class Near:
    """Times, sorted, and how far from them is near; GPS nanoseconds."""

    times: Ints
    window_ns: int

    def mask(self, gps_ns: pl.Series) -> pl.Series:
        """Say which times are near."""
        return pl.Series(is_near(gps_ns.to_numpy(), self.times, window_ns=self.window_ns))


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """Rows of a staged file, from a row on."""

    run: Run
    near: Near | None
    file: str
    row: int
    table: pl.DataFrame


def _canonical(triggers: pl.DataFrame, run: Run) -> pl.DataFrame:
    """Bring triggers of a run into the store's columns and order."""
    known = triggers.columns
    return (
        triggers.sort("gps_ns", maintain_order=True)
        .with_columns(event_id=pl.concat_str(_FILE, "event_id", separator=":"))
        .select(
            pl.col(column) if column in known else pl.lit(None, kind).alias(column)
            for column, kind in TRIGGER_TYPES.items()
        )
        .with_columns(run=pl.lit(run.name), bank=pl.lit(str(run.bank)))
    )


def damage_beside(file: StagedFile) -> str | None:
    """Say what is wrong with those columns of triggers that a store does not need, if anything."""
    others = set(file.columns("postcoh")) - set(_needed(file))
    why = file.damage("postcoh", sorted(others))
    return why and f"{why}, which process does not need"


def _needed(file: StagedFile) -> list[str]:
    return [name for name in file.columns("postcoh") if name in POSTCOH_COLUMNS]


class TriggerStore:
    """Canonical triggers by run, in files sorted by time; and the rows that are no triggers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: list[_Piece] = []
        self._rows_held = 0
        self._parts: defaultdict[str, list[_Part]] = defaultdict(list)
        self._rejects: list[pl.DataFrame] = []
        self._fates = Fates()
        self.rows = 0

    def add(self, run: Run, file: StagedFile, *, near: Near | None = None) -> None:
        """Take in a staged file, now or with those that follow.

        A trigger's ``event_id`` becomes ``<file's name>:<id in the file>``, because SPIIR counts
        anew in every file. Of a run with injections only the triggers ``near`` them are of use.

        Raises
        ------
        IncompleteError
            If the file is not what was staged; nothing of it is taken then.
        TableError
            If columns that a trigger needs are not staged.
        """
        row = 0
        for table in file.frames("postcoh", _needed(file), rows=_ROWS_AT_ONCE):
            self._hold(_Piece(run=run, near=near, file=file.name, row=row, table=table))
            row += table.height

    def finish(self) -> Fates:
        """Take in what is still held; return the fates of all rows that were left out."""
        self._take_held()
        return self._fates

    def _hold(self, piece: _Piece) -> None:
        """Gather small files of a run: what Polars takes to begin does not depend on the rows."""
        if self._held:
            held = self._held[-1]
            is_alike = (held.run.name, held.table.schema) == (piece.run.name, piece.table.schema)
            if not is_alike or self._rows_held + piece.table.height > _ROWS_AT_ONCE:
                self._take_held()
        self._held.append(piece)
        self._rows_held += piece.table.height

    def _take_held(self) -> None:
        """Take in the rows that are held."""
        if not self._held:
            return
        held, self._held, self._rows_held = self._held, [], 0
        run, near = held[0].run, held[0].near
        try:
            read = from_postcoh(pl.concat([piece.table for piece in held], rechunk=True))
        except TableError as exc:
            raise TableError(f"{held[0].file}: {exc}, or extract it with more --columns") from exc
        heights = [piece.table.height for piece in held]
        piece_of, rejected = (
            np.repeat(np.arange(len(held)), heights),
            read.rejects["row"].to_numpy(),
        )
        files = pl.Series([piece.file for piece in held])
        # The triggers are the rows that are no rejects, in their order.
        of_triggers = files.gather(np.delete(piece_of, rejected))
        triggers = read.triggers.with_columns(of_triggers.alias(_FILE))
        start, end = run.gps_start * SECOND_NS, run.gps_end * SECOND_NS
        inside = triggers.filter(pl.col("gps_ns").is_between(start, end, closed="left"))
        used = inside if near is None else inside.filter(near.mask(inside["gps_ns"]))
        if used.height:
            self._keep(run, _canonical(used, run))
        if rejected.size:
            before = np.cumsum([0, *heights[:-1]]) - [piece.row for piece in held]
            rejects = read.rejects.with_columns(
                run=pl.lit(run.name),
                file=files.gather(piece_of[rejected]),
                row=pl.Series(rejected - before[piece_of[rejected]]),
            )
            self._rejects.append(rejects.select(pl.col(n).cast(t) for n, t in _REJECTS.items()))
        self._fates += Counter(
            {
                (run.name, Fate.REJECTED): rejected.size,
                (run.name, Fate.OUTSIDE_SPAN): triggers.height - inside.height,
                (run.name, Fate.NOT_COINCIDENT): inside.height - used.height,
            }
        )

    def _keep(self, run: Run, triggers: pl.DataFrame) -> None:
        """Write triggers sorted by time."""
        path = self._folder / run.name / f"{len(self._parts[run.name])}.parquet"
        path.parent.mkdir(exist_ok=True)
        with system_errors(path):
            # Small row groups of sorted times: by their statistics a slice skips most of a file.
            triggers.write_parquet(path, compression="lz4", row_group_size=_ROWS_AT_ONCE // 8)
        first, last = triggers["gps_ns"][0], triggers["gps_ns"][-1]
        self._parts[run.name].append(_Part(path=path, first_ns=first, last_ns=last))
        self.rows += triggers.height

    def read(
        self,
        runs: Sequence[str],
        start_ns: int,
        end_ns: int,
        *,
        columns: Sequence[str] = tuple(_TRIGGERS),
    ) -> pl.DataFrame:
        """Read the triggers of runs with ``start_ns <= gps_ns < end_ns``, in no certain order."""
        paths = [
            part.path
            for run in runs
            for part in self._parts[run]
            if part.first_ns < end_ns and start_ns <= part.last_ns
        ]
        if not paths:
            return pl.DataFrame(schema=_TRIGGERS).select(columns)
        within = pl.col("gps_ns").is_between(start_ns, end_ns, closed="left")
        scan = pl.scan_parquet(paths, hive_partitioning=False)
        return scan.filter(within).select(columns).collect()

    def rejects(self) -> pl.DataFrame:
        """Return the rows that are no triggers: run, file, row in it, event_id and rule broken."""
        return pl.concat([pl.DataFrame(schema=_REJECTS), *self._rejects])
