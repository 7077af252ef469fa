r"""The counts that make candidates most probable.

The posterior per unit :math:`\ln\Lambda` under the prior :math:`\prod \Lambda^{\alpha-1}`,

.. math:: F(\Lambda) = \sum_j \ln d_j - \sum_a \Lambda_a + \alpha \sum_a \ln \Lambda_a, \qquad
   d_j = \sum_a \Lambda_a R_{ja},

is strictly concave in the counts.
"""

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.bayes_factors import in_chunks

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class _Expansion:
    value: float
    gradient: Floats
    hessian: Floats


def _expand(densities: Floats, counts: Floats, free: int, prior_power: float) -> _Expansion:
    """Log posterior of the counts in ln(counts), its gradient and negative Hessian in counts."""
    value, gradient, hessian = 0.0, np.zeros(free), np.zeros((free, free))
    for rows in in_chunks(len(densities)):
        mixed = densities[rows] @ counts
        shares = densities[rows, :free] / mixed[:, None]
        value += float(np.log(mixed).sum())
        gradient += shares.sum(axis=0)
        hessian += shares.T @ shares
    counted = counts[:free]
    return _Expansion(
        value=value - counted.sum() + prior_power * np.log(counted).sum(),
        gradient=gradient - 1 + prior_power / counted,
        hessian=hessian + np.diag(prior_power / counted**2),
    )


def most_probable_counts(
    densities: Floats, *, expected_noise: float | None, prior_power: float
) -> tuple[Floats, Floats]:
    r"""Maximise the posterior per unit ln(count), and say how sharp the maximum is.

    The logarithm, :math:`\sum_j \ln d_j - \sum_a \Lambda_a + \alpha \sum_a \ln \Lambda_a`, is
    strictly concave in the counts, so Newton's steps from a few of EM's find the one maximum.

    Returns
    -------
    counts : (k + 1,)
        Noise last; its pinned value where there is one.
    hessian : (k, k) or (k + 1, k + 1)
        Negative Hessian in the free counts.
    """
    n, sources = densities.shape
    free = sources if expected_noise is None else sources - 1
    # Half of them noise, the rest shared evenly. Any start will do: there is one maximum.
    counts = np.full(sources, prior_power + n / (2 * (sources - 1)))
    counts[-1] = prior_power + n / 2 if expected_noise is None else expected_noise
    here = _expand(densities, counts, free, prior_power)
    for step in itertools.count():
        # EM keeps the counts positive and is quick far from the maximum, Newton near it.
        if step < 4:
            move = here.gradient * counts[:free]  # one step of expectation maximisation
        else:
            move = np.linalg.solve(here.hessian, here.gradient)
            # Newton's decrement: twice what ln(posterior) may still gain.
            if here.gradient @ move < 1e-14:
                break
            # No count loses more than nine tenths in a step, so none becomes negative.
            move *= 0.9 / max(0.9, float(np.max(-move / counts[:free])))
        for _ in range(60):
            trial = counts.copy()
            trial[:free] += move
            there = _expand(densities, trial, free, prior_power)
            # The rounding of a sum over millions of candidates must not look like a step downwards.
            if there.value >= here.value - 1e-12 * abs(here.value):
                break
            move /= 2
        counts, here = trial, there
        if step > 200:
            raise FitError(f"no maximum of the counts' posterior was found near {counts}")
    return counts, here.hessian
