"""Binaries: masses and redshifts of a population, aligned spins, positions and orientations.

Sky position, inclination, polarisation and phase are isotropic. Spins lie along the orbit, uniform
up to 0.05 for neutron stars and up to 0.7 for black holes.
"""

from dataclasses import dataclass, fields, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.domain import CLASSES, Source
from spiir_pastro.errors import ConfigError
from spiir_pastro.models.cosmology import luminosity_distance
from spiir_pastro.models.early_warning import heard_fraction
from spiir_pastro.models.mass_plane import chirp_mass
from spiir_pastro.models.population import BinaryPopulation
from spiir_pastro.simulation.config import NETWORK, CampaignConfig
from spiir_pastro.simulation.network import antenna_patterns, sigma_mpc

Floats = NDArray[np.float64]

_LARGEST_SPIN_OF_STARS, _LARGEST_SPIN_OF_HOLES = 0.05, 0.7
_BINARIES_AT_ONCE = 20_000
# Of so many binaries a larger fraction must be detectable, or drawing would not end.
_MOST_DRAWN, _LEAST_DETECTABLE_FRACTION = 400_000, 1e-4
_SKY_TURNS_PER_DAY = 1.00273790935
MIN_EXPECTED_SNR = 5.0
"""Binaries of a smaller optimal network SNR cannot be detected: drawn and counted, not injected."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Binaries:
    """Arrays of n binaries of one class."""

    source: Source
    # source-frame masses (mass1 >= mass2) in solar masses, spins along the orbit
    mass1: Floats
    mass2: Floats
    spin1z: Floats
    spin2z: Floats
    # redshift and luminosity distance
    redshift: Floats
    distance_mpc: Floats
    # angles in radians
    right_ascension: Floats
    declination: Floats
    inclination: Floats
    polarization: Floats
    coa_phase: Floats
    gps: Floats  # merger time at the Earth's centre, GPS seconds

    def __len__(self) -> int:
        return self.gps.size

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        rowwise = {name: values[rows] for name, values in self.columns().items()}
        return type(self)(source=self.source, **rowwise)

    def columns(self) -> dict[str, Floats]:
        """Return the arrays by name."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "source"}

    @property
    def mchirp_det(self) -> Floats:
        """Detector-frame chirp mass in solar masses, (n,)."""
        return chirp_mass(self.mass1, self.mass2) * (1 + self.redshift)

    @property
    def mass_difference(self) -> Floats:
        """Difference of the masses over their sum, (n,)."""
        return np.asarray((self.mass1 - self.mass2) / (self.mass1 + self.mass2))

    @property
    def mtotal_det(self) -> Floats:
        """Detector-frame total mass in solar masses, (n,)."""
        return np.asarray((self.mass1 + self.mass2) * (1 + self.redshift))

    def response(self, ifos: tuple[str, ...] = NETWORK) -> NDArray[np.complex128]:
        """Return distance / effective distance, as complex numbers with a phase, (n, ifos)."""
        plus, cross = antenna_patterns(
            self.right_ascension, self.declination, self.polarization, self.gps, ifos
        )
        cos_i = np.cos(self.inclination)[:, None]
        amplitude = plus * (1 + cos_i**2) / 2 + 1j * cross * cos_i
        return np.asarray(amplitude * np.exp(1j * self.coa_phase)[:, None])

    def eff_distance_mpc(self) -> Floats:
        """Return the true effective distance from H1, L1 and V1 in Mpc, (n, 3)."""
        return np.asarray(self.distance_mpc[:, None] / np.abs(self.response()))

    def optimal_snr(self, config: CampaignConfig) -> NDArray[np.complex128]:
        """Complex noise-free SNR with a perfect template, were all detectors on, (n, detectors)."""
        masses = (self.mass1 * (1 + self.redshift), self.mass2 * (1 + self.redshift))
        spins, run = (self.spin1z, self.spin2z), config.observing_run
        sigma = sigma_mpc(masses, spins, config.bns_ranges_mpc, run)
        snr_fraction = heard_fraction(self.mchirp_det, self.mtotal_det, config.early_warning_s)
        return np.asarray(
            sigma * (snr_fraction / self.distance_mpc)[:, None] * self.response(config.network)
        )


