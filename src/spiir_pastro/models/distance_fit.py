r"""Fit the distance model to events that BAYESTAR has localised.

.. math::

   \ln \frac{D}{\bar{D}_\mathrm{eff}} = \ln c + k \left(\frac{10}{\rho}\right)^2 + \epsilon, \qquad
   \ln \frac{\sigma}{D_\mathrm{est}} = b_0 + b_1 \ln \rho + \epsilon'

PyCBC's estimator takes the mean ratio for c (with k = 0) and least squares for the second line
(arXiv:2203.10080). The others take both lines by Huber's M-estimate, to which an outlier is worth a
bounded pull. Errors of the coefficients are sandwich estimates, which trust the scatter seen.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.distance import Average, DistanceFit, DistanceModel, average_distance

Floats = NDArray[np.float64]

Estimator = Literal["pycbc", "robust", "faint", "network", "best"]

ESTIMATORS: tuple[Estimator, ...] = ("pycbc", "robust", "faint", "network")
"""From the simplest to the richest form; "best" chooses among them."""

_FEWEST_EVENTS = 3
_FOLDS = 10
_HUBER_STD = 1.345  # 95 % as efficient as least squares on normal residuals
_MAD_TO_STD = 1.4826
_OUTLIER_STD = 3.0
_FEWEST_TO_CHOOSE = 30  # events; fewer hold out too little to compare forms
_LEAD_STD_ERRORS = 2.0  # standard errors by which a richer form must lead
_MOST_ITERATIONS = 100


@dataclass(frozen=True, kw_only=True)
class _Events:
    """Localised events, checked."""

    snr: Floats
    eff_distance: Floats
    mean: Floats
    std: Floats

    def __getitem__(self, rows: NDArray[np.bool_]) -> "_Events":
        return _Events(
            snr=self.snr[rows],
            eff_distance=self.eff_distance[rows],
            mean=self.mean[rows],
            std=self.std[rows],
        )


def fit_distance(
    snr: ArrayLike,
    eff_distance: ArrayLike,
    distance_mean: ArrayLike,
    distance_std: ArrayLike,
    *,
    estimator: Estimator = "pycbc",
) -> DistanceModel:
    """Fit the distance model to localised events.

    Parameters
    ----------
    snr : (n,)
        Network signal-to-noise ratio.
    eff_distance : (n,) or (n, detectors)
        Effective distance in Mpc, the least or by detector; NaN for a detector that has none.
    distance_mean, distance_std : (n,)
        BAYESTAR's mean and standard deviation of the luminosity distance in Mpc.
    estimator
        ``pycbc``: mean ratio to the least effective distance, least squares for sigma.
        ``robust``: the same form, by Huber's estimate.
        ``faint``: with a farther reach at low SNR.
        ``network``: that too, and the detectors' average for the least distance.
        ``best``: the one with the least scatter over held-out events; PyCBC's unless another's
        squared residuals are less by more than twice the difference's standard error, over thirty
        events or more.

    Raises
    ------
    FitError
        If shapes disagree, a value is not finite and positive, there are fewer than three events
        or all have one signal-to-noise ratio, or ``network`` is given the least distance only.

    Examples
    --------
    >>> from spiir_pastro.models.distance import PYCBC_LIVE_O3
    >>> snr, nearest = np.array([9.0, 12.0, 20.0]), np.array([900.0, 600.0, 300.0])
    >>> model = fit_distance(snr, nearest, *PYCBC_LIVE_O3.luminosity(snr, nearest))
    >>> round(model.luminosity_per_effective, 12), round(model.sigma_snr_exponent, 12)
    (0.74899, -0.32195)
    """
    events = _checked(snr, eff_distance, distance_mean, distance_std)
    chosen = _choose(events) if estimator == "best" else estimator
    if chosen not in ESTIMATORS:
        raise FitError(
            f"there is no distance estimator {estimator!r}; take one of {(*ESTIMATORS, 'best')}"
        )
    return _fit(events, chosen)


def hold_out_residuals(
    snr: ArrayLike,
    eff_distance: ArrayLike,
    distance_mean: ArrayLike,
    distance_std: ArrayLike,
    *,
    estimator: Estimator = "pycbc",
) -> Floats:
    """Fractional residuals (D - D_est) / D_est, (n,), each by a fit that did not see its event.

    Parameters and errors are those of `fit_distance`. Events are held out in ten turns, every tenth
    together, or one by one if they are few; ``best`` chooses anew in each turn.
    """
    return _hold_out(_checked(snr, eff_distance, distance_mean, distance_std), estimator)


def _choose(events: _Events) -> Estimator:
    """Return the form with the least scatter over held-out events, or PyCBC's if none is sure."""
    best: Estimator = "pycbc"
    if events.snr.size < _FEWEST_TO_CHOOSE:
        return best
    least = baseline = _hold_out(events, "pycbc") ** 2
    for name in ESTIMATORS[1:]:
        if name == "network" and events.eff_distance.ndim == 1:
            continue
        squares = _hold_out(events, name) ** 2
        lead = baseline - squares
        # Event by event, so that what is hard for every form cancels.
        error = np.std(lead) / np.sqrt(lead.size)
        if squares.mean() < least.mean() and lead.mean() > _LEAD_STD_ERRORS * error:
            best, least = name, squares
    return best


def _hold_out(events: _Events, estimator: Estimator) -> Floats:
    """Fractional residuals over events that their fit did not see."""
    n = events.snr.size
    turn = np.arange(n) % min(_FOLDS, n)
    residuals = np.empty(n)
    for held in range(min(_FOLDS, n)):
        seen = events[turn != held]
        name = _choose(seen) if estimator == "best" else estimator
        model, *_ = _fit_mean(seen, name)
        unseen = events[turn == held]
        estimate, _ = model.luminosity(unseen.snr, unseen.eff_distance)
        residuals[turn == held] = unseen.mean / estimate - 1
    return residuals


