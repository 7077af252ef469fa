"""One event's chirp-mass band in the plane of component masses.

::

    python tools/contour_figure.py --mchirp 2.59 --snr 9.6 --eff-distance 398 STEM
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from spiir_pastro.domain import SOURCE_COLOURS, MassBoundaries, Region, class_of_region
from spiir_pastro.models.distance import PYCBC_LIVE_O3
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.models.mass_plane import equal_mass_mchirp, partner_mass, region_bounds
from spiir_pastro.report import style

Floats = NDArray[np.float64]

__all__ = ["GAP_COLOUR", "mass_contour_figure", "plot_mass_contour", "tint"]

GAP_COLOUR = "#CC79A7"


def tint(colour: str, strength: float) -> str:
    """Colour mixed with white; strength 1 is the colour itself."""
    red, green, blue = (1 - strength * (1 - c) for c in to_rgb(colour))
    return to_hex((red, green, blue))


_COLOURS: dict[Region, str] = {
    **{region: SOURCE_COLOURS[class_of_region(region)] for region in Region},
    Region.GNS: tint(GAP_COLOUR, 0.55),
    Region.GG: tint(GAP_COLOUR, 0.75),
    Region.BHG: GAP_COLOUR,
}
_NAMES = {Region.GNS: "gap + NS", Region.GG: "gap + gap", Region.BHG: "BH + gap"}


def mass_contour_figure(
    classifier: MassContourClassifier,
    mchirp: float,
    snr: float,
    eff_distance: float,
    *,
    title: str = "Mass contour",
) -> Figure:
    """Figure of one event's band; see `plot_mass_contour`."""
    with style.house_style():
        figure = style.figure(height=0.68)
        axes = figure.subplots()
        plot_mass_contour(axes, classifier, mchirp, snr, eff_distance)
        axes.set_title(title)
    return figure


def plot_mass_contour(
    axes: Axes, classifier: MassContourClassifier, mchirp: float, snr: float, eff_distance: float
) -> None:
    """Draw the band between the contours M ± σ, coloured by region, with each region's share.

    Parameters
    ----------
    axes
        Where to draw.
    classifier
        What shares the band out.
    mchirp, snr, eff_distance
        The event: detector-frame chirp mass in solar masses, network signal-to-noise ratio and
        least effective distance in Mpc.
    """
    event = [mchirp], [snr], [eff_distance]
    shares = classifier.region_shares(*event)[0]
    mean, sigma = (float(value[0]) for value in classifier.source_mchirp(*event))
    lowest, highest = _in_plane(np.array([mean - sigma, mean + sigma]), classifier.boundaries)
    for region in classifier.regions:
        _draw_region(axes, region, classifier.boundaries, (lowest, highest))
    _frame(axes, classifier.boundaries, highest)
    axes.legend(
        handles=[
            Patch(color=_COLOURS[region], label=f"{_NAMES.get(region, region)}  {_percent(share)}")
            for region, share in zip(classifier.regions, shares, strict=True)
        ],
        loc="upper right",
        title=rf"source chirp mass {mean:.2f} ± {sigma:.2f} M$_\odot$",
        alignment="left",
    )


def _in_plane(mchirp: Floats, boundaries: MassBoundaries) -> Floats:
    b = boundaries
    return np.clip(mchirp, equal_mass_mchirp(b.m_min), equal_mass_mchirp(b.m_max))


def _draw_region(
    axes: Axes, region: Region, boundaries: MassBoundaries, band: tuple[float, float]
) -> None:
    """Tint a region and paint the band's part of it."""
    (bottom, top), (left, right) = region_bounds(region, boundaries)
    m1 = np.linspace(left, right, 2000)
    ceiling = np.minimum(top, m1)
    below, above = (np.clip(partner_mass(m1, np.array(m)), bottom, ceiling) for m in band)
    axes.fill_between(m1, bottom, ceiling, color=tint(_COLOURS[region], 0.14), lw=0)
    axes.fill_between(m1, below, above, where=above > below, color=_COLOURS[region], lw=0)


def _frame(axes: Axes, boundaries: MassBoundaries, highest: float) -> None:
    """Show the part of the plane the band crosses, with room for the legend above the band."""
    m_min, m_max = boundaries.m_min, boundaries.m_max
    highest = max(highest, equal_mass_mchirp(1.2 * m_min))  # something, where there is no band
    reach = float(partner_mass(np.array(m_min), np.array(highest)))
    start = highest / equal_mass_mchirp(1.0)
    m1_end = min(m_max, m_min + 1.1 * (reach - m_min))
    m2_end = min(m1_end, m_min + 1.5 * (start - m_min))
    axes.plot([m_min, m_max], [m_min, m_max], color=style.INK, lw=0.8)
    axes.set(xlim=(m_min, m1_end), ylim=(m_min, m2_end))
    axes.set(xlabel=r"primary mass $m_1$ (M$_\odot$)", ylabel=r"secondary mass $m_2$ (M$_\odot$)")
    axes.grid(visible=False)


def _percent(share: float) -> str:
    if 0 < share < 0.001:
        return "< 0.1 %"
    return f"{100 * share:.1f} %".replace("100.0", "100").replace("0.0 %", "0 %")


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw one event, as STEM.png and STEM.svg."""
    parser = argparse.ArgumentParser(description="Draw one event's mass contour.")
    parser.add_argument("--mchirp", type=float, required=True, help="detector frame, solar masses")
    parser.add_argument("--snr", type=float, required=True, help="of the network")
    parser.add_argument("--eff-distance", type=float, required=True, help="the least, Mpc")
    parser.add_argument("--gap-max", type=float, help="end of the mass gap, solar masses")
    parser.add_argument("--title", default="Mass contour")
    parser.add_argument("stem", type=Path, help="path of the figures, without its ending")
    o = parser.parse_args(arguments)
    classifier = MassContourClassifier(
        distance=PYCBC_LIVE_O3, boundaries=MassBoundaries(gap_max=o.gap_max)
    )
    style.save(
        mass_contour_figure(classifier, o.mchirp, o.snr, o.eff_distance, title=o.title), o.stem
    )


if __name__ == "__main__":
    main()
