r"""How binaries of a class are distributed over masses and distance: in the sky, or as injected.

The density of a binary with source-frame masses :math:`m_1 \ge m_2` at redshift z is
:math:`p(m_1, m_2, z) = p(m_1, m_2)\, p(z)`. A mass follows a power law with a peak,

.. math:: p(m) \propto \Bigl[(1 - \lambda)\, C m^{\alpha} + \lambda\, \mathcal{N}(m; \mu, \sigma)
   \Bigr] S(m), \qquad m_\mathrm{low} \le m \le m_\mathrm{high},

where C normalises the power law and S rises smoothly from 0 to 1 over :math:`\delta` above
:math:`m_\mathrm{low}`, as :math:`1 / (1 + e^{\delta/x + \delta/(x - \delta)})` with
:math:`x = m - m_\mathrm{low}` (Talbot & Thrane 2018, arXiv:1801.02699, Eqs. 6 and 7). Uniform
(:math:`\alpha = 0`), log-uniform (:math:`\alpha = -1`) and Gaussian (:math:`\lambda = 1`) masses
are special cases. Mergers happen at a rate :math:`R (1+z)^\kappa` per comoving volume and
source-frame time, so that detectors observe them with

.. math:: p(z) \propto \frac{\mathrm{d}V_c}{\mathrm{d}z} (1 + z)^{\kappa - 1} .

Injections may also follow a power law in luminosity distance, and have detector-frame masses.
"""

import math
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import CLASSES, Source
from spiir_pastro.errors import FitError
from spiir_pastro.models.cosmology import (
    comoving_volume_slope,
    distance_slope,
    luminosity_distance,
    redshift,
)

Floats = NDArray[np.float64]

_TABLE_NODES = 8001


@dataclass(frozen=True, kw_only=True)
class MassLaw:
    """Density of one mass: a power law, with a peak and a smooth lower end if wanted.

    Attributes
    ----------
    low, high
        Limits in solar masses. A secondary whose ``high`` is None reaches up to its primary.
    exponent
        Of the power law; negative where light bodies are more frequent.
    taper
        Width of the smooth lower end in solar masses; 0 for a sharp one.
    peak_fraction, peak_mean, peak_std
        Share, mean and width of a Gaussian peak, in solar masses.
    gap_high, gap_fraction
        Below ``gap_high`` solar masses the power law is constant, at this fraction of its value
        there: a gap that is thinly filled. No gap where ``gap_high`` is None.

    Raises
    ------
    FitError
        If limits, fraction or widths cannot be.
    """

    low: float
    high: float | None = None
    exponent: float = 0.0
    taper: float = 0.0
    peak_fraction: float = 0.0
    peak_mean: float = 1.0
    peak_std: float = 1.0
    gap_high: float | None = None
    gap_fraction: float = 1.0

    def __post_init__(self) -> None:
        end = math.inf if self.high is None else self.high
        if not (0 < self.low < end and math.isfinite(self.exponent) and self.taper >= 0):
            raise FitError(
                f"masses from {self.low} to {self.high} with exponent {self.exponent} and taper "
                f"{self.taper}: limits must be positive and rise, the taper not negative"
            )
        if not (0 <= self.peak_fraction <= 1 and self.peak_mean > 0 and self.peak_std > 0):
            raise FitError(
                f"a peak of fraction {self.peak_fraction} at {self.peak_mean} +- {self.peak_std}: "
                "the fraction must lie in 0 to 1, mean and width be positive"
            )
        if not (self._law_low < end and self.low <= self._law_low and 0 < self.gap_fraction <= 1):
            raise FitError(
                f"a gap up to {self.gap_high} filled to {self.gap_fraction}: it must end between "
                f"{self.low} and {end} solar masses, and be filled to a fraction in 0 to 1"
            )

    @property
    def _law_low(self) -> float:
        """Where the power law begins: at the end of the gap, where there is one."""
        return self.low if self.gap_high is None else self.gap_high

    def log_shape(self, mass: Floats, end: float) -> Floats:
        """Return the density up to a factor, for masses up to ``end``; -inf outside."""
        m = np.clip(mass, self.low, end)
        log_m = np.log(np.maximum(m, self._law_low))
        # (end^p - low^p) / p, which is ln(end / low) where p vanishes.
        power, span = self.exponent + 1, math.log(end / self._law_low)
        rise = math.expm1(power * span) / (power * span) if power else 1.0
        log_norm = power * math.log(self._law_low) + math.log(span * rise)
        in_gap = math.log(self.gap_fraction) * (m < self._law_low)
        with np.errstate(divide="ignore"):
            law = np.log1p(-self.peak_fraction) + self.exponent * log_m - log_norm + in_gap
            peak = (
                np.log(self.peak_fraction)
                - ((m - self.peak_mean) / self.peak_std) ** 2 / 2
                - math.log(self.peak_std * math.sqrt(2 * math.pi))
            )
        inside = (mass >= self.low) & (mass <= end)
        return np.where(inside, np.logaddexp(law, peak) + self._log_rise(m), -np.inf)

    def _log_rise(self, m: Floats) -> Floats:
        """Return the logarithm of the smooth lower end, 0 above it."""
        if not self.taper:
            return np.zeros_like(m)
        above = m - self.low
        rising = (above > 0) & (above < self.taper)
        x = np.where(rising, above, self.taper / 2)
        # Planck taper (McKechan et al. 2010, arXiv:1003.2939): smooth, with all its derivatives, at
        # both ends.
        rise = -np.logaddexp(0, self.taper / x + self.taper / (x - self.taper))
        return np.where(rising, rise, np.where(above < self.taper, -np.inf, 0.0))


