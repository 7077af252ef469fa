"""Which of a million candidates to draw: those that tell something, and a sample of the rest."""

import math

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

__all__ = ["telling_rows"]


def telling_rows(candidates: pl.DataFrame, *, most: int, keep: ArrayLike = ()) -> NDArray[np.int64]:
    """Choose rows to draw, in their order: all of them, or about as many as wanted.

    Half are the most probable signals, an eighth those judged most wrongly, and the rest every so
    manieth of what is left. A row that has to be kept is kept.

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
    rest = np.setdiff1d(np.arange(n), chosen)
    room = max(most - chosen.size, most // 8)
    return np.sort(np.concatenate([chosen, rest[:: math.ceil(rest.size / room)]]))
