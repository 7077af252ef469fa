"""Density of one variable given another, estimated where there are many samples."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.errors import FitError
from spiir_pastro.models.densities import LARGEST_LOG_DENSITY, GridDensity, normalised
from spiir_pastro.models.kernels import kernel_errors, silverman_bandwidth

Floats = NDArray[np.float64]

_CELLS_PER_NODE = 4
_TRUNCATE_WIDTHS = 8.0
"""Widths of a kernel at which it ends."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ConditionalGrid:
    """Density of y given a feature: at each node of the feature a curve, linear between curves.

    A mixture of two normalised curves is normalised, so this is a density at every value of the
    feature; beyond the first and last node of the feature their curves hold.

    Attributes
    ----------
    column
        Which column of the features it is given.
    nodes : (n,)
        Increasing values of the feature.
    y_nodes : (k,)
        Increasing values of y.
    log_values : (n, k)
        Logarithm of the density of y at each node of the feature; normalised on construction, with
        exponential tails outside.
    node_errors : (2, n, k)
        Standard errors of the logarithms at the nodes, below and above; 0 if not given.
    tail_scale
        The density falls by e over this distance of y outside its nodes; 0 where y ends there.
    """

    column: int
    nodes: Floats
    y_nodes: Floats
    log_values: Floats
    node_errors: Floats = field(default_factory=lambda: np.zeros(()))
    tail_scale: float = GridDensity.left_scale

    def __post_init__(self) -> None:
        nodes, values = np.array(self.nodes, float), np.array(self.log_values, float)
        y_nodes = np.array(self.y_nodes, float)
        if not (
            min(nodes.ndim, y_nodes.ndim) == 1
            and min(nodes.size, y_nodes.size) >= 2
            and equidistant(nodes)
            and equidistant(y_nodes)
            and values.shape == (nodes.size, y_nodes.size)
            and (np.abs(values) <= LARGEST_LOG_DENSITY).all()
            and self.column >= 0
            and self.tail_scale >= 0
        ):
            raise FitError(
                f"a conditional grid needs equidistant nodes and a curve for each, not nodes of "
                f"shape {nodes.shape} and values of shape {values.shape}"
            )
        values = normalised(y_nodes, values, self.tail_scale, self.tail_scale)
        errors = np.array(np.broadcast_to(self.node_errors, (2, *values.shape)), float)
        named = {"nodes": nodes, "y_nodes": y_nodes, "log_values": values, "node_errors": errors}
        for name, array in named.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def log_pdf(self, y: Floats, features: Floats) -> Floats:
        """Return the logarithm of the density of y (n,) given features (n, p)."""
        return np.asarray(self._alone.log_pdf(y, features)[0])

    def log_pdf_and_errors(self, y: Floats, features: Floats) -> tuple[Floats, Floats]:
        """Return the same, and its standard errors, below and above, (2, n).

        The errors of a tail grow with its depth.
        """
        logs, errors = self._alone.log_pdf_and_errors(y, features)
        return logs[0], errors[0]

    @cached_property
    def _alone(self) -> "GridSheaf":
        return GridSheaf((self,))

    @property
    def places(self) -> tuple[object, ...]:
        """What is the same of grids that one look goes through together."""
        return self.column, self.tail_scale, self.nodes.tobytes(), self.y_nodes.tobytes()

    @classmethod
    def from_samples(
        cls,
        feature: Floats,
        y: Floats,
        *,
        column: int,
        span: tuple[float, float],
        floor: float = 0.01,
        size: int = 80,
        ends: tuple[float, float] | None = None,
    ) -> Self:
        """Estimate by Gaussian kernels in both variables, with a uniform floor.

        Parameters
        ----------
        feature, y : (n,)
            Samples of both.
        column
            Which column of the features the feature is.
        span
            First and last node of the feature.
        floor
            Weight of the uniform density, in (0, 1).
        size
            Number of nodes in each direction.
        ends
            Least and largest y there can be: kernels are mirrored there. None if there are none.
        """
        from scipy.ndimage import gaussian_filter  # noqa: PLC0415  (slow to load; only fits need it)

        if feature.size < 2:
            raise FitError(f"a conditional density needs samples, not {feature.size}")
        # Silverman's rule in two dimensions: n to the power -1/6 in place of -1/5.
        slower = feature.size ** (1 / 5 - 1 / 6)
        widths = [silverman_bandwidth(values) * slower for values in (feature, y)]
        y_span = ends or (float(y.min()) - 3 * widths[1], float(y.max()) + 3 * widths[1])
        edges = [np.linspace(a, b, _CELLS_PER_NODE * (size - 1) + 2) for a, b in (span, y_span)]
        steps = [edge[1] - edge[0] for edge in edges]
        counts = np.histogram2d(feature, y, bins=edges)[0]
        in_steps = [w / step for w, step in zip(widths, steps, strict=True)]
        modes: list[Literal["constant", "reflect"]] = [
            "constant",
            "constant" if ends is None else "reflect",
        ]
        # Kernels by convolution of a histogram: the cost does not depend on the number of samples.
        area = np.prod(np.ptp([span, y_span], axis=1))

        def smoothed(wider: float) -> tuple[Floats, Floats]:
            sigma = [wider * width for width in in_steps]
            smooth = gaussian_filter(counts, sigma, mode=modes, truncate=_TRUNCATE_WIDTHS)
            density = (smooth / (feature.size * steps[0] * steps[1]))[
                ::_CELLS_PER_NODE, ::_CELLS_PER_NODE
            ]
            return density, np.log((1 - floor) * density + floor / area)

        density, log_values = smoothed(1)
        # What kernels of twice the variance change is about what these have changed already.
        wider = smoothed(math.sqrt(2))[1]
        errors = kernel_errors(
            local_events=feature.size * 4 * math.pi * widths[0] * widths[1] * density,
            bias=_conditional(wider) - _conditional(log_values),
            lift=log_values - np.log(np.maximum(density, 1e-100)),
        )
        centres = [edge[:-1] + step / 2 for edge, step in zip(edges, steps, strict=True)]
        return cls(
            column=column,
            nodes=centres[0][::_CELLS_PER_NODE],
            y_nodes=centres[1][::_CELLS_PER_NODE],
            log_values=log_values,
            node_errors=errors,
            tail_scale=GridDensity.left_scale if ends is None else 0.0,
        )


