r"""What the mass plane says of an event beyond its class.

Of a signal of class c the binaries of the plane are as probable as

.. math:: P_c(m_1, m_2, z) \propto p_c(m_1, m_2) \frac{\mathrm{d}V}{\mathrm{d}z}(1+z)^{\kappa-1}\;
   p(\rho \mid m_1, m_2, z)\; p(m', w' \mid m_1 (1+z), m_2 (1+z)),

and classes weigh by their probabilities. Whether a neutron star takes part, whether a component
lies in the mass gap, whether matter is left outside the remnant, and the source-frame chirp mass
are sums over that. They hold *if it is a signal*: multiply by p_astro for what to expect.

The SNR says how far a binary is, up to its orientation; an effective distance says it better.
The mass outside the remnant is the fit of Foucart, Hinderer & Nissanke 2018 (arXiv:1807.00011, Eq.
4) for the equation of state SLy (Douchin & Haensel 2001), without spin of the black hole.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates
from spiir_pastro.models.components import offered_templates
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.distance import DistanceModel
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.response import Response, mass_difference
from spiir_pastro.models.source_model import (
    W_NODES,
    Reach,
    VolumeNodes,
    offered_w,
    projection_density,
)

__all__ = [
    "MCHIRP_BINS",
    "PropertyPlane",
    "SourceProperties",
    "leaves_remnant",
    "source_properties",
]

Floats = NDArray[np.float64]

MCHIRP_BINS = (0.0, 0.87, 1.74, 5.0, 10.0, 20.0, 40.0, math.inf)
"""Edges of bins in source-frame chirp mass, solar masses: those of two neutron stars of 1 and of
2 solar masses, and then by factors of two."""

SLY_MASS = np.array([1.0, 1.2, 1.4, 1.6, 1.8, 1.9, 2.0, 2.04, 2.0535])
SLY_RADIUS_KM = np.array([11.960, 11.888, 11.783, 11.613, 11.324, 11.091, 10.700, 10.380, 10.0])
"""Neutron stars of SLy, as lalsimulation's ``SimNeutronStarRadius`` has them; the last is the
heaviest there is."""

SUN_KM = 1.476625
"""G M / c^2 of the Sun."""

NODES_PER_AXIS = (60, 30, 24)
"""Primary, secondary and redshift: enough for two digits of a probability."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceProperties:
    """Properties of n candidates if they are signals; NaN where nothing is said.

    Attributes
    ----------
    has_ns, has_mass_gap, has_remnant : (n,)
        Probabilities that a component is a neutron star, that one lies between ``ns_max`` and the
        gap's end, and that matter is left outside the remnant.
    source_mchirp : (n, 3)
        5, 50 and 95 % quantiles of the source-frame chirp mass in solar masses.
    mchirp_edges : (k + 1,)
        Of bins in it.
    mchirp_bins : (n, k)
        Their probabilities.
    """

    has_ns: Floats
    has_mass_gap: Floats
    has_remnant: Floats
    source_mchirp: Floats
    mchirp_edges: Floats
    mchirp_bins: Floats


WIDTHS = 40.0
"""So many widths of the response away from a template a binary is no longer thought of."""

LEAST_SHARE = 1e-4
"""A class of less weighs nothing in two digits."""


def source_properties(
    model: PastroModel,
    candidates: Candidates,
    reach: Reach,
    *,
    gap_max: float = 5.0,
    mchirp_edges: Sequence[float] = MCHIRP_BINS,
) -> SourceProperties:
    """Return what the mass plane says of candidates.

    Parameters
    ----------
    model
        The model; its classes' probabilities weigh.
    candidates
        n of them.
    reach
        Distance to which the detectors are sensitive to binaries.
    gap_max
        End of the mass gap, solar masses; it begins where neutron stars end.
    mchirp_edges
        Of bins in source-frame chirp mass.
    """
    plane = PropertyPlane.of(model, reach, gap_max=gap_max, mchirp_edges=mchirp_edges)
    predictions = model.predict(candidates, intervals=False)
    return plane.properties(candidates, predictions.probabilities[:, :-1])


