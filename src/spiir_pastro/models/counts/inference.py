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

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from spiir_pastro.errors import FitError
from spiir_pastro.models.bayes_factors import scaled_densities
from spiir_pastro.models.count_prior import Prior, prior_power
from spiir_pastro.models.counts.integration import TooNarrowError
from spiir_pastro.models.counts.lattice import LOG_CUTOFF
from spiir_pastro.models.counts.maximum import most_probable_counts
from spiir_pastro.models.counts.mixture import CompressedMixture
from spiir_pastro.models.counts.posterior import CountPosterior

Floats = NDArray[np.float64]

_MOST_CLASSES = 3
_BOX_MARGIN = 1.5  # how far beyond today's posterior the compressed likelihood shall hold,
_LEAST_BOX_MARGIN = 1.2  # and how far it must


def fit_counts(
    log_bayes_factors: ArrayLike,
    *,
    prior: Prior = "uniform",
    expected_noise: float | None = None,
) -> CountPosterior:
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
    alpha = prior_power(prior)
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
        densities, expected_noise=expected_noise, prior_power=alpha
    )
    if expected_noise is None:
        total = counts.sum()
        counts, hessian = counts / total, total**2 * _on_simplex(hessian)
    # The likelihood is compressed within a box, but how large a box the posterior needs is known
    # from the posterior only: guess, integrate, and widen until there is _LEAST_BOX_MARGIN to
    # spare. What is to spare serves later updates.
    box = _guess_box(counts, hessian)
    while True:
        nothing = CompressedMixture.around(
            counts,
            pinned=expected_noise is not None,
            scale=np.asarray(np.linalg.cholesky(hessian), dtype=np.float64),
            box=_BOX_MARGIN * box,
        )
        try:
            posterior = CountPosterior.of(nothing.including(densities), prior=prior)
        except TooNarrowError as error:
            # By a factor of 2.5 at most: the chord that bounds the posterior outside the box is
            # crude.
            box = np.clip(error.needed, 2.5 * box[0], 2.5 * box[1])
            continue
        needed = posterior.corners
        if np.all(needed / nothing.box < 1 / _LEAST_BOX_MARGIN):
            return posterior
        box = np.stack([np.minimum(box[0], needed[0]), np.maximum(box[1], needed[1])])


def _on_simplex(hessian: Floats) -> Floats:
    """Restrict a form in k + 1 shares to the k that are free."""
    # Shares sum to one: the last one's change is minus that of all others.
    fixed_sum = np.vstack([np.eye(len(hessian) - 1), -np.ones(len(hessian) - 1)])
    return fixed_sum.T @ hessian @ fixed_sum


def _guess_box(centre: Floats, hessian: Floats) -> Floats:
    """Where a Gamma distribution of each class's relative precision ends, in its deviations."""
    shapes = centre[:-1] ** 2 * np.diag(hessian)

    def edge(shape: float, sign: int) -> float:
        # A bracket that holds the root, since exp(t) - 1 - t > t^2 / 2 above zero, and > -t - 1
        # below.
        far = sign * (2 - LOG_CUTOFF / shape + 12 / math.sqrt(shape))
        t = optimize.brentq(lambda t: shape * (math.expm1(t) - t) + LOG_CUTOFF, 0, far)
        return math.sqrt(shape) * math.expm1(t)

    # The coordinates of the box mix the classes: experience stretches one side, trims the other.
    return np.array(
        [[f * edge(float(c), sign) for c in shapes] for sign, f in ((-1, 1.4), (1, 0.85))]
    )
