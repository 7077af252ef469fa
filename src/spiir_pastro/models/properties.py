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
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import Candidates
from spiir_pastro.models.components import offered_templates
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.distance import DistanceModel
from spiir_pastro.models.mass_plane import chirp_mass
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.response import Response, mass_difference
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
    """Nodes of one class: n of the mass plane by z of redshift.

    What an event's SNR, distance and template say of a node depends on both, what it is only on its
    masses: sums over redshift come first.
    """

    # (n,) where they stand among all classes', by rising source-frame chirp mass
    rows: NDArray[np.int64]
    prior: Floats  # (n, z) how many binaries there are, heard or not, up to a factor
    # (n, z) logarithm of the detector-frame chirp mass, by how much a recovered one scatters, and
    # how much of that is not cut; see `Response.core_density`
    true_m: Floats
    width: Floats
    kept: Floats
    misrecovered: Floats  # (n, z) probability that it is recovered far off instead
    w: Floats  # (n,) (m1 - m2) / (m1 + m2)
    log_distance: Floats  # (z,) logarithm of the distance in Mpc
    over_reach: Floats  # (n, z) the distance over that to which such binaries are heard
    # (n,) between which logarithms of chirp mass a template may be of it, at any redshift
    lightest: Floats
    heaviest: Floats

    @classmethod
    def of(cls, nodes: VolumeNodes, rows: NDArray[np.int64], response: Response) -> Self:
        """Arrange a class's nodes, of which those with the same masses stand together."""
        shape = rows.size, NODES_PER_AXIS[2]
        true_m = nodes.log_mchirp_det.reshape(shape)
        width = response.width(true_m)
        misrecovered = response.misrecovered(true_m)
        core = _FARTHEST_WIDTHS * width
        far = math.log(response.misrecovered_ratio_min) * (misrecovered > 0)
        return cls(
            rows=rows,
            prior=nodes.prior.reshape(shape),
            true_m=true_m,
            width=width,
            kept=response.core_kept(width),
            misrecovered=misrecovered,
            w=nodes.w.reshape(shape)[:, 0],
            log_distance=np.log(nodes.distance_mpc[: shape[1]]),
            over_reach=(nodes.distance_mpc / nodes.reach_mpc).reshape(shape),
            lightest=(true_m + np.minimum(far, -core)).min(axis=1),
            heaviest=(true_m + core).max(axis=1),
        )[np.argsort(rows)]

    def near(self, m: float) -> Self:
        """Return the nodes that a template of this logarithm of chirp mass may be of, and few more.

        All where it is not known, or there are none.
        """
        possible = np.flatnonzero((self.lightest <= m) & (m <= self.heaviest))
        # By rising chirp mass they stand together: a slice copies nothing.
        return self[possible[0] : possible[-1] + 1] if possible.size else self

    def __getitem__(self, which: slice | NDArray[np.int64]) -> Self:
        parts = {name: getattr(self, name)[which] for name in _BY_NODE}
        return replace(self, **parts)


_BY_NODE = {f.name for f in fields(_ClassNodes)} - {"log_distance"}


@dataclass(frozen=True, kw_only=True, eq=False)
class _Event:
    """What is measured of an event, for any binary that it may be."""

    m: Floats  # (1,) logarithm of the template's chirp mass; NaN where unknown
    snr: float  # of the network; 8 where unknown
    # logarithm of the distance in Mpc and its standard deviation; NaN where unknown
    log_distance: float
    distance_error: float
    # of w `TRUE_W` of a binary given the template's, and of any for one that is misrecovered; None
    # where the template's is unknown
    likelihoods: tuple[Floats, float] | None


