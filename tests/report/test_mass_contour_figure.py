"""The figure shows the shares, and is the same file every time."""

from pathlib import Path

import matplotlib as mpl
import pytest

import contour_figure
from spiir_pastro.domain import SOURCE_COLOURS, MassBoundaries
from spiir_pastro.models.distance import PYCBC_LIVE_O3
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.report.style import ACCENT


@pytest.mark.parametrize(("gap_max", "entries"), [(None, 3), (5.0, 6)])
def test_the_legend_says_every_share(gap_max: float | None, entries: int) -> None:
    classifier = MassContourClassifier(
        distance=PYCBC_LIVE_O3, boundaries=MassBoundaries(gap_max=gap_max)
    )
    figure = contour_figure.mass_contour_figure(classifier, 2.59, 9.6, 398.0)
    legend = figure.axes[0].get_legend()
    assert legend is not None
    labels = [text.get_text() for text in legend.get_texts()]
    assert len(labels) == entries
    assert labels[0] == "BNS  5.7 %"


@pytest.mark.parametrize("mchirp", [0.5, 1.2, 6.0, 30.0, 200.0])
def test_any_event_can_be_drawn(mchirp: float) -> None:
    classifier = MassContourClassifier(distance=PYCBC_LIVE_O3)
    figure = contour_figure.mass_contour_figure(classifier, mchirp, 10.0, 100.0)
    left, right = figure.axes[0].get_xlim()
    assert left < right


def test_a_figure_drawn_twice_is_the_same_files(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    for name in ("a", "b"):
        arguments = ["--mchirp", "2.59", "--snr", "9.6", "--eff-distance", "398"]
        contour_figure.main([*arguments, str(tmp_path / name)])
    for ending in ("png", "svg"):
        first, second = ((tmp_path / f"{name}.{ending}").read_bytes() for name in "ab")
        assert first == second
    assert dict(mpl.rcParams) == before


def test_colours_of_classes_differ() -> None:
    assert len(set(SOURCE_COLOURS.values()) | {contour_figure.GAP_COLOUR, ACCENT}) == 6
    assert contour_figure.tint("#000000", 0.0) == "#ffffff"
