"""Which files of a campaign are staged, and which are missing, stale or damaged.

Receipts decide: which trigger, segment and injection files a run has is what its globs find
among the staged names, so a machine with staging alone works on the same. Where raw files of a run
are there as well, each must be the one that was extracted.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec
import polars as pl

from spiir_pastro.errors import DocumentError, IncompleteError
from spiir_pastro.io.reader_version import READER_VERSION
from spiir_pastro.io.runs import Run, RunsFile
from spiir_pastro.io.seals import damage
from spiir_pastro.pipeline.raw_files import (
    ENDINGS,
    RawFile,
    RawKind,
    kind_of,
    raw_files_of_run,
)
from spiir_pastro.pipeline.sightings import Sighting, sight
from spiir_pastro.pipeline.staging import Receipt, Staging, Status

_MOST_LINES = 50


class Trouble(StrEnum):
    """What can be wrong with a raw file or its staged tables."""

    MISSING = "missing"
    NEW = "new"
    CHANGED = "changed"
    STALE = "stale"
    FAILED = "failed"
    DAMAGED = "damaged"
    TWICE = "twice"


class Problem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that is not as it should be: its name in the campaign, and why."""

    name: str
    trouble: Trouble
    why: str


class StagedFile(msgspec.Struct, frozen=True, kw_only=True):
    """What is staged of a raw file, checked as it is read."""

    staging: Staging
    receipt: Receipt

    @property
    def name(self) -> str:
        """The raw file's name in the campaign."""
        return self.receipt.name

    def columns(self, table: str) -> tuple[str, ...]:
        """Name the columns of a table."""
        return tuple(self.receipt.tables[table].seal.columns)

    def damage(self, table: str, columns: Iterable[str]) -> str | None:
        """Say what is wrong with columns of a table, if anything is."""
        path = self.staging.path(self.name, table)
        why = damage(path, self.receipt.tables[table].seal, columns)
        return why and f"{path}: {why}"

    def frames(
        self, table: str, columns: Sequence[str] | None = None, *, rows: int
    ) -> Iterator[pl.DataFrame]:
        """Check the columns wanted, then yield them some rows at a time, at least once.

        Raises
        ------
        IncompleteError
            If the table is not what was written.
        """
        path, staged = self.staging.path(self.name, table), self.receipt.tables[table]
        wanted = list(self.columns(table) if columns is None else columns)
        if why := self.damage(table, wanted):
            raise IncompleteError(why)
        whole = pl.scan_parquet(path, hive_partitioning=False).select(wanted)
        try:
            for start in range(0, max(staged.rows, 1), rows):
                yield whole.slice(start, rows).collect()
        except (OSError, pl.exceptions.PolarsError) as exc:
            raise IncompleteError(f"{path}: {exc}") from exc

    def read(self, table: str) -> pl.DataFrame:
        """Read a whole table; see `frames`."""
        (frame,) = self.frames(table, rows=max(self.receipt.tables[table].rows, 1))
        return frame


@dataclass(frozen=True, kw_only=True)
class StagedRun:
    """What is staged of a run, each kind sorted by name."""

    run: Run
    files: Mapping[RawKind, tuple[StagedFile, ...]]
    has_raw: bool = True  # whether raw files of it are there, to hold what is staged against


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """What is staged of a campaign, by run, and the files that are not as they should be."""

    runs: RunsFile
    folder: Path
    staged: Mapping[str, StagedRun]
    problems: tuple[Problem, ...]

    @property
    def unchecked(self) -> tuple[str, ...]:
        """The runs of which no raw file is there: whether staging is all of them is not known."""
        return tuple(name for name, of_run in self.staged.items() if not of_run.has_raw)


def insist(problems: Sequence[Problem], *, where: Path) -> None:
    """Raise an error if files are not as they should be.

    Raises
    ------
    IncompleteError
        With the problems, one a line, if there are any.
    """
    if problems:
        lines = [f"{p.trouble}: {p.name}: {p.why}" for p in problems[:_MOST_LINES]]
        if len(problems) > _MOST_LINES:
            lines.append(f"and {len(problems) - _MOST_LINES} more")
        first = (
            f"{where} does not hold the whole campaign; run spiir-pastro extract again, or go on "
            "with --allow-missing:"
        )
        raise IncompleteError("\n  ".join([first, *lines]))


def take_inventory(runs: RunsFile, folder: Path) -> Inventory:
    """List what is staged of a campaign, and compare it with the raw files that are there.

    Raises
    ------
    IncompleteError
        If nothing of a run is staged.
    """
    staging = Staging(folder.resolve())
    seen, listed = staging.sightings(), staging.listed()
    holders: dict[str, list[tuple[str, Run]]] = {}
    taken = [_inventory_of(run, staging, seen, listed, holders) for run in runs.runs]
    _insist_on_same_columns([run for run, _ in taken], folder)
    problems = sorted((p for _, some in taken for p in some), key=lambda problem: problem.name)
    for run, some in taken:
        if not run.files[RawKind.TRIGGERS] and all(
            p.trouble in (Trouble.NEW, Trouble.MISSING) for p in some
        ):
            raise IncompleteError(
                f"no trigger file of run {run.run.name} is in {folder}; extract the runs file first"
            )
    return Inventory(
        runs=runs,
        folder=folder,
        staged={run.run.name: run for run, _ in taken},
        problems=tuple(problems),
    )


