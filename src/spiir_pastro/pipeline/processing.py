"""Turn staged runs into a clean, labelled foreground and background.

Every rule is local in time, so the campaign is worked through in slices of bounded size, each with
a margin as wide as the rule's window; the result does not depend on where it is cut. What comes out
is described in `processed`.
"""

import hashlib
import math
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import IncompleteError, TableError
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.injections import from_sim_inspiral
from spiir_pastro.io.runs import Purpose, Run, RunsFile
from spiir_pastro.pipeline.analysed_time import AnalysedTime, livetime_table, with_analysed
from spiir_pastro.pipeline.fates import Fate, Fates, count_fate, count_taken
from spiir_pastro.pipeline.inventory import Inventory, Problem, StagedRun, Trouble, insist
from spiir_pastro.pipeline.processed import Processed
from spiir_pastro.pipeline.raw_files import RawKind
from spiir_pastro.pipeline.store import Near, TriggerStore, damage_beside
from spiir_pastro.pipeline.summary import Origin, ProcessSettings, Uncovered
from spiir_pastro.selection import (
    Matches,
    cluster,
    coincident_injection,
    match_injections,
    remove_twin_noise,
    split_near,
)
from spiir_pastro.selection.decontamination import TWIN_COLUMNS
from spiir_pastro.selection.windows import Ints

ROWS_PER_SLICE = 1_000_000
_SCRATCH = ".process-"


def process(
    inventory: Inventory,
    *,
    known_events: Path | None = None,
    settings: ProcessSettings | None = None,
    allow_missing: bool = False,
    rows_per_slice: int = ROWS_PER_SLICE,
    scratch: Path | None = None,
    watch: Callable[[Sequence[Any], str], Iterable[Any]] = lambda items, _: items,
) -> Processed:
    """Process a campaign.

    Parameters
    ----------
    known_events
        Table of known mergers; None for the GWTC table that ships.
    settings
        Choices; None for the defaults.
    allow_missing
        Go on without the files that are not as they should be, and say so in the result.
    rows_per_slice
        About how many rows are in memory at once.
    scratch
        A directory for canonical triggers on their way; they go when done.
    watch
        Handed the steps of each stage and its name, yields them on: for a progress bar.

    Raises
    ------
    IncompleteError
        If a file is not as it should be, and that is not allowed.
    ConfigError
        If a background run has no segments.
    TableError
        If a table is not what it should be.
    """
    settings = settings or ProcessSettings()
    runs = inventory.runs
    if not allow_missing:
        insist(inventory.problems, where=inventory.folder)
    events = read_known_events(known_events)
    with tempfile.TemporaryDirectory(dir=scratch, prefix=_SCRATCH) as work:
        store = TriggerStore(Path(work))
        taken = _take(inventory, store, settings, watch)
        problems = [*inventory.problems, *taken.problems]
        if not allow_missing:
            insist(problems, where=inventory.folder)
        slices = _slices(runs, store.rows, rows_per_slice)
        chosen = _choose(runs, store, taken, events, settings, slices, watch)
        rejects = store.rejects()
    return Processed(
        runs=runs,
        background=chosen.background,
        known_mergers=chosen.known_mergers,
        matches=chosen.matches,
        rejects=rejects,
        livetime=livetime_table(runs, taken.times),
        fates=taken.fates + chosen.fates,
        problems=problems,
        uncovered=_uncovered(runs, taken.times),
        settings=settings,
        origin=_origin(inventory, events),
    )


def remove_leftovers(scratch: Path) -> None:
    """Remove the canonical triggers that killed runs left in a directory."""
    for folder in scratch.glob(f"{_SCRATCH}*"):
        shutil.rmtree(folder)


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """What was taken from staging: when runs were analysed, injections, and what was left out."""

    times: Mapping[str, AnalysedTime]
    injections: Mapping[str, pl.DataFrame]
    fates: Fates
    problems: Sequence[Problem]