def _fit(events: _Events, estimator: Estimator) -> DistanceModel:
    """Both lines, one after the other."""
    model, covariance, residuals = _fit_mean(events, estimator)
    estimate, _ = model.luminosity(events.snr, events.eff_distance)
    (b0, b1), sigma_covariance, sigma_residuals = _line(
        np.log(events.snr), np.log(events.std / estimate), robust=estimator != "pycbc"
    )
    return replace(
        model,
        log_sigma_intercept=float(b0),
        sigma_snr_exponent=float(b1),
        fit=DistanceFit(
            estimator=estimator,
            events=residuals.size,
            outliers=int(np.sum(np.abs(residuals) > _OUTLIER_STD * _robust_std(residuals))),
            fractional_scatter=_rms(events.mean / estimate - 1),
            hold_out_scatter=_rms(_hold_out(events, estimator)),
            log_sigma_scatter=_rms(sigma_residuals),
            distance_covariance=_as_tuples(covariance),
            sigma_covariance=_as_tuples(sigma_covariance),
        ),
    )


def _fit_mean(events: _Events, estimator: Estimator) -> tuple[DistanceModel, Floats, Floats]:
    """Model without its sigma, the covariance of (ln c, k), and the residuals."""
    average: Average = "inverse-square" if estimator == "network" else "least"
    ratio = events.mean / average_distance(events.eff_distance, average)
    if estimator == "pycbc":
        log_c, k = np.log(ratio.mean()), 0.0
        residuals = ratio / ratio.mean() - 1
        covariance = np.diag([np.mean(residuals**2) / (ratio.size - 1), 0.0])
    else:
        faint = (10 / events.snr) ** 2 * (estimator != "robust")
        (log_c, k), covariance, residuals = _line(faint, np.log(ratio), robust=True)
    model = DistanceModel(
        luminosity_per_effective=float(np.exp(log_c)),
        log_sigma_intercept=0.0,
        sigma_snr_exponent=0.0,
        faint_excess=float(k),
        least_snr=float(events.snr.min()),
        average=average,
    )
    return model, covariance, residuals


def _line(x: Floats, y: Floats, *, robust: bool) -> tuple[tuple[float, float], Floats, Floats]:
    """Straight line of y on x: (intercept, slope), their covariance, and the residuals.

    An x that does not vary has no slope, and no error of it.
    """
    weight = np.ones_like(y)
    for _ in range(_MOST_ITERATIONS if robust else 1):
        x_mean, y_mean = np.average(x, weights=weight), np.average(y, weights=weight)
        spread = np.sum(weight * (x - x_mean) ** 2)
        slope = np.sum(weight * (x - x_mean) * y) / spread if spread > 0 else 0.0
        residuals = y - y_mean - slope * (x - x_mean)
        if robust:
            bound = _HUBER_STD * _robust_std(residuals)
            # Huber: within the bound a residual counts by its square, beyond by its size.
            previous, weight = weight, bound / np.maximum(np.abs(residuals), bound)
            if np.allclose(weight, previous, rtol=0, atol=1e-9):
                break
    design = np.column_stack([np.ones_like(x), x])
    bread = np.linalg.pinv(design.T @ (weight[:, None] * design))
    scores = design * (weight * residuals)[:, None]
    # The sandwich estimate is too small for few events; this is MacKinnon and White's first remedy.
    few = y.size / max(y.size - 2, 1)
    covariance = bread @ (scores.T @ scores) @ bread * few
    return (float(y_mean - slope * x_mean), float(slope)), covariance, residuals


def _checked(
    snr: ArrayLike, eff_distance: ArrayLike, distance_mean: ArrayLike, distance_std: ArrayLike
) -> _Events:
    """Events in which every value can be used."""
    given = {
        "snr": snr,
        "eff_distance": eff_distance,
        "distance_mean": distance_mean,
        "distance_std": distance_std,
    }
    columns = {name: np.asarray(values, dtype=np.float64) for name, values in given.items()}
    n = columns["snr"].size
    for name, values in columns.items():
        by_detector = name == "eff_distance" and values.ndim == 2
        if values.shape[:1] != (n,) or values.ndim != 1 + by_detector:
            raise FitError(
                f"{name} has shape {values.shape} and snr {columns['snr'].shape}; "
                "every column of a distance fit must be (n,), eff_distance may be (n, detectors)"
            )
        usable = np.isfinite(values) & (values > 0)
        if by_detector:
            usable = usable.any(axis=1) & (usable | np.isnan(values)).all(axis=1)
        if not usable.all():
            row = int(np.argmin(usable))
            raise FitError(
                f"{name} holds {values[row]} in row {row}; a distance fit needs finite and "
                "positive values, so leave out events that lack one"
            )
    if n < _FEWEST_EVENTS or np.ptp(columns["snr"]) == 0:
        raise FitError(
            f"{n} events do not determine a distance model; give at least "
            f"{_FEWEST_EVENTS}, of different signal-to-noise ratios"
        )
    return _Events(
        snr=columns["snr"],
        eff_distance=columns["eff_distance"],
        mean=columns["distance_mean"],
        std=columns["distance_std"],
    )


def _robust_std(residuals: Floats) -> float:
    """Return the standard deviation a normal of the same median deviation has; never zero."""
    return max(_MAD_TO_STD * float(np.median(np.abs(residuals))), 1e-12)


def _rms(residuals: Floats) -> float:
    return float(np.sqrt(np.mean(residuals**2)))


def _as_tuples(matrix: Floats) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(row) for row in matrix.tolist())
