"""A distance fit finds the coefficients that made its events."""

import math
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.errors import FitError
from spiir_pastro.models.distance import PYCBC_LIVE_O3, DistanceModel
from spiir_pastro.models.distance_fit import fit_distance
from tolerances import ROUNDING


def _coefficients(model: DistanceModel) -> tuple[float, float, float]:
    return (
        model.luminosity_per_effective,
        model.log_sigma_intercept,
        model.sigma_snr_exponent,
    )


@given(st.floats(0.1, 2), st.floats(-2, 2), st.floats(-2, 2), st.integers(3, 50))
def test_a_fit_finds_the_coefficients_that_made_its_events(
    c: float, b0: float, b1: float, n: int
) -> None:
    truth = DistanceModel(luminosity_per_effective=c, log_sigma_intercept=b0, sigma_snr_exponent=b1)
    snr, nearest = np.linspace(8, 30, n), np.geomspace(50, 3000, n)
    fitted = fit_distance(snr, nearest, *truth.luminosity(snr, nearest))
    np.testing.assert_allclose(_coefficients(fitted), (c, b0, b1), rtol=1e-9, atol=1e-9)
    assert fitted.fit is not None
    assert fitted.fit.events == n
    assert fitted.fit.fractional_scatter < 1e-9


def test_a_fit_reports_the_scatter_it_left() -> None:
    rng = np.random.default_rng(1)
    n = 100_000
    snr, nearest = rng.uniform(8, 30, n), rng.uniform(50, 3000, n)
    mean, std = PYCBC_LIVE_O3.luminosity(snr, nearest)
    fitted = fit_distance(
        snr,
        nearest,
        mean * (1 + 0.2 * rng.standard_normal(n)).clip(0.01),
        std * np.exp(0.1 * rng.standard_normal(n)),
    )
    # Five standard errors of each: one chance in a million.
    np.testing.assert_allclose(
        _coefficients(fitted), _coefficients(PYCBC_LIVE_O3), rtol=0, atol=0.02
    )
    assert fitted.fit is not None
    assert fitted.fit.fractional_scatter == pytest.approx(0.2, rel=0.02)
    assert fitted.fit.log_sigma_scatter == pytest.approx(0.1, rel=0.02)


@pytest.mark.real_data
def test_the_events_of_o3b_give_the_published_ratio(real_data: Path) -> None:
    events = pl.read_csv(real_data / "spiir" / "bayestar_distances_o3b.csv")
    model = fit_distance(*(events[c] for c in ("cohsnr", "min_dist", "bay_dist", "bay_std")))
    np.testing.assert_allclose(
        model.luminosity_per_effective,
        np.mean((events["bay_dist"] / events["min_dist"]).to_numpy()),
        rtol=ROUNDING,
    )
    snr = np.linspace(9.5, 18, 20)
    ours, theirs = (m.luminosity(snr, np.full(20, 1000.0)) for m in (model, PYCBC_LIVE_O3))
    np.testing.assert_allclose(ours[0], theirs[0], rtol=0.02)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=0.25)  # b0 and b1 are degenerate


def test_distances_by_detector_count_the_nearest() -> None:
    snr = np.array([8.0, 10.0, 15.0])
    by_detector = np.array([[500.0, 900.0, np.nan], [np.nan, 400.0, 700.0], [1e3, 600.0, 300.0]])
    mean, std = PYCBC_LIVE_O3.luminosity(snr, by_detector)
    np.testing.assert_allclose(mean, 0.74899 * np.array([500.0, 400.0, 300.0]), rtol=ROUNDING)
    fitted = fit_distance(snr, by_detector, mean, std)
    assert _coefficients(fitted) == pytest.approx(_coefficients(PYCBC_LIVE_O3))


def test_events_that_determine_nothing_are_refused() -> None:
    good = [8.0, 10.0, 12.0]
    with pytest.raises(FitError, match="2 events do not determine"):
        fit_distance(good[:2], good[:2], good[:2], good[:2])
    with pytest.raises(FitError, match="different signal-to-noise"):
        fit_distance([9.0] * 3, good, good, good)
    with pytest.raises(FitError, match="distance_mean holds nan in row 1"):
        fit_distance(good, good, [1.0, np.nan, 2.0], good)
    with pytest.raises(FitError, match=r"distance_std holds 0\.0 in row 2"):
        fit_distance(good, good, good, [1.0, 2.0, 0.0])
    with pytest.raises(FitError, match="distance_mean has shape"):
        fit_distance(good, good, good[:2], good)
    with pytest.raises(FitError, match="no distance estimator 'mine'"):
        fit_distance(good, good, good, good, estimator="mine")  # type: ignore[arg-type]


def test_a_model_without_a_scale_is_refused() -> None:
    with pytest.raises(FitError, match="luminosity_per_effective=0"):
        DistanceModel(luminosity_per_effective=0, log_sigma_intercept=0, sigma_snr_exponent=0)


def test_the_refusal_of_a_model_names_every_coefficient() -> None:
    message = (
        "a distance model needs finite coefficients and a positive ratio, not "
        "luminosity_per_effective=0.7, log_sigma_intercept=nan, sigma_snr_exponent=-0.3, "
        "faint_excess=0.1, least_snr=8.0"
    )
    with pytest.raises(FitError, match=f"^{re.escape(message)}$"):
        DistanceModel(
            luminosity_per_effective=0.7,
            log_sigma_intercept=math.nan,
            sigma_snr_exponent=-0.3,
            faint_excess=0.1,
            least_snr=8.0,
        )
