"""Candidates as their densities under every source, made of logarithms of Bayes factors."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spiir_pastro.errors import FitError

Floats = NDArray[np.float64]


def scaled_densities(log_bayes_factors: ArrayLike, classes: int | None = None) -> Floats:
    """Densities of each candidate under every source, (n, k + 1), noise last; the largest is 1.

    Parameters
    ----------
    log_bayes_factors : (n,) or (n, k)
        ln f_a(x_j) / b(x_j); minus infinity where a class cannot make the candidate.
    classes
        The k that is expected; None for any.

    Raises
    ------
    FitError
        If the shape is wrong, or a value is NaN or plus infinity.
    """
    logs = given = np.asarray(log_bayes_factors, dtype=np.float64)
    if logs.ndim == 1 and classes in (None, 1):
        logs = logs[:, None]
    if logs.ndim != 2 or logs.shape[1] < 1 or classes not in (None, logs.shape[1]):
        wanted = "(n,) or (n, k)" if classes is None else f"(n, {classes})"
        raise FitError(f"log_bayes_factors has shape {given.shape}, where {wanted} belongs")
    densities = np.empty((len(logs), logs.shape[1] + 1))
    for rows in in_chunks(len(logs)):
        largest = logs[rows].max(axis=1)
        if not np.all(largest < np.inf):
            _refuse(logs)
        # A factor common to a candidate's densities cancels in all that is asked, so the largest is
        # made 1: a Bayes factor of exp(800) must not overflow.
        shift = np.maximum(largest, 0.0)
        np.exp(logs[rows] - shift[:, None], out=densities[rows, :-1])
        np.exp(-shift, out=densities[rows, -1])
    return densities


def _refuse(logs: Floats) -> None:
    row, column = np.argwhere(~(logs < np.inf))[0]
    raise FitError(
        f"log Bayes factor of row {row}, class {column} is {logs[row, column]}; "
        "it must be finite, or minus infinity where the class is excluded"
    )


def in_chunks(n: int, size: int = 16_384) -> Iterator[slice]:
    """Cut n rows into slices that fit the processor's cache."""
    return (slice(start, min(start + size, n)) for start in range(0, n, size))
