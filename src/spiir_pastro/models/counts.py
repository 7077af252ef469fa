r"""How many candidates are signals of each class, and what each candidate therefore is.

Candidates above a threshold are a Poisson mixture (Farr, Gair, Mandel and Cutler 2015,
arXiv:1302.5341; several classes: Kapadia et al. 2020, arXiv:1903.06881, equation 9):

.. math:: L(\Lambda) = \prod_j \Bigl[\Lambda_0 b(x_j) + \sum_a \Lambda_a f_a(x_j)\Bigr]
   \exp\Bigl(-\Lambda_0 - \sum_a \Lambda_a\Bigr).

With :math:`\Lambda = N w`, shares w summing to one, and the prior
:math:`\prod \Lambda^{\alpha - 1}` this is a Gamma distribution of the total times a bounded
integral over the shares,

.. math:: p(N, w) \propto N^{n + (k+1)\alpha - 1} e^{-N}
   \prod_j \Bigl[w_0 + \sum_a w_a r_{ja}\Bigr] \prod_a w_a^{\alpha - 1},

so the posterior is exact at any count: the total analytically, the shares by quadrature.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from spiir_pastro.errors import FitError
from spiir_pastro.models.lattice import CUTOFF, Lattice, Sticks, lattice_of
from spiir_pastro.models.marginals import Marginal
from spiir_pastro.models.mixture import CompressedMixture, most_probable_counts, scaled_densities

__all__ = ["CountPosterior", "Prior", "fit_counts"]

Floats = NDArray[np.float64]
Prior = Literal["uniform", "jeffreys"]


_POWERS: dict[str, float] = {"uniform": 1.0, "jeffreys": 0.5}
_ROOM = 1.5  # how far beyond today's posterior the compressed likelihood shall hold,
_LEAST_ROOM = 1.2  # and how far it must
_MOST_CLASSES = 3
_DRAWS = 2_000
_SETTLED = 3e-8
_TOLERABLE = 1e-5
_MOST_NODES = 400_000
_MOST_WORK = 1_000_000_000  # nodes times candidates kept singly
_BLOCK = 1 << 22  # numbers held at once while many candidates meet many nodes


class _TooNarrowError(FitError):
    """The posterior reaches beyond the box in which its likelihood is known."""

    def __init__(self, needed: Floats) -> None:
        super().__init__(
            "the candidates have moved the counts beyond what was kept of the earlier ones; "
            "fit all of them anew with fit_counts"
        )
        self.needed = needed


def fit_counts(
    log_bayes_factors: ArrayLike,
    *,
    prior: Prior = "uniform",
    expected_noise: float | None = None,
) -> "CountPosterior":
    """Infer how many candidates each source makes.

    Parameters
    ----------
    log_bayes_factors : (n,) or (n, k)
        ln f_a(x_j) / b(x_j) of candidate j for each signal class; minus infinity where a class
        cannot make the candidate. There may be none at all.
    prior
        On each count that is free: "uniform", or "jeffreys" for 1 / sqrt(count).
    expected_noise
        The expected number of noise candidates, if known; None to infer it too.

    Raises
    ------
    FitError
        If a log Bayes factor is NaN or plus infinity, or a setting is impossible.

    Examples
    --------
    >>> posterior = fit_counts([50.0, 50.0, 50.0, -50.0])
    >>> posterior.mean.round(9), round(posterior.noise_mean, 9)
    (array([4.]), 2.0)
    """
    if prior not in _POWERS:
        raise FitError(f"prior is {prior!r}; choose one of {', '.join(map(repr, _POWERS))}")
    if expected_noise is not None and not (math.isfinite(expected_noise) and expected_noise > 0):
        raise FitError(
            f"expected_noise is {expected_noise}; it must be finite and positive, or None to infer"
        )
    densities = scaled_densities(log_bayes_factors)
    if densities.shape[1] > _MOST_CLASSES + 1:
        raise FitError(
            f"log_bayes_factors has {densities.shape[1] - 1} columns; "
            f"at most {_MOST_CLASSES} signal classes can be counted together: merge some"
        )
    counts, hessian = most_probable_counts(
        densities, expected_noise=expected_noise, prior_power=_POWERS[prior]
    )
    if expected_noise is None:
        total = counts.sum()
        counts, hessian = counts / total, total**2 * _on_simplex(hessian)
    box = _guess_box(counts, hessian)
    while True:
        nothing = CompressedMixture.around(
            counts,
            pinned=expected_noise is not None,
            scale=np.asarray(np.linalg.cholesky(hessian), dtype=np.float64),
            box=_ROOM * box,
        )
        try:
            posterior = CountPosterior.of(nothing.including(densities), prior=prior)
        except _TooNarrowError as error:
            box = np.clip(error.needed, 2.5 * box[0], 2.5 * box[1])
            continue
        needed = posterior.corners
        if np.all(needed / nothing.box < 1 / _LEAST_ROOM):
            return posterior
        box = np.stack([np.minimum(box[0], needed[0]), np.maximum(box[1], needed[1])])


def _on_simplex(hessian: Floats) -> Floats:
    """Restrict a form in k + 1 shares to the k that are free."""
    fixed_sum = np.vstack([np.eye(len(hessian) - 1), -np.ones(len(hessian) - 1)])
    return fixed_sum.T @ hessian @ fixed_sum


def _guess_box(centre: Floats, hessian: Floats) -> Floats:
    """Where a Gamma distribution of each class's relative precision ends, in its deviations."""
    shapes = centre[:-1] ** 2 * np.diag(hessian)

    def edge(shape: float, sign: int) -> float:
        far = sign * (2 - CUTOFF / shape + 12 / math.sqrt(shape))
        t = optimize.brentq(lambda t: shape * (math.expm1(t) - t) + CUTOFF, 0, far)
        return math.sqrt(shape) * math.expm1(t)

    return np.array([[edge(float(c), sign) for c in shapes] for sign in (-1, 1)])


