r"""The part of a signal's SNR that is collected some seconds before the merger.

At leading order the wave's frequency is, tau seconds before the merger,

    f(tau) = (1/pi) (5/(256 tau))^(3/8) (G M_c/c^3)^(-5/8),

and the SNR collected until then is that of the whole signal times the root of the share of
``int f^(-7/3)/S(f) df`` below f(tau). S is the noise curve of the horizons, LIGO's in O3
(LIGO-T1800545), for every detector, and the whole integral ends at the light ring.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.models.mass_plane import chirp_mass
from spiir_pastro.models.population import BinaryPopulation

Floats = NDArray[np.float64]

MASS_RATIO_UNKNOWN = 0.99
"""Fraction of cut signals whose template has any mass ratio: low frequencies tell chirp mass alone,
and each bank finds a merger with mass ratios of its own."""

SOLAR_MASS_S = 4.925490947641267e-06  # G M_sun / c^3, IAU 2015 nominal

_FREQUENCY_HZ = (
    15, 18, 20, 22.5, 25, 28, 32, 36, 40, 45, 50, 60, 70, 85, 100, 120, 150, 200, 300, 500, 1000,
    4000,
)  # fmt: skip
_POWER_BELOW = (
    0, 0.009953, 0.018, 0.029, 0.043, 0.063, 0.093, 0.128, 0.167, 0.219, 0.272, 0.377,
    0.470, 0.583, 0.667, 0.748, 0.827, 0.899, 0.958, 0.989, 0.999, 1.000,
)  # fmt: skip
"""Share of ``int f^(-7/3)/S(f) df`` below each, for LALSimulation's ``aLIGOO3LowT1800545``."""


def last_frequency_hz(mchirp: Floats, seconds: float) -> Floats:
    """Return the frequency so long before the merger; detector-frame solar masses, (n,)."""
    return np.asarray(
        (5 / (256 * seconds)) ** 0.375 / np.pi * (mchirp * SOLAR_MASS_S) ** -0.625, dtype=np.float64
    )


def heard_fraction(mchirp: Floats, mtotal: Floats, seconds: float) -> Floats:
    """Return the fraction of its optimal SNR that a binary has so long before the merger, (n,).

    Chirp and total mass are in the detectors' frame, in solar masses, (n,).

    Examples
    --------
    A binary neutron star half a minute before, and one of black holes:

    >>> heard_fraction(np.array([1.22, 8.7]), np.array([2.8, 20.0]), 30.0).round(2)
    array([0.38, 0.  ])
    """
    if seconds == 0:
        return np.ones(mchirp.shape)
    light_ring = np.maximum(1 / (3**1.5 * np.pi * mtotal * SOLAR_MASS_S), _FREQUENCY_HZ[1])
    cut = np.minimum(last_frequency_hz(mchirp, seconds), light_ring)
    return np.asarray(np.sqrt(_power_below(cut) / _power_below(light_ring)))


def nearer(population: BinaryPopulation, seconds: float) -> BinaryPopulation:
    """Limit redshifts to where the lightest binary can be detected so long before the merger.

    Binaries farther away would be drawn and not found. The lightest ones have the longest signals,
    so they are detected farthest.
    """
    law = population.redshift
    if law is None or law.high is None:
        return population
    mass1, mass2 = np.array([[population.primary.low], [population.secondary.low]])
    share = float(heard_fraction(chirp_mass(mass1, mass2), mass1 + mass2, seconds)[0])
    return replace(population, redshift=replace(law, high=law.high * max(share, 0.05)))


def _power_below(frequency_hz: Floats) -> Floats:
    return np.asarray(np.interp(np.log(frequency_hz), np.log(_FREQUENCY_HZ), _POWER_BELOW))
