r"""Coordinates in which a posterior of counts looks like a normal distribution.

They are made in three steps.

1. *Sticks.* Shares of one whole are broken off in turn, each a logit; counts without a whole are
   logarithms. Both Jacobians are the product of the shares or counts, which is the very factor
   that makes the posterior per unit logarithm concave in the counts: it has one maximum.
2. *Bending.* In the logarithm of a count with shape c the density falls like exp(c t) on the left:
   slowly, where few signals were seen. The bent variable u, with

   .. math:: t(u) = p u - \kappa_l [(\sqrt{4 + u^2} - u)^2 - 4]
      + \kappa_r [(\sqrt{4 + u^2} + u)^2 - 4],

   grows like :math:`u^2` there, so that every tail is Gaussian.
3. *Whitening* with the curvature at the maximum.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logsumexp

Floats = NDArray[np.float64]

_BEND_RADIUS = 2.0  # the 2 whose square stands under the roots


@dataclass(frozen=True, kw_only=True)
class Sticks:
    """Unbounded coordinates of the sources' shares or counts."""

    classes: int  # the number k of signal classes
    # the pinned noise count, or None where the shares of all sources sum to one
    noise: float | None = None
    first: int | None = None  # a class that the first coordinate alone must determine, or None

    @property
    def _order(self) -> list[int]:
        """Sources in the order in which they are broken off."""
        free = [] if self.noise is not None else [self.classes]
        order = [*free, *range(self.classes)]
        return order if self.first is None else sorted(order, key=lambda a: a != self.first)

    def _stages(self) -> tuple[list[int], list[int]]:
        """Tell sources that are logarithms themselves from those that share what remains."""
        if self.noise is not None and self.first is not None:
            return self._order[:1], self._order[1:]
        return [], self._order

    def log_sources(self, t: Floats) -> Floats:
        """Logarithms of shares or counts, (g, k + 1) with noise last, at coordinates (g, k)."""
        logs = np.empty((len(t), self.classes + 1))
        alone, sharing = self._stages()
        columns = iter(t.T)
        for source in alone:
            logs[:, source] = next(columns)
        remaining: Floats = np.zeros(len(t))
        if self.noise is not None:
            logs[:, -1] = np.log(self.noise)
            remaining = next(columns) if sharing else remaining
        for source in sharing[:-1]:
            stick = next(columns)
            # ln of expit(stick), and below of 1 - expit(stick), without losing digits at either
            # end.
            logs[:, source] = remaining - np.logaddexp(0, -stick)
            remaining = remaining - np.logaddexp(0, stick)
        for source in sharing[-1:]:
            logs[:, source] = remaining
        return logs

    def coordinates(self, log_sources: Floats) -> Floats:
        """Invert `log_sources` for one point, (k + 1,) to (k,)."""
        alone, sharing = self._stages()
        t = [log_sources[source] for source in alone]
        if self.noise is not None and sharing:
            t.append(logsumexp(log_sources[sharing]))
        for i, source in enumerate(sharing[:-1]):
            t.append(log_sources[source] - logsumexp(log_sources[sharing[i + 1 :]]))
        return np.array(t, dtype=np.float64)

    def frame_at(self, log_sources: Floats, scale: Floats) -> "Frame":
        """Start a frame at a point, from the Cholesky factor (k, k) of the curvature there."""
        centre = self.coordinates(log_sources)
        # The curvature is known in shares or counts; a numerical Jacobian takes it to t.
        eps = 1e-5 * np.eye(self.classes)
        above, below = (np.exp(self.log_sources(centre + e)[:, :-1]) for e in (eps, -eps))
        bent = (above - below) / 2e-5 @ scale
        return Frame(
            sticks=self, centre=centre, factor=np.linalg.cholesky(np.linalg.inv(bent @ bent.T))
        )

    @property
    def is_logit(self) -> NDArray[np.bool_]:
        """Which coordinates are logits, (k,); the others are logarithms."""
        _, sharing = self._stages()
        return np.arange(self.classes) > self.classes - len(sharing)


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """Coordinates z in which the posterior is nearly a standard normal distribution."""

    sticks: Sticks  # what t means
    centre: Floats  # (k,) the maximum, in t
    factor: Floats  # (k, k) lower Cholesky factor of the inverse curvature there

    def unbend(self, z: Floats) -> tuple[Floats, Floats]:
        """Coordinates t and the logarithm of |dt/dz|, up to a constant, at z (g, k)."""
        spread = np.sqrt((self.factor**2).sum(axis=1))
        # The left tail of a count's logarithm falls as exp(c t) with c = 1 / spread^2. There t goes
        # as -4 bend u^2, so that bend = spread^2 / 8 makes it exp(-u^2 / 2). A logit has two tails,
        # of exponents n w and n (1 - w) where 1 / spread^2 = n w (1 - w): hence the two parts.
        share = np.where(self.sticks.is_logit, expit(self.centre), 0.0)
        bend = np.minimum(spread**2 / 8, 3 * spread / (8 * _BEND_RADIUS))
        # The bound on bend keeps `slope` above a quarter of `spread`, so that t increases with u.
        left, right = bend * (1 - share), bend * share
        u = z @ (self.factor / spread[:, None]).T
        root = np.sqrt(_BEND_RADIUS**2 + u**2)
        below, above = (root - u) ** 2, (root + u) ** 2
        slope = spread - 2 * _BEND_RADIUS * bend
        t = slope * u - left * (below - _BEND_RADIUS**2) + right * (above - _BEND_RADIUS**2)
        rate = slope + 2 * (left * below + right * above) / root
        # The determinant of the triangular factor is the constant that is left out.
        return self.centre + t, np.log(rate).sum(axis=1)
