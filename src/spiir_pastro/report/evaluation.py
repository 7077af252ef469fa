"""Figures of an evaluation: candidates, known mergers, ROC and calibration."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.evaluation.scores import Reliability, Roc, reliability, roc
from spiir_pastro.report.style import ACCENT, INK, figure, house_style, images
from spiir_pastro.report.thinning import telling_rows

T = TypeVar("T")

_MOST_POINTS = 20_000
_MOST_RINGS = 5_000  # with more points they are small, without rings, and one picture in an SVG
_MOST_BARS = 40
_ROC_POINTS = 1000


def figures(candidates: pl.DataFrame, known_mergers: pl.DataFrame) -> Mapping[str, bytes]:
    """Draw every figure of an evaluation, as PNG and SVG.

    Parameters
    ----------
    candidates
        With ``far_hz``, ``mchirp_det``, ``p_astro``, ``is_signal``.
    known_mergers
        With ``name``, the probabilities by class and ``far_hz``; rows without a candidate are
        left out.

    Returns
    -------
    Mapping of file names to contents.
    """
    p_astro, is_signal = candidates["p_astro"].to_numpy(), candidates["is_signal"].to_numpy()
    seen = known_mergers.filter(pl.col("p_astro").is_not_null()).sort("far_hz").head(_MOST_BARS)
    with house_style():
        drawn = {
            **_images("candidates", draw_candidates, candidates),
            **_images("roc", draw_roc, roc(p_astro, is_signal).thinned(_ROC_POINTS)),
            **_images("reliability", draw_reliability, reliability(p_astro, is_signal)),
        }
        if seen.height:
            tall = figure(height=0.18 + 0.032 * seen.height)
            draw_known_mergers(tall.subplots(), seen)
            drawn |= images(tall, "known_mergers")
    return drawn


def draw_candidates(ax: Axes, candidates: pl.DataFrame) -> None:
    """Draw candidates by FAR and chirp mass, coloured by p_astro; signals ringed if few."""
    ordered = candidates[telling_rows(candidates, most=_MOST_POINTS)].sort("p_astro")
    far, mchirp = ordered["far_hz"].to_numpy(), ordered["mchirp_det"].to_numpy()
    known = ordered["is_signal"].to_numpy()
    crowded = ordered.height > _MOST_RINGS
    points = ax.scatter(
        far, mchirp, c=ordered["p_astro"].to_numpy(), s=3 if crowded else 12, cmap="cividis",
        vmin=0, vmax=1, zorder=3, rasterized=crowded,
    )  # fmt: skip
    if not crowded:
        ax.scatter(
            far[known], mchirp[known], s=60, facecolors="none", zorder=4, linewidths=1.4,
            edgecolors=SOURCE_COLOURS[Source.BBH], label="signal",
        )  # fmt: skip
        ax.legend(loc="lower right")
    ax.set(xscale="log", yscale="log", xlabel="FAR (Hz)", title="Candidates")
    ax.set_ylabel("detector-frame chirp mass (M$_\\odot$)")
    ax.invert_xaxis()
    drawing = ax.get_figure()
    if isinstance(drawing, Figure):
        drawing.colorbar(points, ax=ax, label="$p_\\mathrm{astro}$")


def draw_roc(ax: Axes, curve: Roc) -> None:
    """Draw efficiency against false alarms, the latter on a logarithmic axis that shows zero."""
    smallest = curve.false_alarm[curve.false_alarm > 0].min(initial=1.0)
    ax.step(curve.false_alarm, curve.efficiency, where="post", color=SOURCE_COLOURS[Source.BNS])
    ax.set_xscale("symlog", linthresh=smallest, linscale=0.3)
    ax.set(xlim=(0, 1), ylim=(0, 1.02), title="Receiver operating characteristic")
    ax.set(xlabel="fraction of noise called a signal", ylabel="fraction of signals found")


def draw_reliability(ax: Axes, bins: Reliability) -> None:
    """Draw how many of those called p are signals, with 90 % intervals and how many there are."""
    filled = bins.count > 0
    errors = np.abs(bins.interval[filled].T - bins.fraction[filled])
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.errorbar(
        bins.mean_probability[filled], bins.fraction[filled], yerr=errors, fmt="o",
        color=SOURCE_COLOURS[Source.BNS], capsize=3,
    )  # fmt: skip
    for x, top, count in zip(
        bins.mean_probability[filled], bins.interval[filled, 1], bins.count[filled], strict=True
    ):
        ax.annotate(f"{count}", (x, top), textcoords="offset points", xytext=(0, 5), ha="center",
                    fontsize=8)  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.12), title="Calibration")
    ax.set(xlabel="$p_\\mathrm{astro}$ said", ylabel="fraction that are signals")


def draw_known_mergers(ax: Axes, seen: pl.DataFrame) -> None:
    """Draw the four probabilities of each known merger as a bar, most significant on top."""
    rows = seen.sort("far_hz")
    height = np.arange(rows.height)
    left = np.zeros(rows.height)
    for source in Source:
        width = rows[str(source)].to_numpy()
        ax.barh(
            height, width, left=left, color=SOURCE_COLOURS[source], label=str(source), height=0.75
        )
        left += width
    ax.axvline(0.5, color=ACCENT, linewidth=1.0, linestyle=(0, (2, 2)))
    ax.set_yticks(height, rows["name"].to_list(), fontsize=8)
    ax.set(xlim=(0, 1), ylim=(-0.6, rows.height - 0.4), xlabel="probability")
    ax.set_title("Known mergers SPIIR has, most significant first", pad=24)
    ax.invert_yaxis()
    ax.grid(visible=False)
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0.2)


def _images(name: str, draw: Callable[[Axes, T], None], content: T) -> Mapping[str, bytes]:
    drawn = figure()
    draw(drawn.subplots(), content)
    return images(drawn, name)
