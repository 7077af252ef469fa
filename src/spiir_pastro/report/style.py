"""How every figure of the project looks: colours, sizes and reproducible files.

The colours are Okabe and Ito's, which people with any colour vision tell apart.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

__all__ = ["ACCENT", "INK", "figure", "house_style", "save"]

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


def save(drawn: Figure, stem: Path) -> tuple[Path, Path]:
    """Write ``stem.png`` and ``stem.svg``, the same bytes for the same figure."""
    paths = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    with mpl.rc_context({"svg.hashsalt": "spiir-pastro", "svg.fonttype": "none"}):
        drawn.savefig(paths[0], dpi=160, metadata={"Software": None})
        drawn.savefig(paths[1], metadata={"Creator": None, "Date": None})
    return paths
