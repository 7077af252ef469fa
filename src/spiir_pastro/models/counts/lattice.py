"""Integrals over a posterior of counts: the trapezoidal rule on a lattice that fits it.

On the whole real line the trapezoidal rule converges geometrically for smooth functions that die
away (Trefethen and Weideman 2014, SIAM Review 56, 385). The coordinates of `Frame` make the
posterior such a function, whether a class has five thousand signals or none. The step is refined
until the integrals stand still.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from spiir_pastro.errors import FitError
from spiir_pastro.models.counts.stick_breaking import Frame

Floats = NDArray[np.float64]
LogDensity = Callable[[Floats], Floats]

LOG_CUTOFF = -33.0  # nodes below exp(LOG_CUTOFF) of the largest weigh nothing
_STEPS = tuple(0.45 * 0.75**i for i in range(14))
_LOG_SLACK = 3.0  # by which a line between neighbours of the survey may miss
_MOST_BOX_NODES = 3_000_000  # nodes of a box looked at whole
_ENVELOPE_FACTOR = 1.25  # no smooth density resolved by the lattice exceeds its chords by as much


@dataclass(frozen=True, kw_only=True, eq=False)
class Lattice:
    """Nodes and weights of the posterior."""

    frame: Frame
    step: float  # distance of neighbours in z
    z: Floats  # (g, k) nodes, those that weigh something
    log_sources: Floats  # (g, k + 1) logarithms of the shares or counts there, noise last
    weights: Floats  # (g,) they sum to one
    # estimated error of means, in standard deviations. The error falls geometrically, so halving
    # the step squares it: this is the square of the change when every other layer of nodes is left
    # out, in the direction in which that changes most.
    accuracy: float

    def draw_log_sources(self, n: int, rng: np.random.Generator, log_density: LogDensity) -> Floats:
        """Draw logarithms of the sources, (n, k + 1).

        A draw from the weights interpolated linearly (a node plus a triangular step) is accepted
        in proportion to the true density over the interpolated one, so nothing is approximated.
        """
        # Rejection sampling. A node chosen by its weight plus a triangular step of one cell has the
        # linear interpolation as its density; it is kept with probability true / (_ENVELOPE_FACTOR
        # * interpolated).
        cells = np.rint(self.z / self.step).astype(np.int64)
        corner = cells.min(axis=0)
        table = np.zeros(cells.max(axis=0) - corner + 1)
        table[tuple((cells - corner).T)] = self.weights
        heaviest = self.z[[self.weights.argmax()]]
        unit = _log_weights(log_density, self.frame, heaviest) - np.log(self.weights.max())
        accepted: list[Floats] = []
        while sum(map(len, accepted)) < n:
            # A few more than are missing, since about one in five is refused.
            nodes = rng.choice(len(self.weights), size=n + n // 2 + 16, p=self.weights)
            jitter = rng.triangular(-1, 0, 1, size=(len(nodes), cells.shape[1]))
            drawn = cells[nodes] + jitter
            z = drawn * self.step
            true = np.exp(_log_weights(log_density, self.frame, z) - unit)
            proposed = ndimage.map_coordinates(table, (drawn - corner).T, order=1, mode="constant")
            kept = rng.random(len(nodes)) * proposed * _ENVELOPE_FACTOR < true
            accepted.append(self.frame.sticks.log_sources(self.frame.unbend(z[kept])[0]))
        return np.concatenate(accepted)[:n]


def _curvature(log_density: LogDensity, frame: Frame) -> tuple[Floats, Floats]:
    """Gradient and negative Hessian of a log density at the centre, in whitened units."""
    # In whitened units the density changes on a scale of one: so large a step is accurate enough
    # for a frame, and rounding does not matter.
    k, eps = len(frame.centre), 0.05
    unit = eps * np.eye(k)
    rows, columns = np.tril_indices(k, -1)
    offsets = [np.zeros((1, k)), unit, -unit]
    offsets += [a * unit[rows] + b * unit[columns] for a in (1, -1) for b in (1, -1)]
    f = log_density(frame.centre + np.concatenate(offsets) @ frame.factor.T)
    plus, minus = f[1 : k + 1], f[k + 1 : 2 * k + 1]
    gradient = (plus - minus) / (2 * eps)
    hessian = np.diag((2 * f[0] - plus - minus) / eps**2)
    pairs = f[2 * k + 1 :].reshape(4, -1)
    mixed = -(pairs[0] - pairs[1] - pairs[2] + pairs[3]) / (4 * eps**2)
    hessian[rows, columns] = hessian[columns, rows] = mixed
    return gradient, hessian


def _settle(log_density: LogDensity, frame: Frame) -> Frame:
    """Move a frame to the maximum of a log density and take its curvature there."""
    for _ in range(60):
        gradient, hessian = _curvature(log_density, frame)
        values, vectors = np.linalg.eigh(hessian)
        # Away from the maximum the curvature may have either sign; Newton's step needs it positive.
        values = np.clip(values, 0.05, None)
        move = vectors @ (vectors.T @ gradient / values)
        # Two standard deviations at most: the quadratic model holds no farther.
        move *= min(1.0, 2.0 / max(float(np.abs(move).max()), 1e-300))
        covariance = frame.factor @ (vectors / values) @ vectors.T @ frame.factor.T
        frame = Frame(
            sticks=frame.sticks,
            centre=frame.centre + frame.factor @ move,
            factor=np.linalg.cholesky(covariance),
        )
        if np.abs(move).max() < 0.01 and np.abs(values - 1).max() < 0.1:
            break
    return frame


def lattice_of(
    log_density: LogDensity, start: Frame, *, tolerance: float, most_nodes: int
) -> Lattice:
    """Integrate a posterior, as well as a number of nodes allows.

    Parameters
    ----------
    log_density
        ln of the posterior per unit t, at coordinates (g, k).
    start
        A frame near its maximum.
    tolerance, most_nodes
        The ``accuracy`` to reach, and the largest number of nodes to spend on it.
    """
    frame = _settle(log_density, start)
    survey = _survey(log_density, frame)
    lattice = _lattice(log_density, frame, survey.nodes(_STEPS[0]), _STEPS[0])
    for step in _STEPS[1:]:
        # The error falls geometrically once the density is resolved. Where it has not begun to by
        # now the density has an edge, and no step that fits into memory resolves it.
        is_stuck = step < 0.2 and lattice.accuracy > 1e-3
        if lattice.accuracy < tolerance or is_stuck or survey.n_nodes(step) > _MOST_BOX_NODES:
            break
        nodes = survey.nodes(step)
        if len(nodes) > most_nodes:
            break
        lattice = _lattice(log_density, frame, nodes, step)
    return lattice


@dataclass(frozen=True, kw_only=True, eq=False)
class _Survey:
    """A first look at step 1: where the posterior lies."""

    # (k,) corners of the box looked at, whole numbers
    low: Floats
    high: Floats
    log_weights: Floats  # log posterior there, an axis a coordinate

    def _axes(self, step: float) -> list[Floats]:
        corners = zip(self.low, self.high, strict=True)
        return [np.arange(math.ceil(a / step), math.floor(b / step) + 1) * step for a, b in corners]

    def n_nodes(self, step: float) -> int:
        """Size of the lattice over the whole box."""
        return math.prod(len(axis) for axis in self._axes(step))

    def nodes(self, step: float) -> Floats:
        """Nodes (g, k) of a lattice that may weigh something, and few others."""
        z = _grid(self._axes(step))
        # The survey at step 1 is too coarse to integrate, but interpolated it is good to
        # _LOG_SLACK: so most of the box is never evaluated on the fine lattice.
        guess: Floats = ndimage.map_coordinates(
            self.log_weights, (z - self.low).T, order=1, mode="nearest"
        )
        near = guess > self.log_weights.max() + LOG_CUTOFF - _LOG_SLACK
        return np.asarray(z[near])


def _grid(axes: list[Floats]) -> Floats:
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


def _log_weights(log_density: LogDensity, frame: Frame, z: Floats) -> Floats:
    """Log posterior per unit z."""
    t, log_jacobian = frame.unbend(z)
    return log_density(t) + log_jacobian


def _survey(log_density: LogDensity, frame: Frame) -> _Survey:
    """Widen a box until the posterior on its faces weighs nothing."""
    k = len(frame.centre)
    # Seven standard deviations to begin with, where a normal density is at exp(-24.5) of its
    # maximum.
    low, high = np.full(k, -7.0), np.full(k, 7.0)
    while np.prod(high - low + 1) < _MOST_BOX_NODES:
        z = _grid([np.arange(a, b + 1) for a, b in zip(low, high, strict=True)])
        weights = _log_weights(log_density, frame, z)
        heavy = z[weights > weights.max() + LOG_CUTOFF - _LOG_SLACK]
        on_low, on_high = heavy.min(axis=0) <= low, heavy.max(axis=0) >= high
        if not (on_low.any() or on_high.any()):
            shape = (high - low + 1).astype(int)
            return _Survey(low=low, high=high, log_weights=weights.reshape(shape))
        # Only the faces that still weigh something move: most tails are long on one side only.
        low, high = low - 3 * on_low, high + 3 * on_high
    raise FitError(
        f"the posterior of {k} classes' counts is too wide to integrate; merge classes that "
        "the candidates do not tell apart"
    )


def _lattice(log_density: LogDensity, frame: Frame, z: Floats, step: float) -> Lattice:
    """Evaluate a posterior on a lattice, and keep the nodes that weigh something."""
    log_weights = _log_weights(log_density, frame, z)
    keep = log_weights > log_weights.max() + LOG_CUTOFF
    weights = np.exp(log_weights[keep] - log_weights.max())
    log_sources = frame.sticks.log_sources(frame.unbend(z[keep])[0])
    whole = _integrals(log_sources, weights)
    # In each direction by itself: a lattice may be fine enough in one and not in another.
    accuracy = max(
        _difference(whole, _integrals(log_sources[even], weights[even])) ** 2
        if even.any()
        else math.inf
        for even in (np.rint(z[keep] / step) % 2 == 0).T
    )
    return Lattice(
        frame=frame,
        step=step,
        z=z[keep],
        log_sources=log_sources,
        weights=weights / weights.sum(),
        accuracy=accuracy,
    )


class _Integrals(NamedTuple):
    """Means and deviations of the sources, and probabilities of faint to loud candidates."""

    mean: Floats
    deviation: Floats
    p: Floats


def _difference(whole: _Integrals, some: _Integrals) -> float:
    """Largest change of the integrals if there were only some of the nodes.

    Means count in standard deviations, deviations relatively, probabilities a tenth.
    """
    vary = whole.deviation > 1e-12 * whole.mean  # a pinned count does not
    deviation = whole.deviation[vary]
    changes = (
        (some.mean - whole.mean)[vary] / deviation,
        some.deviation[vary] / deviation - 1,
        (some.p - whole.p) / 10,
    )
    return max(float(np.abs(change).max()) for change in changes)


def _integrals(log_sources: Floats, weights: Floats) -> _Integrals:
    shares = weights / weights.sum()
    sources = np.exp(log_sources)
    mean = shares @ sources
    deviation = np.sqrt(shares @ (sources - mean) ** 2)
    # What the posterior is asked for later is probabilities of candidates, so these are tested too:
    # of one whose odds are even at the mean counts, and of those e^3 below and above.
    odds = log_sources[:, :-1] - log_sources[:, -1:]
    middle = shares @ odds
    p = np.stack([shares @ expit(odds - middle + rung) for rung in (-3.0, 0.0, 3.0)])
    return _Integrals(mean=mean, deviation=deviation, p=p)
