"""Which of a million candidates to draw: the informative ones, and a sample of the rest."""

import math

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from spiir_pastro.domain import ASTROPHYSICAL

Rows = NDArray[np.int64]


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
    probable = np.argsort(-p, kind="stable")[: most // 2]
    surprising = np.argsort(-wrong, kind="stable")[: most // 8]
    chosen = np.unique(np.concatenate([kept, probable, surprising]))
    # Every n-th and not at random: the same page for the same candidates.
    rest = np.setdiff1d(np.arange(n), chosen)
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
    wanted = [noise.sort(-p, "row").head(1)]
    for source in ASTROPHYSICAL:
        of_class = signals.filter(source_class=str(source))
        wanted += [of_class.sort(by, "row").head(1) for by in (-p, (p - 0.5).abs(), p)]
    chosen = pl.concat([*wanted, signals.sort("far_hz", "row")]).unique("row", maintain_order=True)
    return chosen.head(most).sort(-p, "row")["row"].to_numpy().astype(np.int64)
