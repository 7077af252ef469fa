"""Segment tables: when each detector was analysed."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import DETECTORS, merge_segments
from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import TableError

_ANALYSED = "postcohprocessed"


def analysed_segments(
    files: Iterable[tuple[str, Mapping[str, pl.DataFrame]]],
) -> dict[str, NDArray[np.int64]]:
    """Gather what the search analysed, the segments named ``postcohprocessed``, from SPIIR's files.

    Parameters
    ----------
    files
        Each file's name, for errors, and its tables as `spiir_pastro.read_tables` returns them.
        TableError if one names no known detector, or defines no such segments.

    Returns
    -------
    dict
        Detector, in canonical order, to its merged segments, (n, 2) GPS nanoseconds.
    """
    found: defaultdict[str, list[NDArray[np.int64]]] = defaultdict(list)
    for name, tables in files:
        try:
            for ifo, segments in _segments_of(tables).items():
                found[ifo].append(segments)
        except TableError as exc:
            raise TableError(f"segments {name}: {exc}") from exc
    return {ifo: merge_segments(np.concatenate(found[ifo])) for ifo in DETECTORS if ifo in found}


def _segments_of(tables: Mapping[str, pl.DataFrame]) -> dict[str, NDArray[np.int64]]:
    for name in ("segment_definer", "segment"):
        if name not in tables:
            raise TableError(f"no table {name}; its tables: {', '.join(tables) or 'none'}")
    definers = tables["segment_definer"].filter(name=_ANALYSED)
    strange = set(definers["ifos"]) - set(DETECTORS)
    if definers.is_empty() or strange:
        names = sorted(strange) or tables["segment_definer"]["name"].unique().sort().to_list()
        raise TableError(
            f"segment_definer names {names}, where {_ANALYSED} segments of single detectors "
            f"({', '.join(DETECTORS)}) belong"
        )
    times = tables["segment"].select(
        "segment_def_id",
        *(
            (pl.col(f"{edge}_time").cast(pl.Int64) * SECOND_NS + pl.col(f"{edge}_time_ns"))
            .cast(pl.Int64)
            .alias(edge)
            for edge in ("start", "end")
        ),
    )
    return {
        ifo: times.filter(segment_def_id=number).select("start", "end").to_numpy()
        for number, ifo in definers.select("segment_def_id", "ifos").iter_rows()
    }
