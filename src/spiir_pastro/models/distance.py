r"""Luminosity distance from effective distance and signal-to-noise ratio.

.. math::

   D_L = c \min_i D_{\mathrm{eff},i}, \qquad
   \sigma_D = D_L \, e^{b_0} \rho^{b_1}

The minimum is over the detectors that took part (Villa-Ortega et al. 2022, arXiv:2203.10080).
The coefficients are fitted to events that BAYESTAR has localised.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spiir_pastro.errors import FitError

__all__ = ["PYCBC_LIVE_O3", "DistanceFit", "DistanceModel", "fit_distance", "nearest_distance"]

Floats = NDArray[np.float64]

_FEWEST_EVENTS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class DistanceFit:
    """How a distance model was fitted, and how well.

    Attributes
    ----------
    estimator
        Name of the estimator, as `fit_distance` takes it.
    events
        Number of events fitted.
    fractional_scatter
        Root mean square of (D - D_est) / D_est.
    log_sigma_scatter
        Root mean square of ln(sigma / sigma_est).
    """

    estimator: str
    events: int
    fractional_scatter: float
    log_sigma_scatter: float


@dataclass(frozen=True, kw_only=True, slots=True)
class DistanceModel:
    """Coefficients of the distance estimate; PyCBC's a0, b0 and b1.

    Attributes
    ----------
    luminosity_per_effective
        Ratio c of luminosity distance to least effective distance.
    log_sigma_intercept, sigma_snr_exponent
        b0 and b1.
    fit
        Where the coefficients come from; None if they were given.

    Raises
    ------
    FitError
        If a coefficient is not finite, or the first not positive.

    Examples
    --------
    >>> mean, sigma = PYCBC_LIVE_O3.luminosity([12.0], [500.0])
    >>> mean.round(3), sigma.round(3)
    (array([374.495]), array([100.483]))
    """

    luminosity_per_effective: float
    log_sigma_intercept: float
    sigma_snr_exponent: float
    fit: DistanceFit | None = None

    def __post_init__(self) -> None:
        c, b0, b1 = self.luminosity_per_effective, self.log_sigma_intercept, self.sigma_snr_exponent
        if not (np.isfinite([c, b0, b1]).all() and c > 0):
            raise FitError(
                f"a distance model needs finite coefficients and a positive ratio, not "
                f"luminosity_per_effective={c}, log_sigma_intercept={b0}, sigma_snr_exponent={b1}"
            )

    def luminosity(self, snr: ArrayLike, eff_distance: ArrayLike) -> tuple[Floats, Floats]:
        """Luminosity distance and its standard deviation in Mpc, each (n,).

        Parameters
        ----------
        snr : (n,)
            Network signal-to-noise ratio.
        eff_distance : (n,) or (n, detectors)
            Effective distance in Mpc, the least or by detector; NaN for none.
        """
        mean = self.luminosity_per_effective * nearest_distance(eff_distance)
        snr = np.asarray(snr, dtype=np.float64)
        return mean, mean * np.exp(self.log_sigma_intercept) * snr**self.sigma_snr_exponent


PYCBC_LIVE_O3 = DistanceModel(
    luminosity_per_effective=0.74899,
    log_sigma_intercept=-0.51557,
    sigma_snr_exponent=-0.32195,
)
"""What PyCBC Live used in O3 (arXiv:2203.10080)."""


def fit_distance(
    snr: ArrayLike,
    eff_distance: ArrayLike,
    distance_mean: ArrayLike,
    distance_std: ArrayLike,
    *,
    estimator: Literal["pycbc"] = "pycbc",
) -> DistanceModel:
    """Fit the distance model to localised events.

    PyCBC's estimator takes c as the mean of D / min D_eff, and (b0, b1) as the straight line of
    ln(sigma / D_est) on ln(snr).

    Parameters
    ----------
    snr : (n,)
        Network signal-to-noise ratio.
    eff_distance : (n,) or (n, detectors)
        Effective distance in Mpc, the least or by detector; NaN for a detector that has none.
    distance_mean, distance_std : (n,)
        BAYESTAR's mean and standard deviation of the luminosity distance in Mpc.
    estimator
        PyCBC's.

    Raises
    ------
    FitError
        If shapes disagree, a value is not finite and positive, there are fewer than three events
        or all have one signal-to-noise ratio.

    Examples
    --------
    >>> snr, nearest = np.array([9.0, 12.0, 20.0]), np.array([900.0, 600.0, 300.0])
    >>> model = fit_distance(snr, nearest, *PYCBC_LIVE_O3.luminosity(snr, nearest))
    >>> round(model.luminosity_per_effective, 12), round(model.sigma_snr_exponent, 12)
    (0.74899, -0.32195)
    """
    if estimator != "pycbc":
        raise FitError(f"there is no distance estimator {estimator!r}; take 'pycbc'")
    events = _checked_events(snr, nearest_distance(eff_distance), distance_mean, distance_std)
    snr, nearest, mean, std = events
    ratio = float(np.mean(mean / nearest))
    estimate = ratio * nearest
    slope, intercept = np.polyfit(np.log(snr), np.log(std / estimate), 1)
    log_sigma_residual = np.log(std / estimate) - intercept - slope * np.log(snr)
    return DistanceModel(
        luminosity_per_effective=ratio,
        log_sigma_intercept=float(intercept),
        sigma_snr_exponent=float(slope),
        fit=DistanceFit(
            estimator=estimator,
            events=snr.size,
            fractional_scatter=_rms(mean / estimate - 1),
            log_sigma_scatter=_rms(log_sigma_residual),
        ),
    )


def nearest_distance(eff_distance: ArrayLike) -> Floats:
    """Reduce effective distances (n,) or (n, detectors) to the least known one, (n,)."""
    distance = np.asarray(eff_distance, dtype=np.float64)
    return distance if distance.ndim == 1 else np.fmin.reduce(distance, axis=1)


def _checked_events(*columns: ArrayLike) -> tuple[Floats, ...]:
    """Columns of equal length in which every value can be used."""
    names = ("snr", "eff_distance", "distance_mean", "distance_std")
    arrays = tuple(np.asarray(values, dtype=np.float64) for values in columns)
    for name, values in zip(names, arrays, strict=True):
        if values.ndim != 1 or values.shape != arrays[0].shape:
            raise FitError(
                f"{name} has shape {values.shape} and snr {arrays[0].shape}; "
                "every column of a distance fit must be (n,)"
            )
        bad = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if bad.size:
            raise FitError(
                f"{name} holds {values[bad[0]]} in row {bad[0]}; a distance fit needs finite and "
                "positive values, so leave out events that lack one"
            )
    if arrays[0].size < _FEWEST_EVENTS or np.ptp(arrays[0]) == 0:
        raise FitError(
            f"{arrays[0].size} events do not determine a distance model; give at least "
            f"{_FEWEST_EVENTS}, of different signal-to-noise ratios"
        )
    return arrays


def _rms(residuals: Floats) -> float:
    return float(np.sqrt(np.mean(residuals**2)))
