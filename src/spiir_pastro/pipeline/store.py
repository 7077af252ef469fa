"""Canonical triggers of a campaign on disk, to be read a span of time at a time."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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


def _canonical(triggers: pl.DataFrame, run: Run, name: str) -> pl.DataFrame:
    """Bring triggers of a file into the store's columns and order."""
    known = triggers.columns
    return (
        triggers.sort("gps_ns", maintain_order=True)
        .select(
            pl.col(column) if column in known else pl.lit(None, kind).alias(column)
            for column, kind in TRIGGER_TYPES.items()
        )
        .with_columns(
            pl.concat_str(pl.lit(name), "event_id", separator=":").alias("event_id"),
            pl.lit(run.name).alias("run"),
            pl.lit(str(run.bank)).alias("bank"),
        )
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
        self._parts: defaultdict[str, list[_Part]] = defaultdict(list)
        self._rejects: list[pl.DataFrame] = []
        self.rows = 0

    def add(self, run: Run, file: StagedFile, *, near: Near | None = None) -> Fates:
        """Take in a staged file; return the fates of the rows that are left out.

        A trigger's ``event_id`` becomes ``<file's name>:<id in the file>``, because SPIIR counts
        anew in every file. Of a run with injections only the triggers ``near`` them are of use.

        Raises
        ------
        IncompleteError
            If the file is not what was staged; nothing of it is taken then.
        TableError
            If columns that a trigger needs are not staged.
        """
        fates, row = Fates(), 0
        for postcoh in file.frames("postcoh", _needed(file), rows=_ROWS_AT_ONCE):
            fates += self._take(run, file.name, postcoh, row, near)
            row += postcoh.height
        return fates

    def _take(
        self, run: Run, name: str, postcoh: pl.DataFrame, row: int, near: Near | None
    ) -> Fates:
        """Take in the rows of a file from a row on."""
        try:
            read = from_postcoh(postcoh)
        except TableError as exc:
            raise TableError(f"{name}: {exc}, or extract it with more --columns") from exc
        start, end = run.gps_start * SECOND_NS, run.gps_end * SECOND_NS
        within = pl.col("gps_ns").is_between(start, end, closed="left")
        inside = read.triggers.filter(within)
        used = inside if near is None else inside.filter(near.mask(inside["gps_ns"]))
        if used.height:
            self._keep(run, _canonical(used, run, name))
        rejects = read.rejects.with_columns(
            pl.col("row").cast(pl.Int64) + row, run=pl.lit(run.name), file=pl.lit(name)
        )
        if rejects.height:
            self._rejects.append(rejects.select(pl.col(n).cast(t) for n, t in _REJECTS.items()))
        return Counter(
            {
                (run.name, Fate.REJECTED): rejects.height,
                (run.name, Fate.OUTSIDE_SPAN): read.triggers.height - inside.height,
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