@dataclass(frozen=True, kw_only=True)
class RedshiftLaw:
    """A rate that goes like (1+z)^evolution, per comoving volume and source-frame time.

    Attributes
    ----------
    evolution
        κ; 0 for a constant rate.
    high
        Largest redshift; None where there is no end, as in the sky.
    """

    evolution: float = 0.0
    high: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.evolution) or not (self.high is None or self.high > 0):
            raise FitError(
                f"redshifts to {self.high} with evolution {self.evolution}: "
                "the end must be positive"
            )

    def volume_slope_gpc3(self, z: Floats) -> Floats:
        """Return dV/dz in Gpc^3, weighted by (1+z)^(κ-1)."""
        return np.asarray(comoving_volume_slope(z) * (1 + z) ** (self.evolution - 1))


@dataclass(frozen=True, kw_only=True)
class DistanceLaw:
    """Luminosity distances with density d^exponent: 0 uniform, 2 as in flat space, -1 log-uniform.

    Attributes
    ----------
    low, high
        Limits in Mpc.
    exponent
        Of the power law.
    """

    low: float
    high: float
    exponent: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.low < self.high and math.isfinite(self.exponent)):
            raise FitError(
                f"distances from {self.low} to {self.high} Mpc with exponent {self.exponent}: "
                "limits must be positive and rise"
            )


