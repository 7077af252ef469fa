"""Distances against astropy and quadrature; redshifts against the distances."""

import math

import numpy as np
import pytest
from astropy.cosmology import FlatLambdaCDM
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad

from spiir_pastro.models.cosmology import (
    HUBBLE_CONSTANT,
    MATTER_DENSITY,
    comoving_volume_slope,
    distance_slope,
    luminosity_distance,
    redshift,
)
from tolerances import ROUNDING

_LIGHT_KM_S = 299792.458
_ASTROPYS = FlatLambdaCDM(H0=HUBBLE_CONSTANT, Om0=MATTER_DENSITY, Tcmb0=0)


def test_distance_is_astropys() -> None:
    z = np.geomspace(0.01, 1000, 200)
    np.testing.assert_allclose(
        luminosity_distance(z), _ASTROPYS.luminosity_distance(z).value, rtol=ROUNDING
    )


def test_slopes_of_distance_and_volume_are_astropys() -> None:
    z = np.geomspace(0.01, 1000, 200)
    # Of (1 + z) times the comoving distance, whose own slope is c/H.
    hubble_radius = _LIGHT_KM_S / _ASTROPYS.H(z).value
    expected = _ASTROPYS.comoving_distance(z).value + (1 + z) * hubble_radius
    np.testing.assert_allclose(distance_slope(z), expected, rtol=ROUNDING)
    whole_sky = 4 * np.pi * _ASTROPYS.differential_comoving_volume(z).to_value("Gpc3 / sr")
    np.testing.assert_allclose(comoving_volume_slope(z), whole_sky, rtol=ROUNDING)


@pytest.mark.parametrize("z", [1e-9, 1e-6, 1e-3, 0.1, 1.0, 20.0])
def test_distance_is_the_integral(z: float) -> None:
    def inverse_hubble_rate(x: float) -> float:
        return 1 / math.sqrt(MATTER_DENSITY * (1 + x) ** 3 + 1 - MATTER_DENSITY)

    comoving, _ = quad(inverse_hubble_rate, 0, z, epsabs=0, epsrel=1e-13)
    expected = (1 + z) * comoving * _LIGHT_KM_S / HUBBLE_CONSTANT
    np.testing.assert_allclose(luminosity_distance(z), expected, rtol=ROUNDING)


def test_redshift_undoes_distance_at_every_scale() -> None:
    z = np.geomspace(1e-12, 1e20, 20_000)
    found = redshift(luminosity_distance(z))
    np.testing.assert_allclose(found, z, rtol=ROUNDING)
    assert np.all(np.diff(found) > 0)


@given(st.lists(st.floats(0, 1e8), min_size=2, max_size=20))
def test_farther_is_never_less_redshifted(distances: list[float]) -> None:
    ordered = np.sort(distances)
    assert np.all(np.diff(redshift(ordered)) >= 0)


def test_no_distance_has_no_redshift_and_an_unknown_one_an_unknown() -> None:
    np.testing.assert_array_equal(redshift([0.0, np.nan, np.inf]), [0.0, np.nan, np.inf])
    assert luminosity_distance(0.0) == 0.0
