r"""What a model keeps of the posterior of the counts: enough to predict, small enough to store.

A probability is a mean over the posterior,
:math:`p_a(x) = \sum_g w_g \, \Lambda_{ga} f_a / (\Lambda_{g0} b + \sum_c \Lambda_{gc} f_c)`,
over nodes g with weights w. The posterior's own lattice has some hundred thousand nodes with three
classes. Every second one in each direction is a lattice too, whose integrals are still good to
about 1e-4 at worst; that is measured when the summary is made, and kept with it.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtri

from spiir_pastro.errors import FitError
from spiir_pastro.models.counts import CountPosterior
from spiir_pastro.models.counts.candidates import scaled_densities

__all__ = ["CountSummary"]

Floats = NDArray[np.float64]

_DRAWS = 500
_DRAWS_FOR_QUANTILES = 40_000
_TOLERABLE = 1e-4
_NEGLIGIBLE_WEIGHT = 1e-7
_BLOCK = 1 << 22
_LARGEST_SHIFT = 300.0
"""Of log odds: odds stay finite."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CountSummary:
    """Nodes and draws of a posterior of the counts, the noise (Terrestrial) last.

    Attributes
    ----------
    mean, std : (k,)
        Of the expected number of each class of signals.
    interval : (2, k)
        Their equal-tailed 90 % credible intervals, low and high, of forty thousand draws.
    noise_mean
        Expected number of noise candidates.
    sources : (g, k + 1)
        Counts at the nodes, or shares of the total: only their ratios matter.
    weights : (g,)
        Of the nodes; they sum to one.
    draws : (d, k + 1)
        Equally probable counts or shares, for intervals.
    node_error
        Largest error of a probability by the nodes, over test candidates of every kind.
    """

    mean: Floats
    std: Floats
    interval: Floats
    noise_mean: float
    sources: Floats
    weights: Floats
    draws: Floats
    node_error: float

    def __post_init__(self) -> None:
        columns = np.shape(self.mean)[0] + 1 if np.ndim(self.mean) == 1 else 0
        shapes = {
            "std": (columns - 1,),
            "interval": (2, columns - 1),
            "sources": (np.size(self.weights), columns),
            "draws": (len(np.atleast_1d(self.draws)), columns),
        }
        for name in ("mean", "std", "interval", "sources", "weights", "draws"):
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.shape != shapes.get(name, values.shape) or not (
                np.isfinite(values).all() and (values >= 0).all() and values.size
            ):
                raise FitError(f"a summary of counts has an impossible {name}: {values}")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if not (abs(self.weights.sum() - 1) < 1e-6 and (self.sources.sum(axis=1) > 0).all()):
            raise FitError("the nodes of a summary of counts must weigh one and hold sources")

    @classmethod
    def of(cls, posterior: CountPosterior) -> Self:
        """Summarise a posterior, with as few nodes as hold a probability to 1e-4."""
        lattice = posterior.lattice
        sources = np.exp(lattice.log_sources)
        cells = np.rint(lattice.z / lattice.step).astype(np.int64)
        cells -= cells[lattice.weights.argmax()]
        trial = _trial_densities(sources.shape[1])
        exact = _mean_shares(trial, sources, lattice.weights)
        for stride in (3, 2, 1):
            kept = _heavy(lattice.weights, np.all(cells % stride == 0, axis=1))
            weights = lattice.weights[kept] / lattice.weights[kept].sum()
            error = float(np.abs(_mean_shares(trial, sources[kept], weights) - exact).max())
            if error < _TOLERABLE:
                break
        draws = posterior.draws(_DRAWS_FOR_QUANTILES, np.random.default_rng(0))
        return cls(
            mean=posterior.mean,
            std=posterior.std,
            interval=np.quantile(draws[:, :-1], [0.05, 0.95], axis=0),
            noise_mean=posterior.noise_mean,
            sources=sources[kept],
            weights=weights,
            draws=draws[:_DRAWS],
            node_error=error,
        )

    def probabilities(self, log_bayes_factors: ArrayLike) -> Floats:
        """Return the probability of each source, (m, k + 1), Terrestrial last.

        Parameters
        ----------
        log_bayes_factors : (m, k)
            ln f_a / b of each candidate and class.
        """
        densities = scaled_densities(log_bayes_factors, len(self.mean))
        return _mean_shares(densities, self.sources, self.weights)

    def p_astro_interval(
        self,
        log_bayes_factors: ArrayLike,
        *,
        log_odds_errors: Floats | None = None,
        level: float = 0.9,
    ) -> Floats:
        """Return the equal-tailed credible interval of p_astro, (m, 2).

        Over the counts, and over the logarithm of the odds of signal against noise, which the
        densities move by normal deviates of standard deviations `log_odds_errors`, (2, m), below
        and above.
        """
        densities = scaled_densities(log_bayes_factors, len(self.mean))
        errors = np.zeros((2, len(densities))) if log_odds_errors is None else log_odds_errors
        result = np.empty((len(densities), 2))
        tails = [(1 - level) / 2, (1 + level) / 2]
        for rows in _blocks(len(densities), len(self.draws)):
            signal = densities[rows, :-1] @ self._draws_by_source[:-1]
            noise = densities[rows, -1:] * self._draws_by_source[-1]
            below, above = errors[:, rows, None]
            shift = self._deviates * np.where(self._deviates < 0, below, above)
            signal *= np.exp(np.clip(shift, -_LARGEST_SHIFT, _LARGEST_SHIFT))
            result[rows] = np.quantile(signal / (signal + noise), tails, axis=1).T
        return result

    @cached_property
    def _deviates(self) -> Floats:
        """Evenly spread normal deviates, independent of the draws."""
        size = len(self.draws)
        spread = ndtri((np.arange(size) + 0.5) / size)
        return np.random.default_rng(0).permutation(spread)

    @cached_property
    def _draws_by_source(self) -> Floats:
        return np.ascontiguousarray(self.draws.T)


def _mean_shares(densities: Floats, sources: Floats, weights: Floats) -> Floats:
    """Average each source's share of the density over the nodes, (m, k + 1); rows sum to one."""
    result = np.empty_like(densities)
    by_source = np.ascontiguousarray(sources.T)
    for rows in _blocks(len(densities), len(weights)):
        per_mixture = weights / (densities[rows] @ by_source)
        result[rows] = densities[rows] * (per_mixture @ sources)
    return np.asarray(result / result.sum(axis=1, keepdims=True))


def _heavy(weights: Floats, among: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the nodes among those given without the lightest, which weigh next to nothing."""
    nodes = np.flatnonzero(among)
    order = nodes[np.argsort(weights[nodes], kind="stable")]
    lost = np.cumsum(weights[order]) < _NEGLIGIBLE_WEIGHT * weights[order].sum()
    return np.sort(order[~lost])


def _trial_densities(columns: int) -> Floats:
    """Densities of candidates of every kind: any source from impossible to certain, (m, k + 1)."""
    logs = np.random.default_rng(0).normal(0, 8, size=(300, columns - 1))
    certain = np.full((columns - 1, columns - 1), -50.0)
    np.fill_diagonal(certain, 50.0)
    return scaled_densities(np.concatenate([logs, certain]), columns - 1)


def _blocks(rows: int, width: int) -> list[slice]:
    """Cut rows so that a block times the width stays in a processor's reach."""
    step = max(1, _BLOCK // width)
    return [slice(start, start + step) for start in range(0, rows, step)]
