r"""Luminosity distance and redshift in a flat ΛCDM universe.

.. math::

   D_L(z) = (1+z) \frac{c}{H_0}
   \int_0^z \frac{\mathrm{d}z'}{\sqrt{\Omega_m (1+z')^3 + 1 - \Omega_m}}

With :math:`a = (1+z)^{-1/2}` the integral is over a bounded interval and its integrand is analytic
there, so that both directions are a product and a polynomial, which lose no digits at any distance:

.. math::

   D_L = \frac{c}{H_0}\, z\, P(a), \qquad
   z = y\, Q\bigl((1+y)^{-1/2}\bigr), \quad y = \frac{H_0 D_L}{c} .

The parameters are LAL's Planck 2015 cosmology, without radiation; the gravitational-wave field's
source-frame masses are in it.
"""

from functools import cache

import numpy as np
from numpy.polynomial import chebyshev, legendre
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

HUBBLE_CONSTANT = 67.90
"""H0 in km/s/Mpc."""

MATTER_DENSITY = 0.3065
"""Ω_m today."""

_HUBBLE_DISTANCE_MPC = 299_792.458 / HUBBLE_CONSTANT

_POLYNOMIAL_TERMS = 40
"""Of the polynomials: they fall by two a term, so that rounding is what is left."""


def luminosity_distance(z: ArrayLike) -> Floats:
    """Luminosity distance in Mpc at redshift z >= 0.

    Examples
    --------
    >>> luminosity_distance([0.0, 0.01, 1.0]).round(3)
    array([   0.   ,   44.491, 6785.945])
    """
    z = np.asarray(z, dtype=np.float64)
    return np.asarray(
        _HUBBLE_DISTANCE_MPC * z * _on_unit_interval(_distances(), 1 / np.sqrt(1 + z))
    )


def redshift(distance_mpc: ArrayLike) -> Floats:
    """Redshift at a luminosity distance >= 0 in Mpc; the inverse of `luminosity_distance`.

    A NaN gives NaN. The relative error stays below 1e-13 at any distance.

    Examples
    --------
    >>> redshift([0.0, 40.0]).round(6)
    array([0.      , 0.008997])
    """
    y = np.asarray(distance_mpc, dtype=np.float64) / _HUBBLE_DISTANCE_MPC
    return np.asarray(y * _on_unit_interval(_redshifts(), 1 / np.sqrt(1 + y)))


def distance_slope(z: ArrayLike) -> Floats:
    """Return the derivative of the luminosity distance by redshift, in Mpc.

    Examples
    --------
    >>> distance_slope([0.0, 1.0]).round(3)
    array([4415.206, 8371.903])
    """
    z = np.asarray(z, dtype=np.float64)
    return np.asarray(luminosity_distance(z) / (1 + z) + (1 + z) * _hubble_radius(z))


def comoving_volume_slope(z: ArrayLike) -> Floats:
    """Comoving volume of the whole sky by redshift, dV/dz, in Gpc^3.

    Examples
    --------
    >>> comoving_volume_slope([0.0, 1.0]).round(3)
    array([  0.   , 360.144])
    """
    z = np.asarray(z, dtype=np.float64)
    area = 4 * np.pi * (luminosity_distance(z) / (1 + z)) ** 2
    return np.asarray(area * _hubble_radius(z) * 1e-9)


def _hubble_radius(z: Floats) -> Floats:
    """c/H(z) in Mpc."""
    return np.asarray(
        _HUBBLE_DISTANCE_MPC / np.sqrt(MATTER_DENSITY * (1 + z) ** 3 + 1 - MATTER_DENSITY)
    )


def _on_unit_interval(coefficients: Floats, x: Floats) -> Floats:
    return np.asarray(chebyshev.chebval(2 * x - 1, coefficients))


@cache
def _distances() -> Floats:
    """Return P of the equations above, as coefficients of Chebyshev polynomials in 2 a - 1."""
    points, weights = legendre.leggauss(_POLYNOMIAL_TERMS)

    def over_redshift(u: Floats) -> Floats:
        a = ((u + 1) / 2)[:, None]
        between = a + (1 - a) * (points + 1) / 2
        rate = np.sqrt(MATTER_DENSITY + (1 - MATTER_DENSITY) * between**6)
        return np.asarray((weights / rate).sum(axis=1) / (1 + a[:, 0]))

    return np.asarray(chebyshev.chebinterpolate(over_redshift, _POLYNOMIAL_TERMS - 1))  # type: ignore[type-var]


@cache
def _redshifts() -> Floats:
    """Return Q of the equations above, likewise in 2 (1 + y)^(-1/2) - 1."""

    def over_distance(u: Floats) -> Floats:
        y = (2 / (u + 1)) ** 2 - 1
        z = y
        # The distance is convex in z and exceeds it: Newton's steps come down to the root.
        for _ in range(12):
            z = z - (luminosity_distance(z) - y * _HUBBLE_DISTANCE_MPC) / distance_slope(z)
        return np.asarray(z / y)

    return np.asarray(chebyshev.chebinterpolate(over_distance, _POLYNOMIAL_TERMS - 1))  # type: ignore[type-var]
