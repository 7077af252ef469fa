"""One picture of a model at work: candidates by FAR and chirp mass, and a few of them as bars."""

import polars as pl
from matplotlib.figure import Figure

from spiir_pastro.report.evaluation import draw_bars, draw_candidates
from spiir_pastro.report.style import figure, house_style
from spiir_pastro.report.thinning import interesting_rows


def overview_figure(candidates: pl.DataFrame) -> Figure:
    """Draw both side by side.

    Parameters
    ----------
    candidates
        As in an evaluation's ``candidates.csv``: ``far_hz``, ``mchirp_det``, ``p_astro``, the four
        probabilities, ``p_astro_low``, ``p_astro_high``, ``is_signal``, ``source_class``.
    """
    few = candidates[interesting_rows(candidates)]
    with house_style():
        drawing = figure(height=0.42, width=1.55)
        left, right = drawing.subplots(1, 2, width_ratios=[1.25, 1])
        draw_candidates(left, candidates, truth="truth")
        draw_bars(right, few, names_of(few), classless="noise")
        right.get_legend().remove()
        left.set_title("Every trigger gets four probabilities ...", pad=24)
        right.set_title("... and p_astro its 90 % interval", pad=24)
    return drawing


def names_of(rows: pl.DataFrame) -> list[str]:
    """Name candidates by FAR and chirp mass."""
    return [f"{far:.0e} Hz, {m:.3g} M☉" for far, m in rows.select("far_hz", "mchirp_det").rows()]
