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
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Candidates
from spiir_pastro.models.components import offered_templates
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.distance import DistanceModel
from spiir_pastro.models.mass_plane import chirp_mass
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.response import WIDEST_LOG_ERROR, Response, mass_difference
from spiir_pastro.models.source_model import (
    W_NODES,
    Reach,
    VolumeNodes,
    offered_w,
    projection_density,
)

Floats = NDArray[np.float64]

MCHIRP_BINS = (0.0, 0.87, 1.74, 5.0, 10.0, 20.0, 40.0, math.inf)
"""Edges of bins in source-frame chirp mass, solar masses: those of two neutron stars of 1 and of
2 solar masses, and then by factors of two."""

GAP_MAX_MSUN = 5.0
"""End of the mass gap, which begins where neutron stars end."""

SLY_MASS_MSUN = np.array([1.0, 1.2, 1.4, 1.6, 1.8, 1.9, 2.0, 2.04, 2.0535])
SLY_RADIUS_KM = np.array([11.960, 11.888, 11.783, 11.613, 11.324, 11.091, 10.700, 10.380, 10.0])
"""Neutron stars of SLy, as lalsimulation's ``SimNeutronStarRadius`` has them; the last is the
heaviest there is."""

SOLAR_MASS_KM = 1.476625
"""G M / c^2 of the Sun."""

NODES_PER_AXIS = (60, 30, 24)
"""Primary, secondary and redshift: enough for two digits of a probability."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SourceProperties:
    """Properties of n candidates if they are signals; NaN where none is given."""

    # (n,) probabilities that a component is a neutron star, that one lies between ``ns_max`` and
    # `GAP_MAX_MSUN`, and that matter is left outside the remnant
    has_ns: Floats
    has_mass_gap: Floats
    has_remnant: Floats
    # (n, 3) 5, 50 and 95 % quantiles of the source-frame chirp mass in solar masses
    source_mchirp: Floats
    mchirp_bins: Floats  # (n, bins) probabilities of the bins of `MCHIRP_BINS`


_FARTHEST_WIDTHS = 40.0
"""So many widths of the response away from a template a binary is no longer thought of."""

TRUE_W = np.linspace(0, 1, 101)
"""At which what a template's w says is worked out; nodes are in between."""

LEAST_CLASS_SHARE = 1e-4
"""A class of less weighs nothing in two digits."""

_EVENTS_AT_ONCE = 1000
"""Of which what the templates say is worked out: some MB."""

_TINY = np.finfo(float).tiny


def source_properties(model: PastroModel, candidates: Candidates, reach: Reach) -> SourceProperties:
    """Return what the mass plane says of n candidates; a model's probabilities weigh the classes.

    ``reach`` is the distance to which the detectors are sensitive to binaries.
    """
    plane = PropertyPlane.of(model, reach)
    predictions = model.predict(candidates, intervals=False)
    return plane.properties(candidates, predictions.probabilities[:, :-1])


def leaves_remnant(mass1: Floats, mass2: Floats) -> NDArray[np.bool_]:
    """Tell whether matter is left outside the remnant of source-frame masses, heavier first.

    Two stars always leave some. A star and a black hole do where the star is torn apart before it
    falls in.
    """
    heaviest = SLY_MASS_MSUN[-1]
    radius = np.interp(mass2, SLY_MASS_MSUN, SLY_RADIUS_KM)
    compactness = SOLAR_MASS_KM * mass2 / radius
    eta = mass1 * mass2 / (mass1 + mass2) ** 2
    alpha, beta, gamma = 0.406, 0.139, 0.255
    last_orbit = 6.0  # of a black hole that does not spin, in units of its G M / c^2
    torn = alpha * (1 - 2 * compactness) / np.cbrt(eta) - beta * last_orbit * compactness / eta
    is_star = mass2 <= heaviest
    return np.asarray(is_star & ((mass1 <= heaviest) | (torn + gamma > 0)))


