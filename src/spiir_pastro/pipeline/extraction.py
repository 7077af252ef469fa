"""Extract: LIGO_LW files to columnar staging, once each, whatever interrupts.

A zerolag file gives one Parquet (see `staging` for what stands where). A file is done again if its
bytes or the columns asked for changed, if the reader's version did, if it failed, or if what was
staged is no longer what was written. Everything but ``timings.jsonl`` depends on the input alone:
it is the same to the byte however the work was spread, interrupted and resumed.

Who hands out the work reads no table: Polars is loaded by the workers alone, all at once.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

from spiir_pastro.domain.columns import POSTCOH_TYPES
from spiir_pastro.errors import ConfigError, DocumentError, TableError
from spiir_pastro.io.reader_version import READER_VERSION
from spiir_pastro.pipeline.executors import run_all
from spiir_pastro.pipeline.raw_files import RawFile
from spiir_pastro.pipeline.sightings import Sighting, sight
from spiir_pastro.pipeline.staging import Receipt, Staging, Status, Timing


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A receipt, whether work was done for it now, how long that took, and what the file was."""

    receipt: Receipt
    fresh: bool
    seconds: float
    seen: Sighting | None


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
    folder
        The staging directory; it is made if it is not there.
    columns
        Columns of ``postcoh`` to keep, by the names of today's SPIIR; all if not given.
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
        If SPIIR knows no such column, or another process extracts to the same staging directory.
    """
    _require_known(columns or ())
    folder.mkdir(parents=True, exist_ok=True)
    staging = Staging(folder.resolve())
    columns = None if columns is None else tuple(columns)
    receipts: dict[str, Receipt] = {}
    with staging.sole_writer(), staging.journal() as note:
        seen = staging.sightings()
        tasks = [
            _Task(raw=raw, staging=staging, columns=columns, seen=seen.get(raw.name))
            for raw in files
        ]
        # Workers take longer to start than to see that a file was not touched.
        untouched = {task.raw.name for task in tasks if _is_untouched(task)}
        standing = (_extract_file(task) for task in tasks if task.raw.name in untouched)
        todo = [task for task in tasks if task.raw.name not in untouched]
        new = run_all(_extract_file, todo, workers=workers, scheduler=scheduler) if todo else ()
        for outcome in chain(standing, new):
            receipt = receipts[outcome.receipt.name] = outcome.receipt
            if outcome.fresh or outcome.seen != seen.get(receipt.name):
                note(
                    Timing(
                        name=receipt.name,
                        fresh=outcome.fresh,
                        seconds=outcome.seconds,
                        seen=outcome.seen,
                    )
                )
            on_outcome(outcome)
            if strict and receipt.status is Status.FAILED:
                raise TableError(f"{receipt.error} (stopped, as strict asks)")
        staging.write_manifest()
    return [receipts[raw.name] for raw in files]


def _require_known(columns: Sequence[str]) -> None:
    """Refuse columns that no file of SPIIR's has, before any file is read."""
    for name in (name for name in columns if name not in POSTCOH_TYPES):
        near = get_close_matches(name, POSTCOH_TYPES) or sorted(POSTCOH_TYPES)
        raise ConfigError(f"no postcoh table has a column {name!r}; name {' or '.join(near)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Task:
    raw: RawFile
    staging: Staging
    columns: tuple[str, ...] | None
    seen: Sighting | None


def _extract_file(task: _Task) -> Outcome:
    """Extract one file, unless its receipt says that this was done."""
    start = time.perf_counter()
    try:
        old = task.staging.receipt(task.raw.name)
        seen = sight(task.raw.path, task.seen) if _may_stand(old, task) else None
    except (DocumentError, OSError):  # no good receipt, or nothing to compare it with
        old, seen = None, None
    if old is not None and seen is not None and seen.sha256 == old.sha256:
        return Outcome(receipt=old, fresh=False, seconds=time.perf_counter() - start, seen=seen)
    from spiir_pastro.pipeline.staged_tables import stage_tables  # noqa: PLC0415  (loads Polars)

    task.staging.remove(task.raw.name)
    receipt, seen = stage_tables(task.raw, task.staging, task.columns)
    task.staging.keep(receipt)
    return Outcome(receipt=receipt, fresh=True, seconds=time.perf_counter() - start, seen=seen)


def _is_untouched(task: _Task) -> bool:
    """Whether a raw file's status, and what is asked of it, are what they were when it was read."""
    try:
        seen = task.seen is not None and task.seen.still_is(task.raw.path.stat())
        return seen and _is_as_asked(task.staging.receipt(task.raw.name), task)
    except (DocumentError, OSError):
        return False


def _is_as_asked(old: Receipt, task: _Task) -> bool:
    """Whether a receipt is of what is asked for now, by today's reader."""
    return (
        old.status is not Status.FAILED
        and old.reader == READER_VERSION
        and (old.columns, old.ending) == (task.columns, task.raw.ending)
    )


def _may_stand(old: Receipt, task: _Task) -> bool:
    """Whether a receipt still holds if the raw file's bytes are what they were."""
    return (
        _is_as_asked(old, task)
        and old.size == task.raw.path.stat().st_size
        and task.staging.holds(old)
    )