@dataclass(frozen=True, kw_only=True)
class BinaryPopulation:
    """Density of binaries over source-frame masses and redshift; spins and angles as injected.

    Attributes
    ----------
    primary, secondary
        Masses. Where ``secondary`` has an upper limit of its own, the two are drawn independently
        and the heavier is the primary; else the secondary is drawn up to the primary.
    redshift, distance
        One of the two: how far binaries are.
    frame
        Of the masses, ``source`` or ``detector``; populations in the sky are of the source.

    Raises
    ------
    FitError
        If not exactly one of ``redshift`` and ``distance`` is given, or the primary has no end.
    """

    primary: MassLaw
    secondary: MassLaw
    redshift: RedshiftLaw | None = None
    distance: DistanceLaw | None = None
    frame: Literal["source", "detector"] = "source"

    def __post_init__(self) -> None:
        if (self.redshift is None) == (self.distance is None):
            raise FitError("give a population either a redshift or a distance law, one of the two")
        if self.primary.high is None:
            raise FitError("the primary's mass law has no upper limit; give it high")
        if self.secondary.high is None and self.secondary.low > self.primary.low:
            raise FitError(
                f"secondaries from {self.secondary.low} solar masses do not fit under primaries "
                f"from {self.primary.low}; let the secondary begin no higher"
            )
        if self.frame not in ("source", "detector"):
            raise FitError(f"masses are of frame {self.frame!r}; say source or detector")

    def log_mass_pdf(self, mass1: Floats, mass2: Floats) -> Floats:
        """Return the logarithm of the density of masses in their frame, (n,); -inf outside.

        Parameters
        ----------
        mass1, mass2 : (n,)
            Solar masses; the heavier of the two is the primary.
        """
        heavy, light = np.maximum(mass1, mass2), np.minimum(mass1, mass2)
        if self.secondary.high is None:
            # At the foot of a taper there is next to nothing to share out: the floor does no harm.
            reach = np.maximum(np.interp(heavy, *self._secondary.reach), 1e-30)
            return np.asarray(
                self._primary.log_pdf(heavy) + self._secondary.log_pdf(light) - np.log(reach)
            )
        return np.logaddexp(
            self._primary.log_pdf(heavy) + self._secondary.log_pdf(light),
            self._primary.log_pdf(light) + self._secondary.log_pdf(heavy),
        )

    def log_pdf(self, mass1: Floats, mass2: Floats, z: Floats) -> Floats:
        """Return the logarithm of the density over source-frame masses and redshift, (n,).

        Raises
        ------
        FitError
            If the population has no farthest redshift, and so no density.
        """
        log_shift = np.log1p(z) if self.frame == "detector" else np.zeros_like(z)
        shift = np.exp(log_shift)
        # d(m1_det) d(m2_det) = (1 + z)^2 d(m1) d(m2).
        masses = self.log_mass_pdf(mass1 * shift, mass2 * shift) + 2 * log_shift
        return np.asarray(masses + self._log_redshift_pdf(z))

    def log_volume_density(self, mass1: Floats, mass2: Floats, z: Floats) -> Floats:
        """Return the logarithm of Gpc^3 per source-frame masses and redshift, (n,).

        What turns a rate per Gpc^3 and year at redshift 0 into a rate of mergers observed.

        Raises
        ------
        FitError
            If the population has no volume, for want of a redshift law or source-frame masses.
        """
        if self.redshift is None or self.frame != "source":
            raise FitError(
                "binaries drawn by luminosity distance or by detector-frame mass fill no volume; "
                "give a redshift law and source-frame masses"
            )
        with np.errstate(divide="ignore"):
            slope = np.log(self.redshift.volume_slope_gpc3(z))
        return np.asarray(self.log_mass_pdf(mass1, mass2) + slope)

    @property
    def volume_gpc3(self) -> float:
        """Volume of the whole population in Gpc^3, weighted by (1+z)^(κ-1)."""
        if self.redshift is None:
            raise FitError("binaries drawn by luminosity distance fill no volume")
        return float(self._far_away[1][-1])

    def draw_masses(self, n: int, rng: "np.random.Generator") -> tuple[Floats, Floats]:
        """Draw n pairs of masses in their frame, the heavier first."""
        first = self._primary.quantile(rng.random(n))
        share = rng.random(n)
        if self.secondary.high is None:
            return first, self._secondary.quantile(share * np.interp(first, *self._secondary.reach))
        second = self._secondary.quantile(share)
        return np.maximum(first, second), np.minimum(first, second)

    def draw(self, n: int, rng: "np.random.Generator") -> tuple[Floats, Floats, Floats]:
        """Draw n binaries: source-frame masses, the heavier first, and redshifts."""
        mass1, mass2 = self.draw_masses(n, rng)
        z_nodes, cumulative = self._far_away
        # By the inverse of the distribution function, tabulated finely enough to be linear in
        # between.
        z = np.interp(rng.random(n) * cumulative[-1], cumulative, z_nodes)
        shift = 1 + z if self.frame == "detector" else 1.0
        return np.asarray(mass1 / shift), np.asarray(mass2 / shift), z

    @cached_property
    def _primary(self) -> "_Tabulated":
        return _Tabulated(self.primary, self.primary.high or math.inf)

    @cached_property
    def _secondary(self) -> "_Tabulated":
        return _Tabulated(self.secondary, self.secondary.high or self._primary.end)

    @cached_property
    def _far_away(self) -> tuple[Floats, Floats]:
        """Redshifts, and the integral of the distance law up to each."""
        if self.distance is not None:
            first, last = redshift([self.distance.low, self.distance.high]).tolist()
        elif self.redshift is not None and self.redshift.high is not None:
            first, last = 0.0, self.redshift.high
        else:
            raise FitError("a population without a farthest redshift has no density; give high")
        z = np.linspace(first, last, _TABLE_NODES)
        return z, _running_integral(z, self._redshift_shape(z))

    def _redshift_shape(self, z: Floats) -> Floats:
        if self.redshift is not None:
            return self.redshift.volume_slope_gpc3(z)
        exponent = 0.0 if self.distance is None else self.distance.exponent
        return np.asarray(luminosity_distance(z) ** exponent * distance_slope(z))

    def _log_redshift_pdf(self, z: Floats) -> Floats:
        nodes, cumulative = self._far_away
        # A redshift that was computed from a distance at the limit may miss it by rounding.
        inside = (z >= nodes[0] * (1 - 1e-9)) & (z <= nodes[-1] * (1 + 1e-9))
        with np.errstate(divide="ignore"):
            shape = np.log(self._redshift_shape(np.clip(z, nodes[0], nodes[-1])))
        return np.where(inside, shape - math.log(cumulative[-1]), -np.inf)


