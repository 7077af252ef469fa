"""Livetime of runs: their segments, as far as trigger files cover them.

Time of which no trigger file is there was analysed, but what was found in it is not known, so it
does not count. A trigger file covers what its name says, ``..._<GPS second>_<seconds>``.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import (
    coincident_segments,
    intersect_segments,
    is_within,
    livetime_by_combination,
)
from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import ConfigError, IncompleteError
from spiir_pastro.io.runs import Purpose, Run, RunsFile
from spiir_pastro.io.segments import analysed_segments
from spiir_pastro.pipeline.inventory import Problem, StagedFile, Trouble
from spiir_pastro.pipeline.raw_files import RawKind

Segments = Mapping[str, NDArray[np.int64]]
_SCHEMA = {"run": pl.String, "bank": pl.String, "ifos": pl.String, "livetime_ns": pl.Int64}
_SPAN = re.compile(r"_(\d{1,10})_(\d{1,9})$")


@dataclass(frozen=True, kw_only=True)
class AnalysedTime:
    """When a run was analysed."""

    # each detector's, (n, 2) GPS nanoseconds: inside the run's span and covered by trigger files
    segments: Segments
    # nanoseconds of segments, of any detector, in the run's span that no trigger file covers; None
    # if it is not known, because a file's name does not say what the file covers
    uncovered_ns: int | None

    @classmethod
    def of(
        cls, run: Run, segment_files: Sequence[StagedFile], *, trigger_names: Sequence[str]
    ) -> tuple[Self, list[Problem]]:
        """Take a run's staged segments and the names of its trigger files that could be read.

        What is damaged is left out and reported.
        """
        tables, problems = [], []
        for file in segment_files:
            try:
                tables.append((file.name, {t: file.read(t) for t in RawKind.SEGMENTS.tables}))
            except IncompleteError as exc:
                problem = Problem(name=file.name, trouble=Trouble.DAMAGED, why=str(exc))
                problems.append(problem)
        span = run.gps_start * SECOND_NS, run.gps_end * SECOND_NS
        all_of_it = {ifo: np.clip(s, *span) for ifo, s in analysed_segments(tables).items()}
        covered = _covered(trigger_names)
        if covered is None:
            return cls(segments=all_of_it, uncovered_ns=None), problems
        segments = {ifo: intersect_segments(s, covered) for ifo, s in all_of_it.items()}
        lost = _length(all_of_it) - _length(segments)
        return cls(segments=segments, uncovered_ns=lost), problems


def _covered(names: Sequence[str]) -> NDArray[np.int64] | None:
    """Return the spans in trigger files' names, (n, 2) ns; None if a name has none."""
    found = [_SPAN.search(name) for name in names]
    spans = [(int(m[1]), int(m[1]) + int(m[2])) for m in found if m]
    if len(spans) < len(found):
        return None
    return np.array(spans, dtype=np.int64).reshape(-1, 2) * SECOND_NS


def _length(segments: Segments) -> int:
    """Return for how many nanoseconds any detector was on."""
    return sum(livetime_by_combination(segments).values())


def livetime_table(runs: RunsFile, times: Mapping[str, AnalysedTime]) -> pl.DataFrame:
    """Return how long each combination of detectors was analysed, twins left out.

    Columns run, bank, ifos (like ``H1L1``; combinations are disjoint) and livetime_ns. Rows without
    a run are the background as a whole, where overlap counts once: those with a bank for that bank,
    those without for all banks together.

    Raises
    ------
    ConfigError
        If a background run has no segments.
    """
    absent = [
        f"runs[{i}].segments: no staged file matches {', '.join(run.segments)}; correct the globs "
        "and extract again"
        for i, run in enumerate(runs.runs)
        if run.purpose is Purpose.BACKGROUND and not times[run.name].segments
    ]
    if absent:
        raise ConfigError("the background's livetime is unknown:\n  " + "\n  ".join(absent))
    counted = [run for run in runs.runs if run.purpose is not Purpose.TWIN]
    segments = {run.name: times[run.name].segments for run in counted}
    background = [run for run in counted if run.purpose is Purpose.BACKGROUND]
    rows = [row for run in counted for row in _rows(run.name, run.bank, [segments[run.name]])]
    for bank in sorted({run.bank for run in background}):
        of_bank = [segments[run.name] for run in background if run.bank is bank]
        rows += _rows(None, bank, of_bank)
    rows += _rows(None, None, [segments[run.name] for run in background])
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row")


def with_analysed(injections: pl.DataFrame, time: AnalysedTime) -> pl.DataFrame:
    """Add column ``analysed``: whether two detectors or more were on when each merged.

    False everywhere for a run without segment files, whose livetime is not known.
    """
    analysed = is_within(injections["gps_ns"].to_numpy(), coincident_segments(time.segments))
    return injections.with_columns(pl.Series("analysed", analysed, dtype=pl.Boolean))


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
