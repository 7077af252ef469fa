r"""What a model keeps of the posterior of the counts: its means and some draws.

A new candidate is itself a count. Given that it occurred, the posterior is multiplied by its
intensity :math:`\Lambda_0 b + \sum_c \Lambda_c f_c`, and the mean of its share becomes a ratio of
means,

.. math:: p_a = \frac{\langle\Lambda_a\rangle f_a}
   {\langle\Lambda_0\rangle b + \sum_c \langle\Lambda_c\rangle f_c},

exactly what a refit with the candidate among the counted gives. So a probability takes the means
alone. Its interval is over the posterior that knows the candidate: over draws of the counts, each
weighted by the candidate's intensity there. The logarithm of the odds of signal against noise is
close to normal under it, so mean and standard deviation tell the interval, and errors of the
densities add to it in squares.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.bayes_factors import scaled_densities
from spiir_pastro.models.kernels import NORMAL_95

if TYPE_CHECKING:
    from spiir_pastro.models.counts import CountPosterior

Floats = NDArray[np.float64]

DRAWS = 128
"""Kept for intervals: their ends move by a few per cent of the width."""

DRAWS_FOR_QUANTILES = 40_000

BLOCK_NUMBERS = 1 << 16
"""Held at once while candidates meet draws: they stay in a processor's cache."""

SURE_LOG_ODDS = 700.0
"""Log odds past which a double cannot hold the smaller probability."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CountSummary:
    """Means and draws of a posterior of the counts, the noise (Terrestrial) last.

    Attributes
    ----------
    mean, std : (k,)
        Of the expected number of each class of signals.
    interval : (2, k)
        Their equal-tailed 90 % credible intervals, low and high, of forty thousand draws.
    noise_mean
        Expected number of noise candidates.
    draws : (d, k + 1)
        Equally probable counts.
    """

    mean: Floats
    std: Floats
    interval: Floats
    noise_mean: float
    draws: Floats

    def __post_init__(self) -> None:
        classes = np.shape(self.mean)[0] if np.ndim(self.mean) == 1 else 0
        shapes = {
            "mean": (classes,),
            "std": (classes,),
            "interval": (2, classes),
            "draws": (len(np.atleast_1d(self.draws)), classes + 1),
        }
        for name, shape in shapes.items():
            values = np.array(getattr(self, name), dtype=np.float64)
            if values.shape != shape or not (
                np.isfinite(values).all() and (values >= 0).all() and values.size
            ):
                raise FitError(f"a summary of counts has an impossible {name}: {values}")
            values.setflags(write=False)
            object.__setattr__(self, name, values)
        if not (np.isfinite(self.noise_mean) and self.noise_mean > 0 and (self.draws > 0).all()):
            raise FitError("a summary of counts needs some noise, and draws above 0")

    @classmethod
    def of(cls, posterior: "CountPosterior") -> Self:
        """Summarise a posterior."""
        draws = posterior.draws(DRAWS_FOR_QUANTILES, np.random.default_rng(0))
        return cls(
            mean=posterior.mean,
            std=posterior.std,
            interval=np.quantile(draws[:, :-1], [0.05, 0.95], axis=0),
            noise_mean=posterior.noise_mean,
            draws=np.maximum(draws[:DRAWS], np.finfo(float).tiny),
        )

    def scaled(self, by: Floats) -> Self:
        """Return the counts of a search of another sensitivity: (k + 1,) factors, noise last."""
        if np.shape(by) != (len(self.mean) + 1,) or not (np.isfinite(by) & (by > 0)).all():
            raise FitError(f"counts are scaled by {len(self.mean) + 1} positive factors, not {by}")
        return replace(
            self,
            mean=self.mean * by[:-1],
            std=self.std * by[:-1],
            interval=self.interval * by[:-1],
            noise_mean=float(self.noise_mean * by[-1]),
            draws=self.draws * by,
        )

    @property
    def means(self) -> Floats:
        """Expected number of candidates of each source, (k + 1,), noise last."""
        return np.append(self.mean, self.noise_mean)

    def predictive(self, log_bayes_factors: ArrayLike) -> Floats:
        """Return the probability of each source, (m, k + 1), of candidates not in the fit.

        Parameters
        ----------
        log_bayes_factors : (m, k)
            ln f_a / b of each candidate and class.
        """
        parts = scaled_densities(log_bayes_factors, len(self.mean)) * self.means
        return np.asarray(parts / parts.sum(axis=1, keepdims=True))

    def p_astro_interval(
        self, log_bayes_factors: ArrayLike, *, log_odds_errors: Floats | None = None
    ) -> Floats:
        """Return the central 90 % credible interval of p_astro, (m, 2).

        Over the counts, and over the logarithm of the odds of signal against noise, which the
        densities move by normal deviates of standard deviations `log_odds_errors`, (2, m), below
        and above.
        """
        densities = scaled_densities(log_bayes_factors, len(self.mean))
        errors = np.zeros((2, len(densities))) if log_odds_errors is None else log_odds_errors
        result = np.empty((len(densities), 2))
        tiny = np.finfo(float).tiny
        by_source, log_noise = self._draws_by_source
        for rows in _blocks(len(densities), len(self.draws)):
            signal = densities[rows, :-1] @ by_source[:-1]
            intensity = signal + densities[rows, -1:] * by_source[-1]
            weight = intensity / intensity.sum(axis=1, keepdims=True)
            log_ratio = np.log(np.maximum(signal, tiny)) - log_noise
            mean = np.einsum("nd,nd->n", weight, log_ratio)
            variance = np.einsum("nd,nd->n", weight, log_ratio**2) - mean**2
            centre = mean - np.log(np.maximum(densities[rows, -1], tiny))
            spread = NORMAL_95 * np.sqrt(np.maximum(variance, 0) + errors[:, rows] ** 2)
            log_odds = np.stack([centre - spread[0], centre + spread[1]], axis=1)
            result[rows] = 1 / (1 + np.exp(-np.clip(log_odds, -SURE_LOG_ODDS, SURE_LOG_ODDS)))
        return result

    @cached_property
    def _draws_by_source(self) -> tuple[Floats, Floats]:
        by_source = np.ascontiguousarray(self.draws.T)
        return by_source, np.log(by_source[-1])


def _blocks(rows: int, width: int) -> Iterator[slice]:
    """Cut rows so that a block times the width stays in a processor's reach."""
    step = max(1, BLOCK_NUMBERS // width)
    return (slice(start, start + step) for start in range(0, rows, step))
