"""How every figure of the project looks: colours, sizes and reproducible files.

The colours are Okabe and Ito's, which people with any colour vision tell apart.
"""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from spiir_pastro.io.atomic import write_atomically

ACCENT = "#E69F00"
INK = "#222222"

_WIDTH_IN = 6.4
_SETTINGS: Any = {
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.linewidth": 0.8,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "grid.color": "#E4E4E4",
    "grid.linewidth": 0.6,
    "legend.fontsize": 9.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "spiir-pastro",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the project's style within this block; settings outside stay as they were."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_SETTINGS)
        yield


def figure(*, height: float = 0.62, width: float = 1.0) -> Figure:
    """Return an empty figure; height in parts of its width, width in parts of the page's."""
    inches = _WIDTH_IN * width
    return Figure(figsize=(inches, inches * height), layout="constrained")


def images(drawn: Figure, name: str) -> Mapping[str, bytes]:
    """Return ``name.png`` and ``name.svg``, the same bytes for the same figure."""
    png, svg = io.BytesIO(), io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "spiir-pastro", "svg.fonttype": "none"}):
        drawn.savefig(png, format="png", dpi=160, metadata={"Software": None})
        drawn.set_layout_engine("none")  # where everything stands is known by now
        drawn.savefig(svg, format="svg", metadata={"Creator": None, "Date": None})
    return {f"{name}.png": png.getvalue(), f"{name}.svg": svg.getvalue()}


def save(drawn: Figure, stem: Path) -> None:
    """Write a figure's `images` beside each other."""
    for name, content in images(drawn, stem.name).items():
        write_atomically(stem.with_name(name), content)
