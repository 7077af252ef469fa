r"""Normalised densities of one variable, in logarithms.

FAR is calibrated: of noise below the threshold :math:`f^*`, the ratio :math:`u = f / f^*` is
uniform, so :math:`x = \ln u \le 0` has density :math:`e^{x}`. Signals follow a slow power law,
:math:`a\,e^{a x}` with :math:`a` near 0.1. Both are one law, :class:`PowerLaw`; signal and noise
in the *same* variable are what makes their ratio a Bayes factor.

Each density knows its standard errors, below and above: with n effective events near a value, that
of the log density is about :math:`1/\sqrt n`. Of a density of Gaussian kernels of width h,
:math:`n = 2 \sqrt\pi\, h\, N p(x)`, and the Gamma posterior of a Poisson rate with Jeffreys' prior
has :math:`\mathrm{Var} \ln p = \psi'(n + 1/2)`: 1/n where there are many, 4.9 where there are none.
A tail that was assumed, not measured, is as uncertain as it is deep. Where there is no event at
all the density is known to be low, not how low: the error below is then the larger.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, logsumexp, polygamma, stdtr

from spiir_pastro.errors import FitError

__all__ = [
    "GridDensity",
    "LogDensity",
    "PowerLaw",
    "StudentRegression",
    "effective_size",
    "fit_far_density",
    "fit_power_law",
]

Floats = NDArray[np.float64]

_ERROR_DIGITS = 3
_HIGHEST_LIFT = 200.0
"""Of a floor: twenty widths of a kernel away from the nearest event."""


class LogDensity(Protocol):
    """A normalised density of one variable."""

    def log_pdf(self, x: Floats) -> Floats:
        """Return the logarithm of the density at x, any shape."""
        ...

    def log_errors(self, x: Floats) -> Floats:
        """Return the standard errors of that logarithm, below and above, (2, ...)."""
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

    def log_errors(self, x: Floats) -> Floats:
        """Return the standard errors of that logarithm, below and above, (2, ...)."""
        return _both(np.abs(1 / self.exponent + x) * self.exponent_std)


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
    node_errors : (2, n)
        Standard errors of the logarithms at the nodes, below and above; 0 if not given.
    left_error
        Relative standard error of the left scale; 1 where it is assumed, as the right one is.
    """

    nodes: Floats
    log_values: Floats
    left_scale: float = 0.2
    right_scale: float = 0.2
    node_errors: Floats = field(default_factory=lambda: np.zeros(()))
    left_error: float = 1.0

    def __post_init__(self) -> None:
        nodes, values = np.array(self.nodes, float), np.array(self.log_values, float)
        errors = np.array(np.broadcast_to(self.node_errors, (2, *nodes.shape)), float)
        if not (
            nodes.ndim == 1
            and nodes.size >= 2
            and nodes.shape == values.shape
            and (errors >= 0).all()
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
        named = {"nodes": nodes, "log_values": values, "node_errors": errors}
        for name, array in named.items():
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
        left, right = self._depths(x)
        return np.asarray(np.interp(x, self.nodes, self.log_values) - left - right)

    def log_errors(self, x: Floats) -> Floats:
        """Return the standard errors of that logarithm, below and above, (2, ...).

        A tail's grow with its depth.
        """
        left, right = self._depths(x)
        inside = np.stack([np.interp(x, self.nodes, errors) for errors in self.node_errors])
        return np.asarray(np.hypot(inside, left * self.left_error + right))

    def _depths(self, x: Floats) -> tuple[Floats, Floats]:
        """Return how far the logarithm has fallen in either tail."""
        left = np.maximum(self.nodes[0] - x, 0) * _inverse(self.left_scale)
        return left, np.maximum(x - self.nodes[-1], 0) * _inverse(self.right_scale)

    @classmethod
    def from_samples(
        cls,
        samples: Floats,
        *,
        span: tuple[float, float],
        bandwidth: float | None = None,
        floor: float = 0.01,
        size: int = 256,
        events: float | None = None,
        weights: Floats | None = None,
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
        events
            As how many independent events the samples count in the standard errors; by default
            all of them, or as many as their weights are worth.
        weights : (n,), optional
            Of the samples, up to a factor.

        Raises
        ------
        FitError
            If there is no sample, or one is not finite.
        """
        if samples.size == 0 or not np.isfinite(samples).all():
            raise FitError(f"a density needs finite samples, not these {samples.size}: {samples}")
        h = silverman_bandwidth(samples, weights) if bandwidth is None else bandwidth
        nodes = np.linspace(*span, size)
        # Histogram finer than the kernel first: the cost is then independent of the samples.
        fine = np.arange(min(span[0], samples.min()), max(span[1], samples.max()) + h, h / 8)
        bins = np.append(fine, fine[-1] + h / 8)
        counts, edges = np.histogram(samples, bins=bins, weights=weights)
        used = counts > 0
        centres = (edges[:-1] + h / 16)[used]
        log_floor = math.log(floor / (span[1] - span[0]))

        def floored(width: float) -> tuple[Floats, Floats]:
            kernels = -0.5 * ((nodes[:, None] - centres) / width) ** 2 + np.log(counts[used])
            norm = math.log(counts.sum() * width * math.sqrt(2 * math.pi))
            log_kde = logsumexp(kernels, axis=1) - norm
            return log_kde, np.logaddexp(math.log1p(-floor) + log_kde, log_floor)

        log_kde, log_values = floored(h)
        n = _size(samples, weights) if events is None else events
        errors = kernel_errors(
            local_events=n * 2 * math.sqrt(math.pi) * h * np.exp(log_kde),
            # The bias of kernels goes with the square of their width.
            bias=floored(math.sqrt(2) * h)[1] - log_values,
            lift=log_values - log_kde,
        )
        return cls(nodes=nodes, log_values=log_values, node_errors=errors)

    @classmethod
    def mixture(cls, parts: Sequence[tuple[float, "GridDensity"]]) -> Self:
        """Mix densities by weight on the nodes of the first."""
        nodes = parts[0][1].nodes
        parts = [(weight, part) for weight, part in parts if weight > 0]
        logs = [math.log(weight) + part.log_pdf(nodes) for weight, part in parts]
        mixed = logsumexp(logs, axis=0)
        shares = np.exp(logs - mixed)
        variances = [
            (s * part.log_errors(nodes)) ** 2 for s, (_, part) in zip(shares, parts, strict=True)
        ]
        errors = np.round(np.sqrt(np.sum(variances, axis=0)), _ERROR_DIGITS)
        return cls(nodes=nodes, log_values=mixed, node_errors=errors)


def fit_far_density(x: Floats, *, size: int = 128, weights: Floats | None = None) -> GridDensity:
    """Estimate the density of ln(FAR / threshold) <= 0 from many recovered signals.

    Kernels are reflected at 0, where the threshold cuts. Below the least likely 2 % of values the
    density goes on as an exponential of their mean excess: a power law in FAR.

    Parameters
    ----------
    x : (n,)
        Values at most 0.
    size
        Number of nodes.
    weights : (n,), optional
        Of the values, up to a factor.
    """
    if x.size < 2 or not (x <= 0).all():
        raise FitError(f"a FAR density needs two or more values at or below 0, not {x}")
    first = float(_quantiles(x, [0.02], weights)[0])
    span = (first, 0.0)
    mirrored = np.concatenate([x, -x])
    both = None if weights is None else np.concatenate([weights, weights])
    kernels = GridDensity.from_samples(mirrored, span=span, size=size, weights=both)
    low = x <= first
    beyond, mine = x[low], None if weights is None else weights[low]
    return replace(
        kernels,
        left_scale=float(np.average(first - beyond, weights=mine)) or -first,
        left_error=1 / math.sqrt(_size(beyond, mine)),
        right_scale=0.0,
    )


def kernel_errors(*, local_events: Floats, bias: Floats, lift: Floats) -> Floats:
    """Return the standard errors of the logarithm of a kernel estimate with a floor, (2, ...).

    Parameters
    ----------
    local_events
        Effective number of events under a kernel.
    bias
        How far the kernels' width moves the logarithm.
    lift
        How far the floor raises it. Beyond the data, where the floor is all there is, that goes
        with half the square of the distance to the nearest event in widths of a kernel; the error
        below goes with the distance.
    """
    above = polygamma(1, local_events + 0.5) + bias**2
    extrapolation = np.sqrt(1 + 2 * np.clip(lift, 0, _HIGHEST_LIFT)) - 1
    return np.asarray(np.round(np.sqrt([above + extrapolation**2, above]), _ERROR_DIGITS))


def effective_size(weights: Floats) -> float:
    """Return how many samples of equal weight tell as much: (sum w)^2 / sum w^2; 0 for none.

    Examples
    --------
    >>> effective_size(np.array([2.0, 2.0, 2.0])), effective_size(np.array([1.0, 0.0]))
    (3.0, 1.0)
    """
    square = float((weights**2).sum())
    return float(weights.sum()) ** 2 / square if square > 0 else 0.0


def silverman_bandwidth(samples: Floats, weights: Floats | None = None) -> float:
    """Kernel width by Silverman's rule of thumb, robust to outliers; never below 0.02."""
    quartiles = _quantiles(samples, [0.25, 0.75], weights)
    centred = samples - np.average(samples, weights=weights)
    std = math.sqrt(float(np.average(centred**2, weights=weights)))
    spread = min(std, (quartiles[1] - quartiles[0]) / 1.34) or std
    return float(max(0.9 * spread * _size(samples, weights) ** -0.2, 0.02))


def _quantiles(samples: Floats, q: Sequence[float], weights: Floats | None) -> Floats:
    if weights is None:
        return np.asarray(np.quantile(samples, q), dtype=np.float64)
    return np.asarray(np.quantile(samples, q, weights=weights, method="inverted_cdf"))


def _size(samples: Floats, weights: Floats | None) -> float:
    """Return how many samples of equal weight these are worth."""
    return samples.size if weights is None else effective_size(weights)


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
            np.isfinite(coefficients).all()
            and np.isfinite(inverse).all()
            and min(self.scale, self.dof, self.events) > 0
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
        t = (y - features @ self.coefficients) / self.scale
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
        dof, t = self.dof, (y - features @ self.coefficients) / self.scale
        leverage = ((features @ self.inverse_moments) * features).sum(axis=-1)
        location = (dof + 3) / (dof + 1) * leverage
        slope = (dof + 1) * t / (dof + t * t)
        variance = location * slope**2 + 0.5 * (location * (dof + 1) / dof) ** 2
        variance += (slope * t - 1) ** 2 * (dof + 3) / (2 * dof * self.events)
        depth = np.maximum(-np.log(self.events * 2 * stdtr(dof, -np.abs(t))), 0)
        return _both(np.sqrt(variance + depth**2))

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
        size = _size(y, weights)
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


def _inverse(scale: float) -> float:
    """Return the slope of an exponential tail; a scale of 0 stands for no tail to fall along."""
    return 1 / scale if scale > 0 else 0.0


def _both(errors: Floats) -> Floats:
    """Return errors that are the same below and above."""
    return np.stack([errors, errors])