def _take(
    inventory: Inventory,
    store: TriggerStore,
    settings: ProcessSettings,
    watch: Callable[[Sequence[Any], str], Iterable[Any]],
) -> _Taken:
    """Take the triggers into the store; read segments and injections."""
    problems = []
    injections = {
        name: _injections_of(staged)
        for name, staged in inventory.staged.items()
        if staged.run.purpose is Purpose.FOREGROUND
    }
    near = {
        name: Near(times=table["gps_ns"].to_numpy(), window_ns=settings.injection_window_ns)
        for name, table in injections.items()
    }
    read: dict[str, list[str]] = {name: [] for name in inventory.staged}
    files = [
        (staged.run, file)
        for staged in inventory.staged.values()
        for file in staged.files[RawKind.TRIGGERS]
    ]
    for run, file in watch(files, "triggers"):
        try:
            store.add(run, file, near=near.get(run.name))
            read[run.name].append(file.name)
            why = damage_beside(file)
        except IncompleteError as exc:
            why = str(exc)
        if why:
            problems.append(Problem(name=file.name, trouble=Trouble.DAMAGED, why=why))
    fates = store.finish()
    times = {}
    for name, staged in inventory.staged.items():
        times[name], damaged = AnalysedTime.of(
            staged.run, staged.files[RawKind.SEGMENTS], trigger_names=read[name]
        )
        problems += damaged
    analysed = {name: with_analysed(table, times[name]) for name, table in injections.items()}
    return _Taken(times=times, injections=analysed, fates=fates, problems=problems)


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """What the rules chose."""

    background: pl.DataFrame
    known_mergers: pl.DataFrame
    matches: Mapping[str, Matches]
    fates: Fates


def _choose(
    runs: RunsFile,
    store: TriggerStore,
    taken: _Taken,
    events: pl.DataFrame,
    settings: ProcessSettings,
    slices: Sequence[tuple[int, int]],
    watch: Callable[[Sequence[Any], str], Iterable[Any]],
) -> _Chosen:
    """Apply the rules to what is in the store."""
    mergers = events.filter("is_known")["gps_ns"].to_numpy()
    background, known_mergers, fates = _background(
        runs, store, watch(slices, "background"), mergers, settings
    )
    matches = {}
    for run in runs.having(Purpose.FOREGROUND):
        steps = watch(slices, f"foreground {run.name}")
        injections = taken.injections[run.name]
        matches[run.name], counted = _foreground(run, store, steps, injections, settings)
        fates += counted
    twins = [run.name for run in runs.having(Purpose.TWIN)]
    for span in slices if twins else ():
        fates += count_fate(store.read(twins, *span, columns=["run"]), Fate.TWIN_ONLY)
    return _Chosen(background=background, known_mergers=known_mergers, matches=matches, fates=fates)


def _injections_of(staged: StagedRun) -> pl.DataFrame:
    """Read the injections inside a foreground run's span."""
    run, files = staged.run, staged.files[RawKind.INJECTIONS]
    if not files:
        raise IncompleteError(f"the injections of run {run.name} are not staged; extract them")
    try:
        injections = from_sim_inspiral(files[0].read("sim_inspiral"))
    except TableError as exc:
        raise TableError(f"injections {files[0].name}: {exc}") from exc
    start, end = run.gps_start * SECOND_NS, run.gps_end * SECOND_NS
    return injections.filter(pl.col("gps_ns").is_between(start, end, closed="left"))


def _uncovered(runs: RunsFile, times: Mapping[str, AnalysedTime]) -> list[Uncovered]:
    """Say where segments have no trigger files, or where that is not known."""
    found = [(run.name, times[run.name].uncovered_ns) for run in runs.runs]
    return [
        Uncovered(run=run, seconds=None if ns is None else ns / 1e9) for run, ns in found if ns != 0
    ]


