r"""Areas between chirp-mass contours in the plane of component masses.

On a contour of chirp mass M with q = m2/m1,

.. math::

   m_1 = M q^{-3/5} (1+q)^{1/5}, \qquad
   \int m_2 \, \mathrm{d}m_1 = M^2 \left[ 3 q^{-1/5} {}_2F_1(-\tfrac25, -\tfrac15; \tfrac45; -q)
   + \tfrac14 q^{4/5} {}_2F_1(\tfrac35, \tfrac45; \tfrac95; -q) \right].

By Pfaff's transformation both are powers of 1 + q times a series in q/(1+q), at most a half.

Every boundary mass e draws a hook: up the line m1 = e to the diagonal m1 = m2, then right along
m2 = e. A contour starts on the diagonal, runs to ever larger m1, and crosses each hook once. So
m1 and the integral at those crossings give the area under the contour in every region.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Body, MassBoundaries, Region, Source, class_of_region

Floats = NDArray[np.float64]

_MCHIRP_OVER_EQUAL_MASS = 2**-0.2


def regions(boundaries: MassBoundaries) -> tuple[Region, ...]:
    """Regions these boundaries cut the plane into; the gap's three only if there is a gap."""
    return tuple(
        r for r in Region if boundaries.gap_max or Body.GAP not in (r.secondary, r.primary)
    )


