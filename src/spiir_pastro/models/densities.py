r"""Normalised densities of one variable, in logarithms.

FAR is calibrated: of noise below the threshold :math:`f^*`, the ratio :math:`u = f / f^*` is
uniform, so :math:`x = \ln u \le 0` has density :math:`e^{x}`. Signals follow a slow power law,
:math:`a\,e^{a x}` with :math:`a` near 0.1. Both are one law, :class:`PowerLaw`; signal and noise
in the *same* variable are what makes their ratio a Bayes factor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp

from spiir_pastro.errors import FitError

__all__ = [
    "GridDensity",
    "LogDensity",
    "PowerLaw",
    "StudentRegression",
    "fit_far_density",
    "fit_power_law",
]

Floats = NDArray[np.float64]


class LogDensity(Protocol):
    """A normalised density of one variable."""

    def log_pdf(self, x: Floats) -> Floats:
        """Return the logarithm of the density at x, any shape."""
        ...


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
        if not (math.isfinite(self.exponent) and self.exponent > 0 and self.exponent_std >= 0):
            raise FitError(
                f"a power law's exponent is {self.exponent} +- {self.exponent_std}; "
                "it must be finite and positive"
            )

    def log_pdf(self, x: Floats) -> Floats:
        """Return the logarithm of the density at x, any shape."""
        return math.log(self.exponent) + self.exponent * x


def fit_power_law(x: Floats, *, weights: Floats | None = None) -> PowerLaw:
    r"""Fit :class:`PowerLaw` by maximum likelihood: :math:`a = -1/\langle x \rangle`.

    Parameters
    ----------
    x : (n,)
        Values, at most 0.
    weights : (n,), optional
        Weight of each, for example the probability that it belongs.

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