def _origin(inventory: Inventory, events: pl.DataFrame) -> Origin:
    """Say what a result is made from, wherever that lies."""
    runs = [
        msgspec.structs.replace(
            run, directories=(), injections=run.injections and Path(run.injections.name)
        )
        for run in inventory.runs.runs
    ]
    staged = [
        (file.name, file.receipt.sha256)
        for run in inventory.staged.values()
        for files in run.files.values()
        for file in files
    ]
    return Origin(
        version=metadata.version("spiir-pastro"),
        runs=_hash(msgspec.json.encode(runs, enc_hook=str)),
        staged=_hash(msgspec.json.encode(sorted(staged))),
        known_events=_hash(events.write_csv().encode()),
    )


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _slices(runs: RunsFile, rows: int, rows_per_slice: int) -> list[tuple[int, int]]:
    """Cut the campaign's span into equal parts of about so many rows, in GPS nanoseconds."""
    start = min(run.gps_start for run in runs.runs) * SECOND_NS
    end = max(run.gps_end for run in runs.runs) * SECOND_NS
    # Rounded up, so that the last slice ends at the end.
    step = -((start - end) // (rows // rows_per_slice + 1))
    return [(begin, min(begin + step, end)) for begin in range(start, end, step)]


def _background(
    runs: RunsFile,
    store: TriggerStore,
    slices: Iterable[tuple[int, int]],
    mergers: Ints,
    settings: ProcessSettings,
) -> tuple[pl.DataFrame, pl.DataFrame, Fates]:
    """Choose the background, candidates without signals, and set known mergers apart."""
    names = [run.name for run in runs.having(Purpose.BACKGROUND)]
    fates, chosen, apart = Fates(), [], []
    margin = settings.cluster_window_ns
    for start, end in slices:
        # What decides about triggers of the slice lies up to a window beyond it, the window's last
        # nanosecond included. What was chosen beyond belongs to the next slice.
        everything = store.read(names, start - margin, end + margin + 1)
        noise, known = split_near(everything, mergers, window_ns=settings.known_window_ns)
        candidates = cluster(noise, window_ns=settings.cluster_window_ns)
        inside = pl.col("gps_ns").is_between(start, end, closed="left")
        candidates, noise, known = (t.filter(inside) for t in (candidates, noise, known))
        fates += count_fate(known, Fate.NEAR_KNOWN_MERGER)
        fates += count_taken(noise, candidates, Fate.HIDDEN)
        fates += count_fate(candidates, Fate.BACKGROUND)
        chosen.append(candidates)
        apart.append(known)
    return pl.concat(chosen), pl.concat(apart).sort("gps_ns", "event_id"), fates


def _foreground(
    run: Run,
    store: TriggerStore,
    slices: Iterable[tuple[int, int]],
    injections: pl.DataFrame,
    settings: ProcessSettings,
) -> tuple[Matches, Fates]:
    """Choose a run's foreground: what coincides with injections and is not the twin's noise."""
    fates, chosen, off_mass = Fates(), [], []
    margin = settings.twin.window_ns
    window_ns, tolerance = settings.injection_window_ns, settings.injection_mchirp_tolerance
    for start, end in slices:
        triggers = store.read([run.name], start, end)
        injection = coincident_injection(
            triggers, injections, window_ns=window_ns, mchirp_tolerance=tolerance
        )
        coincident = triggers.filter(injection >= 0)
        near = coincident_injection(
            triggers, injections, window_ns=window_ns, mchirp_tolerance=math.inf
        )
        twins = [run.twin] if run.twin else []
        twin = store.read(twins, start - margin, end + margin + 1, columns=TWIN_COLUMNS)
        signals = remove_twin_noise(coincident, twin, tolerance=settings.twin)
        others = triggers.filter((near >= 0) & (injection < 0))
        off_mass.append(remove_twin_noise(others, twin, tolerance=settings.twin))
        fates += count_taken(triggers, coincident, Fate.NOT_COINCIDENT)
        fates += count_taken(coincident, signals, Fate.IN_TWIN)
        chosen.append(signals)
    signals = pl.concat(chosen)
    # Over the whole run: an injection may have triggers on both sides of a cut.
    matches = match_injections(signals, injections, window_ns=window_ns, mchirp_tolerance=tolerance)
    fates += count_taken(signals, matches.found, Fate.SECOND_BEST)
    fates += count_fate(matches.found, Fate.FOREGROUND)
    missed = _with_off_mass(matches.missed, pl.concat(off_mass), window_ns)
    return replace(matches, missed=missed), fates


def _with_off_mass(missed: pl.DataFrame, triggers: pl.DataFrame, window_ns: int) -> pl.DataFrame:
    """Put the best trigger near in time beside each injection missed."""
    near = match_injections(triggers, missed, window_ns=window_ns, mchirp_tolerance=math.inf).found
    recovered = near.select("injection_id", pl.col(triggers.columns).name.prefix("recovered_"))
    return missed.join(recovered, on="injection_id", how="left", maintain_order="left")
