r"""The published recipe, by name, for comparison only.

SPIIR's practice and `ligo.p_astro` take :math:`f = 3\rho_*^3/\rho^4` for signals and
:math:`b = \mathrm{FAR}/\mathrm{FAR}_*` for noise, with :math:`\rho_* = 8.5` and
:math:`\mathrm{FAR}_* = 3\times10^{-4}` Hz. These are densities of different variables, so their
ratio is no Bayes factor: it changes with the unit of either.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["toy_log_bayes_factors"]

SNR_THRESHOLD = 8.5
FAR_THRESHOLD_HZ = 3e-4


def toy_log_bayes_factors(
    far_hz: NDArray[np.float64], snr: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return ln(f / b) of the published recipe, (n,), of FARs in Hz (n,) and SNRs (n,)."""
    log_f = math.log(3 * SNR_THRESHOLD**3) - 4 * np.log(snr)
    return np.asarray(log_f - np.log(far_hz / FAR_THRESHOLD_HZ))
