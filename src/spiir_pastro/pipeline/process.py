"""Turn staged runs into a clean, labelled foreground and background.

Every rule is local in time, so the campaign is worked through in slices of bounded size, each with
a margin as wide as the rule's window; the result does not depend on where it is cut. What comes out
is described in `processed`.
"""

import math
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl

from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.injections import read_injections
from spiir_pastro.io.runs import Purpose, Run, RunsFile
from spiir_pastro.pipeline.fates import Fate, Fates, count_fate, count_taken
from spiir_pastro.pipeline.livetime import livetime_table, with_analysed
from spiir_pastro.pipeline.processed import Processed, ProcessSettings
from spiir_pastro.pipeline.raw import raw_triggers
from spiir_pastro.pipeline.store import StagedFile, TriggerStore
from spiir_pastro.selection import (
    Matches,
    cluster,
    coincident_injection,
    match_injections,
    remove_twin_noise,
    split_near,
)
from spiir_pastro.selection.clustering import SECOND_NS
from spiir_pastro.selection.intervals import Ints

__all__ = ["ROWS_PER_SLICE", "process"]

ROWS_PER_SLICE = 4_000_000


def process(
    runs: RunsFile,
    staged: Mapping[str, Sequence[StagedFile]],
    *,
    known_events: Path | None = None,
    settings: ProcessSettings | None = None,
    rows_per_slice: int = ROWS_PER_SLICE,
    scratch: Path | None = None,
    watch: Callable[[Sequence[Any], str], Iterable[Any]] = lambda items, _: items,
) -> Processed:
    """Process a campaign.

    Parameters
    ----------
    runs
        What each run is for.
    staged
        The staged files of each run, by its name.
    known_events
        Table of known mergers; None for the GWTC table that ships.
    settings
        Choices; None for the defaults.
    rows_per_slice
        About how many rows are in memory at once.
    scratch
        A directory for canonical triggers on their way; they go when done.
    watch
        Handed the steps of each stage and its name, yields them on: for a progress bar.

    Raises
    ------
    ConfigError
        If a background run has no segment files.
    TableError
        If a file cannot be read.
    """
    settings = settings or ProcessSettings()
    livetime = livetime_table(runs)
    mergers = read_known_events(known_events).filter("is_known")["gps_ns"].to_numpy()
    injections = {
        run.name: _injections_of(run, run.injections) for run in runs.runs if run.injections
    }
    files = [(run, file) for run in runs.runs for file in staged[run.name]]
    twins = [run.name for run in runs.having(Purpose.TWIN)]
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".process-") as work:
        store = TriggerStore(Path(work))
        fates = sum((store.add(*each) for each in watch(files, "triggers")), Fates())
        slices = _slices(runs, store.rows, rows_per_slice)
        background, known_mergers, counted = _background(
            runs, store, watch(slices, "background"), mergers, settings
        )
        fates += counted
        matches = {}
        for run in runs.having(Purpose.FOREGROUND):
            matches[run.name], counted = _foreground(
                run, store, watch(slices, f"foreground {run.name}"), injections[run.name], settings
            )
            fates += counted
        for span in slices:
            fates += count_fate(store.read(twins, *span), Fate.TWIN_ONLY)
        rejects = store.rejects()
    return Processed(
        runs=runs,
        background=background,
        known_mergers=known_mergers,
        matches=matches,
        rejects=rejects,
        livetime=livetime,
        fates=fates,
        left_out=_left_out(runs, staged),
        settings=settings,
    )


def _left_out(runs: RunsFile, staged: Mapping[str, Sequence[StagedFile]]) -> list[str]:
    names = {file.name for files in staged.values() for file in files}
    return [raw.name for r in runs.runs for raw in raw_triggers(r) if raw.name not in names]


def _injections_of(run: Run, path: Path) -> pl.DataFrame:
    """Read the injections inside a foreground run's span, and whether data were analysed then."""
    injections = read_injections(path)
    inside = injections.filter(
        pl.col("gps_ns").is_between(run.gps_start * 10**9, run.gps_end * 10**9, closed="left")
    )
    return with_analysed(inside, run)


def _slices(runs: RunsFile, rows: int, rows_per_slice: int) -> list[tuple[int, int]]:
    """Cut the campaign's span into equal parts of about so many rows, in GPS nanoseconds."""
    start = min(run.gps_start for run in runs.runs) * SECOND_NS
    end = max(run.gps_end for run in runs.runs) * SECOND_NS
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
        twin = store.read(twins, start - margin, end + margin + 1)
        signals = remove_twin_noise(coincident, twin, tolerance=settings.twin)
        others = triggers.filter((near >= 0) & (injection < 0))
        off_mass.append(remove_twin_noise(others, twin, tolerance=settings.twin))
        fates += count_taken(triggers, coincident, Fate.NOT_COINCIDENT)
        fates += count_taken(coincident, signals, Fate.IN_TWIN)
        chosen.append(signals)
    signals = pl.concat(chosen)
    matches = match_injections(signals, injections, window_ns=window_ns, mchirp_tolerance=tolerance)
    fates += count_taken(signals, matches.found, Fate.SECOND_BEST)
    fates += count_fate(matches.found, Fate.FOREGROUND)
    missed = _with_off_mass(matches.missed, pl.concat(off_mass), window_ns)
    return replace(matches, missed=missed), fates


def _with_off_mass(missed: pl.DataFrame, triggers: pl.DataFrame, window_ns: int) -> pl.DataFrame:
    """Put FAR and chirp mass of the best trigger near in time beside each injection missed."""
    near = match_injections(triggers, missed, window_ns=window_ns, mchirp_tolerance=math.inf).found
    recovered = near.select(
        "injection_id", recovered_far_hz="far_hz", recovered_mchirp_det="mchirp_det"
    )
    return missed.join(recovered, on="injection_id", how="left", maintain_order="left")
