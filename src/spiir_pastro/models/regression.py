"""Density of a variable given features: Student's t about a linear prediction."""

import math
from dataclasses import dataclass, field
from functools import cache
from typing import Self

import numpy as np
from numpy.polynomial.legendre import leggauss
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.kernels import weighted_size

Floats = NDArray[np.float64]

LARGEST_COEFFICIENT, LEAST_SCALE, LEAST_DOF = 1e12, 1e-12, 1.0
"""Of a regression whose density is a number in double precision, wherever it is asked, and whose
tail is no heavier than Cauchy's."""

TAIL_POINTS = 24
"""Of the quadrature of a tail: 12 digits of the five degrees of freedom that are fitted."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StudentRegression:
    """Density of y given features: Student's t about a linear prediction.

    Attributes
    ----------
    coefficients : (p,)
        Of the first features, the very first being the constant 1. It looks at no others.
    scale
        Width of the scatter.
    dof
        Degrees of freedom: the smaller, the more an outlier is expected.
    events
        Effective number of events of the fit; infinite where the law is exact.
    inverse_moments : (p, p)
        Inverse of the sum of f f^T over the events' features f; 0 if not given.
    """

    coefficients: Floats
    scale: float
    dof: float = 5.0
    events: float = math.inf
    inverse_moments: Floats = field(default_factory=lambda: np.zeros(()))

    def __post_init__(self) -> None:
        coefficients = np.array(self.coefficients, float)
        square = (coefficients.size, coefficients.size)
        inverse = np.array(np.broadcast_to(self.inverse_moments, square), float)
        if not (
            (np.abs(coefficients) <= LARGEST_COEFFICIENT).all()
            and np.isfinite(inverse).all()
            and self.scale >= LEAST_SCALE
            and self.dof >= LEAST_DOF
            and self.events > 0
        ):
            raise FitError(
                f"a regression with coefficients {coefficients}, scale {self.scale} and "
                f"{self.dof} degrees of freedom is no density"
            )
        for name, array in (("coefficients", coefficients), ("inverse_moments", inverse)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def log_pdf(self, y: Floats, features: Floats) -> Floats:
        """Return the logarithm of the density of y (n,) given features (n, p)."""
        t = (y - self._known(features) @ self.coefficients) / self.scale
        return _log_student(t, self.dof) - math.log(self.scale)

    def log_pdf_and_errors(self, y: Floats, features: Floats) -> tuple[Floats, Floats]:
        """Return the same, and its standard errors, below and above, (2, n).

        From the Fisher information of location and scale (Lange, Little and Taylor 1989,
        JASA 84, 881), the former to second order; beyond the largest residual to be expected of
        the events it was fitted to, from the depth of a tail that is assumed.
        """
        features = self._known(features)
        dof, t = self.dof, (y - features @ self.coefficients) / self.scale
        leverage = ((features @ self.inverse_moments) * features).sum(axis=-1)
        # Fisher's information of the location is (dof + 1) / (dof + 3) of a normal distribution's.
        location = (dof + 3) / (dof + 1) * leverage
        slope = (dof + 1) * t / (dof + t * t)
        variance = location * slope**2 + 0.5 * (location * (dof + 1) / dof) ** 2
        variance += (slope * t - 1) ** 2 * (dof + 3) / (2 * dof * self.events)
        beyond = np.flatnonzero(np.abs(t) > self._nearest_beyond)
        if beyond.size:
            expected = math.log(self.events) + _log_tail(np.abs(t[beyond]), dof)
            variance[beyond] += np.minimum(expected, 0.0) ** 2
        errors = np.sqrt(variance)
        return _log_student(t, dof) - math.log(self.scale), np.array([errors, errors])

    def _known(self, features: Floats) -> Floats:
        return features[..., : self.coefficients.size]

    @property
    def _nearest_beyond(self) -> float:
        """Where the largest residual to be expected would be of a normal distribution, or nearer.

        Student's is farther, so that a residual up to here needs no look at the tail: most do.
        """
        share = min(1 / self.events, 1.0)
        # From erf(x) <= sqrt(1 - exp(-4 x^2 / pi)).
        return math.sqrt(-math.pi / 2 * math.log(share * (2 - share))) if share else math.inf

    @classmethod
    def fit(
        cls, y: Floats, features: Floats, *, dof: float = 5.0, weights: Floats | None = None
    ) -> Self:
        """Fit y (n,) by iteratively reweighted least squares, the EM of Student's t.

        Parameters
        ----------
        features : (n, p)
            A column of zeros gets the coefficient 0.
        dof
            Degrees of freedom, held fixed.
        weights : (n,), optional
            Of the rows, up to a factor.

        Raises
        ------
        FitError
            If there are no more rows than features in use.
        """
        used = int(np.any(features != 0, axis=0).sum())
        size = weighted_size(y, weights)
        if size <= used + 1:
            raise FitError(f"a regression on {used} features needs more than {size:g} rows")
        # Their sum is the effective number, so that the moments are those of as many events.
        given = np.ones_like(y) if weights is None else weights * (size / weights.sum())
        robust = np.ones_like(y)
        for _ in range(200):
            root = np.sqrt(given * robust)
            solution = np.linalg.lstsq(features * root[:, None], y * root, rcond=None)[0]
            residuals = y - features @ solution
            # The scatter of n points about p fitted coefficients has n - p degrees of freedom.
            variance = float((given * robust * residuals**2).sum()) / (size - used)
            renewed = (dof + 1) / (dof + residuals**2 / max(variance, 1e-12))
            if np.allclose(renewed, robust, rtol=1e-10):
                break
            robust = renewed
        moments = (features.T * given) @ features
        return cls(
            coefficients=solution,
            scale=math.sqrt(max(variance, 1e-12)),
            dof=dof,
            events=float(size),
            inverse_moments=np.asarray(np.linalg.pinv(moments, hermitian=True), dtype=np.float64),
        )


def _log_student(t: Floats, dof: float) -> Floats:
    """Return the logarithm of the density of Student's t."""
    half = (dof + 1) / 2
    norm = math.lgamma(half) - math.lgamma(dof / 2) - 0.5 * math.log(dof * math.pi)
    return np.asarray(norm - half * np.log1p(t * t / dof))


def _log_tail(t: Floats, dof: float) -> Floats:
    """Return the logarithm of the probability that Student's t is farther out than t >= 0, (n,).

    SciPy has it, but loading SciPy takes longer than the whole prediction.
    """
    ahead, weights = _steps_outwards()
    step = np.maximum(t, 1.0)[:, None]
    # (dof + (t + x)^2) / (dof + t^2) - 1, of which only the logarithm is needed, without
    # cancellation.
    fall = np.log1p(step * ahead * (2 * t[:, None] + step * ahead) / (dof + t * t)[:, None])
    integral = np.exp(-(dof + 1) / 2 * fall) @ weights * step[:, 0]
    return np.asarray(math.log(2) + _log_student(t, dof) + np.log(integral))


@cache
def _steps_outwards() -> tuple[Floats, Floats]:
    """Return points from 0 to infinity and their weights: of Gauss and Legendre in 1 / (1 + x)."""
    points, weights = leggauss(TAIL_POINTS)
    s = (points + 1) / 2
    return 1 / s - 1, weights / (2 * s**2)
