"""Draw pairs of histograms, one of real candidates and one of simulated, in an order to guess."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from numpy.typing import NDArray

from spiir_pastro.report.style import figure, house_style, save

__all__ = ["PANELS", "Panel", "draw_pairs"]

Floats = NDArray[np.float64]
_ROWS, _COLUMNS = 4, 5
_FEW, _BINS_OF_FEW, _BINS = 100, 10, 20


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One quantity, and whose it is.

    Attributes
    ----------
    of
        ``noise`` or ``mergers``.
    values
        Of the candidates.
    """

    of: str
    values: Callable[[pl.DataFrame], Floats]


def _column(name: str) -> Callable[[pl.DataFrame], Floats]:
    return lambda table: table[name].to_numpy()


def _log(name: str) -> Callable[[pl.DataFrame], Floats]:
    return lambda table: np.log10(table[name].to_numpy())


def _snr(low: float, high: float) -> Callable[[pl.DataFrame], Floats]:
    return lambda table: table.filter(pl.col("mtotal").is_between(low, high))["snr"].to_numpy()


def _eta(table: pl.DataFrame) -> Floats:
    return np.asarray((table["mchirp_det"] / table["mtotal"]).to_numpy() ** (5 / 3))


def _waits(table: pl.DataFrame) -> Floats:
    """Return log10 of the seconds from one candidate to the next, while the detectors are on."""
    waits = np.diff(np.sort(table["gps_ns"].to_numpy())) / 1e9
    return np.log10(waits[waits < _LONGEST_WAIT_S])


_LONGEST_WAIT_S = 20_000.0  # beyond are breaks of the search

PANELS: Mapping[str, Panel] = {
    "noise, SNR": Panel(of="noise", values=_column("snr")),
    "noise, SNR, below 20 solar masses": Panel(of="noise", values=_snr(0, 20)),
    "noise, SNR, above 60 solar masses": Panel(of="noise", values=_snr(60, 1000)),
    "noise, log10 FAR (Hz)": Panel(of="noise", values=_log("far_hz")),
    "noise, log10 chirp mass": Panel(of="noise", values=_log("mchirp_det")),
    "noise, log10 total mass": Panel(of="noise", values=_log("mtotal")),
    "noise, symmetric mass ratio": Panel(of="noise", values=_eta),
    "noise, log10 seconds to the next": Panel(of="noise", values=_waits),
    "mergers, log10 FAR (Hz)": Panel(of="mergers", values=_log("far_hz")),
    "mergers, log10 chirp mass": Panel(of="mergers", values=_log("mchirp_det")),
}
"""Quantities that are drawn twice."""


def draw_pairs(
    real: Mapping[str, pl.DataFrame],
    simulated: Mapping[str, pl.DataFrame],
    stem: Path,
    rng: np.random.Generator,
) -> tuple[int, ...]:
    """Draw each quantity's two histograms side by side, from as many candidates.

    Parameters
    ----------
    real, simulated
        Tables of ``noise`` and of ``mergers``.
    stem
        The picture, without its suffix.
    rng
        Chooses the candidates, and which of the two stands first.

    Returns
    -------
    tuple of int
        Numbers of the real ones, from 1.
    """
    real_numbers = []
    with house_style():
        drawn = figure(width=2.0, height=1.0)
        axes = drawn.subplots(_ROWS, _COLUMNS).flat
        for number, (name, panel) in enumerate(PANELS.items()):
            one, other = (panel.values(tables[panel.of]) for tables in (real, simulated))
            other = rng.choice(other, min(one.size, other.size), replace=False)
            ends = np.quantile(np.concatenate([one, other]), [0.002, 0.998])
            edges = np.linspace(*ends, 1 + (_BINS if one.size > _FEW else _BINS_OF_FEW))
            first_is_real = bool(rng.random() < 0.5)
            real_numbers.append(2 * number + (1 if first_is_real else 2))
            for place, values in enumerate((one, other) if first_is_real else (other, one)):
                _draw(next(axes), values, edges, f"{2 * number + place + 1}. {name}")
        save(drawn, stem)
    return tuple(real_numbers)


def _draw(ax: Axes, values: Floats, edges: Floats, title: str) -> None:
    ax.hist(values, edges, histtype="stepfilled", alpha=0.6)
    ax.set_title(title, fontsize="x-small")
    ax.set_xlim(edges[0], edges[-1])
    ax.set_yticks([])