@dataclass(frozen=True, kw_only=True, eq=False)
class _ClassNodes:
    """Nodes of one class: n of the mass plane by z of redshift, by rising detector-frame mass.

    What an event's SNR, distance and template say of a node depends on both, what it is only on its
    masses: sums over redshift come first.
    """

    # (n,) where they stand among all classes', by rising source-frame chirp mass
    rows: NDArray[np.int64]
    w: Floats  # (n,) (m1 - m2) / (m1 + m2)
    # (n z,) which masses and which redshift each has
    masses: NDArray[np.int64]
    redshift: NDArray[np.int64]
    prior: Floats  # (n z,) how many binaries there are, heard or not, up to a factor
    over_reach: Floats  # (n z,) the distance over that to which such binaries are heard
    # (n z,) logarithm of the detector-frame chirp mass, rising, and by how much a recovered one
    # scatters
    true_m: Floats
    width: Floats
    # (n z,) prior times the density of a recovered one at the true one, and of one far off
    peak: Floats
    misrecovered: Floats
    # (n z,) between which logarithms of chirp mass a template of its core may be; both rising
    lightest: Floats
    heaviest: Floats

    @classmethod
    def of(cls, nodes: VolumeNodes, rows: NDArray[np.int64], response: Response) -> Self:
        """Arrange a class's nodes, of which those with the same masses stand together."""
        redshifts = NODES_PER_AXIS[2]
        order = np.argsort(nodes.log_mchirp_det, kind="stable")
        true_m, prior = nodes.log_mchirp_det[order], nodes.prior[order]
        width, off = response.width(true_m), response.misrecovered(true_m)
        core = np.minimum(_FARTHEST_WIDTHS * width, WIDEST_LOG_ERROR)
        return cls(
            rows=rows,
            w=nodes.w[::redshifts],
            masses=order // redshifts,
            redshift=order % redshifts,
            prior=prior,
            over_reach=(nodes.distance_mpc / nodes.reach_mpc)[order],
            true_m=true_m,
            width=width,
            peak=prior * (1 - off) * response.core_peak(width),
            misrecovered=prior * off / np.ptp(response.misrecovered_span),
            lightest=np.minimum.accumulate((true_m - core)[::-1])[::-1],
            heaviest=np.maximum.accumulate(true_m + core),
        )

    def near(self, m: float) -> slice:
        """Return the nodes of whose core a template of this ln(chirp mass) may be, and few more."""
        return slice(self.heaviest.searchsorted(m), self.lightest.searchsorted(m, "right"))

    def summed(self, values: Floats, which: slice, event: "_Event") -> Floats:
        """Sum values of some nodes over redshift, weighed by what is said of the distance, (n,)."""
        if np.isnan(event.of_distance[0]):
            x = event.snr / 8 * self.over_reach[which]
            weight = projection_density(x) * x + 1e-12
        else:
            weight = event.of_distance[self.redshift[which]]
        total = np.bincount(self.masses[which], values * weight, self.rows.size)
        return np.asarray(total, dtype=np.float64)


class _Event(NamedTuple):
    """What is measured of an event, for any binary that it may be."""

    m: float  # logarithm of the template's chirp mass; NaN where unknown
    snr: float  # of the network; 8 where unknown
    of_distance: Floats  # (z,) what the distance says of redshifts; NaN where unknown
    # of w `TRUE_W` of a binary given the template's, and of any for one that is misrecovered; 1
    # where the template's is unknown
    of_core: Floats
    of_misrecovered: float


