"""The simulated noise beside a real SPIIR statistics file.

::

    python tools/noise_figure.py bank0384_stats_1257992907_172800.xml.gz STEM
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.io.ligolw import read_arrays
from spiir_pastro.report import style
from spiir_pastro.simulation.config import stream
from spiir_pastro.simulation.noise import COHERENT_NOISE, NoiseModel

__all__ = ["noise_figure", "plot_chisq", "plot_survival"]

Floats = NDArray[np.float64]

_ARRAY = "background_feature:H1L1_lgsnr_lgchisq_rate"
_SNR_EDGES = 10 ** np.linspace(0.54, 3.0, 301)  # SPIIR's bins of coherent SNR
_LOG_CHISQ_EDGES = np.linspace(-1.2, 3.5, 301)
_QUANTILES = (0.1, 0.5, 0.9)
_DRAWN = 2_000_000


def noise_figure(counts: Floats) -> Figure:
    """Figure of real counts, (300, 300) over SPIIR's bins of SNR and chi-square, and the model."""
    model = COHERENT_NOISE[Source.BBH]
    with style.house_style():
        figure = style.figure(height=0.48, width=1.3)
        left, right = figure.subplots(1, 2)
        plot_survival(left, counts, model)
        plot_chisq(right, counts, model)
    return figure


def plot_survival(axes: Axes, counts: Floats, model: NoiseModel) -> None:
    """Draw the share of noise at least as loud, real and simulated."""
    by_snr = counts.sum(axis=1)
    survival = by_snr[::-1].cumsum()[::-1] / by_snr.sum()
    real = by_snr > 0
    axes.step(_SNR_EDGES[:-1][real], survival[real], where="mid", color=style.INK, label="SPIIR")
    snr = np.linspace(model.threshold, 30, 400)
    colour = SOURCE_COLOURS[Source.BBH]
    axes.plot(snr, np.exp(model.log_survival(snr)), "--", color=colour, label="simulated")
    axes.set(xlabel="coherent SNR", ylabel="share of noise at least as loud")
    axes.set(yscale="log", xlim=(5, 30), ylim=(1e-7, 2))
    axes.legend()


def plot_chisq(axes: Axes, counts: Floats, model: NoiseModel) -> None:
    """Draw chi-square's 10, 50 and 90 % quantiles against SNR, real and simulated."""
    snr, chisq, _ = model.draw(_DRAWN, stream(0, "noise figure"))
    drawn = np.histogram2d(snr, np.log10(chisq), (_SNR_EDGES, _LOG_CHISQ_EDGES))[0]
    colour = SOURCE_COLOURS[Source.BBH]
    for table, ink, dashes in ((counts, style.INK, "-"), (drawn, colour, "--")):
        centre, levels = _quantiles(table)
        for level, width in zip(levels.T, (1.0, 1.8, 1.0), strict=True):
            axes.plot(centre, level, lw=width, color=ink, ls=dashes)
    axes.set(xlabel="coherent SNR", ylabel="combined chi-square, 10, 50, 90 %")
    axes.set(yscale="log", xlim=(5, 20), ylim=(0.5, 60))


def _quantiles(counts: Floats) -> tuple[Floats, Floats]:
    """Return SNR and chi-square's quantiles there, (n,) and (n, 3), five bins taken together."""
    pooled = counts.reshape(60, 5, 300).sum(axis=1)
    centre = np.sqrt(_SNR_EDGES[:-1:5] * _SNR_EDGES[5::5])
    enough = pooled.sum(axis=1) > 100
    cumulative = np.cumsum(pooled[enough], axis=1) / pooled[enough].sum(axis=1, keepdims=True)
    levels = [[np.interp(q, row, _LOG_CHISQ_EDGES[1:]) for q in _QUANTILES] for row in cumulative]
    return centre[enough], 10 ** np.array(levels)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw a statistics file's figure."""
    parser = argparse.ArgumentParser(description=noise_figure.__doc__)
    parser.add_argument("statistics", type=Path, help="a SPIIR bank*_stats_*.xml.gz file")
    parser.add_argument("stem", type=Path, help="STEM.png and STEM.svg are written")
    given = parser.parse_args(arguments)
    counts = read_arrays(given.statistics)[_ARRAY].astype(np.float64)
    style.save(noise_figure(counts), given.stem)


if __name__ == "__main__":
    main()
