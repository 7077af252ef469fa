"""Canonical triggers of a campaign on disk, to be read a span of time at a time."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from spiir_pastro.errors import TableError
from spiir_pastro.io.runs import Run
from spiir_pastro.io.triggers import TRIGGER_TYPES, from_postcoh
from spiir_pastro.pipeline.fates import Fate, Fates

__all__ = ["StagedFile", "TriggerStore"]

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


@dataclass(frozen=True, kw_only=True)
class StagedFile:
    """A staged ``postcoh`` table: where it is, and a name unique in the campaign."""

    path: Path
    name: str


class TriggerStore:
    """Canonical triggers by run, in files sorted by time; and the rows that are no triggers.

    Parameters
    ----------
    folder
        Where to keep them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: defaultdict[str, list[Path]] = defaultdict(list)
        self._rejects: list[pl.DataFrame] = []
        self.rows = 0

    def add(self, run: Run, file: StagedFile) -> Fates:
        """Take in a staged file; return the fates of the rows that are left out.

        A trigger's ``event_id`` becomes ``<file's name>:<id in the file>``, because SPIIR counts
        anew in every file.
        """
        try:
            read = from_postcoh(pl.read_parquet(file.path))
        except (TableError, OSError, pl.exceptions.PolarsError) as exc:
            raise TableError(f"{file.path}: {exc}; extract it again") from exc
        known = read.triggers.columns
        triggers = read.triggers.select(
            pl.col(name) if name in known else pl.lit(None, kind).alias(name)
            for name, kind in TRIGGER_TYPES.items()
        ).with_columns(
            pl.concat_str(pl.lit(file.name), "event_id", separator=":").alias("event_id"),
            pl.lit(run.name).alias("run"),
            pl.lit(str(run.bank)).alias("bank"),
        )
        start, end = run.gps_start * 10**9, run.gps_end * 10**9
        inside = triggers.filter(pl.col("gps_ns").is_between(start, end, closed="left"))
        path = self._folder / run.name / f"{len(self._files[run.name])}.parquet"
        path.parent.mkdir(exist_ok=True)
        inside.sort("gps_ns").write_parquet(path, compression="lz4", row_group_size=100_000)
        self._files[run.name].append(path)
        self.rows += inside.height
        rejects = read.rejects.with_columns(run=pl.lit(run.name), file=pl.lit(file.name))
        self._rejects.append(rejects.select(pl.col(n).cast(t) for n, t in _REJECTS.items()))
        return Counter(
            {
                (run.name, Fate.REJECTED): rejects.height,
                (run.name, Fate.OUTSIDE_SPAN): triggers.height - inside.height,
            }
        )

    def read(self, runs: Sequence[str], start_ns: int, end_ns: int) -> pl.DataFrame:
        """Read the triggers of runs with ``start_ns <= gps_ns < end_ns``, in no certain order."""
        files = [path for run in runs for path in self._files[run]]
        if not files:
            return pl.DataFrame(schema=_TRIGGERS)
        within = pl.col("gps_ns").is_between(start_ns, end_ns, closed="left")
        return pl.scan_parquet(files, hive_partitioning=False).filter(within).collect()

    def rejects(self) -> pl.DataFrame:
        """Return the rows that are no triggers: run, file, row in it, event_id and rule broken."""
        return pl.concat([pl.DataFrame(schema=_REJECTS), *self._rejects])