def draw_binaries(
    source: Source, gps: Floats, rng: np.random.Generator, population: BinaryPopulation
) -> Binaries:
    """Draw one binary of a class's population for each merger time."""
    n = gps.size
    mass1, mass2, redshift = population.draw(n, rng)
    limit2, limit1 = (
        _LARGEST_SPIN_OF_STARS if is_star else _LARGEST_SPIN_OF_HOLES
        for is_star in CLASSES[source].is_star
    )
    return Binaries(
        source=source,
        mass1=mass1,
        mass2=mass2,
        spin1z=rng.uniform(-limit1, limit1, n),
        spin2z=rng.uniform(-limit2, limit2, n),
        redshift=redshift,
        distance_mpc=luminosity_distance(redshift),
        right_ascension=rng.uniform(0, 2 * np.pi, n),
        declination=np.arcsin(rng.uniform(-1, 1, n)),
        inclination=np.arccos(rng.uniform(-1, 1, n)),
        polarization=rng.uniform(0, np.pi, n),
        coa_phase=rng.uniform(0, 2 * np.pi, n),
        gps=gps,
    )


def is_detectable(source: Source, config: CampaignConfig) -> bool:
    """Tell whether a campaign detects enough of the injections of a class to have any."""
    rng, gps = np.random.default_rng(0), np.array([config.gps_start], dtype=np.float64)
    population = config.injection_population[source]
    drawn = found = 0
    while found < _LEAST_DETECTABLE_FRACTION * _MOST_DRAWN and drawn < _MOST_DRAWN:
        found += _draw_batch(source, gps, config, rng, population)[1].size
        drawn += _BINARIES_AT_ONCE
    return found >= _LEAST_DETECTABLE_FRACTION * _MOST_DRAWN


def _draw_batch(
    source: Source,
    gps: Floats,
    config: CampaignConfig,
    rng: np.random.Generator,
    population: BinaryPopulation,
) -> tuple[Binaries, NDArray[np.int64]]:
    """Draw binaries at some of these times, and tell which can be detected."""
    batch = draw_binaries(source, rng.choice(gps, _BINARIES_AT_ONCE), rng, population)
    snr = np.linalg.norm(batch.optimal_snr(config), axis=1)
    return batch, np.flatnonzero(snr >= MIN_EXPECTED_SNR)


def draw_detectable(
    source: Source,
    gps: Floats,
    config: CampaignConfig,
    rng: np.random.Generator,
    population: BinaryPopulation,
) -> tuple[Binaries, int]:
    """Draw until each merger time has a binary that can be detected, and count those drawn.

    Raises
    ------
    ConfigError
        If hardly any of the class can be detected.
    """
    kept: list[Binaries] = []
    drawn = found = 0
    while found < gps.size:
        batch, detectable = _draw_batch(source, gps, config, rng, population)
        taken = detectable[: gps.size - found]
        found += taken.size
        # Those after the last one that was needed do not count as drawn.
        drawn += int(taken[-1]) + 1 if found == gps.size and taken.size else _BINARIES_AT_ONCE
        kept.append(batch[taken])
        too_few = found < min(_LEAST_DETECTABLE_FRACTION * drawn, gps.size)
        if drawn >= _MOST_DRAWN and too_few:
            raise ConfigError(
                f"simulation: {found} of {drawn} {source} drawn can be detected with "
                f"early_warning_s {config.early_warning_s:g}; leave its bank out of --banks, or "
                "end the signals later"
            )
    if not kept:
        return draw_binaries(source, gps, rng, population), 0
    return _moved(_joined(kept), gps), drawn


def _joined(parts: list[Binaries]) -> Binaries:
    columns = [part.columns() for part in parts]
    joined = {name: np.concatenate([c[name] for c in columns]) for name in columns[0]}
    return Binaries(source=parts[0].source, **joined)


def _moved(binaries: Binaries, gps: Floats) -> Binaries:
    """Give binaries new times, and turn the sky with the Earth: the detectors' responses stay."""
    turn = (gps - binaries.gps) * (2 * np.pi * _SKY_TURNS_PER_DAY / 86_400)
    turned = (binaries.right_ascension + turn) % (2 * np.pi)
    return replace(binaries, gps=gps, right_ascension=turned)
