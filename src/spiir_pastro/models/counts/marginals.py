r"""The distribution of one class's count.

The marginal density stands on the nodes of a lattice whose first coordinate is the class's alone.
A smooth density known on equidistant nodes is its sinc series, so its distribution function is

.. math:: F(z) = \sum_i p_i \Bigl[\tfrac12 + \tfrac1\pi \mathrm{Si}\,\frac{\pi (z - z_i)}{h}\Bigr],

as exact as the lattice itself. Where the total count is free, the count is the product of a share
and a total that is Gamma distributed and independent of it; the broader of the two goes into a
distribution function, the narrower into a sum.

Where candidates hardly tell a class from the others its marginal density may have edges that no
such lattice resolves; then draws from the joint posterior stand in.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.special import gammainc, sici

from spiir_pastro.models.counts.lattice import LOG_CUTOFF, Lattice
from spiir_pastro.models.counts.stick_breaking import Frame, Sticks

_BROADER_FACTOR = (
    5.0  # shares this much broader than the total; else the lattice resolves the total
)

Floats = NDArray[np.float64]


class Marginal(Protocol):
    """The distribution of a count."""

    def cdf(self, log_count: float) -> float:
        """Probability that the logarithm of the count stays below."""

    def quantile(self, q: float) -> float:
        """Count that is exceeded with probability 1 - q."""

    def log_nodes(self) -> tuple[Floats, Floats]:
        """Logarithms of the count and their weights, for functions no narrower than it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SampledMarginal:
    """The distribution of a count, through draws."""

    log_counts: Floats  # (n,) increasing

    def cdf(self, log_count: float) -> float:
        """Probability that the logarithm of the count stays below."""
        return float(np.searchsorted(self.log_counts, log_count) / len(self.log_counts))

    def quantile(self, q: float) -> float:
        """Count that is exceeded with probability 1 - q."""
        return float(np.exp(np.quantile(self.log_counts, q)))

    def log_nodes(self) -> tuple[Floats, Floats]:
        """Logarithms of the count and their weights, for functions no narrower than it."""
        return self.log_counts, np.full(len(self.log_counts), 1 / len(self.log_counts))


@dataclass(frozen=True, kw_only=True, eq=False)
class LatticeMarginal:
    """The distribution of a count, through the logarithm of its share or of itself."""

    # (g,) marginal distribution on equidistant nodes
    nodes: Floats
    weights: Floats
    table: Floats  # (2, m) node coordinate and logarithm of the share or count, both increasing
    # shape of the Gamma distribution of the total; None where counts stand for themselves
    total_shape: float | None

    @classmethod
    def of(cls, lattice: Lattice, *, total_shape: float | None) -> Self:
        """Sum a lattice over every coordinate but the first."""
        cells = np.rint(lattice.z[:, 0] / lattice.step).astype(np.int64)
        low, high = int(cells.min()), int(cells.max())
        # The count as a function of the node's coordinate has no inverse in closed form: a table of
        # it does.
        fine = lattice.step * np.linspace(low - 1, high + 1, 40_001, dtype=np.float64)
        z = np.zeros((len(fine), lattice.z.shape[1]))
        z[:, 0] = fine
        logs = lattice.frame.sticks.log_sources(lattice.frame.unbend(z)[0])
        return cls(
            nodes=lattice.step * np.arange(low, high + 1, dtype=np.float64),
            weights=np.asarray(np.bincount(cells - low, weights=lattice.weights), np.float64),
            table=np.stack([fine, logs[:, lattice.frame.sticks.first or 0]]),
            total_shape=total_shape,
        )

    def _cdf_of_log(self, logs: Floats) -> Floats:
        """Distribution function of the log share or log count."""
        step = self.nodes[1] - self.nodes[0]
        z = np.interp(logs, self.table[1], self.table[0])
        sine_integral, _ = sici(np.pi / step * (z[..., None] - self.nodes))
        below: Floats = 0.5 + sine_integral / np.pi
        return below @ self.weights

    def cdf(self, log_count: float) -> float:
        """Probability that the logarithm of the count stays below."""
        if self.total_shape is None:
            return float(self._cdf_of_log(np.array(log_count)))
        log_shares, share_weights = self._fine_shares
        spread = np.sqrt(np.cov(log_shares, aweights=np.maximum(share_weights, 0)))
        # P(N w < x) is the mean of one factor's distribution function over the other's nodes. What
        # is averaged must be no narrower than the distance of these nodes, hence the choice.
        if spread > _BROADER_FACTOR * self.total_shape**-0.5:
            log_totals, weights = _gamma_nodes(self.total_shape)
            return float(weights @ self._cdf_of_log(log_count - log_totals))
        # exp(700) is finite, and the distribution function is 1 long before.
        totals = np.exp(np.minimum(log_count - log_shares, 700.0))
        return float(share_weights @ gammainc(self.total_shape, totals))

    @cached_property
    def _fine_shares(self) -> tuple[Floats, Floats]:
        """Logarithms of the share, and weights, eight times as dense: the sinc series itself."""
        step = self.nodes[1] - self.nodes[0]
        fine = np.arange(self.nodes[0], self.nodes[-1], step / 8)
        # A density resolved by the lattice is its own sinc series, so this adds no error; a spline
        # would.
        weights = np.sinc((fine[:, None] - self.nodes) / step) @ self.weights
        return np.interp(fine, *self.table), weights / weights.sum()

    def log_nodes(self) -> tuple[Floats, Floats]:
        """Logarithms of the count and their weights, for functions no narrower than it."""
        logs, weights = self._fine_shares
        if self.total_shape is None:
            return logs, weights
        log_totals, total_weights = _gamma_nodes(self.total_shape)
        outer = np.outer(weights, total_weights)
        return (logs[:, None] + log_totals).ravel(), outer.astype(np.float64).ravel()

    def quantile(self, q: float) -> float:
        """Count that is exceeded with probability 1 - q."""
        low, high = self.table[1, 0], self.table[1, -1]
        if self.total_shape is not None:
            log_totals, _ = _gamma_nodes(self.total_shape)
            low, high = low + log_totals[0], high + log_totals[-1]
        return float(np.exp(optimize.brentq(lambda x: self.cdf(x) - q, low, high)))


def _gamma_nodes(shape: float) -> tuple[Floats, Floats]:
    """Logarithms of a Gamma variate and their weights, on the lattice that fits it."""
    frame = Frame(
        sticks=Sticks(classes=1, noise=1.0),
        centre=np.log([shape]),
        factor=np.array([[shape**-0.5]]),
    )
    z = np.linspace(-14.0, 14.0, 281)[:, None]
    t, log_jacobian = frame.unbend(z)
    log_weights = shape * (t[:, 0] - np.log(shape)) - np.exp(t[:, 0]) + shape + log_jacobian
    keep = log_weights > log_weights.max() + LOG_CUTOFF
    weights = np.exp(log_weights[keep] - log_weights.max())
    return t[keep, 0], weights / weights.sum()
