"""One picture of a model at work: candidates by FAR and chirp mass, and a few of them as bars."""

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.report.style import INK, figure, house_style
from spiir_pastro.report.thinning import interesting_rows, telling_rows

__all__ = ["draw_bars", "draw_plane", "overview_figure"]

_SOURCES = [str(source) for source in Source]
_COLOURS = np.array([to_rgb(SOURCE_COLOURS[source]) for source in Source])
_MOST_POINTS = 20_000
_DECADES_BEYOND = 1e-4
_DOUBTFUL = 0.99


def overview_figure(candidates: pl.DataFrame) -> Figure:
    """Draw both side by side.

    Parameters
    ----------
    candidates
        As in an evaluation's ``candidates.csv``: ``far_hz``, ``mchirp_det``, ``p_astro``, the four
        probabilities, ``p_astro_low``, ``p_astro_high``, ``is_signal``, ``source_class``.
    """
    judged = candidates.filter(pl.col("p_astro").is_not_null())
    with house_style():
        drawing = figure(height=0.42, width=1.55)
        left, right = drawing.subplots(1, 2, width_ratios=[1.25, 1])
        draw_plane(left, judged)
        draw_bars(right, judged[interesting_rows(judged)])
    return drawing


def draw_plane(ax: Axes, candidates: pl.DataFrame) -> None:
    """Draw candidates by FAR and chirp mass; a colour is the mixture of its sources' colours."""
    ordered = candidates[telling_rows(candidates, most=_MOST_POINTS)].sort("p_astro")
    mixed = np.clip(ordered.select(_SOURCES).to_numpy() @ _COLOURS, 0, 1)
    far, mchirp = ordered["far_hz"].to_numpy(), ordered["mchirp_det"].to_numpy()
    ax.scatter(far, mchirp, c=mixed, s=16, linewidths=0.3, edgecolors="white")
    doubtful = far[ordered["p_astro"].to_numpy() < _DOUBTFUL]
    if doubtful.size:
        ax.set_xlim(2 * far.max(), max(far.min() / 2, doubtful.min() * _DECADES_BEYOND))
    else:
        ax.set_xlim(2 * far.max(), far.min() / 2)
    ax.set(xscale="log", yscale="log", xlabel="false-alarm rate (Hz)")
    ax.set_ylabel("chirp mass (M$_\\odot$)")
    ax.set_title("Every trigger gets four probabilities ...")
    handles = [
        Line2D([], [], marker="o", linestyle="", color=SOURCE_COLOURS[source], label=str(source))
        for source in Source
    ]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=4)


def draw_bars(ax: Axes, few: pl.DataFrame) -> None:
    """Draw the probabilities of a few candidates, the interval of p_astro and what they are."""
    rows = few.reverse()
    places = np.arange(rows.height)
    start = np.zeros(rows.height)
    for source in Source:
        share = rows[str(source)].to_numpy()
        ax.barh(places, share, left=start, color=SOURCE_COLOURS[source], height=0.72)
        start += share
    low, high = rows["p_astro_low"].to_numpy(), rows["p_astro_high"].to_numpy()
    ax.hlines(places, low, high, color=INK, linewidth=1.4)
    ax.plot(rows["p_astro"], places, "o", color=INK, markersize=3.5)
    if "source_class" in rows.columns:
        for place, name in enumerate(rows["source_class"].fill_null("noise")):
            ax.text(1.02, place, name, va="center", fontsize=9)
        ax.text(1.02, rows.height - 0.3, "in truth", fontsize=9, style="italic")
    labels = [
        f"{far:.0e} Hz, {m:.3g} M$_\\odot$" for far, m in rows.select("far_hz", "mchirp_det").rows()
    ]
    ax.set_yticks(places, labels, fontsize=8.5)
    ax.set(xlim=(0, 1), xlabel="probability")
    ax.set_title("... and p_astro its 90 % interval")
    ax.grid(visible=False)