@dataclass(frozen=True, kw_only=True, eq=False)
class PropertyPlane:
    """All classes' nodes in the mass plane, by rising source-frame chirp mass, and what they are.

    It takes a tenth of a second to make, and then some tenths of a millisecond an event.
    """

    classes: Sequence[_ClassNodes]
    log_distance: Floats  # (z,) logarithm of the redshifts' distances in Mpc
    flags: Floats
    mchirp: Floats
    response: Response
    templates: ConditionalGrid | None
    distance: DistanceModel

    @classmethod
    def of(cls, model: PastroModel, reach: Reach) -> Self:
        """Lay out the plane of a model."""
        volumes = [
            VolumeNodes.of(population, reach, nodes=NODES_PER_AXIS)
            for population in model.sources.populations.values()
        ]
        mass1, mass2 = (
            np.concatenate([getattr(v, name)[:: NODES_PER_AXIS[2]] for v in volumes])
            for name in ("mass1", "mass2")
        )
        mchirp = chirp_mass(mass1, mass2)
        order = np.argsort(mchirp, kind="stable")
        of_class = np.array_split(np.argsort(order), len(volumes))
        response = model.sources.response
        return cls(
            classes=[
                _ClassNodes.of(nodes, rows, response)
                for nodes, rows in zip(volumes, of_class, strict=True)
            ],
            log_distance=np.log(volumes[0].distance_mpc[: NODES_PER_AXIS[2]]),
            flags=_flags(mass1[order], mass2[order], model.contour.boundaries.ns_max),
            mchirp=mchirp[order],
            response=response,
            templates=offered_templates(model.densities.noise.factors.get("w")),
            distance=model.contour.distance,
        )

    def properties(self, candidates: Candidates, shares: Floats) -> SourceProperties:
        """Return the properties of candidates.

        Parameters
        ----------
        candidates
            n of them.
        shares : (n, 3)
            How the classes share each if it is a signal, up to a factor; NaN where none is given.
        """
        n = len(candidates)
        flags, quantiles = np.full((n, 3), np.nan), np.full((n, 3), np.nan)
        bins = np.full((n, len(MCHIRP_BINS) - 1), np.nan)
        told = np.flatnonzero(shares.sum(axis=1) > 0)  # an unknown one is not
        # One after another: threads share these small arrays' one lock, and are slower.
        for k, event in zip(told.tolist(), self._events(candidates, told), strict=True):
            weight = self._weights(event, shares[k])
            flags[k] = self.flags @ weight
            cumulative = np.concatenate([[0.0], np.cumsum(weight)])
            quantiles[k] = self.mchirp[cumulative[1:-1].searchsorted([0.05, 0.5, 0.95])]
            bins[k] = np.diff(cumulative[np.searchsorted(self.mchirp, MCHIRP_BINS)])
        has_ns, has_mass_gap, has_remnant = flags.T
        return SourceProperties(
            has_ns=has_ns,
            has_mass_gap=has_mass_gap,
            has_remnant=has_remnant,
            source_mchirp=quantiles,
            mchirp_bins=bins,
        )

    def _weights(self, event: _Event, shares: Floats) -> Floats:
        """Return the probability that an event, if it is a signal, is of each node, (nodes,)."""
        weight = np.zeros_like(self.mchirp)
        least = LEAST_CLASS_SHARE * shares.sum()
        for nodes, share in zip(self.classes, shares, strict=True):
            if share > 0 and share >= least:
                of_class = self._of_masses(event, nodes)
                weight[nodes.rows] = of_class * (share / max(of_class.sum(), _TINY))
        return np.asarray(weight / max(weight.sum(), _TINY))

    def _of_masses(self, event: _Event, nodes: _ClassNodes) -> Floats:
        """Return how probable the masses of a class are, (n,), up to a factor.

        Where the template can be of none, and the class is there as an outlier, no chirp mass tells
        more about any.
        """
        near = nodes.near(event.m)
        core = self.response.core_density(event.m - nodes.true_m[near], nodes.width[near])
        of_core = nodes.summed(nodes.peak[near] * core, near, event)
        of_masses = of_core * np.interp(nodes.w, TRUE_W, event.of_core)
        far = slice(*nodes.true_m.searchsorted(event.m - self.response.misrecovered_span[::-1]))
        if nodes.misrecovered[far].any():
            of_far = nodes.summed(nodes.misrecovered[far], far, event)
            of_masses += of_far * event.of_misrecovered
        return of_masses if of_masses.any() else nodes.summed(nodes.prior, slice(None), event)

    def _events(self, candidates: Candidates, rows: NDArray[np.int64]) -> Iterator[_Event]:
        """Gather what these candidates say, whatever they are, some at once."""
        m, w = np.log(candidates.mchirp_det), mass_difference(candidates.eta)
        snr = np.where(np.isnan(candidates.snr), 8.0, candidates.snr)
        mean, sigma = self.distance.luminosity(candidates.snr, candidates.eff_distance_mpc)
        z = (self.log_distance - np.log(mean)[:, None]) / (sigma / mean)[:, None]
        of_distance = np.exp(-z * z / 2) + 1e-12
        for start in range(0, rows.size, _EVENTS_AT_ONCE):
            some = rows[start : start + _EVENTS_AT_ONCE]
            likelihoods = self._likelihoods(m[some], w[some])
            yield from map(_Event, m[some], snr[some], of_distance[some], *likelihoods)

    def _likelihoods(self, m: Floats, w: Floats) -> tuple[Floats, Floats]:
        """Return what k templates' w say of binaries with `TRUE_W`, and of misrecovered ones.

        Their density against that of all templates of this ln(chirp mass), (k, true) and (k,); 1
        where either is not known.
        """
        response = self.response
        each_w = np.column_stack([np.broadcast_to(W_NODES, (m.size, W_NODES.size)), w])
        each_m = np.broadcast_to(m[:, None], each_w.shape)
        offered = offered_w(self.templates, each_m.ravel(), each_w.ravel()).reshape(each_w.shape)
        taken = offered[:, :-1] @ self._near.T
        core = response.core_w_density(w[:, None] - TRUE_W, self._kept_w) / taken
        off = response.misrecovered_w(W_NODES, m)
        far = np.array([np.interp(x, W_NODES, row) for x, row in zip(w, off, strict=True)])
        known = np.isfinite(m + w)
        return (
            np.where(known[:, None], response.w_as_noise + (1 - response.w_as_noise) * core, 1.0),
            np.where(known, far / offered[:, -1], 1.0),
        )

    @cached_property
    def _near(self) -> Floats:
        """How much of the core, of each of `TRUE_W`, is about each of `W_NODES`, (true, nodes)."""
        # Weights of the trapezoid rule.
        steps = np.diff(W_NODES, prepend=W_NODES[0], append=W_NODES[-1])
        return np.asarray(self.response.core_w(W_NODES, TRUE_W) * (steps[1:] + steps[:-1]) / 2)

    @cached_property
    def _kept_w(self) -> Floats:
        return self.response.core_w_kept(TRUE_W)


def _flags(mass1: Floats, mass2: Floats, ns_max: float) -> Floats:
    """Return 1 where there is a neutron star, a mass in the gap, and a remnant, (3, n)."""
    masses = np.stack([mass1, mass2])
    in_gap = ((masses > ns_max) & (masses <= GAP_MAX_MSUN)).any(axis=0)
    remnant = leaves_remnant(mass1, mass2)
    return np.stack([mass2 <= ns_max, in_gap, remnant]).astype(np.float64)
