"""Density of a variable given features: Student's t about a linear prediction."""

import math
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, stdtr, stdtrit

from spiir_pastro.errors import FitError
from spiir_pastro.models.kernels import weighted_size

__all__ = ["StudentRegression"]

Floats = NDArray[np.float64]


LARGEST_COEFFICIENT, LEAST_SCALE, LEAST_DOF = 1e12, 1e-12, 1e-3
"""Of a regression whose density is a number in double precision, wherever it is asked."""


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
        half = (self.dof + 1) / 2
        norm = gammaln(half) - gammaln(self.dof / 2) - 0.5 * math.log(self.dof * math.pi)
        tails = half * np.log1p(t * t / self.dof)
        return np.asarray(norm - math.log(self.scale) - tails, dtype=np.float64)

    def log_errors(self, y: Floats, features: Floats) -> Floats:
        """Return the standard errors of that logarithm, below and above, (2, n).

        From the Fisher information of location and scale (Lange, Little and Taylor 1989,
        JASA 84, 881), the former to second order; beyond the largest residual to be expected of
        the events it was fitted to, from the depth of a tail that is assumed.
        """
        features = self._known(features)
        dof, t = self.dof, (y - features @ self.coefficients) / self.scale
        leverage = ((features @ self.inverse_moments) * features).sum(axis=-1)
        location = (dof + 3) / (dof + 1) * leverage
        slope = (dof + 1) * t / (dof + t * t)
        variance = location * slope**2 + 0.5 * (location * (dof + 1) / dof) ** 2
        variance += (slope * t - 1) ** 2 * (dof + 3) / (2 * dof * self.events)
        # Nearer than the largest residual to be expected there is no depth: most are, and cost it.
        beyond = np.abs(t) > -stdtrit(dof, min(0.5 / self.events, 0.5))
        depth = np.zeros_like(t)
        depth[beyond] = -np.log(self.events * 2 * stdtr(dof, -np.abs(t[beyond])))
        errors = np.sqrt(variance + depth**2)
        return np.stack([errors, errors])

    def _known(self, features: Floats) -> Floats:
        return features[..., : self.coefficients.size]

    @classmethod
    def fit(
        cls, y: Floats, features: Floats, *, dof: float = 5.0, weights: Floats | None = None
    ) -> Self:
        """Fit by iteratively reweighted least squares, the EM of Student's t.

        Parameters
        ----------
        y : (n,)
            What is predicted.
        features : (n, p)
            From what; a column of zeros gets the coefficient 0.
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
            events=size,
            inverse_moments=np.asarray(np.linalg.pinv(moments, hermitian=True), dtype=np.float64),
        )