def with_border(
    populations: Mapping[Source, BinaryPopulation], ns_max: float
) -> Mapping[Source, BinaryPopulation]:
    """Move the border between neutron stars and black holes to ``ns_max`` solar masses.

    Where black holes begin at the mass at which neutron stars end, both move there. Limits that
    leave a gap between them are a choice: they stay, and are only cut.
    """
    stars = {law.high for law, is_star in _laws(populations) if is_star}
    border = stars & {law.low for law, is_star in _laws(populations) if not is_star}
    moved = (
        (_ending if is_star else _beginning)(law, ns_max, border)
        for law, is_star in _laws(populations)
    )
    return {
        source: replace(population, secondary=next(moved), primary=next(moved))
        for source, population in populations.items()
    }


def _laws(populations: Mapping[Source, BinaryPopulation]) -> Iterator[tuple[MassLaw, bool]]:
    """Go through secondaries and primaries, with whether each is a neutron star."""
    for source, population in populations.items():
        yield from zip(
            (population.secondary, population.primary), CLASSES[source].is_star, strict=True
        )


def _ending(law: MassLaw, ns_max: float, border: Container[float | None]) -> MassLaw:
    """Return a law of neutron stars that ends at the border, or before it."""
    moves = law.high is None or law.high in border or law.high > ns_max
    return replace(law, high=ns_max) if moves else law


def _beginning(law: MassLaw, ns_max: float, border: Container[float | None]) -> MassLaw:
    """Return a law of what is heavier that begins at the border, or beyond it."""
    if law.low not in border and law.low >= ns_max:
        return law
    in_gap = law.gap_high is not None and law.gap_high > ns_max
    return replace(law, low=ns_max, gap_high=law.gap_high if in_gap else None)


class _Tabulated:
    """A mass law up to an end, with its integral on nodes."""

    def __init__(self, law: MassLaw, end: float) -> None:
        self.law, self.end = law, end
        nodes = np.geomspace(law.low, end, _TABLE_NODES)
        integral = _running_integral(nodes, np.exp(law.log_shape(nodes, end)))
        self._log_norm = math.log(integral[-1])
        self.reach = nodes, integral / integral[-1]

    def log_pdf(self, mass: Floats) -> Floats:
        """Return the logarithm of the normalised density."""
        return self.law.log_shape(mass, self.end) - self._log_norm

    def quantile(self, share: Floats) -> Floats:
        """Return the mass below which this share lies."""
        return np.asarray(np.interp(share, self.reach[1], self.reach[0]))


def _running_integral(x: Floats, y: Floats) -> Floats:
    """Integrate by trapezoids from the first node to each."""
    return np.concatenate([[0.0], np.cumsum(np.diff(x) * (y[1:] + y[:-1]) / 2)])
