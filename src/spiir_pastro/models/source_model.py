r"""What a search finds of each class of binaries: a response integrated over the mass plane.

Of class c, the density of the recovered :math:`m' = \ln \mathcal{M}'` and :math:`w'` is

.. math::

   f_c(m', w') \propto \int_{R_c} \mathrm{d}m_1\, \mathrm{d}m_2\; p_c(m_1, m_2)
   \int \mathrm{d}z\, \frac{\mathrm{d}V_c}{\mathrm{d}z} (1+z)^{\kappa - 1}\,
   P_\mathrm{found}(m_1, m_2, z)\; p(m', w' \mid m_1 (1+z), m_2 (1+z)),

with a population p of source-frame masses on the class's region R of the plane, the probability
that a binary there is loud enough, and a `Response`. Everything that the plane says of an event
(its class, whether a neutron star or the mass gap takes part, its source-frame chirp mass) is a sum
over the same nodes.

A binary is found where its distance is below the network's reach times the projection of its
orientation; the distribution of that projection is the fit of Dominik et al. 2015
(arXiv:1405.7016, Eq. A2).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.errors import FitError
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.cosmology import luminosity_distance
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.early_warning import heard_fraction
from spiir_pastro.models.horizon import Horizons
from spiir_pastro.models.mass_plane import chirp_mass
from spiir_pastro.models.population import BinaryPopulation
from spiir_pastro.models.response import Response

Floats = NDArray[np.float64]
Reach = Callable[[Floats, Floats], Floats]

PRIMARY_NODES, SECONDARY_NODES, REDSHIFT_NODES = 120, 60, 40
"""Of the integral; doubling each moves a log density by less than 0.01."""

_LARGEST_REDSHIFT = 4.0

PROJECTION_COEFFICIENTS = (0.374222, 2.04216, -2.63948)
"""Coefficients of the projection's distribution, a2, a4 and a8."""

TRUE_MCHIRP_NODES, TRUE_W_NODES = 700, 51
"""Of the true detector-frame masses that are gathered before the response acts on them."""

W_NODES = np.linspace(0.0, 1.0, 41)

ERROR_BELOW_OVER_ABOVE = 2.0
"""By how much a density's standard error is larger below: no law of masses that is smooth shows the
holes a population may have, and those of a template bank."""

LEAST_HEARD = 0.01
"""Fraction of its SNR that every binary is heard with: a class of which an early-warning search
detects nothing still has a density. Its volume is a millionth of the whole signals'."""

