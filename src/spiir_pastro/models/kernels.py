r"""Estimates from weighted samples: kernel widths, their standard errors, effective numbers.

With n effective events near a value, the standard error of a log density is about
:math:`1/\sqrt n`. Of a density of Gaussian kernels of width h, :math:`n = 2 \sqrt\pi\, h\, N p(x)`,
and the Gamma posterior of a Poisson rate with Jeffreys' prior has
:math:`\mathrm{Var} \ln p = \psi'(n + 1/2)`: 1/n where there are many, 4.9 where there are none.
An event where few are expected is there by chance: the error below is not less than what puts the
true density at the classical 5 % limit of its events. Where there is no event at all the density is
known to be low, not how low: the error below is then the larger.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ERROR_DIGITS = 3
"""Decimals to which standard errors are kept in a model."""

NORMAL_95 = 1.6448536269514722
"""Standard deviations below which a normal deviate stays with 95 %."""

_HIGHEST_LIFT = 200.0
"""Of a floor: twenty widths of a kernel away from the nearest event."""


def kernel_errors(*, local_events: Floats, bias: Floats, lift: Floats) -> Floats:
    """Return the standard errors of the logarithm of a kernel estimate with a floor, (2, ...).

    Parameters
    ----------
    local_events
        Effective number of events under a kernel.
    bias
        How far the kernels' width moves the logarithm.
    lift
        How far the floor raises it. Beyond the data, where only the floor is left, it grows with
        half the square of the distance to the nearest event in widths of a kernel; the error below
        grows with the distance.
    """
    # Slow to load; only fits need them.
    from scipy.special import gammaincinv, polygamma  # noqa: PLC0415

    above = polygamma(1, local_events + 0.5)
    events = np.maximum(local_events, 1.0)
    limit = np.log(events / gammaincinv(events, 0.05)) / NORMAL_95
    extrapolation = np.sqrt(1 + 2 * np.clip(lift, 0, _HIGHEST_LIFT)) - 1
    below = np.maximum(above, limit**2) + extrapolation**2
    return np.asarray(np.round(np.sqrt([below + bias**2, above + bias**2]), ERROR_DIGITS))


def effective_size(weights: Floats) -> float:
    """Return the effective number of samples, Kish's (sum w)^2 / sum w^2; 0 for none.

    Examples
    --------
    >>> effective_size(np.array([2.0, 2.0, 2.0])), effective_size(np.array([1.0, 0.0]))
    (3.0, 1.0)
    """
    square = float((weights**2).sum())
    return float(weights.sum()) ** 2 / square if square > 0 else 0.0


def silverman_bandwidth(samples: Floats, weights: Floats | None = None) -> float:
    """Kernel width by Silverman's rule of thumb, robust to outliers; never below 0.02."""
    quartiles = quantiles(samples, [0.25, 0.75], weights)
    centred = samples - np.average(samples, weights=weights)
    std = math.sqrt(float(np.average(centred**2, weights=weights)))
    # The interquartile range of a normal distribution is 1.34 standard deviations. Silverman 1986,
    # eq. 3.31.
    spread = min(std, (quartiles[1] - quartiles[0]) / 1.34) or std
    return float(max(0.9 * spread * weighted_size(samples, weights) ** -0.2, 0.02))


def quantiles(samples: Floats, q: Sequence[float], weights: Floats | None) -> Floats:
    """Return quantiles of weighted samples."""
    if weights is None:
        return np.asarray(np.quantile(samples, q), dtype=np.float64)
    return np.asarray(np.quantile(samples, q, weights=weights, method="inverted_cdf"))


def weighted_size(samples: Floats, weights: Floats | None) -> float:
    """Return how many samples of equal weight these are worth."""
    return samples.size if weights is None else effective_size(weights)
