"""Distance models: fractional scatter over events that the fit did not see.

::

    python benchmarks/bench_distance.py [DISTANCES.csv...]

The first table is our own BAYESTAR campaign; more may follow. Below the held-out scatter stands
that of models fitted to the first table on all the others.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.models.distance_fit import (
    ESTIMATORS,
    Estimator,
    fit_distance,
    hold_out_residuals,
)

NAMES: tuple[Estimator, ...] = (*ESTIMATORS, "best")


def scatter(residuals: np.ndarray) -> str:
    return f"{np.sqrt(np.mean(residuals**2)):10.4f}"


def mean(residuals: np.ndarray) -> str:
    return f"{residuals.mean():+8.3f} ± {residuals.std() / np.sqrt(residuals.size):.3f}"


def sets(paths: list[Path]) -> Iterator[tuple[str, tuple[np.ndarray, ...]]]:
    for table in (CAMPAIGN, *paths):
        events = read_distances(table)
        yield table.name, events.columns
        for source in ASTROPHYSICAL:
            chosen = events.source_class == source
            if chosen.any():
                yield f"  {source}", tuple(column[chosen] for column in events.columns)


def usable(events: tuple[np.ndarray, ...], name: Estimator) -> bool:
    return name != "network" or events[1].ndim == 2


def main() -> None:
    tables = list(sets([Path(argument) for argument in sys.argv[1:]]))
    print(f"{'held out':34}{'events':>7}" + "".join(f"{name:>10}" for name in NAMES))
    for title, events in tables:
        row = [
            scatter(hold_out_residuals(*events, estimator=name))
            if usable(events, name)
            else " " * 10
            for name in NAMES
        ]
        print(f"{title:34}{events[0].size:7}" + "".join(row))
    print("\nmean held-out residual of network, and its standard error")
    for title, events in tables:
        if events[1].ndim == 2:
            residuals = hold_out_residuals(*events, estimator="network")
            detectors = np.sum(~np.isnan(events[1]), axis=1)
            print(
                f"{title:34}{mean(residuals)}"
                + "".join(f"   {n} detectors{mean(residuals[detectors == n])}" for n in (2, 3))
            )
    print("\nfitted to our campaign")
    for title, events in tables[4:]:
        row = []
        for name in ESTIMATORS:
            model = fit_distance(*tables[0][1], estimator=name)
            row.append(
                scatter(events[2] / model.luminosity(events[0], events[1])[0] - 1)
                if usable(events, name)
                else " " * 10
            )
        print(f"{title:34}{events[0].size:7}" + "".join(row))


if __name__ == "__main__":
    main()
