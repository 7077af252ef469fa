r"""What each fact about a candidate adds to the odds of a signal, and of which class.

Facts are taken in one after the other: the expected counts first, then each factor of the
densities. After each, the odds of a signal and the classes' shares of it are

.. math::

   O_k = \sum_a \frac{\Lambda_a}{\Lambda_0} \prod_{j \le k} \frac{f_{a,j}}{b_j}, \qquad
   s_{a,k} \propto \Lambda_a \prod_{j \le k} f_{a,j} .

What a fact adds is :math:`10 \log_{10}(O_k / O_{k-1})` decibans: ten of them are a factor of ten,
and the bars add up to the odds of the probability itself. With the last fact the shares are those
of the probabilities: what no class explains is shared by the mass contour. A candidate without a
FAR has no odds; its classes' shares take the other facts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.models.explanation import Explanation
from spiir_pastro.models.factors import FACTORS

Floats = NDArray[np.float64]

DECIBANS = 10 / np.log(10)

FACTS = ("expected counts", *(factor.label for factor in FACTORS.values()))
"""What is taken in, in this order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """What each of the k `FACTS` says of n candidates."""

    # (n, k) for a signal, against noise; they add up to the decibans of p_astro's odds
    decibans: Floats
    # (n, k, 3) of the classes, if it is a signal, once the facts up to this one are known
    shares: Floats


def weigh(explained: Explanation) -> Evidence:
    """Take the odds of candidates apart, fact by fact."""
    p = explained.predictions.probabilities
    factors = [np.nan_to_num(log) for log in explained.log_factors.values()]
    signals, noise = explained.counts[:-1], explained.counts[-1]
    steps = [np.broadcast_to(np.log(signals / noise), factors[0].shape), *factors]
    # Facts in a fixed order: what one adds depends on those before it, since classes mix.
    logs = np.cumsum(np.stack(steps, axis=1), axis=1)
    odds = np.logaddexp.reduce(logs, axis=2)
    shares = np.exp(logs - odds[:, :, None])
    judged = np.isfinite(p[:, -1])
    final = p[judged, :-1]
    shares[judged, -1] = final / np.maximum(final.sum(axis=1, keepdims=True), np.finfo(float).tiny)
    decibans = DECIBANS * np.diff(odds, axis=1, prepend=0.0)
    return Evidence(decibans=np.where(judged[:, None], decibans, np.nan), shares=shares)
