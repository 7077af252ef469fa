"""Whitened IMRPhenomD templates on a common frequency grid, and the noise curves behind them.

A template is its vector of Fourier amplitudes times ``sqrt(4 df / S)``: the norm of the vector is
the optimal SNR at 1 Mpc overhead and face on, and the product with another vector the complex
inner product of the two signals. White noise then has variance one in each quadrature.

The grid is uneven. Its step ``df`` only has to resolve the phase *between* data and template,
2 pi df (t - dt) for a time t from the peak and a difference dt of the two signals' arrival at this
frequency, and both are far below 1/df for templates that can win. A template far from the signal
is aliased: its output is that of noise, as without aliasing.
"""

from functools import cache

import lal
import lalsimulation
import numpy as np
from numpy.typing import NDArray

__all__ = ["CURVES", "F_HIGH_HZ", "F_LOW_HZ", "Grid", "campaign_grid", "noise_power"]

Floats = NDArray[np.float64]
Complex = NDArray[np.complex64]

F_LOW_HZ, F_HIGH_HZ = 20.0, 1024.0
CURVES = {
    ("O3", "H1"): "SimNoisePSDaLIGOaLIGOO3LowT1800545",
    ("O3", "L1"): "SimNoisePSDaLIGOaLIGOO3LowT1800545",
    ("O3", "V1"): "SimNoisePSDAdVO3LowT1800545",
    ("O3", "K1"): "SimNoisePSDKAGRA25MpcT1800545",
    ("O4", "H1"): "SimNoisePSDaLIGOaLIGO175MpcT1800545",
    ("O4", "L1"): "SimNoisePSDaLIGOaLIGO175MpcT1800545",
    ("O4", "V1"): "SimNoisePSDAdVO4IntermediateT1800545",
    ("O4", "K1"): "SimNoisePSDKAGRA25MpcT1800545",
}
"""Names of the noise curves of LIGO-T1800545 in LALSimulation, by observing run and detector."""
_BANDS = ((20.0, 64.0, 1 / 4), (64.0, 200.0, 1 / 2), (200.0, 512.0, 1.0), (512.0, 1024.0, 2.0))


@cache
def noise_power(curve: str) -> tuple[Floats, Floats]:
    """Frequencies in Hz and the one-sided power of the noise a Hz, where the curve is known."""
    step = 0.125
    series = lal.CreateREAL8FrequencySeries("psd", 0, 0, step, lal.SecondUnit, int(2100 / step) + 1)
    getattr(lalsimulation, curve)(series, 10.0)
    frequency = np.arange(series.data.length) * step
    known = (series.data.data > 0) & (frequency >= 10.0)
    return frequency[known], series.data.data[known]


class Grid:
    """Frequencies, and templates on them.

    Parameters
    ----------
    frequency, step
        (k,) midpoints and widths in Hz.
    """

    def __init__(self, frequency: Floats, step: Floats) -> None:
        self.frequency, self.step = frequency, step
        self._sequence = lal.CreateREAL8Sequence(frequency.size)
        self._sequence.data = frequency

    def weight(self, curve: str) -> Floats:
        """Return sqrt(4 df / S), (k,)."""
        known, power = noise_power(curve)
        log_power = np.interp(np.log(self.frequency), np.log(known), np.log(power))
        return np.asarray(np.sqrt(4 * self.step) * np.exp(-log_power / 2))

    def strain(self, mass1: float, mass2: float, spin1z: float, spin2z: float) -> Complex:
        """Return the IMRPhenomD waveform at 1 Mpc, overhead and face on, (k,)."""
        wave = lalsimulation.SimIMRPhenomDFrequencySequence(
            self._sequence,
            0.0,
            F_LOW_HZ,
            mass1 * lal.MSUN_SI,
            mass2 * lal.MSUN_SI,
            spin1z,
            spin2z,
            1e6 * lal.PC_SI,
            None,
            lalsimulation.NoNRT_V,
        )
        return np.asarray(wave.data.data)


@cache
def campaign_grid() -> Grid:
    """Return the grid of the injection campaign."""
    frequency = np.concatenate([np.arange(low + df / 2, high, df) for low, high, df in _BANDS])
    step = np.concatenate([np.full(round((high - low) / df), df) for low, high, df in _BANDS])
    return Grid(frequency, step)
