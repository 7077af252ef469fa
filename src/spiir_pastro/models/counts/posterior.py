"""What is known about the counts, and about any candidate given them."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.bayes_factors import scaled_densities
from spiir_pastro.models.count_prior import Prior, prior_power
from spiir_pastro.models.counts.integration import integrate, integrate_from, log_posterior
from spiir_pastro.models.counts.lattice import Lattice
from spiir_pastro.models.counts.marginals import LatticeMarginal, Marginal, SampledMarginal
from spiir_pastro.models.counts.mixture import CompressedMixture

Floats = NDArray[np.float64]

_INTERVAL_DRAWS = 2_000
_MARGINAL_DRAWS = 100_000
_MARGINAL_TOLERANCE = 1e-5
_FAINT_PROBABILITY = 1e-4
_NUMBERS_AT_ONCE = 1 << 22  # numbers held at once while many candidates meet many nodes


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
        return cls(likelihood=likelihood, prior=prior, lattice=integrate(likelihood, prior))

    def __repr__(self) -> str:
        classes = ", ".join(
            f"{mean:.3g} ± {std:.2g}" for mean, std in zip(self.mean, self.std, strict=True)
        )
        return (
            f"<CountPosterior of {self.n_candidates} candidates: {classes} signals, "
            f"{self.noise_mean:.4g} of noise>"
        )

    @property
    def n_candidates(self) -> int:
        """How many candidates the posterior knows."""
        return self.likelihood.n

    @property
    def accuracy(self) -> float:
        """Estimated error of the means in standard deviations; it errs on the large side."""
        return self.lattice.accuracy

    @property
    def corners(self) -> Floats:
        """Where the posterior ends, in the coordinates of the likelihood's box, (2, k)."""
        reached = self.likelihood.coordinates(self._sources)
        return np.stack([reached.min(axis=0), reached.max(axis=0)])

    @property
    def _total_shape(self) -> float:
        """Shape of the Gamma distribution of the total count."""
        return self.n_candidates + (self.likelihood.classes + 1) * prior_power(self.prior)

    @cached_property
    def _sources(self) -> Floats:
        return np.exp(self.lattice.log_sources)

    @cached_property
    def _means(self) -> Floats:
        # Free counts are share times total, which are independent: <N w> = <N><w>.
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
        # <N^2> = shape^2 + shape for a Gamma total: cov(N w) = shape^2 cov(w) + shape <w w>.
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
        return np.array([marginal.quantile(q) for marginal in self.marginals])

    def interval(self, level: float = 0.9) -> Floats:
        """Equal-tailed credible interval of each class: low and high, (2, k)."""
        if not 0 < level < 1:
            raise FitError(f"level is {level}; it must lie between 0 and 1")
        return np.stack([self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)])

    @cached_property
    def marginals(self) -> tuple[Marginal, ...]:
        """Distribution of each class's count."""
        return tuple(self._marginal(a) for a in range(self.likelihood.classes))

    def _marginal(self, a: int) -> Marginal:
        lattice = integrate_from(self.likelihood, self.prior, a)
        if lattice.accuracy < _MARGINAL_TOLERANCE:
            total = None if self.likelihood.pinned else self._total_shape
            return LatticeMarginal.of(lattice, total_shape=total)
        draws = self.draws(_MARGINAL_DRAWS, np.random.default_rng(0))
        return SampledMarginal(log_counts=np.sort(np.log(draws[:, a])))

    def samples(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw signal counts, (n, k), independent of each other and exact."""
        return self.draws(n, rng)[:, :-1]

    def draws(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw counts of every source, (n, k + 1)."""
        density = log_posterior(self.likelihood, self.prior, self.lattice.frame.sticks)
        sources = np.exp(self.lattice.draw_log_sources(n, rng, density))
        if self.likelihood.pinned:
            return sources
        return sources * rng.gamma(self._total_shape, size=(n, 1))

    def probabilities(self, log_bayes_factors: ArrayLike) -> Floats:
        """Probability of each source for candidates of the fit; for others see `predictive`.

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
        block = max(1, _NUMBERS_AT_ONCE // len(weights))
        for start in range(0, len(densities), block):
            rows = densities[start : start + block]
            per_mixture = weights / (rows @ sources.T)
            result[start : start + block] = rows * (per_mixture @ sources)
        result /= result.sum(axis=1, keepdims=True)
        return result

    def predictive(self, log_bayes_factors: ArrayLike) -> Floats:
        """Probability of each source for candidates that were not in the fit.

        What a refit with the candidate among the counted gives, each candidate for itself: the
        ratio of means <L_a> f_a / (<L_0> b + sum <L_c> f_c).

        Parameters
        ----------
        log_bayes_factors : (m,) or (m, k)
            As in `fit_counts`.

        Returns
        -------
        (m, k + 1)
            Terrestrial last; each row sums to one.
        """
        parts = scaled_densities(log_bayes_factors, self.likelihood.classes) * self._means
        return np.asarray(parts / parts.sum(axis=1, keepdims=True))

    @cached_property
    def _core(self) -> tuple[Floats, Floats]:
        """The heaviest nodes, but for 1e-12 of the weight: a probability is due in microseconds."""
        # Most of the lattice's nodes lie in its tails and weigh next to nothing together.
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
        block = max(1, _NUMBERS_AT_ONCE // (_INTERVAL_DRAWS * densities.shape[1]))
        tails = [(1 - level) / 2, (1 + level) / 2]
        for start in range(0, len(densities), block):
            rows = slice(start, start + block)
            parts = densities[rows, None, :] * self._fixed_draws
            shares = parts / parts.sum(axis=2, keepdims=True)
            result[:, rows] = np.quantile(shares, tails, axis=1)
        return result

    @cached_property
    def _fixed_draws(self) -> Floats:
        return self.draws(_INTERVAL_DRAWS, np.random.default_rng(0))

    def signals_among(
        self, log_bayes_factors: ArrayLike, n: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """Draw how many of these candidates are signals of each class, (n, k).

        This is the number that was realised; ``mean`` and ``interval`` are about the number
        expected, which a Poisson fluctuation separates from it.

        Parameters
        ----------
        log_bayes_factors : (m,) or (m, k)
            Candidates of the fit.
        n
            How many draws; each has its own counts.
        rng
            Where chance comes from.

        Notes
        -----
        Candidates that are signals with a probability below 1e-4 enter as one Poisson variate;
        by Le Cam's inequality the distribution changes by less than 1e-4 of their expected number.
        """
        densities = scaled_densities(log_bayes_factors, self.likelihood.classes)
        draws = self.draws(n, rng)
        quiet = 1 - self.probabilities(log_bayes_factors)[:, -1] < _FAINT_PROBABILITY
        expected = np.zeros((n, self.likelihood.classes))
        signals = np.zeros((n, self.likelihood.classes), dtype=np.int64)
        for density in densities[~quiet]:
            cumulative = np.cumsum(density * draws, axis=1)
            drawn = rng.random((n, 1)) * cumulative[:, -1:]
            # True from the drawn class on, nowhere for noise: its difference has a one in that
            # class's column.
            below = drawn < cumulative[:, :-1]
            signals += np.diff(below, axis=1, prepend=False)
        block = max(1, _NUMBERS_AT_ONCE // n)
        faint = densities[quiet]
        for start in range(0, len(faint), block):
            rows = faint[start : start + block]
            expected += draws[:, :-1] * ((1 / (draws @ rows.T)) @ rows[:, :-1])
        return signals + rng.poisson(expected)

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
        prior_power(prior)
        likelihood = CompressedMixture.from_mapping(numbers)
        return cls.of(likelihood, prior=cast("Prior", prior))
