"""Turn staged runs into a clean, labelled foreground and background.

::

    processed/
      background/<BANK>.parquet   candidates of all background runs together
      known_mergers/<BANK>.parquet  triggers of the background runs near known mergers
      foreground/<BANK>.parquet   the best trigger of each injection found, and its true values
      missed/<BANK>.parquet       the injections not found, and the best trigger near in time whose
                                  chirp mass is off
      rejects.parquet             rows that are no triggers, and the rule each broke
      livetime.parquet            by run and combination of detectors
      summary.json                how many rows each rule took

Every rule is local in time, so the campaign is worked through in slices of bounded size, each with
a margin as wide as the rule's window; the result does not depend on where it is cut.
"""

import json
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.io.frames import FrameFormat, write_frame
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.injections import INJECTION_UNITS, read_injections
from spiir_pastro.io.runs import Purpose, Run, RunsFile
from spiir_pastro.io.triggers import TRIGGER_UNITS
from spiir_pastro.pipeline.fates import Fate, Fates, count_fate, count_taken
from spiir_pastro.pipeline.livetime import livetime_table, with_analysed
from spiir_pastro.pipeline.raw import raw_triggers
from spiir_pastro.pipeline.store import StagedFile, TriggerStore
from spiir_pastro.selection import (
    Matches,
    TwinTolerance,
    cluster,
    coincident_injection,
    match_injections,
    remove_twin_noise,
    split_near,
)
from spiir_pastro.selection.clustering import SECOND_NS
from spiir_pastro.selection.intervals import Ints
from spiir_pastro.selection.matching import INJECTION_MCHIRP_TOLERANCE, INJECTION_WINDOW_NS

__all__ = ["ROWS_PER_SLICE", "UNITS", "ProcessSettings", "Processed", "process"]

ROWS_PER_SLICE = 4_000_000

UNITS: Mapping[str, str] = {
    **TRIGGER_UNITS,
    **INJECTION_UNITS,
    **{f"injection_{name.removeprefix('injection_')}": u for name, u in INJECTION_UNITS.items()},
    "recovered_far_hz": "Hz",
    "recovered_mchirp_det": "Msun",
    "livetime_ns": "ns",
}
"""Units of the columns of all processed tables."""

_SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """What a person chooses about background and foreground.

    Attributes
    ----------
    cluster_window_ns
        Of triggers nearer than this in time only the most significant is a candidate, nanoseconds.
    known_window_ns
        Triggers as near as this to a known merger are none of the background, nanoseconds.
    injection_window_ns
        Largest distance in time of a trigger from its injection, in nanoseconds.
    injection_mchirp_tolerance
        Largest distance in chirp mass, as a fraction of the injection's.
    twin
        How alike two triggers of twin runs are that the same noise made.
    """

    cluster_window_ns: int = SECOND_NS
    known_window_ns: int = SECOND_NS
    injection_window_ns: int = INJECTION_WINDOW_NS
    injection_mchirp_tolerance: float = INJECTION_MCHIRP_TOLERANCE
    twin: TwinTolerance = field(default_factory=TwinTolerance)


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
    left_out
        Names of trigger files of which nothing is staged.
    settings
        How they were chosen.
    """

    runs: RunsFile
    background: pl.DataFrame
    known_mergers: pl.DataFrame
    matches: Mapping[str, Matches]
    rejects: pl.DataFrame
    livetime: pl.DataFrame
    fates: Fates
    left_out: Sequence[str]
    settings: ProcessSettings

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
            if _named(self.runs, Purpose.BACKGROUND, bank):
                tables[f"background/{bank}"] = self.background.filter(bank=str(bank))
                tables[f"known_mergers/{bank}"] = self.known_mergers.filter(bank=str(bank))
            matches = [self.matches[run] for run in _named(self.runs, Purpose.FOREGROUND, bank)]
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

    def summary(self) -> dict[str, Any]:
        """Return how many rows each rule took, the injections and the livetime, for JSON."""
        return {
            "schema_version": _SCHEMA_VERSION,
            "settings": asdict(self.settings),
            "left_out": list(self.left_out),
            "fates": self.fate_table().to_dicts(),
            "injections": [
                _injections_summary(run, self.matches[run.name])
                for run in self.runs.runs
                if run.name in self.matches
            ],
            "background_livetime_s": self.background_livetime_ns / 1e9,
            "livetime": [
                {"run": run, "bank": bank, "ifos": ifos, "seconds": ns / 1e9}
                for run, bank, ifos, ns in self.livetime.iter_rows()
            ],
        }

    def write(self, folder: Path, *, file_format: FrameFormat = FrameFormat.PARQUET) -> None:
        """Write the tables and ``summary.json``, replacing what an earlier call wrote."""
        tables = {
            folder / f"{place}.{file_format}": table for place, table in self.tables().items()
        }
        for path, table in tables.items():
            write_frame(table, path, units=UNITS)
        for kind in ("background", "known_mergers", "foreground", "missed", "."):
            for suffix in FrameFormat:
                for path in set((folder / kind).glob(f"*.{suffix}")) - set(tables):
                    path.unlink()
        summary = json.dumps(self.summary(), indent=2) + "\n"
        write_atomically(folder / "summary.json", summary.encode())


def process(
    runs: RunsFile,
    staged: Mapping[str, Sequence[StagedFile]],
    *,
    known_events: Path | None = None,
    settings: ProcessSettings | None = None,
    rows_per_slice: int = ROWS_PER_SLICE,
    scratch: Path | None = None,
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
    with tempfile.TemporaryDirectory(dir=scratch, prefix=".process-") as work:
        store = TriggerStore(Path(work))
        fates = sum((store.add(r, f) for r in runs.runs for f in staged[r.name]), Fates())
        slices = _slices(runs, store.rows, rows_per_slice)
        background, known_mergers, counted = _background(runs, store, slices, mergers, settings)
        fates += counted
        matches = {}
        for run in _having(runs, Purpose.FOREGROUND):
            matches[run.name], counted = _foreground(
                run, store, slices, injections[run.name], settings
            )
            fates += counted
        for span in slices:
            fates += count_fate(store.read(_named(runs, Purpose.TWIN), *span), Fate.TWIN_ONLY)
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


def _having(runs: RunsFile, purpose: Purpose) -> list[Run]:
    return [run for run in runs.runs if run.purpose is purpose]


def _named(runs: RunsFile, purpose: Purpose, bank: str | None = None) -> list[str]:
    return [run.name for run in _having(runs, purpose) if bank is None or run.bank == bank]


def _injections_of(run: Run, path: Path) -> pl.DataFrame:
    """Read the injections inside a foreground run's span, and whether data were analysed then."""
    injections = read_injections(path)
    inside = injections.filter(
        pl.col("gps_ns").is_between(run.gps_start * 10**9, run.gps_end * 10**9, closed="left")
    )
    return with_analysed(inside, run)


def _injections_summary(run: Run, matches: Matches) -> dict[str, Any]:
    """Return what became of a run's injections, and what they were drawn from, for JSON."""
    return {
        "run": run.name,
        "bank": str(run.bank),
        "found": matches.found.height,
        "missed": matches.missed.height,
        "analysed": matches.found.filter("injection_analysed").height
        + matches.missed.filter("analysed").height,
        "injected": msgspec.to_builtins(run.injected),
        "kept_fraction": run.kept_fraction,
    }


def _slices(runs: RunsFile, rows: int, rows_per_slice: int) -> list[tuple[int, int]]:
    """Cut the campaign's span into equal parts of about so many rows, in GPS nanoseconds."""
    start = min(run.gps_start for run in runs.runs) * SECOND_NS
    end = max(run.gps_end for run in runs.runs) * SECOND_NS
    step = -((start - end) // (rows // rows_per_slice + 1))
    return [(begin, min(begin + step, end)) for begin in range(start, end, step)]


def _background(
    runs: RunsFile,
    store: TriggerStore,
    slices: Sequence[tuple[int, int]],
    mergers: Ints,
    settings: ProcessSettings,
) -> tuple[pl.DataFrame, pl.DataFrame, Fates]:
    """Choose the background, candidates without signals, and set known mergers apart."""
    names, fates, chosen, apart = _named(runs, Purpose.BACKGROUND), Fates(), [], []
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
    slices: Sequence[tuple[int, int]],
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
