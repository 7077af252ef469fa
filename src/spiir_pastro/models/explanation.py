r"""Why a candidate got its number: each factor of each density, the counts and the mass contour.

.. math::

   \frac{p_a}{p_\mathrm{noise}} = \frac{\langle\Lambda_a\rangle}{\langle\Lambda_0\rangle}
   \prod_{j \in \mathrm{FACTORS}} \frac{f_{a,j}}{b_j} .

Of a signal, the part that no class explains is then shared among the classes by the mass contour.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Candidates
from spiir_pastro.models.pastro import PastroModel, Predictions, extrapolations

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """What the probabilities of n candidates are made of, sources in the order of ``Source``.

    Attributes
    ----------
    predictions
        The probabilities themselves.
    log_terms
        Each of `FACTORS` to the logarithm of each source's density, (n, 4).
    explained : (n, 3)
        Of a signal of each class: the part that is no outlier.
    counts : (4,)
        Expected number of candidates of each source, below the model's FAR threshold.
    source_mchirp : (n, 2)
        Source-frame chirp mass and its standard deviation; NaN without an effective distance.
    contour_shares : (n, 3)
        Shares of the mass contour's area; NaN likewise.
    extrapolations : (n, 4, factors)
        Which source's density extrapolates in which of `FACTORS`, of those that matter.
    log_errors : (4, factors, 2, n)
        Standard errors, below and above, of the logarithm of each source's density in each.
    """

    predictions: Predictions
    log_terms: Mapping[str, Floats]
    explained: Floats
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
    terms, errors = model.densities.terms_and_errors(candidates, far_threshold_hz=threshold)
    predictions = model.predict(candidates)
    event = candidates.mchirp_det, candidates.snr, candidates.eff_distance_mpc
    return Explanation(
        predictions=predictions,
        log_terms=terms.by_factor,
        explained=terms.explained,
        counts=model.counts.means,
        source_mchirp=np.stack(model.contour.source_mchirp(*event), axis=1),
        contour_shares=model.contour.probabilities(*event),
        extrapolations=extrapolations(errors, predictions.probabilities),
        log_errors=errors,
    )
