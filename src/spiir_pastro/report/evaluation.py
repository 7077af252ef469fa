"""Figures of an evaluation, as the page shows them: candidates, known mergers, ROC, calibration."""

import math
from collections.abc import Mapping

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.evaluation.scores import Reliability, Roc
from spiir_pastro.report.numbers import source_name
from spiir_pastro.report.style import INK, figure, house_style, images
from spiir_pastro.report.thinning import DecisiveFars, misjudged, most_probable, roc_span

_MOST_POINTS = 3000
_MOST_BARS = 30
_ROC_POINTS = 1000
_SOURCES = [str(source) for source in Source]
_DRAWN = ("far_hz", "mchirp_det", "p_astro", *_SOURCES, "is_signal", "source_class")
_RGB = np.array([to_rgb(colour) for colour in SOURCE_COLOURS.values()])
_MARKS = dict(zip(_SOURCES, ("s", "^", "o", "x"), strict=True))  # as the page's SOURCE_MARKS
_MCHIRP_TICKS = [m * 10**k for k in range(3) for m in (1, 2, 5)]
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_RING = "#7a7f87"
_BEFORE, _AFTER = SOURCE_COLOURS[Source.TERRESTRIAL], SOURCE_COLOURS[Source.BNS]


def figures(evaluation: Evaluation) -> Mapping[str, bytes]:
    """Draw every figure of an evaluation, as PNG and SVG by file name."""
    mergers = evaluation.known_mergers.filter(pl.col("p_astro").is_not_null())
    seen = mergers.sort("far_hz").head(_MOST_BARS)
    with house_style():
        plane = figure()
        truth = "truth" if evaluation.truth == "injection" else "catalogue"
        draw_candidates(plane.subplots(), evaluation.scored, truth=truth)
        drawn = {
            **images(plane, "candidates"),
            **score_figures({"": (evaluation.roc, evaluation.calibration)}),
        }
        if seen.height:
            tall = figure(height=0.18 + 0.032 * seen.height)
            bars = tall.subplots()
            draw_bars(bars, seen, seen["name"].to_list(), classless="signal")
            bars.set_title("Known mergers SPIIR has, most significant first", pad=24)
            drawn |= images(tall, "known_mergers")
    return drawn


def score_figures(models: Mapping[str, tuple[Roc, Reliability]]) -> Mapping[str, bytes]:
    """Draw ROC curve and calibration of one model, or of two by name, the earlier first."""
    with house_style():
        found, said = figure(), figure()
        draw_roc(found.subplots(), {name: curve for name, (curve, _) in models.items()})
        draw_calibration(said.subplots(), {name: bins for name, (_, bins) in models.items()})
        return {**images(found, "roc"), **images(said, "calibration")}


def draw_candidates(ax: Axes, candidates: pl.DataFrame, *, truth: str) -> None:
    """Draw candidates by FAR and chirp mass as the page does.

    A colour is the mixture of the sources' by their probabilities, a mark the most probable one's;
    a ring says that in truth, or in the catalogue, it is something else.
    """
    fars = DecisiveFars.of(candidates)
    judged = candidates.select(_DRAWN).filter(pl.col("p_astro").is_not_null(), pl.col("far_hz") > 0)
    told = _some(judged).sort("p_astro")
    far, mchirp = told["far_hz"].to_numpy(), told["mchirp_det"].to_numpy()
    mixed = np.clip(told.select(_SOURCES).to_numpy() @ _RGB, 0, 1)
    called, inside = most_probable(told), far >= fars.least
    for source in reversed(Source):
        mine = inside & (called == str(source))
        size = 12 if source is Source.TERRESTRIAL else 22
        ax.scatter(far[mine], mchirp[mine], c=mixed[mine], s=size, marker=_MARKS[source],
                   linewidths=0.7)  # fmt: skip
    wrong = inside & misjudged(told)
    ax.scatter(far[wrong], mchirp[wrong], s=75, facecolors="none", edgecolors=_RING,
               linewidths=0.8, zorder=0.9)  # fmt: skip
    every = f"{told.height:,} of {candidates.height:,}" if told.height < judged.height else "All"
    ax.set_title(f"{every} candidates, by FAR and chirp mass", pad=24)
    ax.set(xscale="log", yscale="log", xlim=(fars.largest, fars.least))
    _decades(ax.xaxis)
    _ticks(ax.yaxis, {float(tick): f"{tick}" for tick in _MCHIRP_TICKS})
    ax.set(xlabel="FAR (Hz), more significant →", ylabel="chirp mass, detector frame (M☉)")
    if fars.louder:
        ax.text(0.99, 1, f"{fars.louder:,} louder →", ha="right", va="top", transform=ax.transAxes)
    _key(ax, Line2D([], [], marker="o", linestyle="", markersize=9, fillstyle="none", color=_RING,
                    label=f"the {truth} says otherwise"))  # fmt: skip


