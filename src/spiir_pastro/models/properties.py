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

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Candidates
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.response import mass_difference
from spiir_pastro.models.source_model import (
    W_NODES,
    Reach,
    VolumeNodes,
    offered_w,
    projection_density,
)

__all__ = ["MCHIRP_BINS", "SourceProperties", "leaves_remnant", "source_properties"]

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
        How far detectors hear binaries.
    gap_max
        End of the mass gap, solar masses; it begins where neutron stars end.
    mchirp_edges
        Of bins in source-frame chirp mass.
    """
    predictions = model.predict(candidates, intervals=False)
    n, edges = len(candidates), np.array(mchirp_edges, dtype=np.float64)
    flags, quantiles = np.full((n, 3), np.nan), np.full((n, 3), np.nan)
    bins = np.full((n, edges.size - 1), np.nan)
    classes = [
        VolumeNodes.of(population, reach, nodes=NODES_PER_AXIS)
        for population in model.sources.populations.values()
    ]
    plane = _Plane.of(classes, model, gap_max)
    for k in np.flatnonzero(np.isfinite(predictions.p_astro)):
        weight = plane.weights(model, candidates[k : k + 1], predictions.probabilities[k, :-1])
        flags[k] = plane.flags @ weight
        cumulative = np.cumsum(weight[plane.order])
        at = np.searchsorted(cumulative, [0.05, 0.5, 0.95]).clip(0, weight.size - 1)
        quantiles[k] = plane.mchirp[plane.order][at]
        bins[k] = np.histogram(plane.mchirp, edges, weights=weight)[0]
    return SourceProperties(
        has_ns=flags[:, 0],
        has_mass_gap=flags[:, 1],
        has_remnant=flags[:, 2],
        source_mchirp=quantiles,
        mchirp_edges=edges,
        mchirp_bins=bins,
    )


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
class _Plane:
    """All classes' nodes in one row, with what holds at each."""

    nodes: VolumeNodes
    class_of: NDArray[np.int64]
    flags: Floats
    mchirp: Floats
    order: NDArray[np.int64]
    templates: ConditionalGrid | None

    @classmethod
    def of(cls, classes: Sequence[VolumeNodes], model: PastroModel, gap_max: float) -> "_Plane":
        nodes = VolumeNodes.joined(classes)
        ns_max = model.contour.boundaries.ns_max
        masses = np.stack([nodes.mass1, nodes.mass2])
        in_gap = ((masses > ns_max) & (masses <= gap_max)).any(axis=0)
        remnant = leaves_remnant(nodes.mass1, nodes.mass2)
        mchirp = np.exp(nodes.log_mchirp_det) / (1 + nodes.redshift)
        w = model.densities.noise.factors.get("w")
        return cls(
            nodes=nodes,
            class_of=np.repeat(np.arange(len(classes)), [c.prior.size for c in classes]),
            flags=np.stack([nodes.mass2 <= ns_max, in_gap, remnant]).astype(np.float64),
            mchirp=mchirp,
            order=np.argsort(mchirp, kind="stable"),
            templates=w if isinstance(w, ConditionalGrid) else None,
        )

    def weights(self, model: PastroModel, event: Candidates, classes: Floats) -> Floats:
        """Return the probability of each node given an event that is a signal, (nodes,)."""
        weight = self.nodes.prior * self._masses(model, event) * self._distance(model, event)
        of_class = np.bincount(self.class_of, weight, len(ASTROPHYSICAL))
        shares = np.divide(classes, of_class, out=np.zeros_like(classes), where=of_class > 0)
        weight *= shares[self.class_of]
        return np.asarray(weight / max(weight.sum(), np.finfo(float).tiny))

    def _masses(self, model: PastroModel, event: Candidates) -> Floats:
        """Return the response at the event's template, (nodes,), up to a factor."""
        response, m = model.sources.response, np.log(event.mchirp_det)
        if np.isnan(m[0]):
            return np.ones_like(self.nodes.prior)
        true_m = self.nodes.log_mchirp_det
        off = response.misrecovered(true_m)
        core = (1 - off) * response.core_mchirp(m, true_m)[:, 0]
        far = off * response.misrecovered_mchirp(m, true_m)[:, 0]
        w = mass_difference(event.eta)
        if not np.isnan(w[0]):
            core *= self._given_w(model, m, w)
            at = response.misrecovered_w(W_NODES, m)[0]
            far *= np.interp(w[0], W_NODES, at) / offered_w(self.templates, m, w)[0]
        return np.asarray(core + far + 1e-12)

    def _given_w(self, model: PastroModel, m: Floats, w: Floats) -> Floats:
        """Return the density of the template's w against that of all templates, (nodes,)."""
        response = model.sources.response
        grid = np.linspace(0, 1, 101)
        near = response.core_w(W_NODES, grid)
        taken = np.trapezoid(offered_w(self.templates, m, W_NODES) * near, W_NODES)
        likelihood = response.core_w(w, grid)[:, 0] / taken
        alike = np.interp(self.nodes.w, grid, likelihood)
        return np.asarray(response.w_as_noise + (1 - response.w_as_noise) * alike)

    def _distance(self, model: PastroModel, event: Candidates) -> Floats:
        """Return the density of what the event says of its distance, (nodes,)."""
        distance, sigma = model.contour.distance.luminosity(event.snr, event.eff_distance_mpc)
        if np.isfinite(distance[0] + sigma[0]):
            z = (np.log(self.nodes.distance_mpc) - np.log(distance[0])) / (sigma[0] / distance[0])
            return np.asarray(np.exp(-z * z / 2) + 1e-12)
        snr = event.snr[0] if np.isfinite(event.snr[0]) else 8.0
        x = snr / 8 * self.nodes.distance_mpc / self.nodes.reach_mpc
        return np.asarray(projection_density(x) * x + 1e-12)