@dataclass(frozen=True, kw_only=True, eq=False)
class PropertyPlane:
    """All classes' nodes in the mass plane, by rising source-frame chirp mass, and what they are.

    It takes a tenth of a second to make, and then half a millisecond an event and class.
    """

    classes: Sequence[_ClassNodes]
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
        mass_differences = mass_difference(candidates.eta)
        distances = self.distance.luminosity(candidates.snr, candidates.eff_distance_mpc)

        # One after another: threads share these small arrays' one lock, and are slower.
        for k in np.flatnonzero(shares.sum(axis=1) > 0).tolist():  # an unknown one is not
            event = self._event(
                np.log(candidates.mchirp_det[k : k + 1]),
                mass_differences[k : k + 1],
                float(candidates.snr[k]),
                *(float(values[k]) for values in distances),
            )
            weight = self._weights(event, shares[k])
            flags[k] = self.flags @ weight
            cumulative = np.concatenate([[0.0], np.cumsum(weight)])
            at = np.searchsorted(cumulative, [0.05, 0.5, 0.95]).clip(1, weight.size) - 1
            quantiles[k] = self.mchirp[at]
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
        for every, share in zip(self.classes, shares, strict=True):
            if share > 0 and share >= least:
                nodes = every.near(event.m[0])
                by_redshift = nodes.prior * self._masses(event, nodes) * _distances(event, nodes)
                of_class = by_redshift.sum(axis=1)
                weight[nodes.rows] = of_class * (share / max(of_class.sum(), _TINY))
        return np.asarray(weight / max(weight.sum(), _TINY))

    def _event(self, m: Floats, w: Floats, snr: float, distance: float, sigma: float) -> _Event:
        """Gather what an event says, whatever it is; its distance and that's error in Mpc."""
        return _Event(
            m=m,
            snr=snr if math.isfinite(snr) else 8.0,
            log_distance=math.log(distance),
            distance_error=sigma / distance,
            likelihoods=self._likelihoods(m, w)
            if np.isfinite(m[0]) and np.isfinite(w[0])
            else None,
        )

    def _likelihoods(self, m: Floats, w: Floats) -> tuple[Floats, float]:
        """Return what a template's w says of binaries with `TRUE_W`, and of misrecovered ones.

        Its density against that of all templates of this ln(chirp mass).
        """
        response = self.response
        taken = self._near @ offered_w(self.templates, m, W_NODES)
        alike = response.core_w_density(w - TRUE_W, self._kept_w) / taken
        far = np.interp(w[0], W_NODES, response.misrecovered_w(W_NODES, m)[0])
        return (
            response.w_as_noise + (1 - response.w_as_noise) * alike,
            float(far / offered_w(self.templates, m, w)[0]),
        )

    def _masses(self, event: _Event, nodes: _ClassNodes) -> Floats:
        """Return the response at the event's template, (n, z), up to a factor.

        0 where no template can be of a node; but in a class without such a node, which is there as
        an outlier, no chirp mass tells more about any.
        """
        response, m = self.response, event.m
        if np.isnan(m[0]):
            return np.ones_like(nodes.prior)
        shift = m - nodes.true_m
        core = response.core_density(shift, nodes.width, nodes.kept)
        core *= 1 - nodes.misrecovered
        far = nodes.misrecovered * response.misrecovered_mchirp(m, nodes.true_m)
        near = (np.abs(shift) < _FARTHEST_WIDTHS * nodes.width) | (far > 0)
        if event.likelihoods is not None:
            of_core, of_far = event.likelihoods
            core *= np.interp(nodes.w, TRUE_W, of_core)[:, None]
            far *= of_far
        density = core + far + 1e-12
        return np.asarray(density * near if near.any() else density)

    @cached_property
    def _near(self) -> Floats:
        """How much of the core, of each of `TRUE_W`, is about each of `W_NODES`, (true, nodes)."""
        # Weights of the trapezoid rule.
        steps = np.diff(W_NODES, prepend=W_NODES[0], append=W_NODES[-1])
        return np.asarray(self.response.core_w(W_NODES, TRUE_W) * (steps[1:] + steps[:-1]) / 2)

    @cached_property
    def _kept_w(self) -> Floats:
        return self.response.core_w_kept(TRUE_W)


def _distances(event: _Event, nodes: _ClassNodes) -> Floats:
    """Return the density of what the event says of its distance, (z,) or (n, z)."""
    if np.isfinite(event.log_distance + event.distance_error):
        z = (nodes.log_distance - event.log_distance) / event.distance_error
        return np.asarray(np.exp(-z * z / 2) + 1e-12)
    x = event.snr / 8 * nodes.over_reach
    return np.asarray(projection_density(x) * x + 1e-12)


def _flags(mass1: Floats, mass2: Floats, ns_max: float) -> Floats:
    """Return 1 where there is a neutron star, a mass in the gap, and a remnant, (3, n)."""
    masses = np.stack([mass1, mass2])
    in_gap = ((masses > ns_max) & (masses <= GAP_MAX_MSUN)).any(axis=0)
    remnant = leaves_remnant(mass1, mass2)
    return np.stack([mass2 <= ns_max, in_gap, remnant]).astype(np.float64)
