r"""Injections of one population made to stand for another: importance weights, as volumes.

Runs r drew :math:`N_r` injections from densities :math:`p_r(\theta)` over masses and redshift. A
found injection then stands for the volume

.. math:: v(\theta) = \frac{\mathrm{d}V/\mathrm{d}\theta}{\sum_r N_r\, p_r(\theta)}, \qquad
   \frac{\mathrm{d}V}{\mathrm{d}\theta}
   = p(m_1, m_2)\, \frac{\mathrm{d}V_c}{\mathrm{d}z} (1 + z)^{\kappa - 1},

of a population with density p (Tiwari 2018, arXiv:1712.00482; the sum over runs is the balance
heuristic of Veach & Guibas 1995). The volumes of those found add up to the sensitive volume, and
they are the weights that give what was measured on the injections its astrophysical distribution.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from spiir_pastro.errors import FitError
from spiir_pastro.models.population import BinaryPopulation

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class InjectionSet:
    """What the injections of a run were drawn from."""

    population: BinaryPopulation
    made: int  # how many were injected while data were analysed
    # fraction of those drawn that was injected; the rest cannot be detected
    kept_fraction: float = 1.0

    @property
    def drawn(self) -> float:
        """How many were drawn, those left out included."""
        return self.made / self.kept_fraction


def volumes_gpc3(
    population: BinaryPopulation, sets: Sequence[InjectionSet], binaries: tuple[Floats, ...]
) -> Floats:
    """Return the volume in Gpc^3 that each injection stands for, (n,), of the population given.

    Parameters
    ----------
    sets
        What was drawn, of all runs that the injections come from.
    binaries : three of (n,)
        Source-frame masses in solar masses and redshifts.

    Raises
    ------
    FitError
        If an injection lies outside the population that it was drawn from by the runs file.
    """
    log_drawn = _log_drawn(sets, binaries)
    if np.isneginf(log_drawn).any():
        mass1, mass2, z = (values[np.isneginf(log_drawn)][0] for values in binaries)
        raise FitError(
            f"{np.isneginf(log_drawn).sum()} of {log_drawn.size} injections lie outside the "
            f"population they are said to be drawn from, the first with source-frame masses "
            f"{mass1:.4g} and {mass2:.4g} at redshift {z:.4g}; correct `injected` in the runs file "
            "and process again"
        )
    return np.asarray(np.exp(population.log_volume_density(*binaries) - log_drawn))


def uncovered_fraction(
    population: BinaryPopulation, sets: Sequence[InjectionSet], redshifts: Floats
) -> float:
    """Return the fraction of the detectable mergers whose masses were never injected.

    Masses are weighted by detectable volume, Mc^(5/2); redshifts are those of injections found.
    """
    rng = np.random.default_rng(0)
    mass1, mass2 = population.draw_masses(20_000, rng)
    z = rng.choice(redshifts, mass1.size)
    # The horizon goes with Mc^(5/6), the volume with its cube.
    detectable = (mass1 * mass2) ** 1.5 / (mass1 + mass2) ** 0.5
    never = np.isneginf(_log_drawn(sets, (mass1, mass2, z)))
    return float(detectable[never].sum() / detectable.sum())


def _log_drawn(sets: Sequence[InjectionSet], binaries: tuple[Floats, ...]) -> Floats:
    """Return the logarithm of how many were drawn per masses and redshift, (n,)."""
    with np.errstate(divide="ignore"):
        parts = [np.log(one.drawn) + one.population.log_pdf(*binaries) for one in sets]
        return np.asarray(logsumexp(np.stack(parts), axis=0))