LEAST_DENSITY = 1e-30
"""Where a response does not reach: so little that only an outlier can explain what is there."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Nodes:
    """Where nodes lie, and what a detector would call them."""

    # (n,) source-frame masses in solar masses, the heavier first
    mass1: Floats
    mass2: Floats
    redshift: Floats  # (n,)

    @property
    def log_mchirp_det(self) -> Floats:
        """ln(detector-frame chirp mass in solar masses), (n,)."""
        source = 0.6 * np.log(self.mass1 * self.mass2) - 0.2 * np.log(self.mass1 + self.mass2)
        return np.asarray(source + np.log1p(self.redshift))

    @property
    def w(self) -> Floats:
        """(m1 - m2) / (m1 + m2), (n,)."""
        return (self.mass1 - self.mass2) / (self.mass1 + self.mass2)


@dataclass(frozen=True, kw_only=True, eq=False)
class VolumeNodes(_Nodes):
    """Nodes of the plane and in redshift, with how many of a class's binaries are there."""

    distance_mpc: Floats  # (n,) luminosity distance
    reach_mpc: Floats  # (n,) distance to which binaries like these are detected
    prior: Floats  # (n,) how many there are, detected or not, up to a factor

    @classmethod
    def of(
        cls,
        population: BinaryPopulation,
        reach: Reach,
        *,
        nodes: tuple[int, int, int] = (PRIMARY_NODES, SECONDARY_NODES, REDSHIFT_NODES),
    ) -> Self:
        """Cut the plane of a population with a redshift law, and its volume, into cells."""
        primary, secondary = population.primary, population.secondary
        low, high = math.log(max(primary.low, secondary.low)), math.log(primary.high or math.inf)
        log1, width1 = _midpoints(low, high, nodes[0])
        low2 = math.log(secondary.low)
        high2 = np.minimum(log1, math.log(secondary.high or math.inf))
        share, width = _midpoints(0.0, 1.0, nodes[1])
        log2 = low2 + share * (high2 - low2)[:, None]
        area = width1 * width * np.broadcast_to((high2 - low2)[:, None], log2.shape)
        mass1 = np.exp(np.broadcast_to(log1[:, None], log2.shape)).ravel()
        mass2 = np.exp(log2).ravel()
        # Cells are equal in the logarithms of the masses: dm = m d(ln m).
        in_plane = np.exp(population.log_mass_pdf(mass1, mass2)) * mass1 * mass2 * area.ravel()
        log_z, width_z = _midpoints(math.log(1e-3), math.log(_LARGEST_REDSHIFT), nodes[2])
        z = np.exp(log_z)
        if population.redshift is None:
            raise FitError("a population drawn by distance fills no volume; give a redshift law")
        volume = population.redshift.volume_slope_gpc3(z) * z * width_z
        shape = (mass1.size, z.size)
        shifted = mass1[:, None] * (1 + z), mass2[:, None] * (1 + z)
        return cls(
            mass1=np.broadcast_to(mass1[:, None], shape).ravel(),
            mass2=np.broadcast_to(mass2[:, None], shape).ravel(),
            redshift=np.broadcast_to(z, shape).ravel(),
            distance_mpc=np.broadcast_to(luminosity_distance(z), shape).ravel(),
            reach_mpc=reach(*shifted).ravel(),
            prior=(in_plane[:, None] * volume).ravel(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Binaries(_Nodes):
    """Nodes of the plane and in redshift, with how many of a class's found binaries each is."""

    weight: Floats  # (n,) they sum to one

    @classmethod
    def found(cls, population: BinaryPopulation, reach: Reach) -> Self:
        """Integrate a population with a redshift law over the volume in which it is detected."""
        nodes = VolumeNodes.of(population, reach)
        weight = nodes.prior * projection_exceeds(nodes.distance_mpc / nodes.reach_mpc)
        # Most nodes are too far or too rare to be found, and would only cost time.
        kept = weight > 1e-9 * weight.max()
        return cls(
            mass1=nodes.mass1[kept],
            mass2=nodes.mass2[kept],
            redshift=nodes.redshift[kept],
            weight=weight[kept] / weight[kept].sum(),
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class RecoveredMasses:
    """Density of the template's ln(chirp mass), and of its w given that."""

    mchirp: GridDensity  # of ln(chirp mass), detector frame
    w: ConditionalGrid  # of w given that


@dataclass(frozen=True, kw_only=True)
class SourceModel:
    """What there is of each class, and what a search recovers of it.

    Attributes
    ----------
    populations
        Of source-frame masses and redshift, by class, each on its region of the plane.
    response
        Of the search.
    early_warning_s
        Seconds before the merger at which the search ends signals; 0 for whole ones.
    """

    populations: Mapping[Source, BinaryPopulation]
    response: Response
    early_warning_s: float = 0.0

    def __post_init__(self) -> None:
        wrong = [p for p in self.populations.values() if not p.redshift or p.frame != "source"]
        if tuple(self.populations) != ASTROPHYSICAL or wrong:
            raise FitError(
                f"populations of {', '.join(self.populations)}: give "
                f"{', '.join(ASTROPHYSICAL)}, each with source-frame masses and a redshift law"
            )

    def reach(self, horizons: Horizons) -> Reach:
        """Return how far the search detects binaries of detector-frame masses, in Mpc."""
        return network_reach(horizons, early_warning_s=self.early_warning_s)

    def recovered(
        self,
        reach: Reach,
        *,
        span: tuple[float, float],
        templates: ConditionalGrid | None = None,
        mchirp_error: float = 0.0,
        w_error: float = 0.0,
    ) -> Mapping[Source, RecoveredMasses]:
        """Return what is recovered of each class; see `recovered_masses`."""
        return {
            source: recovered_masses(
                Binaries.found(population, reach),
                self.response,
                span=span,
                templates=templates,
                mchirp_error=mchirp_error,
                w_error=w_error,
            )
            for source, population in self.populations.items()
        }


def recovered_masses(
    binaries: Binaries,
    response: Response,
    *,
    span: tuple[float, float],
    templates: ConditionalGrid | None = None,
    mchirp_error: float = 0.0,
    w_error: float = 0.0,
    size: int = 320,
) -> RecoveredMasses:
    """Return what a search recovers of binaries: the response, summed over them.

    Parameters
    ----------
    binaries
        Of one class.
    response
        What the search makes of each.
    span
        First and last ln(chirp mass) of the densities' nodes.
    templates
        How w is distributed among templates of a chirp mass; None for evenly. A binary is found by
        one of the templates there are.
    mchirp_error, w_error
        Standard errors of the logarithms of the two densities, upwards.
    size
        Number of nodes in chirp mass.
    """
    nodes = np.linspace(*span, size)
    true_m = np.linspace(span[0] - 1.5, span[1] + 1.5, TRUE_MCHIRP_NODES)
    true_w = np.linspace(0.0, 1.0, TRUE_W_NODES)
    gathered = _gathered(binaries, true_m, true_w)
    off = response.misrecovered(true_m)
    core = response.core_of_cells(nodes, true_m).T @ (gathered * (1 - off)[:, None])
    at, w = np.repeat(nodes, W_NODES.size), np.tile(W_NODES, size)
    offered = offered_w(templates, at, w).reshape(size, W_NODES.size)
    near = response.core_w(W_NODES, true_w)
    # A binary is found by one of the templates there are: its response in w is normalised over
    # them.
    taken = np.trapezoid(offered[:, None, :] * near, W_NODES, axis=2)
    joint = offered * ((core / taken) @ near)
    far = response.misrecovered_mchirp(nodes, true_m).T @ (gathered.sum(axis=1) * off)
    joint += far[:, None] * response.misrecovered_w(W_NODES, nodes)
    joint += LEAST_DENSITY
    density = np.asarray(np.trapezoid(joint, W_NODES, axis=1))
    return RecoveredMasses(
        mchirp=GridDensity(
            nodes=nodes,
            log_values=np.round(np.log(density), 4),
            node_errors=_errors(mchirp_error, (size,)),
        ),
        w=ConditionalGrid(
            column=2,
            nodes=nodes[::4],
            y_nodes=W_NODES,
            log_values=np.round(np.log(joint / density[:, None]), 4)[::4],
            node_errors=_errors(w_error, (nodes[::4].size, W_NODES.size)),
            tail_scale=0.0,
        ),
    )


def offered_w(templates: ConditionalGrid | None, log_mchirp: Floats, w: Floats) -> Floats:
    """Return the density of w among templates of a chirp mass, (n,); even where it is not known."""
    if templates is None:
        return np.ones_like(w)
    features = np.zeros((w.size, templates.column + 1))
    features[:, templates.column] = log_mchirp
    return np.asarray(np.exp(templates.log_pdf(w, features)))


def projection_exceeds(x: Floats) -> Floats:
    """Return the probability that a binary's orientation projects more than x of its amplitude."""
    a2, a4, a8 = PROJECTION_COEFFICIENTS
    rest = np.clip(1 - x, 0.0, 1.0)
    powers = a2 * rest**2 + a4 * rest**4 + a8 * rest**8 + (1 - a2 - a4 - a8) * rest**10
    return np.asarray(np.clip(powers, 0.0, 1.0))


def projection_density(x: Floats) -> Floats:
    """Return the density of that projection at x, 0 outside 0 to 1."""
    a2, a4, a8 = PROJECTION_COEFFICIENTS
    rest = np.clip(1 - x, 0.0, 1.0)
    square = rest * rest
    # Products take a tenth of the time of powers.
    high = square * square * (8 * a8 + 10 * (1 - a2 - a4 - a8) * square)
    return np.asarray(np.maximum(rest * (2 * a2 + square * (4 * a4 + high)), 0.0))


def network_reach(horizons: Horizons, *, run: str = "O3", early_warning_s: float = 0.0) -> Reach:
    """Return the reach of both LIGO detectors together in Mpc, by detector-frame masses.

    A binary overhead of both has a network SNR of 8 there, so long before it merges.
    """

    def reach(mass1_det: Floats, mass2_det: Floats) -> Floats:
        m1, m2 = np.broadcast_arrays(mass1_det, mass2_det)
        one = horizons.horizon_mpc(m1.ravel(), m2.ravel(), ifo="L1", run=run).reshape(m1.shape)
        mchirp = chirp_mass(m1, m2)
        heard = np.maximum(heard_fraction(mchirp, m1 + m2, early_warning_s), LEAST_HEARD)
        return np.asarray(math.sqrt(2) * one * heard)

    return reach


def likely_distances(mchirp_det: Floats, snr: float, reach: Reach) -> tuple[Floats, Floats]:
    """Return distances in Mpc that a source of this SNR may have, (n, d), and their weights, (d,).

    Sources fill space evenly, so of those with a given SNR the projection x of the orientation is
    distributed as its own density times x^3, and the distance goes with x.

    Parameters
    ----------
    mchirp_det : (n,)
        Detector-frame chirp mass in solar masses; masses are taken for equal.
    snr
        Of the network.
    reach
        Its reach.
    """
    edges = np.linspace(0.05, 1.0, 20)
    x = (edges[1:] + edges[:-1]) / 2
    weights = x**3 * -np.diff(projection_exceeds(edges))
    component = mchirp_det * 2**0.2
    distance = reach(component, component)[:, None] * (8.0 / snr) * x
    return distance, weights / weights.sum()


def _errors(above: float, shape: tuple[int, ...]) -> Floats:
    """Return errors of a log density, below and above, (2, ...): a hole is likelier than a hill."""
    return np.stack([np.full(shape, ERROR_BELOW_OVER_ABOVE * above), np.full(shape, above)])


def _midpoints(low: float, high: float, n: int) -> tuple[Floats, float]:
    """Return the midpoints of n equal cells, and their width."""
    width = (high - low) / n
    return low + width * (np.arange(n, dtype=np.float64) + 0.5), width


def _gathered(binaries: Binaries, true_m: Floats, true_w: Floats) -> Floats:
    """Share each binary's weight among the four nodes about it, (m, w)."""
    shape = (true_m.size, true_w.size)
    cell_m, share_m = _cell_of(binaries.log_mchirp_det, true_m)
    cell_w, share_w = _cell_of(binaries.w, true_w)
    total = np.zeros(shape[0] * shape[1])
    # Linear shares keep the mean of each binary's masses where it was.
    for step_m, part_m in ((0, 1 - share_m), (1, share_m)):
        for step_w, part_w in ((0, 1 - share_w), (1, share_w)):
            flat = (cell_m + step_m) * shape[1] + cell_w + step_w
            total += np.bincount(flat, binaries.weight * part_m * part_w, total.size)
    return total.reshape(shape)


def _cell_of(x: Floats, nodes: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Return the equidistant node to the left of each x, and how far x is to the next."""
    position = np.clip((x - nodes[0]) / (nodes[1] - nodes[0]), 0, nodes.size - 1.000001)
    cell = position.astype(np.int64)
    return cell, position - cell
