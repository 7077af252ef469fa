"""Density of one variable given another, estimated where there are many samples."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from spiir_pastro.errors import FitError
from spiir_pastro.models.densities import GridDensity, silverman_bandwidth

__all__ = ["ConditionalGrid"]

Floats = NDArray[np.float64]

_FINE = 4


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
    """

    column: int
    nodes: Floats
    y_nodes: Floats
    log_values: Floats

    def __post_init__(self) -> None:
        nodes, values = np.array(self.nodes, float), np.array(self.log_values, float)
        if not (
            nodes.ndim == 1
            and nodes.size >= 2
            and (np.diff(nodes) > 0).all()
            and values.shape == (nodes.size, np.size(self.y_nodes))
            and self.column >= 0
        ):
            raise FitError(
                f"a conditional grid needs increasing nodes and a curve for each, not nodes of "
                f"shape {nodes.shape} and values of shape {values.shape}"
            )
        curves = [GridDensity(nodes=self.y_nodes, log_values=row) for row in values]
        values = np.stack([curve.log_values for curve in curves])
        named = {"nodes": nodes, "y_nodes": curves[0].nodes, "log_values": values}
        for name, array in named.items():
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    def log_pdf(self, y: Floats, features: Floats) -> Floats:
        """Return the logarithm of the density of y (n,) given features (n, p)."""
        feature = np.clip(features[..., self.column], self.nodes[0], self.nodes[-1])
        left = _cell(self.nodes, feature)
        share = (feature - self.nodes[left]) / (self.nodes[left + 1] - self.nodes[left])
        inside = np.clip(y, self.y_nodes[0], self.y_nodes[-1])
        low = _cell(self.y_nodes, inside)
        rise = (inside - self.y_nodes[low]) / (self.y_nodes[low + 1] - self.y_nodes[low])

        def curve(row: NDArray[np.int64]) -> Floats:
            ends = self.log_values[row, low], self.log_values[row, low + 1]
            return np.asarray((1 - rise) * ends[0] + rise * ends[1])

        # The share of a curve may be nothing, and what is not known is NaN.
        with np.errstate(divide="ignore", invalid="ignore"):
            mixed = np.logaddexp(np.log1p(-share) + curve(left), np.log(share) + curve(left + 1))
        return np.asarray(mixed - np.abs(y - inside) / GridDensity.left_scale)

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
        """
        if feature.size < 2:
            raise FitError(f"a conditional density needs samples, not {feature.size}")
        # Silverman's rule in two dimensions: n to the power -1/6 in place of -1/5.
        slower = feature.size ** (1 / 5 - 1 / 6)
        widths = [silverman_bandwidth(values) * slower for values in (feature, y)]
        y_span = (float(y.min()) - 3 * widths[1], float(y.max()) + 3 * widths[1])
        edges = [np.linspace(a, b, _FINE * (size - 1) + 2) for a, b in (span, y_span)]
        steps = [edge[1] - edge[0] for edge in edges]
        counts = np.histogram2d(feature, y, bins=edges)[0]
        smooth = gaussian_filter(
            counts, [w / step for w, step in zip(widths, steps, strict=True)], mode="constant"
        )
        density = smooth / (feature.size * steps[0] * steps[1])
        joint = (1 - floor) * density + floor / np.prod(np.ptp([span, y_span], axis=1))
        centres = [edge[:-1] + step / 2 for edge, step in zip(edges, steps, strict=True)]
        return cls(
            column=column,
            nodes=centres[0][::_FINE],
            y_nodes=centres[1][::_FINE],
            log_values=np.log(joint[::_FINE, ::_FINE]),
        )


def _cell(nodes: Floats, x: Floats) -> NDArray[np.int64]:
    """Return the number of the node to the left of each x within the nodes, (n,)."""
    return np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, len(nodes) - 2)
