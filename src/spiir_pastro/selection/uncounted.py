"""Candidates that a model has not counted yet, out of triggers some of which it has."""

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.selection.clustering import CLUSTER_WINDOW_NS, cluster
from spiir_pastro.selection.windows import is_near

Flags = NDArray[np.bool_]


def uncounted(
    triggers: pl.DataFrame,
    *,
    far_threshold_hz: float,
    known: Flags,
    judged: Flags,
    counted_ns: Sequence[int] = (),
) -> tuple[pl.DataFrame, Mapping[str, int]]:
    """Return the independent candidates, by time, to add to a model's counts.

    A merger makes many triggers, and a later one may be more significant than that which was
    counted: so a candidate is new only if nothing within the window of it was counted.

    Parameters
    ----------
    triggers
        Canonical trigger table, n rows; those with a FAR up to the threshold count.
    known, judged : (n,)
        Which triggers the model has counted, and which it can judge.
    counted_ns
        Times of further candidates that were counted, GPS nanoseconds.

    Returns
    -------
    candidates, rows
        The candidates, and how many were ``added``, ``known`` and ``above`` the threshold.
    """
    times = triggers["gps_ns"].to_numpy()
    taken = np.concatenate([times[known], np.array(counted_ns, dtype=np.int64)])
    near = is_near(times, taken, window_ns=CLUSTER_WINDOW_NS)
    marked = triggers.with_columns(_near=pl.Series(near), _judged=pl.Series(judged))
    below = marked.filter(pl.col("far_hz") <= far_threshold_hz)
    clustered = cluster(below)
    new = clustered.filter(~pl.col("_near") & pl.col("_judged")).drop("_near", "_judged")
    rows = {
        "added": new.height,
        "known": int(clustered["_near"].sum()),
        "above": triggers.height - below.height,
    }
    return new, rows
