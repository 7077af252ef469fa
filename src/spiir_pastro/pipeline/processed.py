"""A processed campaign, in memory and on disk.

::

    processed/
      background/<BANK>.parquet   candidates of all background runs together
      known_mergers/<BANK>.parquet  triggers of the background runs near known mergers
      foreground/<BANK>.parquet   the best trigger of each injection found, and its true values
      missed/<BANK>.parquet       the injections not found, and the best trigger near in time whose
                                  chirp mass is off
      rejects.parquet             rows that are no triggers, and the rule each broke
      livetime.parquet            by run and combination of detectors
      summary.json                how many rows each rule took, and the hash of each table; last
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

import msgspec
import polars as pl

from spiir_pastro.domain.times import DAY_S, SECOND_NS
from spiir_pastro.errors import DocumentError
from spiir_pastro.io.documents import encode_document, read_document
from spiir_pastro.io.folders import read_verified, write_folder
from spiir_pastro.io.injections import INJECTION_UNITS
from spiir_pastro.io.provenance import InputFile
from spiir_pastro.io.runs import Purpose, Run, RunsFile
from spiir_pastro.io.table_storage import FrameFormat, read_frame, write_frame
from spiir_pastro.io.trigger_tables import TRIGGER_UNITS
from spiir_pastro.pipeline.fates import Fate, Fates
from spiir_pastro.pipeline.inventory import Problem
from spiir_pastro.pipeline.summary import (
    FateCount,
    InjectedRun,
    Livetime,
    Origin,
    ProcessSettings,
    Summary,
    Uncovered,
)
from spiir_pastro.selection import Matches

UNITS: Mapping[str, str] = {
    **TRIGGER_UNITS,
    **INJECTION_UNITS,
    **{f"injection_{name.removeprefix('injection_')}": u for name, u in INJECTION_UNITS.items()},
    **{f"recovered_{name}": unit for name, unit in TRIGGER_UNITS.items()},
    "livetime_ns": "ns",
}
"""Units of the columns of all processed tables."""

_SUMMARY = "summary.json"
_KINDS = ("background", "known_mergers", "foreground", "missed")
_REMEDY = "run spiir-pastro process again"


@dataclass(frozen=True, kw_only=True)
class Processed:
    """A processed campaign.

    Attributes
    ----------
    runs
        The runs it came from.
    background
        Candidates of all background runs, sorted by (gps_ns, event_id).
    known_mergers
        Triggers of all background runs near known mergers, not clustered, in the same order.
    matches
        What became of the injections of each foreground run, by its name.
    rejects
        Columns run, file, row, event_id, rule.
    livetime
        Columns run, bank, ifos, livetime_ns.
    fates
        Rows by run and fate.
    problems
        Files that were not as they should be.
    uncovered
        Segments without trigger files.
    settings
        How they were chosen.
    origin
        What they were made from.
    """

    runs: RunsFile
    background: pl.DataFrame
    known_mergers: pl.DataFrame
    matches: Mapping[str, Matches]
    rejects: pl.DataFrame
    livetime: pl.DataFrame
    fates: Fates
    problems: Sequence[Problem]
    uncovered: Sequence[Uncovered]
    settings: ProcessSettings
    origin: Origin

    def __str__(self) -> str:
        found = sum(matches.found.height for matches in self.matches.values())
        made = found + sum(matches.missed.height for matches in self.matches.values())
        days = self.background_livetime_ns / SECOND_NS / DAY_S
        return (
            f"{self.background.height:,} candidates of background in {days:.2f} days; "
            f"{found:,} of {made:,} injections found"
        )

    def __repr__(self) -> str:
        return f"<Processed: {self}>"

    @property
    def background_livetime_ns(self) -> int:
        """Nanoseconds of background with two detectors or more, which a coherent search needs."""
        whole = self.livetime.filter(pl.col("run").is_null(), pl.col("bank").is_null())
        coincident = whole.filter(pl.col("ifos").str.len_chars() > len("H1"))
        return int(coincident["livetime_ns"].sum())

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return every table by its place, without suffix, under the processed directory."""
        tables = {"rejects": self.rejects, "livetime": self.livetime}
        for bank in sorted({run.bank for run in self.runs.runs}):
            if self.runs.having(Purpose.BACKGROUND, bank):
                tables[f"background/{bank}"] = self.background.filter(bank=str(bank))
                tables[f"known_mergers/{bank}"] = self.known_mergers.filter(bank=str(bank))
            matches = [self.matches[run.name] for run in self.runs.having(Purpose.FOREGROUND, bank)]
            if matches:
                found = pl.concat([m.found for m in matches]).sort("gps_ns", "event_id")
                tables[f"foreground/{bank}"] = found
                tables[f"missed/{bank}"] = pl.concat([m.missed for m in matches])
        return tables

    def fate_table(self) -> pl.DataFrame:
        """Return columns run, bank, purpose, fate and rows: every staged row is counted once."""
        counted = [
            (run.name, str(run.bank), str(run.purpose), str(fate), self.fates[run.name, fate])
            for run in self.runs.runs
            for fate in Fate
        ]
        names = ("run", "bank", "purpose", "fate", "rows")
        return pl.DataFrame(counted, schema=names, orient="row").filter(pl.col("rows") > 0)

    def summary(self, tables: Mapping[str, str]) -> Summary:
        """Say how many rows each rule took, the injections and the livetime.

        Parameters
        ----------
        tables
            SHA-256 of each table by its path.
        """
        return Summary(
            origin=self.origin,
            description=self.runs.description,
            settings=self.settings,
            problems=tuple(self.problems),
            uncovered=tuple(self.uncovered),
            fates=msgspec.convert(self.fate_table().to_dicts(), tuple[FateCount, ...]),
            injections=tuple(
                _injected_run(run, self.matches[run.name])
                for run in self.runs.runs
                if run.name in self.matches
            ),
            background_livetime_s=self.background_livetime_ns / 1e9,
            livetime=tuple(
                Livetime(run=run, bank=bank, ifos=ifos, seconds=ns / 1e9)
                for run, bank, ifos, ns in self.livetime.iter_rows()
            ),
            tables=dict(tables),
        )

    def write(self, folder: Path, *, file_format: FrameFormat = FrameFormat.PARQUET) -> None:
        """Write the tables, then ``summary.json``, replacing what an earlier call wrote."""
        write_folder(
            folder,
            {
                f"{place}.{file_format}": partial(_write_table, table)
                for place, table in self.tables().items()
            },
            last=_SUMMARY,
            vouch=lambda hashes: encode_document(self.summary(hashes)),
            replaces=_is_table,
        )


