"""What to draw of a million candidates: the informative ones, where, and which are misjudged."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.evaluation.scores import Roc

Rows = NDArray[np.int64]

_SOURCES = [str(source) for source in Source]
_DOUBTFUL = 0.99
_BEYOND = 1e-4
_MARGIN = 10**0.4


def roc_span(curves: Iterable[Roc]) -> tuple[float, float]:
    """Choose which fractions of signals to draw ROC curves for.

    A tenth lower than the signals above all noise: below those a curve only rises straight up.
    """
    clean = min(curve.clean_efficiency for curve in curves)
    lowest = max(0.0, math.floor(10 * clean - 1) / 10)
    return lowest, 1 + 0.03 * (1 - lowest)


def telling_rows(candidates: pl.DataFrame, *, most: int, keep: ArrayLike = ()) -> Rows:
    """Choose rows to draw, in their order: all of them, or about as many as wanted.

    Half are the most probable signals, an eighth those judged most wrongly, the rest every n-th
    row of what is left. A row that has to be kept is kept.

    Parameters
    ----------
    candidates
        With ``p_astro``, ``is_signal``.
    most
        About how many to choose.
    keep
        Numbers of rows to choose in any case.
    """
    n = candidates.height
    if n <= most:
        return np.arange(n)
    p = candidates["p_astro"].fill_null(0.0).to_numpy()
    wrong = np.where(candidates["is_signal"].to_numpy(), 1 - p, p)
    kept = np.asarray(keep, dtype=np.int64)
    chosen = np.unique(np.concatenate([kept, _largest(p, most // 2), _largest(wrong, most // 8)]))
    # Every n-th and not at random: the same page for the same candidates.
    rest = np.delete(np.arange(n), chosen)
    room = max(most - chosen.size, most // 8)
    return np.sort(np.concatenate([chosen, rest[:: math.ceil(rest.size / room)]]))


def interesting_rows(candidates: pl.DataFrame, *, most: int = 10) -> Rows:
    """Choose a few candidates to show one by one, the most probable first.

    Of the signals of each class the surest, the most doubtful and the least probable; the noise
    that looks most like a signal; then the most significant signals that are left.

    Parameters
    ----------
    candidates
        With ``p_astro``, ``is_signal``, ``source_class``, ``far_hz``.
    most
        How many to choose at most.
    """
    p = pl.col("p_astro")
    told = candidates.select("p_astro", "is_signal", "source_class", "far_hz")
    judged = told.with_row_index("row").filter(p.is_not_null())
    signals, noise = judged.filter("is_signal"), judged.filter(~pl.col("is_signal"))
    wanted = [noise.bottom_k(1, by=[-p, "row"])]
    for source in ASTROPHYSICAL:
        of_class = signals.filter(source_class=str(source))
        wanted += [of_class.bottom_k(1, by=[by, "row"]) for by in (-p, (p - 0.5).abs(), p)]
    loudest = signals.bottom_k(most, by=["far_hz", "row"]).sort("far_hz", "row")
    chosen = pl.concat([*wanted, loudest]).unique("row", maintain_order=True)
    return chosen.head(most).sort(-p, "row")["row"].to_numpy().astype(np.int64)


@dataclass(frozen=True, kw_only=True)
class DecisiveFars:
    """Between which FARs candidates are drawn: to four decades past the last doubtful one."""

    # Hz
    largest: float
    least: float
    louder: int  # candidates beyond

    @classmethod
    def of(cls, candidates: pl.DataFrame) -> Self:
        """Choose them for candidates with ``far_hz``, ``p_astro``."""
        judged = candidates.select("far_hz", "p_astro").drop_nulls("p_astro")
        far, p = judged.filter(pl.col("far_hz") > 0).to_numpy().T
        if not far.size:
            return cls(largest=1.0, least=1e-6, louder=0)
        doubtful = far[p < _DOUBTFUL] if (p < _DOUBTFUL).any() else far
        least = max(far.min() / _MARGIN, doubtful.min() * _BEYOND)
        louder = int((judged["far_hz"] < least).sum())
        return cls(largest=_MARGIN * far.max(), least=least, louder=louder)


def most_probable(candidates: pl.DataFrame) -> NDArray[np.str_]:
    """Return the name of each candidate's most probable source, (n,)."""
    most = candidates.select(_SOURCES).to_numpy().argmax(axis=1)
    names: NDArray[np.str_] = np.array(_SOURCES)[most]
    return names


def misjudged(candidates: pl.DataFrame) -> NDArray[np.bool_]:
    """Return which candidates are something else than their most probable source, (n,).

    Of a signal whose class is not known, only noise is wrong.
    """
    called, is_signal = most_probable(candidates), candidates["is_signal"].to_numpy()
    truth = candidates["source_class"].fill_null("").to_numpy()
    is_noise = called == str(Source.TERRESTRIAL)
    other_class = (truth != "") & (called != truth)
    return np.where(is_signal, is_noise | other_class, ~is_noise)


def _largest(values: NDArray[np.float64], count: int) -> Rows:
    """Return the rows of the largest values, the first of equals; faster than to sort them all."""
    least = np.partition(values, -count)[-count]
    above, equal = np.flatnonzero(values > least), np.flatnonzero(values == least)
    return np.concatenate([above, equal[: count - above.size]])
