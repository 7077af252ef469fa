"""Draw the README's picture from what ``make demo`` left: ``python docs/picture.py demo``."""

import sys
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.lines import Line2D

from spiir_pastro.domain import Source
from spiir_pastro.report.style import INK, SOURCE_COLOURS, figure, house_style

SOURCES = [str(source) for source in Source]
COLOURS = np.array([to_rgb(SOURCE_COLOURS[source]) for source in Source])
FAR_HZ = (4e-4, 1e-20)
SHOWN = ("BBH", "NSBH", "BNS")


def main(demo: Path, into: Path) -> None:
    """Draw candidates of the demo's evaluation, and a few of them bar by bar."""
    candidates = pl.read_csv(demo / "reports" / "candidates.csv", infer_schema_length=None)
    candidates = candidates.filter(pl.col("p_astro").is_not_null())
    with house_style():
        drawing = figure(height=0.42, width=1.55)
        left, right = drawing.subplots(1, 2, width_ratios=[1.25, 1])
        draw_plane(left, candidates)
        draw_bars(right, chosen(candidates))
        drawing.savefig(into, dpi=130, metadata={"Software": None})


def draw_plane(ax: Axes, candidates: pl.DataFrame) -> None:
    """Draw candidates by FAR and chirp mass; a colour is the mixture of its sources' colours."""
    ordered = candidates.sort("p_astro")
    mixed = np.clip(ordered.select(SOURCES).to_numpy() @ COLOURS, 0, 1)
    ax.scatter(
        ordered["far_hz"], ordered["mchirp_det"], c=mixed, s=16, linewidths=0.3, edgecolors="white"
    )
    ax.set(xscale="log", yscale="log", xlim=FAR_HZ, xlabel="false-alarm rate (Hz)")
    ax.set_ylabel("chirp mass (M$_\\odot$)")
    ax.set_title("Every trigger gets four probabilities ...")
    handles = [
        Line2D([], [], marker="o", linestyle="", color=SOURCE_COLOURS[source], label=str(source))
        for source in Source
    ]
    ax.legend(handles=handles, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=4)


def chosen(candidates: pl.DataFrame) -> pl.DataFrame:
    """Choose a few that differ: of each class one sure and two doubtful, and one of noise."""
    rows = [
        candidates.filter(source_class=source)
        .with_columns(distance=(pl.col("p_astro") - wanted).abs())
        .sort("distance", "event_id")
        .head(1)
        for source in SHOWN
        for wanted in (0.999, 0.75, 0.4)
    ]
    noise = candidates.filter(~pl.col("is_signal")).with_columns(
        distance=(pl.col("p_astro") - 0.2).abs()
    )
    rows.append(noise.sort("distance", "event_id").head(1))
    return pl.concat(rows, how="diagonal").unique("event_id").sort("p_astro")


def draw_bars(ax: Axes, few: pl.DataFrame) -> None:
    """Draw the probabilities of a few candidates, the interval of p_astro and what they are."""
    places = np.arange(few.height)
    start = np.zeros(few.height)
    for source in Source:
        share = few[str(source)].to_numpy()
        ax.barh(places, share, left=start, color=SOURCE_COLOURS[source], height=0.72)
        start += share
    low, high = few["p_astro_low"].to_numpy(), few["p_astro_high"].to_numpy()
    ax.hlines(places, low, high, color=INK, linewidth=1.4)
    ax.plot(few["p_astro"], places, "o", color=INK, markersize=3.5)
    truth = few["source_class"].fill_null("noise").to_list()
    for place, name in zip(places, truth, strict=True):
        ax.text(1.02, place, name, va="center", fontsize=9)
    labels = [
        f"{far:.0e} Hz, {m:.3g} M$_\\odot$" for far, m in few.select("far_hz", "mchirp_det").rows()
    ]
    ax.set_yticks(places, labels, fontsize=8.5)
    ax.set(xlim=(0, 1), xlabel="probability")
    ax.text(1.02, few.height - 0.3, "in truth", fontsize=9, style="italic")
    ax.set_title("... and p_astro its 90 % interval")
    ax.grid(visible=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(__file__).parent / "_static" / "overview.png")