def draw_roc(ax: Axes, curves: Mapping[str, Roc]) -> None:
    """Draw signals found against noise called a signal, logarithmic; none at all at the left."""
    left = min(curve.left_edge for curve in curves.values())
    for (name, curve), colour in zip(curves.items(), _colours(curves), strict=True):
        drawn = curve.thinned(_ROC_POINTS)
        ax.step(np.maximum(drawn.false_alarm, left), drawn.efficiency, where="post",
                color=colour, label=name)  # fmt: skip
    ax.set(xscale="log", xlim=(left, 1), ylim=roc_span(curves.values()))
    ax.set_title("Signals against noise (ROC)")
    _decades(ax.xaxis)
    ax.set(
        xlabel="fraction of noise called a signal (left edge: none)",
        ylabel="fraction of signals found",
    )
    if len(curves) > 1:
        ax.legend(loc="lower right")


def draw_calibration(ax: Axes, models: Mapping[str, Reliability]) -> None:
    """Draw how many of those called p are signals, with 90 % intervals; of one, how many it has."""
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    for (name, bins), colour, mark in zip(models.items(), _colours(models), "os", strict=False):
        filled = bins.count > 0
        errors = np.abs(bins.interval[filled].T - bins.fraction[filled])
        ax.errorbar(
            bins.mean_probability[filled], bins.fraction[filled], yerr=errors, fmt=mark,
            color=colour, capsize=3, label=name,
        )  # fmt: skip
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title="Calibration")
    ax.set(xlabel="p_astro said", ylabel="fraction that are signals")
    if len(models) > 1:
        ax.legend(loc="upper left")
        return
    ax.set(ylim=(-0.03, 1.12), title="Calibration, with the number of candidates")
    for centre, count in zip((bins.edges[:-1] + bins.edges[1:]) / 2, bins.count, strict=True):
        ax.text(centre, 1.06, f"{count}", ha="center", fontsize=8)


def draw_bars(ax: Axes, rows: pl.DataFrame, names: list[str], *, classless: str = "") -> None:
    """Draw probabilities of events, the interval of p_astro and, if told, what each is."""
    places = np.arange(rows.height)
    start = np.zeros(rows.height)
    for source in Source:
        share = rows[str(source)].to_numpy()
        ax.barh(places, share, left=start, color=SOURCE_COLOURS[source], height=0.72)
        start += share
    ax.hlines(places, rows["p_astro_low"], rows["p_astro_high"], color=INK, linewidth=1.4)
    ax.plot(rows["p_astro"], places, "o", color=INK, markersize=3.5, clip_on=False)
    if "source_class" in rows.columns:
        for place, truth in enumerate(rows["source_class"].fill_null(classless)):
            ax.text(1.02, place, truth, va="center", fontsize=9)
        ax.text(1.02, -0.7, "in truth", fontsize=9, style="italic")
    ax.set_yticks(places, names, fontsize=8.5)
    ax.set(xlim=(0, 1), ylim=(rows.height - 0.4, -0.6), xlabel="probability")
    ax.grid(visible=False)
    _key(ax)


def _colours(models: Mapping[str, object]) -> list[str]:
    return [_BEFORE, _AFTER][-len(models) :]


def _some(candidates: pl.DataFrame) -> pl.DataFrame:
    """Choose what to draw: signals, few or many among a million, have half of the room."""
    telling = pl.col("is_signal") | (pl.col("p_astro") > 0.5)
    signals = _evenly(candidates.filter(telling), most=_MOST_POINTS // 2)
    noise = _evenly(candidates.filter(~telling), most=_MOST_POINTS - signals.height)
    return pl.concat([signals, noise])


def _evenly(rows: pl.DataFrame, *, most: int) -> pl.DataFrame:
    return rows.gather_every(max(1, math.ceil(rows.height / most)))


def _decades(axis: Axis) -> None:
    """Mark powers of ten of a logarithmic axis; plain text, since mathematics is slow to set."""
    least, largest = np.log10(sorted(axis.get_view_interval()))
    step = math.ceil((largest - least) / 9)
    every = range(math.ceil(least), math.floor(largest) + 1, step)
    _ticks(axis, {10.0**k: "1" if k == 0 else f"10{str(k).translate(_RAISED)}" for k in every})


def _ticks(axis: Axis, labels: Mapping[float, str]) -> None:
    axis.set_major_locator(FixedLocator(list(labels)))
    axis.set_major_formatter(FixedFormatter(list(labels.values())))
    axis.set_minor_locator(NullLocator())


def _key(ax: Axes, *more: Line2D) -> None:
    sources = [
        Line2D([], [], marker=_MARKS[source], linestyle="", color=colour, label=source_name(source))
        for source, colour in SOURCE_COLOURS.items()
    ]
    key = ax.legend(handles=[*sources, *more], loc="lower left", bbox_to_anchor=(0, 1), ncols=5,
                    borderaxespad=0.2, handletextpad=0.1, columnspacing=1.4)  # fmt: skip
    key.set_in_layout(False)  # the title's distance makes room for it
