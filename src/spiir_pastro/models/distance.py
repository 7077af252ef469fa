r"""Luminosity distance from effective distances and signal-to-noise ratio.

.. math::

   \ln D_L = \ln c + k \left(\frac{10}{\rho}\right)^2 + \ln \bar{D}_\mathrm{eff}, \qquad
   \sigma_D = D_L \, e^{b_0} \rho^{b_1}

PyCBC's form (Villa-Ortega et al. 2022, arXiv:2203.10080) has k = 0 and takes the least effective
distance over the detectors that took part. Two refinements are measured to pay. A faint trigger is
often one that noise has lifted over the threshold, and lies farther than its SNR says: k > 0. And
the average of the detectors' responses, :math:`\bar{D}^{-2} = \langle D^{-2}_{\mathrm{eff},i}
\rangle`, is less noisy than the least of them.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spiir_pastro.errors import FitError, TriggerError

Floats = NDArray[np.float64]

Average = Literal["least", "inverse-square"]
"""How the effective distances of several detectors become one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DistanceFit:
    """How a distance model was fitted, and how well.

    Attributes
    ----------
    estimator
        Name of the estimator, as ``fit_distance`` takes it.
    events
        Number of events fitted.
    outliers
        How many of them lie more than three robust standard deviations off.
    fractional_scatter
        Root mean square of (D - D_est) / D_est.
    hold_out_scatter
        The same, each event estimated by a fit that did not see it.
    log_sigma_scatter
        Root mean square of ln(sigma / sigma_est).
    distance_covariance
        Of (ln c, k).
    sigma_covariance
        Of (b0, b1), whose errors are strongly correlated.
    """

    estimator: str
    events: int
    outliers: int
    fractional_scatter: float
    hold_out_scatter: float
    log_sigma_scatter: float
    distance_covariance: tuple[tuple[float, ...], ...]
    sigma_covariance: tuple[tuple[float, ...], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class DistanceModel:
    """Coefficients of the distance estimate.

    Attributes
    ----------
    luminosity_per_effective
        Ratio c of luminosity distance to effective distance of a loud signal; PyCBC's a0.
    log_sigma_intercept, sigma_snr_exponent
        PyCBC's b0 and b1.
    faint_excess
        How much farther a source of SNR 10 lies than a loud one of its effective distance, in ln D.
    least_snr
        Smallest SNR fitted; below it the excess grows no further.
    average
        Whether the least effective distance counts or the detectors' inverse-square average.
    fit
        Where the coefficients come from; None if they were given.

    Raises
    ------
    FitError
        If a coefficient is not finite, the ratio not positive or the average unknown.

    Examples
    --------
    >>> mean, sigma = PYCBC_LIVE_O3.luminosity([12.0], [500.0])
    >>> mean.round(3), sigma.round(3)
    (array([374.495]), array([100.483]))
    """

    luminosity_per_effective: float
    log_sigma_intercept: float
    sigma_snr_exponent: float
    faint_excess: float = 0.0
    least_snr: float = 0.0
    average: Average = "least"
    fit: DistanceFit | None = None

    def __post_init__(self) -> None:
        coefficients = {
            "luminosity_per_effective": self.luminosity_per_effective,
            "log_sigma_intercept": self.log_sigma_intercept,
            "sigma_snr_exponent": self.sigma_snr_exponent,
            "faint_excess": self.faint_excess,
            "least_snr": self.least_snr,
        }
        if not (np.isfinite([*coefficients.values()]).all() and self.luminosity_per_effective > 0):
            raise FitError(
                "a distance model needs finite coefficients and a positive ratio, "
                f"not {', '.join(f'{name}={value}' for name, value in coefficients.items())}"
            )
        if self.average not in {"least", "inverse-square"}:
            raise FitError(
                f"average is {self.average!r}, where 'least' or 'inverse-square' belongs"
            )

    def luminosity(self, snr: ArrayLike, eff_distance: ArrayLike) -> tuple[Floats, Floats]:
        """Luminosity distance and its standard deviation in Mpc, each (n,).

        Parameters
        ----------
        snr : (n,)
            Network signal-to-noise ratio.
        eff_distance : (n,) or (n, detectors)
            Effective distance in Mpc, the least or by detector; NaN for none.

        Raises
        ------
        TriggerError
            If the model averages over detectors and is given the least only.
        """
        snr = np.asarray(snr, dtype=np.float64)
        mean = self.luminosity_per_effective * average_distance(eff_distance, self.average)
        if self.faint_excess:
            faintness = (10 / np.maximum(snr, self.least_snr)) ** 2
            mean = mean * np.exp(self.faint_excess * faintness)
        return mean, mean * np.exp(self.log_sigma_intercept) * snr**self.sigma_snr_exponent


PYCBC_LIVE_O3 = DistanceModel(
    luminosity_per_effective=0.74899,
    log_sigma_intercept=-0.51557,
    sigma_snr_exponent=-0.32195,
)
"""What PyCBC Live used in O3 (arXiv:2203.10080)."""


def average_distance(eff_distance: ArrayLike, average: Average) -> Floats:
    """Reduce effective distances (n,) or (n, detectors) to one an event, (n,).

    A detector without one (NaN) does not count; an event without any has none. An array (n,) is
    the least already.
    """
    distance = np.asarray(eff_distance, dtype=np.float64)
    if average == "least":
        return distance if distance.ndim == 1 else np.fmin.reduce(distance, axis=1)
    if distance.ndim == 1:
        raise TriggerError(
            "this distance model averages over detectors and was given one effective distance an "
            "event; give (n, detectors), or use a model of the least distance"
        )
    known = ~np.isnan(distance)
    power = np.where(known, distance, np.inf) ** -2.0
    count = known.sum(axis=1)
    total = power.sum(axis=1)
    averaged: Floats = np.sqrt(
        np.divide(count, total, out=np.full(count.shape, np.nan), where=count > 0)
    )
    return averaged
