"""The alternatives are what their authors published."""

import numpy as np
import pytest
from pycbc.population.live_pastro import noise_density_from_far, signal_pdf_from_snr

from spiir_pastro.models.alternatives import (
    NOISE_EXPONENT,
    hard_mass_cuts,
    pycbc_live_log_bayes_factors,
)
from spiir_pastro.models.mass_plane import equal_mass_mchirp
from tolerances import ROUNDING


def test_pycbc_live_is_pycbcs_own() -> None:
    far, snr = np.geomspace(1e-12, 1e-4, 20), np.linspace(6, 40, 20)
    expected = np.log(signal_pdf_from_snr(snr, 6.0)) - np.log(
        noise_density_from_far(far, NOISE_EXPONENT) / 3e-4
    )
    ours = pycbc_live_log_bayes_factors(far, snr, far_threshold_hz=3e-4, snr_threshold=6.0)
    np.testing.assert_allclose(ours, expected, rtol=ROUNDING)


def test_cuts_stand_at_three_and_five_solar_masses() -> None:
    edges = np.array([equal_mass_mchirp(3.0), equal_mass_mchirp(5.0)])
    just_below, just_above = hard_mass_cuts(edges * 0.999), hard_mass_cuts(edges * 1.001)
    assert just_below.argmax(axis=1).tolist() == [0, 1]
    assert just_above.argmax(axis=1).tolist() == [1, 2]
    assert np.isnan(hard_mass_cuts(np.array([np.nan]))).all()


@pytest.mark.parametrize("mchirp", [0.5, 2.0, 3.0, 100.0])
def test_cuts_are_certain(mchirp: float) -> None:
    assert sorted(hard_mass_cuts(np.array([mchirp]))[0].tolist()) == [0.0, 0.0, 1.0]
