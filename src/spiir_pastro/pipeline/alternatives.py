"""Other ways to say p_astro, on the same candidates: none of them sees a label."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Candidates
from spiir_pastro.models.counts import fit_counts
from spiir_pastro.models.mass_cuts import hard_mass_cuts
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.pycbc_live import pycbc_live_log_bayes_factors
from spiir_pastro.models.toy import SNR_THRESHOLD, toy_log_bayes_factors

__all__ = ["alternatives"]

Floats = NDArray[np.float64]


def alternatives(
    model: PastroModel, candidates: Candidates, p_astro: Floats
) -> Mapping[str, Floats]:
    """Return each alternative's probabilities, (n, 4), of candidates.

    The published recipe and PyCBC Live's model count signals above the SNR that their density of
    signals begins at, and are continued below. They share p_astro among classes by the mass
    contour, or by hard cuts where a candidate has no effective distance. The hard cuts share our
    own p_astro.
    """
    far, snr = candidates.far_hz, candidates.snr
    cuts = hard_mass_cuts(candidates.mchirp_det)
    contour = model.contour.probabilities(candidates.mchirp_det, snr, candidates.eff_distance_mpc)
    shares = np.where(np.isfinite(contour), contour, cuts)
    counted = snr >= SNR_THRESHOLD
    toy = toy_log_bayes_factors(far, snr)
    live = pycbc_live_log_bayes_factors(
        far, snr, far_threshold_hz=model.far_threshold_hz, snr_threshold=SNR_THRESHOLD
    )
    noise = _noise_count(far, model.far_threshold_hz)
    return {
        "published FGMC recipe": _shared(_p_astro(toy, counted, noise=noise), shares),
        "PyCBC Live's noise model": _shared(_p_astro(live, counted, noise=noise), shares),
        "hard mass cuts": _shared(p_astro, cuts),
    }


def _p_astro(log_bayes_factors: Floats, counted: NDArray[np.bool_], *, noise: float) -> Floats:
    """Count signals among the candidates given, with the noise pinned, and predict them all.

    NaN where a value is unknown, or nothing is left to count.
    """
    known = np.isfinite(log_bayes_factors)
    p_astro = np.full(log_bayes_factors.shape, np.nan)
    if (known & counted).any():
        counts = fit_counts(log_bayes_factors[known & counted], expected_noise=noise)
        p_astro[known] = counts.probabilities(log_bayes_factors[known])[:, 0]
    return p_astro


def _noise_count(far_hz: Floats, threshold_hz: float) -> float:
    """Estimate the noise as practice does, FAR* x livetime: its upper half in FAR, doubled."""
    return 2.0 * float((far_hz > threshold_hz / 2).sum())


def _shared(p_astro: Floats, shares: Floats) -> Floats:
    return np.concatenate([p_astro[:, None] * shares, 1 - p_astro[:, None]], axis=1)
