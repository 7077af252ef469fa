r"""Other ways to say p_astro of the same candidates, for comparison only; none sees a label.

*The published recipe*: SPIIR's practice and `ligo.p_astro` take :math:`f = 3\rho_*^3/\rho^4` for
signals and :math:`b = \mathrm{FAR}/\mathrm{FAR}_*` for noise, with :math:`\rho_* = 8.5` and
:math:`\mathrm{FAR}_* = 3\times10^{-4}` Hz. These are densities of different variables, so their
ratio is no Bayes factor: it changes with the unit of either.

*PyCBC Live's model*: noise falls exponentially in SNR, so its density there is known from the FAR,
:math:`b(\rho) = \alpha\,\mathrm{FAR}(\rho)` with :math:`\alpha = 6`; signals are as above (Dent
2023, DCC T2300168; ``pycbc.population.live_pastro``). Both are densities of SNR, as they should be.
PyCBC Live takes the rates of signals and noise by template bin and by horizon distance; here they
are counted on the same triggers.

*Hard mass cuts*, those of ``ligo.p_astro``: BNS up to the chirp mass of 3 + 3 solar masses, BBH
from that of 5 + 5, NSBH between.
"""

import math
from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates
from spiir_pastro.models.blocks import in_order, row_blocks
from spiir_pastro.models.counts import fit_counts
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.models.mass_plane import equal_mass_mchirp
from spiir_pastro.models.pastro import PastroModel

Floats = NDArray[np.float64]

SNR_THRESHOLD = 8.5
FAR_THRESHOLD_HZ = 3e-4
NOISE_EXPONENT = 6.0
_NEUTRON_STARS_BELOW_MSUN, _BLACK_HOLES_ABOVE_MSUN = 3.0, 5.0


def alternatives(
    model: PastroModel, candidates: Candidates, p_astro: Floats
) -> Mapping[str, Floats]:
    """Return each alternative's probabilities, (n, 4), of candidates.

    The published recipe and PyCBC Live's model count signals above the SNR at which their density
    of signals begins, and are continued below. They share p_astro among classes by the mass
    contour, or by hard cuts where a candidate has no effective distance. The hard cuts share our
    own p_astro.
    """
    far, snr = candidates.far_hz, candidates.snr
    cuts = hard_mass_cuts(candidates.mchirp_det)
    contour = _by_contour(model.contour, candidates)
    shares = np.where(np.isfinite(contour), contour, cuts)
    # Practice takes FAR* x livetime for the number of noise candidates: here that of the upper half
    # of the FARs, doubled.
    noise = 2.0 * float((far > model.far_threshold_hz / 2).sum())
    log_bayes_factors = {
        "published FGMC recipe": published_log_bayes_factors(far, snr),
        "PyCBC Live's noise model": pycbc_live_log_bayes_factors(
            far, snr, far_threshold_hz=model.far_threshold_hz, snr_threshold=SNR_THRESHOLD
        ),
    }
    counted = partial(_p_astro, counted=snr >= SNR_THRESHOLD, noise=noise)
    p_astro_by_name = in_order(lambda name: counted(log_bayes_factors[name]), log_bayes_factors)
    return {name: _shared(p, shares) for name, p in p_astro_by_name} | {
        "hard mass cuts": _shared(p_astro, cuts)
    }


def published_log_bayes_factors(far_hz: Floats, snr: Floats) -> Floats:
    """Return ln(f / b) of the published recipe, (n,), of FARs in Hz (n,) and SNRs (n,)."""
    log_f = _log_signal_density(snr, SNR_THRESHOLD)
    return np.asarray(log_f - np.log(far_hz / FAR_THRESHOLD_HZ))


def pycbc_live_log_bayes_factors(
    far_hz: Floats, snr: Floats, *, far_threshold_hz: float, snr_threshold: float
) -> Floats:
    """Return ln(f / b) of PyCBC Live, (n,), of FARs in Hz (n,) and SNRs (n,).

    Noise candidates are counted below the FAR threshold, signals above the SNR threshold.
    """
    log_f = _log_signal_density(snr, snr_threshold)
    return np.asarray(log_f - np.log(NOISE_EXPONENT * far_hz / far_threshold_hz))


def hard_mass_cuts(mchirp_det: Floats) -> Floats:
    """Return certain classes, (n, 3), of detector-frame chirp masses; NaN where unknown.

    Examples
    --------
    >>> hard_mass_cuts(np.array([1.2, 3.0, 30.0])).argmax(axis=1).tolist()
    [0, 1, 2]
    """
    edges = [equal_mass_mchirp(m) for m in (_NEUTRON_STARS_BELOW_MSUN, _BLACK_HOLES_ABOVE_MSUN)]
    shares = np.eye(len(ASTROPHYSICAL))[np.searchsorted(edges, mchirp_det) % len(ASTROPHYSICAL)]
    shares[np.isnan(mchirp_det)] = np.nan
    return np.asarray(shares)


def _log_signal_density(snr: Floats, threshold: float) -> Floats:
    return np.asarray(math.log(3 * threshold**3) - 4 * np.log(snr))


def _by_contour(contour: MassContourClassifier, candidates: Candidates) -> Floats:
    columns = candidates.mchirp_det, candidates.snr, candidates.eff_distance_mpc

    def shares(rows: slice) -> Floats:
        return contour.probabilities(*(column[rows] for column in columns))

    blocks = in_order(shares, row_blocks(len(candidates)))
    return np.concatenate([of_block for _, of_block in blocks])


def _p_astro(log_bayes_factors: Floats, *, counted: NDArray[np.bool_], noise: float) -> Floats:
    """Count signals among the candidates given, with the noise pinned, and predict them all.

    NaN where a value is unknown, or nothing is left to count.
    """
    known = np.isfinite(log_bayes_factors)
    p_astro = np.full(log_bayes_factors.shape, np.nan)
    if (known & counted).any():
        counts = fit_counts(log_bayes_factors[known & counted], expected_noise=noise)
        p_astro[known] = counts.probabilities(log_bayes_factors[known])[:, 0]
    return p_astro


def _shared(p_astro: Floats, shares: Floats) -> Floats:
    return np.concatenate([p_astro[:, None] * shares, 1 - p_astro[:, None]], axis=1)