class GridSheaf:
    """Conditional grids on the same nodes: a candidate's place among these is found once for all.

    Parameters
    ----------
    grids
        s of them, alike in their `ConditionalGrid.places`.
    """

    def __init__(self, grids: Sequence[ConditionalGrid]) -> None:
        self._first = grids[0]
        logs = np.array([grid.log_values for grid in grids])
        errors = np.array([grid.node_errors for grid in grids])
        self._logs = logs.reshape(1, len(grids), -1)
        self._tables = np.concatenate(
            [self._logs, np.moveaxis(errors, 1, 0).reshape(2, *self._logs.shape[1:])]
        )

    def log_pdf(self, y: Floats, features: Floats) -> Floats:
        """Return the logarithms of the densities of y (n,) given features (n, p), (s, n)."""
        below, above, share = self._curves(self._logs, y, features)
        return _between(below[0], above[0], share) - self._depth(y)

    def log_pdf_and_errors(self, y: Floats, features: Floats) -> tuple[Floats, Floats]:
        """Return the same, and their standard errors, below and above, (s, 2, n)."""
        below, above, share = self._curves(self._tables, y, features)
        depth = self._depth(y)
        errors = np.swapaxes((1 - share) * below[1:] + share * above[1:], 0, 1)
        if self._first.tail_scale:
            errors = np.hypot(errors, depth)
        return _between(below[0], above[0], share) - depth, np.asarray(errors)

    def _curves(self, tables: Floats, y: Floats, features: Floats) -> tuple[Floats, Floats, Floats]:
        """Return tables at y on the curves next to the feature, and the share of the second."""
        first = self._first
        left, share = cell(first.nodes, features[..., first.column])
        low, rise = cell(first.y_nodes, y)
        corner = left * first.y_nodes.size + low
        below, above = (
            (1 - rise) * tables[..., at] + rise * tables[..., at + 1]
            for at in (corner, corner + first.y_nodes.size)
        )
        return below, above, share

    def _depth(self, y: Floats) -> Floats | float:
        """Return how far the logarithm has fallen in a tail of y."""
        nodes, scale = self._first.y_nodes, self._first.tail_scale
        if not scale:
            return 0.0
        return np.asarray(np.abs(y - np.minimum(np.maximum(y, nodes[0]), nodes[-1])) / scale)


def _between(below: Floats, above: Floats, share: Floats) -> Floats:
    """Mix two densities, in logarithms; the share of one may be nothing, and NaN is not known."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.logaddexp(np.log1p(-share) + below, np.log(share) + above)


@dataclass(frozen=True, kw_only=True, eq=False)
class LeaningGrid:
    """Density of y given two features: curves given one, about a line in the other.

    Attributes
    ----------
    column
        Of the feature that y leans on.
    slope, slope_std
        dy by that feature, and its standard error.
    centre
        Value of the feature about which the slope was measured.
    grid
        Density of y - slope (feature - centre) given the other feature.
    """

    column: int
    slope: float
    slope_std: float
    centre: float
    grid: ConditionalGrid

    def __post_init__(self) -> None:
        numbers = (self.slope, self.slope_std, self.centre)
        if not (np.isfinite(numbers).all() and self.slope_std >= 0 and self.column >= 0):
            raise FitError(f"a line with slope, error and centre {numbers} is none")

    def log_pdf(self, y: Floats, features: Floats) -> Floats:
        """Return the logarithm of the density of y (n,) given features (n, p)."""
        return self.grid.log_pdf(self._upright(y, features), features)

    def log_pdf_and_errors(self, y: Floats, features: Floats) -> tuple[Floats, Floats]:
        """Return the same, and its standard errors, below and above, (2, n)."""
        upright = self._upright(y, features)
        shift = self.slope_std * (features[..., self.column] - self.centre)
        both = np.array([upright, upright + shift])
        (log, shifted), errors = self.grid.log_pdf_and_errors(both, features)  # (2, n) of y
        return log, np.asarray(np.hypot(errors[:, 0], shifted - log))

    def _upright(self, y: Floats, features: Floats) -> Floats:
        return np.asarray(y - self.slope * (features[..., self.column] - self.centre))


def equidistant(nodes: Floats) -> bool:
    """Tell whether nodes rise in equal steps."""
    steps = np.diff(nodes)
    return bool(
        np.isfinite(nodes).all() and (steps > 0).all() and np.ptp(steps) <= 1e-9 * np.ptp(nodes)
    )


def _conditional(log_joint: Floats) -> Floats:
    """Divide each row by its sum."""
    return np.asarray(log_joint - np.logaddexp.reduce(log_joint, axis=1, keepdims=True))


def cell(nodes: Floats, x: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the node to the left of each x, and how far x is to the next; at an end, the end.

    The nodes are equidistant.
    """
    last = len(nodes) - 1
    step = (nodes[-1] - nodes[0]) / last
    position = np.minimum(np.maximum((x - nodes[0]) / step, 0.0), last)
    # What is not known gets some node: fmin passes NaN over. It stays in the share.
    left = np.fmin(position, last - 1).astype(np.int64)
    return left, np.asarray(position - left)
