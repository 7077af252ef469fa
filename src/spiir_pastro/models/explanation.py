r"""Why a candidate got its number: each term of each density, the counts and the mass contour.

.. math::

   \frac{p_a}{p_\mathrm{noise}} \approx \frac{\Lambda_a}{\Lambda_0}
   \cdot \frac{f_a(x)}{b(x)} \cdot \frac{f_a(m)}{b(m)} \cdot \frac{f_a(s \mid x, m)}{b(s \mid x, m)}

with the counts at their means; the probabilities average over their whole posterior.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Candidates
from spiir_pastro.models.pastro import PastroModel, Predictions, extrapolations

__all__ = ["Explanation", "explain"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """What the probabilities of n candidates are made of, sources in the order of ``Source``.

    Attributes
    ----------
    predictions
        The probabilities themselves.
    log_terms
        ``far``, ``mchirp`` and ``snr`` to the logarithm of each source's density, (n, 4).
    counts : (4,)
        Expected number of candidates of each source, below the model's FAR threshold.
    source_mchirp : (n, 2)
        Source-frame chirp mass and its standard deviation; NaN without an effective distance.
    contour_shares : (n, 3)
        Shares of the mass contour's area; NaN likewise.
    extrapolations : (n, 4, 3)
        Which source's density extrapolates in FAR, chirp mass and SNR, of those that matter.
    log_errors : (4, 3, 2, n)
        Standard errors, below and above, of the logarithm of each source's density in each.
    """

    predictions: Predictions
    log_terms: Mapping[str, Floats]
    counts: Floats
    source_mchirp: Floats
    contour_shares: Floats
    extrapolations: NDArray[np.bool_]
    log_errors: Floats

    @property
    def log_factors(self) -> Mapping[str, Floats]:
        """Each term against noise's: ln f_a / b, (n, 3)."""
        return {name: log[:, :-1] - log[:, -1:] for name, log in self.log_terms.items()}


def explain(model: PastroModel, candidates: Candidates) -> Explanation:
    """Take the probabilities of candidates apart."""
    threshold = model.far_threshold_hz
    by_source = [
        density.log_terms(candidates, far_threshold_hz=threshold) for density in model.densities
    ]
    errors = model.densities.log_errors(candidates, far_threshold_hz=threshold)
    predictions = model.predict(candidates)
    event = candidates.mchirp_det, candidates.snr, candidates.eff_distance_mpc
    return Explanation(
        predictions=predictions,
        log_terms={
            name: np.stack([terms[name] for terms in by_source], axis=1) for name in by_source[0]
        },
        counts=np.append(model.counts.mean, model.counts.noise_mean),
        source_mchirp=np.stack(model.contour.source_mchirp(*event), axis=1),
        contour_shares=model.contour.probabilities(*event),
        extrapolations=extrapolations(errors, predictions.probabilities),
        log_errors=errors,
    )
