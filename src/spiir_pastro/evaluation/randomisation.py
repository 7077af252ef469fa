r"""The randomisation test of a sum: how often equally good models differ as much.

If two models are equally good, which of them gave an event its better score is a toss of a coin:
the event's difference :math:`d_i` could as well be :math:`-d_i`. The p-value of an observed sum
:math:`x = \sum_i d_i` is the fraction of the :math:`2^n` choices of signs that give as much. A
change carried by one event has p = 1/2 however large it is.

Few events are enumerated. Events that differ by the same amount, as found or missed, follow the
binomial law. Others take the saddlepoint approximation (Robinson 1982, J. R. Stat. Soc. B 44, 91;
Lugannani and Rice 1980): with :math:`K(t) = \sum_i \ln\cosh t d_i` and :math:`K'(\hat t) = x`,

.. math:: P(X \ge x) \approx 1 - \Phi(w) + \phi(w) (1/u - 1/w), \quad
          w = \sqrt{2 (\hat t x - K(\hat t))}, \quad u = \hat t \sqrt{K''(\hat t)},

whose relative error is small far out in the tail, where drawn signs would need millions of draws.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import binom, norm

Floats = NDArray[np.float64]

_MOST_EVENTS_ENUMERATED = 14  # events; 16,384 sums
_ROUNDING = 1e-12  # of the largest difference; sums as near as this are equal
_CENTRE_STD = 1e-3  # standard deviations; nearer to zero Lugannani and Rice divide zero by zero


def sign_flip_p_value(differences: Floats) -> float:
    """Return the probability that random signs give differences (n,) as large a sum.

    It is 1 for a sum of zero or less, of which more need not be known, and where a difference is
    not a number.

    Examples
    --------
    >>> sign_flip_p_value(np.array([1.0, 1.0, 1.0, 0.0]))
    0.125
    """
    size = np.abs(differences[differences != 0])
    total = float(differences.sum())
    if not total > 0:
        return 1.0
    if size.size <= _MOST_EVENTS_ENUMERATED:
        return _enumerated(size, total)
    if np.ptp(size) <= _ROUNDING * size.max():
        # k positive and n - k negative differences of one size s add up to (2 k - n) s.
        raised = round((total / float(size.mean()) + size.size) / 2)
        return float(binom.sf(raised - 1, size.size, 0.5))
    return _saddlepoint(size / size.max(), total / float(size.max()))


def _enumerated(size: Floats, total: float) -> float:
    sums = np.zeros(1)
    for one in size:
        sums = np.concatenate([sums - one, sums + one])
    return float((sums >= total - _ROUNDING * size.max()).mean())


def _saddlepoint(size: Floats, total: float) -> float:
    spread = float(np.sqrt((size**2).sum()))
    if total <= _CENTRE_STD * spread:
        return 0.5
    if total >= size.sum() - 2 * size.min():  # the last but one of all sums
        return float(0.5**size.size)
    high = 1.0
    # K'(t) rises from 0 to the sum of all sizes, so doubling ends beyond the root.
    while float((size * np.tanh(high * size)).sum()) < total:
        high *= 2
    t = brentq(lambda t: float((size * np.tanh(t * size)).sum()) - total, 0.0, high, xtol=1e-12)
    scaled = t * size
    # ln cosh z = z + ln(1 + exp(-2 z)) - ln 2 does not overflow.
    log_cosh = float((scaled + np.log1p(np.exp(-2 * scaled)) - math.log(2)).sum())
    curvature = float((size**2 * (1 - np.tanh(scaled) ** 2)).sum())
    w = math.sqrt(max(2 * (t * total - log_cosh), 0.0))
    u = t * math.sqrt(curvature)
    if w == 0 or u == 0:
        return 0.5
    tail = float(norm.sf(w) + norm.pdf(w) * (1 / u - 1 / w))
    # No choice of signs is rarer than one of all, and a positive sum is in the upper half.
    return min(max(tail, 0.5**size.size), 0.5)


def holm(p_values: Floats, rate: float) -> NDArray[np.bool_]:
    """Tell which hypotheses to reject so that one false rejection among all has a given rate.

    Holm 1979, Scand. J. Stat. 6, 65: the smallest of m p-values is held against rate / m, the next
    against rate / (m - 1), and so on to the first that passes. They may depend on each other.

    Examples
    --------
    >>> holm(np.array([0.04, 0.01, 0.03]), 0.05).tolist()
    [False, True, False]
    """
    order = np.argsort(p_values, kind="stable")
    small = p_values[order] <= rate / np.arange(p_values.size, 0, -1)
    rejected = np.zeros(p_values.size, dtype=np.bool_)
    rejected[order] = np.logical_and.accumulate(small)
    return rejected
