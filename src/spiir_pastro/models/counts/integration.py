"""From a compressed likelihood and a prior to nodes and weights."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.count_prior import Prior, prior_power
from spiir_pastro.models.counts.lattice import LOG_CUTOFF, Lattice, lattice_of
from spiir_pastro.models.counts.mixture import CompressedMixture
from spiir_pastro.models.counts.stick_breaking import Sticks

Floats = NDArray[np.float64]

_TOLERANCE_BY_CLASSES = {
    1: 1e-13,
    2: 1e-12,
    3: 1e-8,
}  # by classes: nodes are dear in three dimensions
_WORST_TOLERANCE = 1e-5
_MOST_NODES = 400_000
_MOST_EVALUATIONS = 1_000_000_000  # nodes times candidates kept singly


class TooNarrowError(FitError):
    """The posterior reaches beyond the box in which its likelihood is known."""

    def __init__(self, needed: Floats) -> None:
        super().__init__(
            "the candidates have moved the counts beyond what was kept of the earlier ones; "
            "fit all of them anew with fit_counts"
        )
        self.needed = needed


def log_posterior(
    likelihood: CompressedMixture, prior: Prior, sticks: Sticks
) -> Callable[[Floats], Floats]:
    r"""Posterior per unit of the sticks' coordinates.

    Its logarithm F is concave in the shares or counts, so beyond the likelihood's box it lies
    below the chord from the reference through the wall: F_ref + (F_wall - F_ref) / fraction.
    """
    alpha = prior_power(prior)

    def in_box(logs: Floats) -> Floats:
        free = logs[:, :-1] if likelihood.pinned else logs
        value = likelihood.log_likelihood(np.exp(logs))
        value += alpha * free.sum(axis=1)
        if likelihood.pinned:
            value -= np.exp(free).sum(axis=1)
        return value

    reference = likelihood.reference
    at_reference = float(in_box(np.log(reference[None]))[0])

    def density(t: Floats) -> Floats:
        logs = sticks.log_sources(t)
        points = np.exp(logs)
        # The compressed likelihood is exact inside its box only. Beyond it an upper bound is
        # enough: what is below the cutoff even so need not be known, and what is not asks for a
        # larger box.
        excess = likelihood.distance(points)
        outside = excess > 1
        if outside.any():
            fraction = 1 / excess[outside, None]
            # Where the ray from the reference through the point leaves the box.
            wall = reference + fraction * (points[outside] - reference)
            logs[outside] = np.log(wall)
        value = in_box(logs)
        value[outside] = at_reference + (value[outside] - at_reference) * excess[outside]
        # Four below the cutoff, so that no node that is kept was only bounded.
        least = max(at_reference, value.max()) + LOG_CUTOFF - 4
        if np.any(value[outside] > least):
            heavy = likelihood.coordinates(points[value > least])
            # Five per cent more than needed, or rounding would ask for the same box again.
            raise TooNarrowError(1.05 * np.stack([heavy.min(axis=0), heavy.max(axis=0)]))
        return value

    return density


def integrate(likelihood: CompressedMixture, prior: Prior) -> Lattice:
    """Integrate in whichever order of sources keeps their coordinates most independent.

    Raises
    ------
    FitError
        If the integrals settle in none.
    """
    best: Lattice | None = None
    # No rule tells which order that is; to try them costs less than a finer lattice.
    for first in (None, *range(likelihood.classes)):
        lattice = integrate_from(likelihood, prior, first)
        if lattice.accuracy < _TOLERANCE_BY_CLASSES[likelihood.classes]:
            return lattice
        best = lattice if best is None or lattice.accuracy < best.accuracy else best
    if best is None or not best.accuracy < _WORST_TOLERANCE:
        raise FitError(
            f"integrals over the counts of {likelihood.classes} classes do not settle; "
            "the candidates hardly tell the classes from each other or from noise: merge some"
        )
    return best


def integrate_from(likelihood: CompressedMixture, prior: Prior, first: int | None) -> Lattice:
    """Integrate with one class, or none, broken off first."""
    reference = likelihood.reference
    noise = float(reference[-1]) if likelihood.pinned else None
    sticks = Sticks(classes=likelihood.classes, noise=noise, first=first)
    return lattice_of(
        log_posterior(likelihood, prior, sticks),
        sticks.frame_at(np.log(reference), likelihood.scale),
        tolerance=_TOLERANCE_BY_CLASSES[likelihood.classes],
        most_nodes=min(_MOST_NODES, _MOST_EVALUATIONS // max(1, len(likelihood.singles))),
    )
