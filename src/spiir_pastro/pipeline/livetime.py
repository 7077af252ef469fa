"""Livetime of runs, from their segment files."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import coincident_segments, is_within, livetime_by_combination
from spiir_pastro.errors import ConfigError
from spiir_pastro.io.runs import Purpose, Run, RunsFile
from spiir_pastro.io.segments import read_segments

__all__ = ["livetime_table", "with_analysed"]

Segments = Mapping[str, NDArray[np.int64]]
_SCHEMA = {"run": pl.String, "bank": pl.String, "ifos": pl.String, "livetime_ns": pl.Int64}


def livetime_table(runs: RunsFile) -> pl.DataFrame:
    """Return how long each combination of detectors was analysed.

    Parameters
    ----------
    runs
        Runs with segment files; twins are left out.

    Returns
    -------
    polars.DataFrame
        Columns run, bank, ifos (like ``H1L1``; combinations are disjoint) and livetime_ns. Rows
        without a run are the background as a whole, where overlap counts once: those with a bank
        for that bank, those without for all banks together.

    Raises
    ------
    ConfigError
        If a background run has no segment files.
    TableError
        If a segment file cannot be read.
    """
    absent = [
        f"runs[{i}].segments: no file matches {', '.join(run.segments)}; correct the globs"
        for i, run in enumerate(runs.runs)
        if run.purpose is Purpose.BACKGROUND and not run.segment_files()
    ]
    if absent:
        raise ConfigError("the background's livetime is unknown:\n  " + "\n  ".join(absent))
    counted = [run for run in runs.runs if run.purpose is not Purpose.TWIN]
    segments = {run.name: _segments_in_span(run) for run in counted}
    background = [run for run in counted if run.purpose is Purpose.BACKGROUND]
    rows = [row for run in counted for row in _rows(run.name, run.bank, [segments[run.name]])]
    for bank in sorted({run.bank for run in background}):
        of_bank = [segments[run.name] for run in background if run.bank is bank]
        rows += _rows(None, bank, of_bank)
    rows += _rows(None, None, [segments[run.name] for run in background])
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def with_analysed(injections: pl.DataFrame, run: Run) -> pl.DataFrame:
    """Add column ``analysed``: whether two detectors or more were on when each merged.

    False everywhere for a run without segment files, whose livetime is not known.
    """
    segments = coincident_segments(_segments_in_span(run))
    analysed = is_within(injections["gps_ns"].to_numpy(), segments)
    return injections.with_columns(pl.Series("analysed", analysed, dtype=pl.Boolean))


def _segments_in_span(run: Run) -> Segments:
    start, end = run.gps_start * 10**9, run.gps_end * 10**9
    return {ifo: np.clip(s, start, end) for ifo, s in read_segments(run.segment_files()).items()}


def _rows(
    name: str | None, bank: str | None, segments: Sequence[Segments]
) -> Iterator[tuple[str | None, str | None, str, int]]:
    together = defaultdict(list)
    for one in segments:
        for ifo, times in one.items():
            together[ifo].append(times)
    united = {ifo: np.concatenate(times) for ifo, times in together.items()}
    for ifos, livetime_ns in livetime_by_combination(united).items():
        yield name, bank, ifos, livetime_ns
