"""Read tables of localised events: what distance models are fitted to.

Two headers are known, that of our campaigns (``snr_net``, ``deff_H1``, ..., ``source_class``) and
that of SPIIR's O3 table (``cohsnr``, ``min_dist``, ``bay_dist``, ``bay_std``).
"""

import csv
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import DETECTORS
from spiir_pastro.errors import TableError

Floats = NDArray[np.float64]

CAMPAIGN: Traversable = files("spiir_pastro.io") / "data" / "bayestar_campaign.csv"
"""Our own BAYESTAR campaign, by ``python tools/bayestar_campaign.py --seed 1``."""

_HEADERS = {
    "snr": ("snr", "snr_net", "cohsnr"),
    "distance_mean": ("distance_mean", "bayestar_distance_mean", "bay_dist"),
    "distance_std": ("distance_std", "bayestar_distance_std", "bay_std"),
}
_NEAREST = "min_dist"


@dataclass(frozen=True, kw_only=True, eq=False)
class LocalisedEvents:
    """What ``fit_distance`` takes, and the events' classes where they are known."""

    snr: Floats  # (n,) network signal-to-noise ratio
    # (n, 4) or (n,) effective distance in Mpc by detector, in the order of ``DETECTORS``, NaN for
    # none; or the least, if the table has no more
    eff_distance: Floats
    # (n,) BAYESTAR's distance and its standard deviation in Mpc
    distance_mean: Floats
    distance_std: Floats
    source_class: NDArray[np.str_]  # (n,) names of the classes; empty where unknown
    mchirp_det: Floats  # (n,) detector-frame chirp mass in solar masses; NaN where unknown
    # whether the table has true distances, which are known of injections only
    is_simulated: bool = False

    @property
    def columns(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Positional arguments of ``fit_distance``."""
        return self.snr, self.eff_distance, self.distance_mean, self.distance_std


def read_distances(table: Path | Traversable) -> LocalisedEvents:
    """Read a CSV table of localised events.

    TableError if a column is missing or a cell is no number.
    """
    reader = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    rows = list(reader)
    header = reader.fieldnames or ()

    def column(*names: str) -> Floats:
        found = next((name for name in names if name in header), None)
        if found is None:
            raise TableError(
                f"{table}: no column {' or '.join(names)}; "
                f"a table of localised events needs one, and has {', '.join(header) or 'none'}"
            )
        return np.array(
            [_number(row[found], table, line, found) for line, row in enumerate(rows, 2)]
        )

    by_detector = [f"deff_{ifo}" for ifo in DETECTORS]
    if any(name in header for name in by_detector):
        unknown = np.full(len(rows), np.nan)
        nearest = np.stack([column(n) if n in header else unknown for n in by_detector], axis=1)
    else:
        nearest = column(_NEAREST)
    has_mchirp = "mchirp_det" in header
    return LocalisedEvents(
        mchirp_det=column("mchirp_det") if has_mchirp else np.full(len(rows), np.nan),
        eff_distance=nearest,
        is_simulated="true_distance" in header,
        source_class=np.array([row.get("source_class") or "" for row in rows], dtype=np.str_),
        **{name: column(*headers) for name, headers in _HEADERS.items()},
    )


def _number(cell: str | None, table: Path | Traversable, line: int, column: str) -> float:
    """Value of a cell; NaN if it is empty."""
    try:
        return float(cell or "nan")
    except ValueError as exc:
        raise TableError(f"{table}, line {line}: {column} is {cell!r}, not a number") from exc