def _insist_on_same_columns(taken: Sequence[StagedRun], folder: Path) -> None:
    """Refuse what an extraction of other columns left when it was interrupted."""
    files = [file for run in taken for file in run.files[RawKind.TRIGGERS]]
    other = [file.name for file in files if file.receipt.columns != files[0].receipt.columns]
    if other:
        raise IncompleteError(
            f"{other[0]} was extracted to {folder} with other --columns than {files[0].name}; "
            "extract all of the runs file again"
        )


def _inventory_of(
    run: Run,
    staging: Staging,
    seen: Mapping[str, Sighting],
    listed: Sequence[str],
    holders: dict[str, list[tuple[str, Run]]],
) -> tuple[StagedRun, list[Problem]]:
    receipts: dict[str, Receipt] = {}
    problems: list[Problem] = []
    for name in staging.receipts_of(run.name):
        match _judged(run, staging, name):
            case Receipt() as receipt:
                receipts[name] = receipt
            case Problem() as problem:
                problems.append(problem)
    known = receipts.keys() | {problem.name for problem in problems}
    # Where no raw file of a run is there, as on a machine that only processes, staging is enough.
    raws = {raw.name: raw for raw in raw_files_of_run(run)}
    if raws:
        problems += _differences(receipts, known, raws, seen)
    else:
        why = "manifest.json names it, but its receipt is gone; copy the staging folder again"
        gone = [name for name in listed if name not in known and _is_of(run, name)]
        problems += [Problem(name=name, trouble=Trouble.MISSING, why=why) for name in gone]
    problems += _twice(run, receipts, holders)
    useless = {p.name for p in problems if p.trouble is not Trouble.MISSING}
    files = [
        (kind_of(run, receipt.file), StagedFile(staging=staging, receipt=receipt))
        for name, receipt in receipts.items()
        if name not in useless
    ]
    by_kind = {kind: tuple(file for k, file in files if k is kind) for kind in RawKind}
    return StagedRun(run=run, files=by_kind, has_raw=bool(raws)), problems


def _judged(run: Run, staging: Staging, name: str) -> Receipt | Problem | None:
    """Return a receipt, or what is wrong with it; None for a file that is none of the run's."""
    try:
        receipt = staging.receipt(name)
    except DocumentError as exc:
        if _is_of(run, name):
            return Problem(name=name, trouble=Trouble.DAMAGED, why=str(exc))
        return None
    kind = kind_of(run, receipt.file)
    if kind is None:
        return None
    return _unusable(receipt, kind) or receipt


def _is_of(run: Run, name: str) -> bool:
    """Whether a raw file's name is one of a run's, whatever it ends in."""
    mine = name.startswith(f"{run.name}/")
    return mine and any(kind_of(run, name + ending) for ending in (*ENDINGS, ""))


def _unusable(receipt: Receipt, kind: RawKind) -> Problem | None:
    """Say why the tables of a receipt cannot be used, if so."""
    absent = [table for table in kind.tables if table not in receipt.tables]
    if receipt.status is Status.FAILED:
        trouble, why = Trouble.FAILED, str(receipt.error)
    elif receipt.reader != READER_VERSION:
        trouble = Trouble.STALE
        why = f"extracted by version {receipt.reader} of the reader; today's is {READER_VERSION}"
    elif absent:
        trouble, why = Trouble.FAILED, f"holds no table {absent[0]}"
    else:
        return None
    return Problem(name=receipt.name, trouble=trouble, why=why)


def _differences(
    receipts: Mapping[str, Receipt],
    known: AbstractSet[str],
    raws: Mapping[str, RawFile],
    seen: Mapping[str, Sighting],
) -> Iterator[Problem]:
    """Find what a raw tree and the receipts, good and bad ones, do not have in common."""
    for name in sorted(receipts.keys() - raws.keys()):
        why = "its raw file is gone; bring it back, or remove what is staged of it"
        yield Problem(name=name, trouble=Trouble.MISSING, why=why)
    for name, raw in raws.items():
        if name not in known:
            yield Problem(name=name, trouble=Trouble.NEW, why=f"{raw.path} was never extracted")
        elif name in receipts and (change := _change(raw, receipts[name], seen.get(name))):
            yield Problem(name=name, trouble=Trouble.CHANGED, why=f"{raw.path} {change}")


def _twice(
    run: Run, receipts: Mapping[str, Receipt], holders: dict[str, list[tuple[str, Run]]]
) -> Iterator[Problem]:
    """Find triggers that another file holds too; ``holders`` are the files of a hash, of all runs.

    Where no injection is seen, an injection run has the triggers of its bank's background run.
    """
    for name, receipt in receipts.items():
        if not receipt.rows.get("postcoh"):  # files without a trigger may well be the same
            continue
        same = holders.setdefault(receipt.sha256, [])
        for other, its in same:
            if other != name and (its.purpose is run.purpose or its.bank != run.bank):
                why = f"holds the same bytes as {other}; remove one, and what is staged of it"
                yield Problem(name=name, trouble=Trouble.TWICE, why=why)
                break
        same.append((name, run))


def _change(raw: RawFile, receipt: Receipt, seen: Sighting | None) -> str | None:
    """Say how a raw file differs from the one that was extracted, if it does."""
    try:
        size = raw.path.stat().st_size
        if size != receipt.size:
            return f"has {size} bytes, where {receipt.size} were extracted"
        if sight(raw.path, seen).sha256 != receipt.sha256:
            return "holds other bytes than were extracted"
    except OSError as exc:
        return f"cannot be read: {exc.strerror}"
    return None
