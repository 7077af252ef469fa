r"""From counts to rates: events per year of livetime, mergers per volume and year.

A count :math:`\Lambda_a` is a rate times an exposure. Over a livetime T the rate of detections is
:math:`\Lambda_a / T`; with the sensitive volume-time :math:`\langle VT \rangle_a` that injections
measure, the merger rate density is

.. math:: R_a = \frac{\Lambda_a}{\langle VT \rangle_a}, \qquad
   \ln \langle VT \rangle \sim \mathcal{N}(\ln \langle VT \rangle_0, \sigma^2),

where sigma holds the finite number of injections and the calibration of the detectors. Each of the
injections found stands for a volume v (`spiir_pastro.models.reweighting`); N were drawn while data
were analysed. Over the time T in which candidates were counted,

.. math:: \langle VT \rangle = T \sum_\mathrm{found} v, \qquad
   \sigma^2 = \frac{\sum v^2}{(\sum v)^2} - \frac{1}{N}

(Tiwari 2018, arXiv:1712.00482; Farr 2019, arXiv:1904.10879).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import ndtr

from spiir_pastro.errors import FitError
from spiir_pastro.models.counts import CountPosterior
from spiir_pastro.models.counts.marginals import Marginal
from spiir_pastro.models.exposure import Exposure

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class RatePosterior:
    """Rates of the signal classes, counts over exposures."""

    counts: CountPosterior
    exposures: tuple[Exposure, ...]  # one for each class, or one for all

    def __post_init__(self) -> None:
        classes = len(self.counts.mean)
        if len(self.exposures) not in (1, classes):
            raise FitError(f"{len(self.exposures)} exposures belong to {classes} classes")
        every = self.exposures * (classes // len(self.exposures))
        object.__setattr__(self, "exposures", every)

    @property
    def _sizes(self) -> Floats:
        return np.array([exposure.size for exposure in self.exposures])

    @property
    def _log_errors(self) -> Floats:
        return np.array([exposure.log_error for exposure in self.exposures])

    @property
    def mean(self) -> Floats:
        """Expected rate of each class, (k,)."""
        # The mean of 1 / VT, where ln(VT) is normal, is exp(sigma^2 / 2) / VT_0.
        return np.asarray(self.counts.mean / self._sizes * np.exp(self._log_errors**2 / 2))

    @property
    def std(self) -> Floats:
        """Standard deviation of each rate, (k,)."""
        square = (self.counts.std**2 + self.counts.mean**2) * np.exp(2 * self._log_errors**2)
        return np.asarray(np.sqrt(square / self._sizes**2 - self.mean**2))

    def quantile(self, q: float) -> Floats:
        """Rate of each class, (k,), that its posterior stays below with probability q."""
        return np.array([self._quantile(a, q) for a in range(len(self.exposures))])

    def interval(self, level: float = 0.9) -> Floats:
        """Equal-tailed credible interval of each class: low and high, (2, k)."""
        if not 0 < level < 1:
            raise FitError(f"level is {level}; it must lie between 0 and 1")
        return np.stack([self.quantile((1 - level) / 2), self.quantile((1 + level) / 2)])

    def samples(self, n: int, rng: np.random.Generator) -> Floats:
        """Draw rates, (n, k); errors of the exposures are independent between classes."""
        errors = rng.normal(size=(n, len(self.exposures))) * self._log_errors
        return np.asarray(self.counts.samples(n, rng) / (self._sizes * np.exp(errors)))

    def _quantile(self, a: int, q: float) -> float:
        marginal, exposure = self.counts.marginals[a], self.exposures[a]
        middle = math.log(marginal.quantile(q))
        if exposure.log_error > 0:
            cdf = _smeared_cdf(marginal, exposure.log_error)
            # The quantile of a sum is within seven sigma of the quantile of its broader part.
            reach = 7 * exposure.log_error
            middle = optimize.brentq(lambda x: cdf(x) - q, middle - reach, middle + reach)
        return math.exp(middle) / exposure.size


def _smeared_cdf(marginal: Marginal, log_error: float) -> Callable[[float], float]:
    """Distribution function of ln(count) plus a normal error; the narrower of them is summed."""
    logs, weights = marginal.log_nodes()
    spread = math.sqrt(float(weights @ (logs - weights @ logs) ** 2))
    if log_error > spread:
        return lambda x: float(weights @ ndtr((x - logs) / log_error))
    normals = np.linspace(-7, 7, 81)
    densities = np.exp(-(normals**2) / 2)
    densities /= densities.sum()
    return lambda x: float(densities @ [marginal.cdf(x - log_error * g) for g in normals])
