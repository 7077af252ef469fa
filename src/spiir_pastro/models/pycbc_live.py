r"""PyCBC Live's model of noise and signals, for comparison only.

Noise falls exponentially in SNR, so its density there is known from the FAR,
:math:`b(\rho) = \alpha\,\mathrm{FAR}(\rho)` with :math:`\alpha = 6`; signals follow
:math:`f(\rho) = 3\rho_*^3/\rho^4` (Dent 2023, DCC T2300168; ``pycbc.population.live_pastro``). Both
are densities of SNR, as they should be. PyCBC Live takes the rates of signals and noise by template
bin and by horizon distance; here they are counted on the same triggers.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["pycbc_live_log_bayes_factors"]

NOISE_EXPONENT = 6.0


def pycbc_live_log_bayes_factors(
    far_hz: NDArray[np.float64],
    snr: NDArray[np.float64],
    *,
    far_threshold_hz: float,
    snr_threshold: float,
) -> NDArray[np.float64]:
    """Return ln(f / b), (n,), of FARs in Hz (n,) and SNRs (n,), noise normalised to its threshold.

    Parameters
    ----------
    far_hz, snr : (n,)
        Of the candidates.
    far_threshold_hz
        The rate of noise candidates counted.
    snr_threshold
        Above which signals are counted.
    """
    log_f = math.log(3 * snr_threshold**3) - 4 * np.log(snr)
    return np.asarray(log_f - np.log(NOISE_EXPONENT * far_hz / far_threshold_hz))