@dataclass(frozen=True, kw_only=True, eq=False)
class GridDensity:
    """A density whose logarithm is linear between nodes, with exponential tails outside.

    Attributes
    ----------
    nodes : (n,)
        Increasing values of x.
    log_values : (n,)
        Logarithm of the density there; normalised on construction.
    left_scale, right_scale
        The density falls by e over this distance beyond the first and the last node. 0 where the
        variable ends there: no probability lies beyond, and a value that does all the same gets
        the density of the end.
    """

    nodes: Floats
    log_values: Floats
    left_scale: float = 0.2
    right_scale: float = 0.2

    def __post_init__(self) -> None:
        nodes, values = np.array(self.nodes, float), np.array(self.log_values, float)
        if not (
            nodes.ndim == 1
            and nodes.size >= 2
            and nodes.shape == values.shape
            and np.isfinite(nodes).all()
            and np.isfinite(values).all()
            and (np.diff(nodes) > 0).all()
            and min(self.left_scale, self.right_scale) >= 0
        ):
            raise FitError(
                "a grid density needs at least two finite increasing nodes with finite "
                f"log densities and tails of scale 0 or more, not nodes {nodes} and {values}"
            )
        values -= self._log_integral(nodes, values)
        for name, array in (("nodes", nodes), ("log_values", values)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def _log_integral(self, nodes: Floats, values: Floats) -> float:
        """Integrate exactly: exponentials between nodes and in both tails."""
        rise = np.diff(values)
        flat = np.abs(rise) < 1e-6
        mean = np.where(flat, 1 + rise / 2, np.expm1(rise) / np.where(flat, 1, rise))
        inside = values[:-1] + np.log(np.diff(nodes) * mean)
        scales = np.array([self.left_scale, self.right_scale])
        tails = (values[[0, -1]] + np.log(np.where(scales > 0, scales, 1)))[scales > 0]
        return float(logsumexp(np.concatenate([inside, tails])))

    def log_pdf(self, x: Floats) -> Floats:
        """Return the logarithm of the density at x, any shape."""
        left = np.maximum(self.nodes[0] - x, 0) * _inverse(self.left_scale)
        right = np.maximum(x - self.nodes[-1], 0) * _inverse(self.right_scale)
        return np.asarray(np.interp(x, self.nodes, self.log_values) - left - right)

    def extrapolates(self, x: Floats) -> NDArray[np.bool_]:
        """Tell where x lies outside the nodes, in a tail that is assumed, not measured."""
        return np.asarray((x < self.nodes[0]) | (x > self.nodes[-1]))

    @classmethod
    def from_samples(
        cls,
        samples: Floats,
        *,
        span: tuple[float, float],
        bandwidth: float | None = None,
        floor: float = 0.01,
        size: int = 256,
    ) -> Self:
        """Estimate by Gaussian kernels, with a uniform floor over the span.

        Parameters
        ----------
        samples : (n,)
            Values drawn from the density.
        span
            Where the density lives: first and last node.
        bandwidth
            Standard deviation of a kernel; by default Silverman's rule (Density Estimation,
            1986, eq. 3.31).
        floor
            Weight of the uniform density, in (0, 1): what no sample excludes stays possible.
        size
            Number of nodes.

        Raises
        ------
        FitError
            If there is no sample, or one is not finite.
        """
        if samples.size == 0 or not np.isfinite(samples).all():
            raise FitError(f"a density needs finite samples, not these {samples.size}: {samples}")
        h = silverman_bandwidth(samples) if bandwidth is None else bandwidth
        nodes = np.linspace(*span, size)
        # Histogram finer than the kernel first: the cost is then independent of the samples.
        fine = np.arange(min(span[0], samples.min()), max(span[1], samples.max()) + h, h / 8)
        counts, edges = np.histogram(samples, bins=np.append(fine, fine[-1] + h / 8))
        used = counts > 0
        centres = (edges[:-1] + h / 16)[used]
        kernels = -0.5 * ((nodes[:, None] - centres) / h) ** 2 + np.log(counts[used])
        log_kde = logsumexp(kernels, axis=1) - math.log(samples.size * h * math.sqrt(2 * math.pi))
        log_floor = math.log(floor / (span[1] - span[0]))
        return cls(nodes=nodes, log_values=np.logaddexp(math.log1p(-floor) + log_kde, log_floor))

    @classmethod
    def mixture(cls, parts: Sequence[tuple[float, "GridDensity"]]) -> Self:
        """Mix densities by weight on the nodes of the first."""
        nodes = parts[0][1].nodes
        logs = [math.log(weight) + part.log_pdf(nodes) for weight, part in parts if weight > 0]
        return cls(nodes=nodes, log_values=logsumexp(logs, axis=0))


def fit_far_density(x: Floats, *, size: int = 128) -> GridDensity:
    """Estimate the density of ln(FAR / threshold) <= 0 from many recovered signals.

    Kernels are reflected at 0, where the threshold cuts. Below the least likely 2 % of values the
    density goes on as an exponential of their mean excess: a power law in FAR.

    Parameters
    ----------
    x : (n,)
        Values at most 0.
    size
        Number of nodes.
    """
    if x.size < 2 or not (x <= 0).all():
        raise FitError(f"a FAR density needs two or more values at or below 0, not {x}")
    first = float(np.quantile(x, 0.02))
    span = (first, 0.0)
    mirrored = np.concatenate([x, -x])
    kernels = GridDensity.from_samples(mirrored, span=span, size=size)
    excess = float(np.mean(first - x[x <= first])) or -first
    return GridDensity(
        nodes=kernels.nodes, log_values=kernels.log_values, left_scale=excess, right_scale=0.0
    )


def silverman_bandwidth(samples: Floats) -> float:
    """Kernel width by Silverman's rule of thumb, robust to outliers; never below 0.02."""
    quartiles = np.quantile(samples, [0.25, 0.75])
    spread = min(samples.std(), (quartiles[1] - quartiles[0]) / 1.34) or samples.std()
    return float(max(0.9 * spread * samples.size**-0.2, 0.02))


@dataclass(frozen=True, kw_only=True, eq=False)
class StudentRegression:
    """Density of y given features: Student's t about a linear prediction.

    Attributes
    ----------
    coefficients : (p,)
        Of the features, the first being the constant 1.
    scale
        Width of the scatter.
    dof
        Degrees of freedom: the smaller, the more an outlier is expected.
    """

    coefficients: Floats
    scale: float
    dof: float = 5.0

    def __post_init__(self) -> None:
        coefficients = np.array(self.coefficients, float)
        if not (np.isfinite(coefficients).all() and self.scale > 0 and self.dof > 0):
            raise FitError(
                f"a regression with coefficients {coefficients}, scale {self.scale} and "
                f"{self.dof} degrees of freedom is no density"
            )
        coefficients.setflags(write=False)
        object.__setattr__(self, "coefficients", coefficients)

    def log_pdf(self, y: Floats, features: Floats) -> Floats:
        """Return the logarithm of the density of y (n,) given features (n, p)."""
        t = (y - features @ self.coefficients) / self.scale
        half = (self.dof + 1) / 2
        norm = gammaln(half) - gammaln(self.dof / 2) - 0.5 * math.log(self.dof * math.pi)
        tails = half * np.log1p(t * t / self.dof)
        return np.asarray(norm - math.log(self.scale) - tails, dtype=np.float64)

    @classmethod
    def fit(cls, y: Floats, features: Floats, *, dof: float = 5.0) -> Self:
        """Fit by iteratively reweighted least squares, the EM of Student's t.

        Parameters
        ----------
        y : (n,)
            What is predicted.
        features : (n, p)
            From what; a column of zeros gets the coefficient 0.
        dof
            Degrees of freedom, held fixed.

        Raises
        ------
        FitError
            If there are no more rows than features in use.
        """
        used = int(np.any(features != 0, axis=0).sum())
        if len(y) <= used + 1:
            raise FitError(f"a regression on {used} features needs more than {len(y)} rows")
        weights = np.ones_like(y)
        for _ in range(200):
            root = np.sqrt(weights)
            solution = np.linalg.lstsq(features * root[:, None], y * root, rcond=None)[0]
            residuals = y - features @ solution
            # The scatter of n points about p fitted coefficients has n - p degrees of freedom.
            variance = float((weights * residuals**2).sum()) / (len(y) - used)
            renewed = (dof + 1) / (dof + residuals**2 / max(variance, 1e-12))
            if np.allclose(renewed, weights, rtol=1e-10):
                break
            weights = renewed
        return cls(coefficients=solution, scale=math.sqrt(max(variance, 1e-12)), dof=dof)


def _inverse(scale: float) -> float:
    """Return the slope of an exponential tail; a scale of 0 stands for no tail to fall along."""
    return 1 / scale if scale > 0 else 0.0
