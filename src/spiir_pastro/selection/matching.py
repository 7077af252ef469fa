"""Matching: which triggers are injections, and which injections were missed.

A trigger coincides with an injection if it is near in time and in detector-frame chirp mass M,

    |t - t_inj| <= window   and   |M - M_inj| <= tolerance * M_inj.

A trigger that coincides with several belongs to the nearest in time, so duplicates of a found
injection do not pass for a missed neighbour. Each injection keeps its most significant trigger.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.selection.clustering import significance_rank
from spiir_pastro.selection.windows import Ints, pairs_within

INJECTION_WINDOW_NS = 900_000_000
INJECTION_MCHIRP_TOLERANCE = 0.1

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Matches:
    """What became of every injection."""

    # the trigger of each injection found, with the injection's columns beside it, their names
    # beginning with ``injection_``; sorted by (gps_ns, event_id)
    found: pl.DataFrame
    missed: pl.DataFrame  # the other injections, sorted by (gps_ns, injection_id)


def match_injections(
    triggers: pl.DataFrame,
    injections: pl.DataFrame,
    *,
    window_ns: int = INJECTION_WINDOW_NS,
    mchirp_tolerance: float = INJECTION_MCHIRP_TOLERANCE,
) -> Matches:
    """Give each injection its most significant coincident trigger.

    Triggers have ``event_id``, ``gps_ns``, ``far_hz``, ``snr``, ``mchirp_det``, injections
    ``injection_id`` (unique), ``gps_ns``, ``mchirp_det``, and both any others. The chirp mass may
    differ by ``mchirp_tolerance``, as a fraction of the injection's.
    """
    injections = injections.sort("gps_ns", "injection_id")
    partner = coincident_injection(
        triggers, injections, window_ns=window_ns, mchirp_tolerance=mchirp_tolerance
    )
    rows = np.flatnonzero(partner >= 0)
    coincident = triggers[pl.Series(rows)].with_columns(
        pl.Series("_injection", partner[rows]),
    )
    best = (
        coincident.with_columns(pl.Series("_rank", significance_rank(coincident)))
        .sort("_rank")
        .unique("_injection", keep="first", maintain_order=True)
    )
    indexed = injections.with_row_index("_injection").cast({"_injection": pl.Int64})
    truth = indexed.rename(
        {c: f"injection_{c}" for c in injections.columns if not c.startswith("injection_")}
    )
    return Matches(
        found=best.join(truth, on="_injection")
        .drop("_injection", "_rank")
        .sort("gps_ns", "event_id"),
        missed=indexed.join(best, on="_injection", how="anti")
        .sort("_injection")
        .drop("_injection"),
    )


def coincident_injection(
    triggers: pl.DataFrame,
    injections: pl.DataFrame,
    *,
    window_ns: int = INJECTION_WINDOW_NS,
    mchirp_tolerance: float = INJECTION_MCHIRP_TOLERANCE,
) -> Ints:
    """Return the row of the injection each trigger belongs to, or -1, (n triggers,).

    ``injections`` must be sorted by ``gps_ns``; of two equally near the earlier row counts.
    """
    times, injected = triggers["gps_ns"].to_numpy(), injections["gps_ns"].to_numpy()
    mchirp, truth = _floats(triggers["mchirp_det"]), _floats(injections["mchirp_det"])
    partner = np.full(triggers.height, -1, dtype=np.int64)
    nearest = np.full(triggers.height, window_ns + 1, dtype=np.int64)
    for rows, partners in pairs_within(times, injected, window_ns=window_ns):
        distance = np.abs(times[rows] - injected[partners])
        alike = np.abs(mchirp[rows] - truth[partners]) <= mchirp_tolerance * truth[partners]
        # A batch of pairs names no trigger twice, so these assignments do not collide.
        better = alike & (distance < nearest[rows])
        partner[rows[better]] = partners[better]
        nearest[rows[better]] = distance[better]
    return partner


def _floats(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(np.nan).to_numpy()