def leaves_remnant(mass1: Floats, mass2: Floats) -> NDArray[np.bool_]:
    """Tell whether matter is left outside the remnant of source-frame masses, heavier first.

    Two stars always leave some. A star and a black hole do where the star is torn apart before it
    falls in.
    """
    heaviest = SLY_MASS[-1]
    radius = np.interp(mass2, SLY_MASS, SLY_RADIUS_KM)
    compactness = SUN_KM * mass2 / radius
    eta = mass1 * mass2 / (mass1 + mass2) ** 2
    alpha, beta, gamma = 0.406, 0.139, 0.255
    last_orbit = 6.0  # of a black hole that does not spin, in units of its G M / c^2
    torn = alpha * (1 - 2 * compactness) / np.cbrt(eta) - beta * last_orbit * compactness / eta
    is_star = mass2 <= heaviest
    return np.asarray(is_star & ((mass1 <= heaviest) | (torn + gamma > 0)))


@dataclass(frozen=True, kw_only=True, eq=False)
class PropertyPlane:
    """All classes' nodes in one row, by rising source-frame chirp mass, with what holds at each.

    It takes a tenth of a second to make, and then some milliseconds an event.
    """

    nodes: VolumeNodes
    class_of: NDArray[np.int64]
    flags: Floats
    mchirp: Floats
    mchirp_edges: Floats
    edge_nodes: NDArray[np.int64]
    true_m: Floats
    core_reach: Floats
    can_be_far: NDArray[np.bool_]
    response: Response
    templates: ConditionalGrid | None
    distance: DistanceModel

    @classmethod
    def of(
        cls,
        model: PastroModel,
        reach: Reach,
        *,
        gap_max: float = 5.0,
        mchirp_edges: Sequence[float] = MCHIRP_BINS,
    ) -> Self:
        """Lay out the plane of a model; see `source_properties` for the parameters."""
        classes = [
            VolumeNodes.of(population, reach, nodes=NODES_PER_AXIS)
            for population in model.sources.populations.values()
        ]
        of_class = np.repeat(np.arange(len(classes)), [c.prior.size for c in classes])
        joined = VolumeNodes.joined(classes)
        order = np.argsort(_source_mchirp(joined), kind="stable")
        nodes = joined.at(order)
        mchirp, edges = _source_mchirp(nodes), np.array(mchirp_edges, dtype=np.float64)
        true_m, response = nodes.log_mchirp_det, model.sources.response
        w = model.densities.noise.factors.get("w")
        return cls(
            nodes=nodes,
            class_of=of_class[order],
            flags=_flags(nodes, model.contour.boundaries.ns_max, gap_max),
            mchirp=mchirp,
            mchirp_edges=edges,
            edge_nodes=np.searchsorted(mchirp, edges),
            true_m=true_m,
            core_reach=WIDTHS * response.width(true_m),
            can_be_far=response.misrecovered(true_m) > 0,
            response=response,
            templates=offered_templates(w),
            distance=model.contour.distance,
        )

    def properties(self, candidates: Candidates, shares: Floats) -> SourceProperties:
        """Return the properties of candidates.

        Parameters
        ----------
        candidates
            n of them.
        shares : (n, 3)
            How the classes share each if it is a signal, up to a factor; NaN where nothing is said.
        """
        n = len(candidates)
        flags, quantiles = np.full((n, 3), np.nan), np.full((n, 3), np.nan)
        bins = np.full((n, self.mchirp_edges.size - 1), np.nan)
        for k in np.flatnonzero(shares.sum(axis=1) > 0):  # an unknown one is not
            chosen, weight = self._weights(candidates[k : k + 1], shares[k])
            flags[k] = self.flags[:, chosen] @ weight
            cumulative = np.concatenate([[0.0], np.cumsum(weight)])
            at = np.searchsorted(cumulative, [0.05, 0.5, 0.95]).clip(1, weight.size) - 1
            quantiles[k] = self.mchirp[chosen[at]]
            bins[k] = np.diff(cumulative[np.searchsorted(chosen, self.edge_nodes)])
        has_ns, has_mass_gap, has_remnant = flags.T
        return SourceProperties(
            has_ns=has_ns,
            has_mass_gap=has_mass_gap,
            has_remnant=has_remnant,
            source_mchirp=quantiles,
            mchirp_edges=self.mchirp_edges,
            mchirp_bins=bins,
        )

    def _weights(self, event: Candidates, shares: Floats) -> tuple[NDArray[np.int64], Floats]:
        """Return which nodes an event may be, if it is a signal, and the probability of each."""
        shares = np.where(shares < LEAST_SHARE * shares.sum(), 0.0, shares)
        chosen = self._thinkable(np.log(event.mchirp_det), shares)
        nodes, class_of = self.nodes.at(chosen), self.class_of[chosen]
        weight = nodes.prior * self._masses(event, nodes, self.true_m[chosen])
        weight *= self._distances(event, nodes)
        of_class = np.bincount(class_of, weight, len(ASTROPHYSICAL))
        scale = np.divide(shares, of_class, out=np.zeros_like(shares), where=of_class > 0)
        weight *= scale[class_of]
        return chosen, np.asarray(weight / max(weight.sum(), np.finfo(float).tiny))

    def _thinkable(self, m: Floats, shares: Floats) -> NDArray[np.int64]:
        """Return the nodes that a template's ln(chirp mass) may be of, and all of a class if none.

        A class without such a node is there as an outlier, which no chirp mass tells more about.
        """
        shift, response = m - self.true_m, self.response
        low, high = np.log([response.misrecovered_ratio_min, response.misrecovered_ratio_max])
        near = ~(np.abs(shift) >= self.core_reach)  # an unknown m: all
        near |= (shift >= low) & (shift < high) & self.can_be_far
        seen = np.bincount(self.class_of[near], minlength=shares.size) > 0
        return np.flatnonzero((near | ~seen[self.class_of]) & (shares > 0)[self.class_of])

    def _masses(self, event: Candidates, nodes: VolumeNodes, true_m: Floats) -> Floats:
        """Return the response at the event's template, (nodes,), up to a factor."""
        response, m = self.response, np.log(event.mchirp_det)
        if np.isnan(m[0]):
            return np.ones_like(nodes.prior)
        off = response.misrecovered(true_m)
        core = (1 - off) * response.core_mchirp(m, true_m)[:, 0]
        far = off * response.misrecovered_mchirp(m, true_m)[:, 0]
        w = mass_difference(event.eta)
        if not np.isnan(w[0]):
            core *= self._given_w(nodes, m, w)
            at = response.misrecovered_w(W_NODES, m)[0]
            far *= np.interp(w[0], W_NODES, at) / offered_w(self.templates, m, w)[0]
        return np.asarray(core + far + 1e-12)

    def _given_w(self, nodes: VolumeNodes, m: Floats, w: Floats) -> Floats:
        """Return the density of the template's w against that of all templates, (nodes,)."""
        grid = np.linspace(0, 1, 101)
        near = self.response.core_w(W_NODES, grid)
        taken = np.trapezoid(offered_w(self.templates, m, W_NODES) * near, W_NODES)
        likelihood = self.response.core_w(w, grid)[:, 0] / taken
        alike = np.interp(nodes.w, grid, likelihood)
        return np.asarray(self.response.w_as_noise + (1 - self.response.w_as_noise) * alike)

    def _distances(self, event: Candidates, nodes: VolumeNodes) -> Floats:
        """Return the density of what the event says of its distance, (nodes,)."""
        distance, sigma = self.distance.luminosity(event.snr, event.eff_distance_mpc)
        if np.isfinite(distance[0] + sigma[0]):
            z = (np.log(nodes.distance_mpc) - np.log(distance[0])) / (sigma[0] / distance[0])
            return np.asarray(np.exp(-z * z / 2) + 1e-12)
        snr = event.snr[0] if np.isfinite(event.snr[0]) else 8.0
        x = snr / 8 * nodes.distance_mpc / nodes.reach_mpc
        return np.asarray(projection_density(x) * x + 1e-12)


def _source_mchirp(nodes: VolumeNodes) -> Floats:
    """Return the source-frame chirp mass in solar masses, (n,)."""
    return np.asarray(np.exp(nodes.log_mchirp_det) / (1 + nodes.redshift))


def _flags(nodes: VolumeNodes, ns_max: float, gap_max: float) -> Floats:
    """Return 1 where a node has a neutron star, a mass in the gap, and a remnant, (3, n)."""
    masses = np.stack([nodes.mass1, nodes.mass2])
    in_gap = ((masses > ns_max) & (masses <= gap_max)).any(axis=0)
    remnant = leaves_remnant(nodes.mass1, nodes.mass2)
    return np.stack([nodes.mass2 <= ns_max, in_gap, remnant]).astype(np.float64)