@dataclass(frozen=True, kw_only=True, eq=False)
class CountPosterior:
    """What is known about the counts, and about any candidate given them.

    Made by `fit_counts`; k signal classes, noise (Terrestrial) last wherever it appears.

    Attributes
    ----------
    likelihood
        The candidates, compressed.
    prior
        "uniform" or "jeffreys".
    lattice
        Nodes and weights over the shares, or over the counts where noise is pinned.
    """

    likelihood: CompressedMixture
    prior: Prior
    lattice: Lattice

    @classmethod
    def of(cls, likelihood: CompressedMixture, *, prior: Prior) -> Self:
        """Integrate a likelihood under a prior."""
        return cls(likelihood=likelihood, prior=prior, lattice=_integrate(likelihood, prior))

    @property
    def n_candidates(self) -> int:
        """How many candidates the posterior knows."""
        return self.likelihood.n

    @property
    def accuracy(self) -> float:
        """Relative change of the integrals when the lattice was last refined."""
        return self.lattice.accuracy

    @property
    def corners(self) -> Floats:
        """Where the posterior ends, in the coordinates of the likelihood's box, (2, k)."""
        reached = self.likelihood.coordinates(self._sources)
        return np.stack([reached.min(axis=0), reached.max(axis=0)])

    @property
    def _total_shape(self) -> float:
        """Shape of the Gamma distribution of the total count."""
        return self.n_candidates + (self.likelihood.classes + 1) * _POWERS[self.prior]

    @cached_property
    def _sources(self) -> Floats:
        return np.exp(self.lattice.log_sources)

    @cached_property
    def _means(self) -> Floats:
        scale = 1.0 if self.likelihood.pinned else self._total_shape
        return scale * (self.lattice.weights @ self._sources)

    @property
    def mean(self) -> Floats:
        """Expected number of candidates of each signal class, (k,)."""
        return self._means[:-1].copy()

    @property
    def noise_mean(self) -> float:
        """Expected number of noise candidates, or its pinned value."""
        return float(self._means[-1])

    @cached_property
    def covariance(self) -> Floats:
        """Covariance of the signal counts, (k, k)."""
        weights, sources = self.lattice.weights, self._sources[:, :-1]
        centred = sources - weights @ sources
        within = (centred.T * weights) @ centred
        if self.likelihood.pinned:
            return within
        shape = self._total_shape
        return shape**2 * within + shape * (sources.T * weights) @ sources

    @property
    def std(self) -> Floats:
        """Standard deviation of each signal count, (k,)."""
        return np.sqrt(np.diag(self.covariance))

    def quantile(self, q: float) -> Floats:
        """Count of each class, (k,), that its posterior stays below with probability q."""
        if not 0 < q < 1:
            raise FitError(f"quantile is asked at {q}; it must lie between 0 and 1")
        return np.array([marginal.quantile(q) for marginal in self._marginals])

    def interval(self, level: float = 0.9) -> Floats:
        """Equal-tailed credible interval of each class: low and high, (2, k)."""
        if not 0 < level < 1:
            raise FitError(f"level is {level}; it must lie between 0 and 1")
        return np.stack([self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)])

    @cached_property
    def _marginals(self) -> tuple[Marginal, ...]:
        total = None if self.likelihood.pinned else self._total_shape
        lattices = [
            _integrate_from(self.likelihood, self.prior, a, tolerance=1e-7)
            for a in range(self.likelihood.classes)
        ]
        return tuple(Marginal.of(lattice, total_shape=total) for lattice in lattices)

    def samples(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw signal counts, (n, k), independent of each other and exact."""
        return self.draws(n, rng)[:, :-1]

    def draws(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw counts of every source, (n, k + 1)."""
        density = _log_posterior(self.likelihood, _POWERS[self.prior], self.lattice.frame.sticks)
        sources = np.exp(self.lattice.draw_log_sources(n, rng, density))
        if self.likelihood.pinned:
            return sources
        return sources * rng.gamma(self._total_shape, size=(n, 1))

    def probabilities(self, log_bayes_factors: ArrayLike) -> Floats:
        """Probability of each source for candidates of the fit or new ones.

        Parameters
        ----------
        log_bayes_factors : (m,) or (m, k)
            As in `fit_counts`.

        Returns
        -------
        (m, k + 1)
            Averaged over the posterior; Terrestrial last; each row sums to one.
        """
        densities = scaled_densities(log_bayes_factors, self.likelihood.classes)
        result = np.empty_like(densities)
        weights, sources = self._core
        block = max(1, _BLOCK // len(weights))
        for start in range(0, len(densities), block):
            rows = densities[start : start + block]
            per_mixture = weights / (rows @ sources.T)
            result[start : start + block] = rows * (per_mixture @ sources)
        result /= result.sum(axis=1, keepdims=True)
        return result

    @cached_property
    def _core(self) -> tuple[Floats, Floats]:
        """The heaviest nodes, but for 1e-12 of the weight: a probability is due in microseconds."""
        order = np.argsort(self.lattice.weights)
        light = np.searchsorted(np.cumsum(self.lattice.weights[order]), 1e-12)
        kept = np.sort(order[light:])
        return self.lattice.weights[kept], self._sources[kept]

    def probability_intervals(self, log_bayes_factors: ArrayLike, level: float = 0.9) -> Floats:
        """Equal-tailed credible interval of each probability over what the counts may be.

        Parameters
        ----------
        log_bayes_factors : (m,) or (m, k)
            As in `fit_counts`.
        level
            How much of the posterior lies inside.

        Returns
        -------
        (2, m, k + 1)
            Low and high, from two thousand draws that are always the same.
        """
        densities = scaled_densities(log_bayes_factors, self.likelihood.classes)
        result = np.empty((2, *densities.shape))
        block = max(1, _BLOCK // (_DRAWS * densities.shape[1]))
        tails = [(1 - level) / 2, (1 + level) / 2]
        for start in range(0, len(densities), block):
            rows = slice(start, start + block)
            parts = densities[rows, None, :] * self._fixed_draws
            shares = parts / parts.sum(axis=2, keepdims=True)
            result[:, rows] = np.quantile(shares, tails, axis=1)
        return result

    @cached_property
    def _fixed_draws(self) -> Floats:
        return self.draws(_DRAWS, np.random.default_rng(0))

    def updated(self, log_bayes_factors: ArrayLike) -> Self:
        """Add candidates, as if they had been in the fit.

        Raises
        ------
        FitError
            If they move the counts so far that the earlier candidates must be read again.
        """
        densities = scaled_densities(log_bayes_factors, self.likelihood.classes)
        return type(self).of(self.likelihood.including(densities), prior=self.prior)

    def as_mapping(self) -> dict[str, object]:
        """Plain numbers from which `from_mapping` makes the same posterior again."""
        return {"prior": self.prior, **self.likelihood.as_mapping()}

    @classmethod
    def from_mapping(cls, numbers: Mapping[str, object]) -> Self:
        """Read what `as_mapping` wrote.

        Raises
        ------
        FitError
            If something is missing, or is not what belongs there.
        """
        prior = numbers.get("prior")
        if prior not in _POWERS:
            raise FitError(f"prior is {prior!r}; choose one of {', '.join(map(repr, _POWERS))}")
        likelihood = CompressedMixture.from_mapping(numbers)
        return cls.of(likelihood, prior=cast("Prior", prior))


def _log_posterior(
    likelihood: CompressedMixture, prior_power: float, sticks: Sticks
) -> Callable[[Floats], Floats]:
    r"""Posterior per unit of the sticks' coordinates.

    Its logarithm F is concave in the shares or counts, so beyond the likelihood's box it lies
    below the chord from the reference through the wall: F_ref + (F_wall - F_ref) / fraction.
    """

    def in_box(logs: Floats) -> Floats:
        free = logs[:, :-1] if likelihood.pinned else logs
        value = likelihood.log_likelihood(np.exp(logs))
        value += prior_power * free.sum(axis=1)
        if likelihood.pinned:
            value -= np.exp(free).sum(axis=1)
        return value

    reference = likelihood.reference
    at_reference = float(in_box(np.log(reference[None]))[0])

    def density(t: Floats) -> Floats:
        logs = sticks.log_sources(t)
        points = np.exp(logs)
        excess = likelihood.distance(points)
        outside = excess > 1
        if outside.any():
            fraction = 1 / excess[outside, None]
            wall = reference + fraction * (points[outside] - reference)
            logs[outside] = np.log(wall)
        value = in_box(logs)
        value[outside] = at_reference + (value[outside] - at_reference) * excess[outside]
        least = max(at_reference, value.max()) + CUTOFF - 4
        if np.any(value[outside] > least):
            heavy = likelihood.coordinates(points[value > least])
            raise _TooNarrowError(1.05 * np.stack([heavy.min(axis=0), heavy.max(axis=0)]))
        return value

    return density


def _integrate(likelihood: CompressedMixture, prior: Prior) -> Lattice:
    """Integrate in whichever order of sources keeps their coordinates most independent.

    Raises
    ------
    FitError
        If the integrals settle in none.
    """
    best: Lattice | None = None
    for first in (None, *range(likelihood.classes)):
        lattice = _integrate_from(likelihood, prior, first, tolerance=_SETTLED)
        if lattice.accuracy < _SETTLED:
            return lattice
        best = lattice if best is None or lattice.accuracy < best.accuracy else best
    if best is None or not best.accuracy < _TOLERABLE:
        raise FitError(
            f"integrals over the counts of {likelihood.classes} classes do not settle; "
            "the candidates hardly tell the classes from each other or from noise: merge some"
        )
    return best


def _integrate_from(
    likelihood: CompressedMixture, prior: Prior, first: int | None, *, tolerance: float
) -> Lattice:
    reference = likelihood.reference
    noise = float(reference[-1]) if likelihood.pinned else None
    sticks = Sticks(classes=likelihood.classes, noise=noise, first=first)
    return lattice_of(
        _log_posterior(likelihood, _POWERS[prior], sticks),
        sticks.frame_at(np.log(reference), likelihood.scale),
        tolerance=tolerance,
        most_nodes=min(_MOST_NODES, _MOST_WORK // max(1, len(likelihood.singles))),
    )
