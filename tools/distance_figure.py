"""What a distance model leaves unexplained: residuals against signal-to-noise ratio.

::

    python tools/distance_figure.py STEM
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, SOURCE_COLOURS
from spiir_pastro.io.distance_tables import CAMPAIGN, LocalisedEvents, read_distances
from spiir_pastro.models.distance_fit import Estimator, hold_out_residuals
from spiir_pastro.report import style

__all__ = ["distance_residuals_figure", "plot_residuals"]

Floats = NDArray[np.float64]

_MARKERS = ("o", "^", "s")
_SNR_TICKS = (8, 10, 12, 15, 20, 30, 50, 100)
_TITLES: Mapping[Estimator, str] = {
    "pycbc": "PyCBC's form",
    "robust": "PyCBC's form, robust",
    "faint": "Least distance, reach by SNR",
    "network": "Detectors' average, reach by SNR",
}


def distance_residuals_figure(
    events: LocalisedEvents, *, estimators: Sequence[Estimator] = ("pycbc", "network")
) -> Figure:
    """Held-out residuals of several estimators, one above the other."""
    with style.house_style():
        figure = style.figure(height=0.42 * len(estimators))
        panels = figure.subplots(len(estimators), sharex=True, sharey=True, squeeze=False)[:, 0]
        for axes, estimator in zip(panels, estimators, strict=True):
            residuals = hold_out_residuals(*events.columns, estimator=estimator)
            plot_residuals(axes, events.snr, residuals, events.source_class)
            scatter = float(np.sqrt(np.mean(residuals**2)))
            axes.set_title(f"{_TITLES[estimator]}: held-out scatter {scatter:.3f}")
        panels[0].legend(loc="upper right", ncols=len(ASTROPHYSICAL) + 1)
        panels[-1].set_xlabel("network signal-to-noise ratio")
    return figure


def plot_residuals(
    axes: Axes, snr: Floats, residuals: Floats, source_class: NDArray[np.str_]
) -> None:
    """Fractional residuals by class, with the running median."""
    axes.axhline(0, color=style.INK, lw=0.8)
    for source, marker in zip(ASTROPHYSICAL, _MARKERS, strict=True):
        chosen = source_class == source
        axes.scatter(
            snr[chosen],
            residuals[chosen],
            s=14,
            marker=marker,
            color=SOURCE_COLOURS[source],
            alpha=0.65,
            lw=0,
            label=source,
        )
    groups = np.array_split(np.argsort(snr), max(1, min(10, snr.size // 10)))
    middle = [(np.median(snr[g]), np.median(residuals[g])) for g in groups]
    axes.plot(*zip(*middle, strict=True), color=style.INK, lw=2, label="median")
    axes.set(xscale="log", ylabel=r"$D\,/\,D_\mathrm{est} - 1$")
    ticks = [tick for tick in _SNR_TICKS if tick <= snr.max()]
    axes.set_xticks(ticks, [f"{tick}" for tick in ticks])
    axes.minorticks_off()


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the residuals of a campaign's table, as STEM.png and STEM.svg."""
    parser = argparse.ArgumentParser(description="Draw a distance model's residuals.")
    parser.add_argument("--distances", type=Path, help="a table other than our own campaign's")
    parser.add_argument("stem", type=Path, help="path of the figures, without its ending")
    options = parser.parse_args(arguments)
    figure = distance_residuals_figure(read_distances(options.distances or CAMPAIGN))
    style.save(figure, options.stem)


if __name__ == "__main__":
    main()