def _write_table(table: pl.DataFrame, path: Path) -> None:
    write_frame(table, path, units=UNITS)


def _is_table(name: str) -> bool:
    """Whether a path below the folder is one of a processed campaign's tables."""
    path = PurePosixPath(name)
    return path.suffix.removeprefix(".") in {*FrameFormat} and (
        path.parent.name in _KINDS or name.partition(".")[0] in ("rejects", "livetime")
    )


def _as_found(column: str) -> str:
    """Name a column of ``missed`` as ``foreground`` does."""
    own = column.removeprefix("recovered_")
    return own if own != column else f"injection_{column.removeprefix('injection_')}"


def _injected_run(run: Run, matches: Matches) -> InjectedRun:
    return InjectedRun(
        run=run.name,
        bank=str(run.bank),
        found=matches.found.height,
        missed=matches.missed.height,
        analysed=matches.found.filter("injection_analysed").height
        + matches.missed.filter("analysed").height,
        injected=run.injected,
        kept_fraction=run.kept_fraction,
        early_warning_s=run.early_warning_s,
    )


@dataclass(frozen=True)
class ProcessedFolder:
    """A processed campaign on disk; each table is checked against the summary as it is read."""

    folder: Path
    summary: Summary

    def tables(self, kind: str) -> dict[str, pl.DataFrame]:
        """Read the tables of a kind, like ``background``, by bank.

        Raises
        ------
        DocumentError
            If one is not the table that the summary names.
        """
        paths = {PurePosixPath(name): sha for name, sha in self.summary.tables.items()}
        return {
            path.stem: self._read(str(path), sha256)
            for path, sha256 in sorted(paths.items())
            if str(path.parent) == kind
        }

    def injections_seen(self) -> pl.DataFrame:
        """Return the best trigger of each injection seen, whatever its chirp mass, as found.

        ``is_matched`` tells those that match in chirp mass, too.
        """
        found, missed = ([*self.tables(kind).values()] for kind in ("foreground", "missed"))
        off_mass = [
            table.filter(pl.col("recovered_far_hz").is_not_null()).rename(_as_found)
            for table in missed
        ]
        marked = [
            table.with_columns(is_matched=pl.lit(value=matched))
            for matched, tables in ((True, found), (False, off_mass))
            for table in tables
        ]
        return pl.concat(marked, how="diagonal")

    def _read(self, name: str, sha256: str) -> pl.DataFrame:
        path = self.folder / name
        return read_frame(path, read_verified(path, sha256, remedy=_REMEDY))

    @property
    def inputs(self) -> tuple[InputFile, ...]:
        """Name and SHA-256 of each table, and of the summary without its checksum."""
        hashes = {**self.summary.tables, _SUMMARY: self.summary.checksum}
        return tuple(InputFile(name=name, sha256=sha256) for name, sha256 in hashes.items())


def open_processed(folder: Path) -> ProcessedFolder:
    """Open a folder that ``spiir-pastro process`` wrote.

    Raises
    ------
    DocumentError
        If it holds no summary, or a damaged, incomplete or unknown one.
    """
    summary = read_document(folder / _SUMMARY, Summary, remedy=_REMEDY)
    absent = [name for name in summary.tables if not (folder / name).is_file()]
    if absent:
        raise DocumentError(f"{folder / absent[0]} is not there; {_REMEDY}")
    return ProcessedFolder(folder, summary)
