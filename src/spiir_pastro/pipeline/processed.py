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
      summary.json                how many rows each rule took
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.io.frames import FrameFormat, write_frame
from spiir_pastro.io.injections import INJECTION_UNITS
from spiir_pastro.io.runs import Purpose, Run, RunsFile
from spiir_pastro.io.triggers import TRIGGER_UNITS
from spiir_pastro.pipeline.fates import Fate, Fates
from spiir_pastro.selection import Matches, TwinTolerance
from spiir_pastro.selection.clustering import SECOND_NS
from spiir_pastro.selection.matching import INJECTION_MCHIRP_TOLERANCE, INJECTION_WINDOW_NS

__all__ = ["UNITS", "ProcessSettings", "Processed"]

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
