r"""Independent candidates out of a table of uploads.

Uploads are clustered in time, cut at the FAR threshold and labelled with known mergers. The mixture
takes noise to be uniform in FAR below the threshold. That is tested run by run: a run whose uploads
were cut elsewhere (or whose FAR was not calibrated) fails the Kolmogorov-Smirnov test by far, and
would pass its missing noise off as signals. Such a run is left out, and named.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import kstest

from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import FitError
from spiir_pastro.selection.clustering import cluster
from spiir_pastro.selection.labelling import label_known

OBSERVING_RUN_STARTS: Mapping[str, int] = {
    "O1": 1_126_051_217,
    "O2": 1_164_556_817,
    "O3a": 1_238_166_018,
    "O3b": 1_256_655_618,
    "O4a": 1_368_975_618,
    "O4b": 1_396_796_418,
    "O4c": 1_422_118_818,
}
"""GPS second at which each observing run began (GWOSC); it lasts here until the next one's."""

LEAST_P_VALUE = 1e-6
"""A run whose noise is less probable than this to be uniform in FAR is left out."""


@dataclass(frozen=True, kw_only=True)
class UploadSelection:
    """Independent candidates, and the runs that gave none.

    ``candidates`` are sorted by time, with ``known_event``, ``known_class``, ``is_known`` and
    ``observing_run``; ``left_out`` says why each run without any has none, ``dropped`` how many
    triggers were no candidate, by reason.
    """

    candidates: pl.DataFrame
    left_out: Mapping[str, str]
    dropped: Mapping[str, int]


def select_uploads(
    triggers: pl.DataFrame, known_events: pl.DataFrame, *, far_threshold_hz: float
) -> UploadSelection:
    """Cluster a canonical trigger table, cut it at the FAR threshold, label and test it.

    ``known_events`` are as `spiir_pastro.io.gwtc.read_known_events` returns them. FitError if no
    candidate is left.
    """
    below = triggers.filter(pl.col("far_hz") <= far_threshold_hz)
    counted = cluster(below)
    names = np.array(["before O1", *OBSERVING_RUN_STARTS])
    starts = np.array(list(OBSERVING_RUN_STARTS.values())) * SECOND_NS
    runs = names[np.searchsorted(starts, counted["gps_ns"].to_numpy(), side="right")]
    candidates = label_known(counted, known_events).with_columns(
        pl.Series("observing_run", runs.tolist(), pl.String)
    )
    left_out = {}
    for of_run in candidates.partition_by("observing_run", maintain_order=True):
        run = of_run.item(0, "observing_run")
        noise = of_run.filter(~pl.col("is_known"))
        p_value = kstest(noise["far_hz"] / far_threshold_hz, "uniform").pvalue if len(noise) else 1
        if p_value < LEAST_P_VALUE:
            highest_hz = noise["far_hz"].to_numpy().max()
            left_out[run] = (
                f"FARs of {noise.height} noise candidates up to {highest_hz:.2g} Hz are "
                f"not uniform below {far_threshold_hz:g} Hz (p = {p_value:.1g})"
            )
    kept = candidates.filter(~pl.col("observing_run").is_in(list(left_out)))
    if kept.is_empty():
        raise FitError(
            f"no candidate with a calibrated FAR up to {far_threshold_hz:g} Hz among "
            f"{triggers.height} triggers; left out: {left_out or 'nothing'}. "
            "Give the threshold the triggers were uploaded with"
        )
    without_far = triggers["far_hz"].null_count()
    dropped = {
        "without a FAR": without_far,
        f"with a FAR above {far_threshold_hz:g} Hz": triggers.height - below.height - without_far,
        "within a second of a more significant one": below.height - counted.height,
        "of runs that are left out": candidates.height - kept.height,
    }
    return UploadSelection(
        candidates=kept, left_out=left_out, dropped={k: n for k, n in dropped.items() if n}
    )
