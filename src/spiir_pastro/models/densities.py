"""Normalised densities of one variable, in logarithms, each with its standard errors.

The errors are of the log density, below and above. A tail that was assumed, not measured, is as
uncertain as it is deep.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.kernels import (
    ERROR_DIGITS,
    kernel_errors,
    silverman_bandwidth,
    weighted_size,
)

Floats = NDArray[np.float64]

LARGEST_LOG_DENSITY = 1e6
"""Of a density's logarithm at a node: beyond it a difference of two may not be a number."""

_LOG_INTEGRAL_ROUNDING = 1e-12
"""The logarithm of an integral that is one."""


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
            and (np.abs(values) <= LARGEST_LOG_DENSITY).all()
            and (np.diff(nodes) > 0).all()
            and min(self.left_scale, self.right_scale) >= 0
        ):
            raise FitError(
                "a grid density needs at least two finite increasing nodes with finite "
                "log densities and tails of scale 0 or more, not nodes of shape "
                f"{nodes.shape} and values of shape {values.shape}, the largest of size "
                f"{np.max(np.abs(values), initial=0):g}"
            )
        values = normalised(nodes, values, self.left_scale, self.right_scale)
        named = {"nodes": nodes, "log_values": values, "node_errors": errors}
        for name, array in named.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def log_pdf(self, x: Floats, features: Floats | None = None) -> Floats:  # noqa: ARG002
        """Return the logarithm of the density at x, any shape, whatever the features."""
        left, right = self._depths(x)
        return np.asarray(np.interp(x, self.nodes, self.log_values) - left - right)

    def log_pdf_and_errors(
        self,
        x: Floats,
        features: Floats | None = None,  # noqa: ARG002
    ) -> tuple[Floats, Floats]:
        """Return the same, and its standard errors, below and above, (2, ...).

        The errors of a tail grow with its depth.
        """
        left, right = self._depths(x)
        log, below, above = (
            np.interp(x, self.nodes, values) for values in (self.log_values, *self.node_errors)
        )
        errors = np.hypot([below, above], left * self.left_error + right)
        return np.asarray(log - left - right), np.asarray(errors)

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
            Range of the density: first and last node.
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
        edges = np.arange(min(span[0], samples.min()), max(span[1], samples.max()) + h, h / 8)
        counts, _ = np.histogram(samples, bins=edges, weights=weights)
        used = counts > 0
        centres = (edges[:-1] + h / 16)[used]
        log_floor = math.log(floor / (span[1] - span[0]))

        def floored(width: float) -> tuple[Floats, Floats]:
            kernels = -0.5 * ((nodes[:, None] - centres) / width) ** 2 + np.log(counts[used])
            norm = math.log(counts.sum() * width * math.sqrt(2 * math.pi))
            log_kde = np.logaddexp.reduce(kernels, axis=1) - norm
            return log_kde, np.logaddexp(math.log1p(-floor) + log_kde, log_floor)

        log_kde, log_values = floored(h)
        n = weighted_size(samples, weights) if events is None else events
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
        mixed = np.logaddexp.reduce(logs, axis=0)
        shares = np.exp(logs - mixed)
        # d ln(sum w p) = sum of (share of each part) times d ln p.
        variances = [
            (share * part.log_pdf_and_errors(nodes)[1]) ** 2
            for share, (_, part) in zip(shares, parts, strict=True)
        ]
        errors = np.round(np.sqrt(np.sum(variances, axis=0)), ERROR_DIGITS)
        return cls(nodes=nodes, log_values=mixed, node_errors=errors)


def normalised(nodes: Floats, log_values: Floats, left: float, right: float) -> Floats:
    """Shift curves (..., n) on the same nodes, with tails of these scales, to an integral of one.

    The integral is exact: exponentials between nodes and in both tails.
    """
    rise = np.diff(log_values)
    flat = np.abs(rise) < 1e-6
    # exp of a line from a to a + rise has the mean exp(a) (exp(rise) - 1) / rise.
    mean = np.where(flat, 1 + rise / 2, np.expm1(rise) / np.where(flat, 1, rise))
    parts = [log_values[..., :-1] + np.log(np.diff(nodes) * mean)]
    parts += [
        log_values[..., [end]] + math.log(scale) for end, scale in ((0, left), (-1, right)) if scale
    ]
    excess = np.logaddexp.reduce(np.concatenate(parts, axis=-1), axis=-1, keepdims=True)
    # What differs from one by rounding is left alone: a stored model stays as it is.
    return np.asarray(log_values - np.where(np.abs(excess) > _LOG_INTEGRAL_ROUNDING, excess, 0.0))


def _inverse(scale: float) -> float:
    """Return the slope of an exponential tail; a scale of 0 stands for no tail to fall along."""
    return 1 / scale if scale > 0 else 0.0
