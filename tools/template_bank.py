"""A template bank like SPIIR's: 97 % minimal match, aligned spins, random places.

Points are laid at random with a density proportional to the volume of the match metric (Messenger,
Prix & Papa 2009, arXiv:0809.5223), dense enough for 80 to 95 % of all signals to have a template
within the minimal match. The metric is the Fisher matrix of IMRPhenomD with amplitude, phase and
time projected out. Limits are those seen in SPIIR's uploads of O3: chirp mass from 0.87 solar
masses, total mass to 200.5, symmetric mass ratio from 0.011 (detector frame). Like SPIIR's, the
part of two black holes has some 30,000 templates.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from waveforms import CURVES, Grid, campaign_grid

__all__ = ["Bank", "build_bank", "chirp_coordinates", "metric", "placed"]

Floats = NDArray[np.float64]

_MINIMAL_MATCH = 0.97
_HEAVIEST_TOTAL, _LEAST_ETA = 200.5, 0.011
_STEPS = np.array([1e-5, -1e-5, 1e-3])  # in ln chirp mass (scaled by cycles), eta and spin
_SOLAR_MASS_S = 4.925490947641267e-06
_REFERENCE_HZ = 40.0


def placed(mchirp: Floats, eta: Floats) -> tuple[Floats, Floats]:
    """Component masses of chirp masses and symmetric mass ratios."""
    total = mchirp * eta**-0.6
    difference = np.sqrt(np.maximum(1 - 4 * eta, 0))
    return total * (1 + difference) / 2, total * (1 - difference) / 2


def chirp_coordinates(mass1: Floats, mass2: Floats, spin1z: Floats, spin2z: Floats) -> Floats:
    """Return the phase's post-Newtonian coefficients of order 0, 1 and 1.5 at 40 Hz, (n, 3).

    In them the metric changes slowly (Ajith et al. 2014, arXiv:1210.6666).
    """
    total = mass1 + mass2
    eta = mass1 * mass2 / total**2
    velocity = (np.pi * total * _SOLAR_MASS_S * _REFERENCE_HZ) ** (1 / 3)
    mean, half = (spin1z + spin2z) / 2, (spin1z - spin2z) / 2
    spin = 113 / 12 * (mean + (mass1 - mass2) / total * half - 76 * eta / 113 * mean)
    leading = 3 / (128 * eta) * velocity**-5
    return np.stack(
        [
            leading,
            leading * velocity**2 * (3715 / 756 + 55 / 9 * eta),
            leading * velocity**3 * (4 * spin - 16 * np.pi),
        ],
        axis=-1,
    )


def metric(
    grid: Grid, weight: Floats, mchirp: float, eta: float, spin1z: float, spin2z: float
) -> tuple[Floats, Floats]:
    """Return match metric and Jacobian of the chirp coordinates in (ln chirp mass, eta, spin).

    ``1 - match = d g d / 2``. Both spins move together.
    """
    eta = min(eta, 0.2499)
    steps = _STEPS * [min((mchirp / 1.2) ** (5 / 3), 30.0), 1.0 if eta > 0.02 else 0.1, 1.0]
    steps[2] *= -1 if spin1z > 0 else 1
    point = np.array([np.log(mchirp), eta, 0.0])

    def at(p: Floats) -> tuple[NDArray[np.complex128], Floats]:
        m1, m2 = placed(np.exp(p[0]), p[1])
        physical = (float(m1), float(m2), spin1z + p[2], spin2z + p[2])
        wave = np.asarray(weight * grid.strain(*physical), dtype=np.complex128)
        return wave, chirp_coordinates(*(np.array(x) for x in physical))

    here, place = at(point)
    moved = [at(point + step * axis) for step, axis in zip(steps, np.eye(3), strict=True)]
    norm = np.linalg.norm(here)
    heard = np.abs(here) > 1e-9 * np.abs(here).max()
    slopes = []
    for (wave, _), step in zip(moved, steps, strict=True):
        ratio = np.where(heard & (np.abs(wave) > 0), wave / np.where(heard, here, 1), 1)
        slopes.append(np.log(ratio) * here / (step * norm))  # exact where phases are linear
    unit = here / norm
    basis = np.stack([unit, 1j * unit, 1j * unit * grid.frequency])
    real = np.concatenate([basis.real, basis.imag], axis=1)
    orthonormal = np.linalg.qr(real.T)[0]
    vectors = np.array([np.concatenate([s.real, s.imag]) for s in slopes])
    vectors -= vectors @ orthonormal @ orthonormal.T
    jacobian = np.array([(m[1] - place) / s for m, s in zip(moved, steps, strict=True)]).T
    return vectors @ vectors.T, jacobian


class Bank:
    """Templates: detector-frame masses in solar masses (mass1 >= mass2), spins; (n,) each."""

    def __init__(self, mass1: Floats, mass2: Floats, spin1z: Floats, spin2z: Floats) -> None:
        self.mass1, self.mass2, self.spin1z, self.spin2z = mass1, mass2, spin1z, spin2z
        self.coordinates = chirp_coordinates(mass1, mass2, spin1z, spin2z)

    def __len__(self) -> int:
        return self.mass1.size

    def template(self, number: int) -> tuple[float, float, float, float]:
        """Masses and spins of a template."""
        rows = (self.mass1, self.mass2, self.spin1z, self.spin2z)
        mass1, mass2, spin1z, spin2z = (float(row[number]) for row in rows)
        return mass1, mass2, spin1z, spin2z


# smallest and largest mass1, mass2; largest spin; whether the second body has the first's spin;
# coverage, that is the part of signals with a template within the minimal match
_REGIONS = (
    ((1.0, 3.0), (1.0, 3.0), 0.4, True, 0.95),
    ((3.0, 100.0), (1.0, 3.0), 0.9, False, 0.8),
    ((3.0, 198.0), (3.0, 100.25), 0.95, True, 0.9),
)
_CELLS = (24, 24, 6)


@cache
def build_bank() -> Bank:
    """Lay out the bank; always the same."""
    rng = np.random.Generator(np.random.PCG64DXSM(18))
    parts = []
    for first, second, limit, both, coverage in _REGIONS:
        mass1, mass2, spin = _scattered(first, second, limit, coverage, rng)
        parts.append(np.stack([mass1, mass2, spin, spin * both]))
    return Bank(*np.concatenate(parts, axis=1))


def _scattered(
    first: tuple[float, float],
    second: tuple[float, float],
    limit: float,
    coverage: float,
    rng: np.random.Generator,
) -> Floats:
    """Draw a region's mass1, mass2 and spin, (3, n): a Poisson process, cell by cell."""
    limits = [np.log(first), np.log(second), np.array([-limit, limit])]
    edges = [np.linspace(lim[0], lim[1], n + 1) for lim, n in zip(limits, _CELLS, strict=True)]
    size = np.array([e[1] - e[0] for e in edges])
    low = np.stack(np.meshgrid(*(e[:-1] for e in edges), indexing="ij"), -1).reshape(-1, 3)
    radius = np.sqrt(2 * (1 - _MINIMAL_MATCH))
    density = -np.log(1 - coverage) / (4 / 3 * np.pi * radius**3)
    volume = np.array([_metric_density(a, b, c, limit) for a, b, c in low + size / 2])
    most = density * volume * 0.25 * size.prod()  # no Jacobian is larger than 1/4
    counts = rng.poisson(most)
    point = np.repeat(low, counts, axis=0) + rng.random((counts.sum(), 3)) * size
    mass1, mass2, spin = np.exp(point[:, 0]), np.exp(point[:, 1]), point[:, 2]
    total, eta = mass1 + mass2, mass1 * mass2 / (mass1 + mass2) ** 2
    jacobian = eta * (mass1 - mass2) / total  # of (ln chirp mass, eta) by (ln mass1, ln mass2)
    keep = (rng.random(spin.size) * 0.25 < jacobian) & (total < _HEAVIEST_TOTAL)
    keep &= eta > _LEAST_ETA
    return np.stack([mass1, mass2, spin])[:, keep]


def _metric_density(log_mass1: float, log_mass2: float, spin: float, limit: float) -> float:
    """Metric volume a unit of (ln chirp mass, eta, spin); zero outside the bank.

    Neutron stars' small spins make the bank a slab thinner than a template's reach on either side.
    The volume is enlarged by that reach, or such a slab would be thinly covered.
    """
    mass1, mass2 = sorted(np.exp([log_mass1, log_mass2]), reverse=True)
    eta = mass1 * mass2 / (mass1 + mass2) ** 2
    if mass1 + mass2 > 1.2 * _HEAVIEST_TOTAL or eta < 0.8 * _LEAST_ETA:
        return 0.0
    grid = campaign_grid()
    mchirp = (mass1 + mass2) * eta**0.6
    tensor, _ = metric(grid, grid.weight(CURVES["O3", "L1"]), mchirp, eta, spin, spin)
    thickness = 2 * limit * np.sqrt(max(np.linalg.eigvalsh(tensor)[0], 1e-3))
    reach = np.sqrt(2 * (1 - _MINIMAL_MATCH))
    return float(np.sqrt(max(np.linalg.det(tensor), 0.0)) * (1 + 4 * reach / thickness))