def region_bounds(
    region: Region, boundaries: MassBoundaries
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Range of the secondary mass and of the primary in a region."""
    edges = _edges(boundaries)
    secondary, primary = _bins(region, boundaries)
    return (edges[secondary], edges[secondary + 1]), (edges[primary], edges[primary + 1])


def class_of_masses(
    mass1: Floats, mass2: Floats, boundaries: MassBoundaries
) -> list[Source | None]:
    """Return each binary's class by its source-frame masses, (n,); None where one is unknown."""
    names = np.full((len(Body), len(Body)), None, dtype=object)
    for region in regions(boundaries):
        names[_bins(region, boundaries)] = class_of_region(region)
    pair = np.sort([mass1, mass2], axis=0)  # what is not known last
    # A component of just a boundary's mass is what is below it.
    secondary, primary = np.searchsorted(_edges(boundaries)[1:-1], pair)
    classes: list[Source | None] = names[secondary, primary].tolist()
    return [None if np.isnan(m) else c for m, c in zip(pair[1], classes, strict=True)]


def _edges(boundaries: MassBoundaries) -> tuple[float, ...]:
    """Return boundary masses in ascending order."""
    b = boundaries
    return (b.m_min, b.ns_max, *(() if b.gap_max is None else (b.gap_max,)), b.m_max)


def _bins(region: Region, boundaries: MassBoundaries) -> tuple[int, int]:
    """Return the number of the edge below the secondary mass, and below the primary."""
    bodies = [body for body in Body if boundaries.gap_max or body is not Body.GAP]
    return bodies.index(region.secondary), bodies.index(region.primary)


def chirp_mass(mass1: Floats, mass2: Floats) -> Floats:
    """Chirp mass of two masses, in their unit."""
    return np.asarray((mass1 * mass2) ** 0.6 / (mass1 + mass2) ** 0.2)


def equal_mass_mchirp(mass: float) -> float:
    """Chirp mass of two components of equal mass."""
    return _MCHIRP_OVER_EQUAL_MASS * mass


def band_areas(lowest: Floats, highest: Floats, boundaries: MassBoundaries) -> Floats:
    """Area between two chirp-mass contours in each region, (regions, n), in squared solar masses.

    Source-frame chirp masses (n,) are in solar masses; what lies outside the plane has no area.
    The regions are in the order of `regions`.
    """
    corners = equal_mass_mchirp(boundaries.m_min), equal_mass_mchirp(boundaries.m_max)
    pair = np.stack([lowest, highest])
    contours = _Contours(np.minimum(np.maximum(pair, corners[0]), corners[1]), _edges(boundaries))
    areas = []
    for region in regions(boundaries):
        lower, upper = contours.area_below(*_bins(region, boundaries))
        areas.append(np.maximum(upper - lower, 0.0))
    return np.stack(areas)


class _Contours:
    """Chirp-mass contours, followed from the diagonal across the hooks of the boundary masses.

    Along a contour m1 and the integral of m2 both grow, so "the later of two crossings" is the
    maximum of either, and "the earlier" the minimum.
    """

    def __init__(self, mchirp: Floats, edges: tuple[float, ...]) -> None:
        self.edges = edges
        hooks = np.reshape(edges, (-1,) + (1,) * mchirp.ndim)
        partner = partner_mass(hooks, mchirp)
        self.m1 = np.maximum(hooks, partner)
        squared = mchirp**2
        self.integral = squared * _integral(np.minimum(hooks, partner) / self.m1)
        self.start = mchirp / _MCHIRP_OVER_EQUAL_MASS
        self.start_integral = squared * _INTEGRAL_AT_EQUAL_MASS

    def area_below(self, secondary: int, primary: int) -> Floats:
        """Area under each contour between the edges from these numbers to the next."""
        if secondary == primary:
            return self._triangle(primary, primary + 1)
        return self._rectangle(secondary, secondary + 1, primary, primary + 1)

    def _triangle(self, bottom: int, right: int) -> Floats:
        """Area under the contour where bottom < m2 < m1 < right."""
        m_bottom, m_right = self.edges[bottom], self.edges[right]
        start = np.minimum(np.maximum(self.start, m_bottom), m_right)
        under_diagonal = 0.5 * (start - m_bottom) ** 2
        under_contour = (
            np.minimum(self.integral[bottom], self.integral[right])
            - self.start_integral
            - m_bottom * (np.minimum(self.m1[bottom], self.m1[right]) - self.start)
        )
        area: Floats = under_diagonal + np.where(start == self.start, under_contour, 0.0)
        return area

    def _rectangle(self, bottom: int, top: int, left: int, right: int) -> Floats:
        """Area under the contour where bottom < m2 < top and left < m1 < right."""
        entry, entry_integral = (np.maximum(a[top], a[left]) for a in (self.m1, self.integral))
        leave, leave_integral = (np.minimum(a[bottom], a[right]) for a in (self.m1, self.integral))
        m_bottom, m_right = self.edges[bottom], self.edges[right]
        under_top = (self.edges[top] - m_bottom) * (np.minimum(entry, m_right) - self.edges[left])
        under_contour = leave_integral - entry_integral - m_bottom * (leave - entry)
        area: Floats = under_top + np.where(leave > entry, under_contour, 0.0)
        return area


def partner_mass(mass: Floats, mchirp: Floats) -> Floats:
    """Other component mass: the positive root of p³ - (M⁵/m³) p - M⁵/m² = 0.

    Viète's cosine where the cubic has three real roots, its hyperbolic sister where it has one;
    whichever does not apply is a factor of one.
    """
    c = math.sqrt(27 / 4) * (mass / mchirp) ** 2.5
    three_roots = np.cos(np.arccos(np.minimum(c, 1.0)) / 3)
    one_root = np.cosh(np.arccosh(np.maximum(c, 1.0)) / 3)
    partner: Floats = 3 * mass / c * three_roots * one_root
    return partner


def _integral(q: Floats) -> Floats:
    """Antiderivative of m2 over m1 along a contour of unit chirp mass, at mass ratio q."""
    fifth_root, sum_root = q**0.2, (1 + q) ** 0.2
    z = q / (1 + q)
    leading = 3 / fifth_root * sum_root**2 * _power_series(z, _LEADING_COEFFICIENTS)
    rest = 0.25 * fifth_root**4 / sum_root**3 * _power_series(z, _REST_COEFFICIENTS)
    return np.asarray(leading + rest)


def _power_series(z: Floats, coefficients: Sequence[float]) -> Floats:
    """Sum a series by Horner's rule, in place: it is most of what a mass contour costs."""
    total = np.full_like(z, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total *= z
        total += coefficient
    return total


def _transformed_series(a: float, c_minus_b: float, c: float) -> Sequence[float]:
    """Return the coefficients of 2F1(a, c - b; c; z) up to where z = 1/2 adds only rounding."""
    k = np.arange(45.0)
    return [1.0, *np.cumprod((a + k) * (c_minus_b + k) / ((c + k) * (1 + k))).tolist()]


_LEADING_COEFFICIENTS = _transformed_series(-0.4, 1.0, 0.8)
_REST_COEFFICIENTS = _transformed_series(0.6, 1.0, 1.8)
_INTEGRAL_AT_EQUAL_MASS = float(_integral(np.ones(1))[0])
