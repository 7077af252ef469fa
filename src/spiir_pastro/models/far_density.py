r"""Densities of :math:`x = \ln(\mathrm{FAR} / f^*) \le 0`.

FAR is calibrated: of noise below the threshold :math:`f^*`, the ratio :math:`u = f / f^*` is
uniform, so :math:`x = \ln u` has density :math:`e^{x}`. Signals follow a slow power law,
:math:`a\,e^{a x}` with :math:`a` near 0.1. Both are one law, :class:`PowerLaw`; signal and noise
in the *same* variable are what makes their ratio a Bayes factor.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.kernels import quantiles, weighted_size

Floats = NDArray[np.float64]

_NOISE_SCALE = 1.0
"""By which x falls while the density of noise falls by e."""

LARGEST_EXPONENT = 1e12
"""Exponent of a power law whose density is a number at every FAR."""


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """Density ``a exp(a x)`` of x <= 0; beyond 0, where nothing was fitted, it goes on.

    Attributes
    ----------
    exponent
        a, positive; 1 for noise in x = ln(FAR / threshold).
    exponent_std
        Its standard uncertainty; 0 where it is exact.
    """

    exponent: float
    exponent_std: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.exponent <= LARGEST_EXPONENT and self.exponent_std >= 0):
            raise FitError(
                f"a power law's exponent is {self.exponent} +- {self.exponent_std}; "
                "it must be finite and positive"
            )

    def log_pdf(self, x: Floats, features: Floats | None = None) -> Floats:  # noqa: ARG002
        """Return the logarithm of the density at x, any shape, whatever the features."""
        return math.log(self.exponent) + self.exponent * x

    def log_pdf_and_errors(
        self,
        x: Floats,
        features: Floats | None = None,  # noqa: ARG002
    ) -> tuple[Floats, Floats]:
        """Return the same, and its standard errors, below and above, (2, ...)."""
        errors = np.abs(1 / self.exponent + x) * self.exponent_std
        return self.log_pdf(x), np.array([errors, errors])


def fit_power_law(x: Floats, *, weights: Floats | None = None) -> PowerLaw:
    r"""Fit :class:`PowerLaw` to x <= 0, (n,), by maximum likelihood: a is -1 over the mean of x.

    Raises
    ------
    FitError
        If no weight is left or a value is above 0.
    """
    w = np.ones_like(x) if weights is None else weights
    total = float(w.sum())
    if not total > 0 or x.max(initial=-math.inf) > 0:
        raise FitError(
            f"a power law needs values at or below 0 with positive weight, not {x.size} values "
            f"up to {x.max(initial=-math.inf)} of weight {total}"
        )
    exponent = total / max(float(-(w * x).sum()), 1e-300)
    return PowerLaw(exponent=exponent, exponent_std=exponent / math.sqrt(total))


def fit_far_density(
    x: Floats, *, floor: float = 0.01, size: int = 128, weights: Floats | None = None
) -> GridDensity:
    """Estimate the density of ln(FAR / threshold) <= 0 from many recovered signals, (n,).

    Kernels are reflected at 0, where the threshold cuts. Below the least 2 % of values the density
    goes on as an exponential of their mean excess, a power law in FAR: no steeper than noise's, so
    that a lower FAR is never evidence for noise, also where many values share the lowest. ``floor``
    is the weight of a uniform density, in (0, 1): what no sample excludes stays possible.
    """
    if x.size < 2 or not (x <= 0).all():
        raise FitError(f"a FAR density needs two or more values at or below 0, not {x}")
    first = float(quantiles(x, [0.02], weights)[0])
    span = (first, 0.0)
    mirrored = np.concatenate([x, -x])
    both = None if weights is None else np.concatenate([weights, weights])
    # Half of the mirrored kernels lies beyond 0, but all of the floor below it.
    kernels = GridDensity.from_samples(
        mirrored, span=span, floor=floor / (2 - floor), size=size, weights=both
    )
    low = x <= first
    beyond, own = x[low], None if weights is None else weights[low]
    excess = float(np.average(first - beyond, weights=own))
    measured = excess > _NOISE_SCALE
    return replace(
        kernels,
        left_scale=max(excess, _NOISE_SCALE),
        left_error=1 / math.sqrt(weighted_size(beyond, own)) if measured else 1.0,
        right_scale=0.0,
    )
