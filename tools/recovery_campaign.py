"""A campaign of injections: what a matched-filter search recovers of binaries over the mass plane.

::

    OMP_NUM_THREADS=1 python tools/recovery_campaign.py --events 2400 --seed 1 OUT.csv

Each event is an IMRPhenomD signal in Gaussian noise coloured as in O3 (LIGO-T1800545, scaled to
O3a's BNS ranges of 108, 135 and 45 Mpc), filtered from 20 to 1024 Hz with the templates near it in
a bank like SPIIR's (`template_bank.py`). The template with the loudest network SNR is the one
recovered, as SPIIR's clustering over banks has it. An event counts if two detectors have SNR 4 and
the network 8.

Masses are in the detectors' frame: primary log-uniform from 1 to 150 solar masses, secondary half
log-uniform between 1 and the primary, half uniform in the mass ratio. Spins lie along the orbit:
products of two uniforms of up to 0.8 for black holes (above 3), uniform to 0.05 for neutron stars.
Direction, orientation and distance are those of sources uniform in volume.

Chi-square is that of the SNR series against the template's autocorrelation over +-85 ms (Messick et
al. 2017, arXiv:1604.04324, Eq. 12), one for a signal in Gaussian noise and a perfect template.

An event depends on the seed and its number only, and rows are written as they come: a campaign that
was stopped goes on where it was. ``--whole-bank 50`` filters the first 50 events with every
template and prints how many of them recover a louder one, and how much louder.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import lal
import lalsimulation
import numpy as np
from numpy.typing import NDArray

from template_bank import Bank, build_bank, chirp_coordinates, metric
from waveforms import CURVES, F_LOW_HZ, campaign_grid

Floats = NDArray[np.float64]
Complex = NDArray[np.complex64]

IFOS = ("H1", "L1", "V1")
_BNS_RANGE_MPC = np.array([108.0, 135.0, 45.0])
_DUTY_CYCLE = np.array([0.71, 0.76, 0.76])
_HORIZON_PER_RANGE = 2.2648  # Finn & Chernoff 1993
_LEAST_SNR, _LEAST_NETWORK_SNR, _LEAST_EXPECTED_SNR = 4.0, 8.0, 7.0
_HOPE = 0.7  # SNR that the loudest template may have above the true one
_HEAVIEST, _STAR_MAX = 150.0, 3.0
_NEAR_LIGHT, _NEAR_HEAVY, _FINALISTS = 300, 3000, 100
_LIGHTEST_HEAVY, _HEAVIEST_LIGHT = 2.3, 16.0  # chirp masses between which both kinds are tried
_COARSE_S = np.arange(-32, 33) / 512
_CHECKED = slice(16, 49)  # of them, where the whole bank is tried: +-31 ms
_FINE_HZ, _PIVOT_REACH, _OTHER_REACH = 2048, 12, 10  # samples about the coarse peak, and the pivot
_CHISQ_S = np.arange(-175, 176) / 2048

COLUMNS = (
    "event",
    "ifos",
    *("mass1", "mass2", "spin1z", "spin2z", "snr"),
    *(f"deff_{ifo}" for ifo in IFOS),
    *("rec_mass1", "rec_mass2", "rec_spin1z", "rec_spin2z", "rec_snr", "rec_chisq"),
    *(f"rec_snr_{ifo}" for ifo in IFOS),
    *(f"rec_deff_{ifo}" for ifo in IFOS),
)
"""True values, ``snr`` the optimal network SNR; then the recovered ones. Masses in solar masses,
detector frame; distances in Mpc."""


class Filters:
    """The detectors' spectra and the bank on the campaign's grid."""

    def __init__(self, bank: Bank) -> None:
        self.grid = campaign_grid()
        weights = np.array([self.grid.weight(CURVES["O3", ifo]) for ifo in IFOS])
        star = np.abs(self.grid.strain(1.4, 1.4, 0.0, 0.0))
        horizons = np.linalg.norm(weights * star, axis=1) / 8
        self.weights = weights * (_BNS_RANGE_MPC * _HORIZON_PER_RANGE / horizons)[:, None]
        self.bank = bank
        self.heavy = np.flatnonzero(self.bank.mass2 > _STAR_MAX)
        self.light = np.flatnonzero(self.bank.mass2 <= _STAR_MAX)
        self.coarse = self._turns(_COARSE_S)

    def _turns(self, times_s: Floats) -> Complex:
        turns = np.exp(2j * np.pi * np.outer(self.grid.frequency, times_s))
        return np.asarray(turns, dtype=np.complex64)

    @cached_property
    def heavy_strains(self) -> Complex:
        """Strains of templates of two black holes, times 1e20: few enough to keep."""
        return self.generated(self.heavy)

    def generated(self, numbers: NDArray[np.int64]) -> Complex:
        """Return strains of templates, times 1e20 (for single precision), (n, k)."""
        waves = [1e20 * self.grid.strain(*self.bank.template(n)) for n in numbers]
        return np.array(waves, dtype=np.complex64)

    def near(self, event: "Event") -> tuple[NDArray[np.int64], Complex]:
        """Return the templates near an event by the match metric at its place, and strains."""
        mass1, mass2, spin1z, spin2z = event.truth
        eta = mass1 * mass2 / (mass1 + mass2) ** 2
        mchirp = (mass1 + mass2) * eta**0.6
        tensor, jacobian = metric(self.grid, self.weights[0], mchirp, eta, spin1z, spin2z)
        inverse = np.linalg.inv(jacobian)
        offset = self.bank.coordinates - chirp_coordinates(*(np.array(x) for x in event.truth))
        squared = ((offset @ (inverse.T @ tensor @ inverse)) * offset).sum(axis=1)
        parts, strains = [], []
        if mchirp < _HEAVIEST_LIGHT:
            parts.append(self.light[_smallest(squared[self.light], _NEAR_LIGHT)])
            strains.append(self.generated(parts[0]))
        if mchirp > _LIGHTEST_HEAVY:
            place = _smallest(squared[self.heavy], _NEAR_HEAVY)
            parts.append(self.heavy[place])
            strains.append(self.heavy_strains[place])
        return np.concatenate(parts), np.concatenate(strains)

    def normed(self, strains: Complex, detector: int) -> tuple[Complex, Floats]:
        """Whiten strains for a detector: (n, k) unit vectors, and sigma in Mpc, (n,)."""
        white = strains * (self.weights[detector] * 1e-20 * 1e3).astype(np.float32)
        norm = np.linalg.norm(white, axis=1)
        return white / norm[:, None], norm.astype(np.float64) / 1e3

    def coarse_snr(self, event: "Event", strains: Complex) -> Floats:
        """Largest SNR in the event's loudest detector at times 2 ms apart, (n,)."""
        weight = (self.weights[event.pivot] * 1e-17).astype(np.float32)
        turned = (weight * event.data[event.pivot].conj())[:, None] * self.coarse.conj()
        power = (strains.real**2 + strains.imag**2) @ weight**2
        return np.asarray(np.abs(strains @ turned).max(1) / np.sqrt(power))

    def best(self, event: "Event", numbers: NDArray[np.int64], strains: Complex) -> "Recovered":
        """Filter with a few templates finely and keep the loudest in the network."""
        white, sigma = self.normed(strains, event.pivot)
        product = white.conj() * event.data[event.pivot]
        start = _COARSE_S[np.abs(product @ self.coarse).argmax(1)]
        z, when = np.empty((numbers.size, 3)), np.zeros(numbers.size)
        sigmas, times = np.empty((numbers.size, 3)), np.empty((numbers.size, 3))
        order = [event.pivot, *(d for d in range(3) if d != event.pivot)]
        for place, detector in enumerate(order):
            if place:
                white, sigma = self.normed(strains, detector)
                product = white.conj() * event.data[detector]
            reach = _OTHER_REACH if place else _PIVOT_REACH
            ticks = np.arange(-reach, reach + 1) / _FINE_HZ
            turned = product * self._turns(when if place else start).T
            series = np.abs(turned @ self._turns(ticks))
            peak = series.argmax(1)
            z[:, detector] = series[np.arange(numbers.size), peak]
            times[:, detector] = (when if place else start) + ticks[peak]
            if not place:
                when = times[:, detector]
            sigmas[:, detector] = sigma
        z[:, ~event.on] = 0.0
        winner = int(np.linalg.norm(z, axis=1).argmax())
        return Recovered(
            number=int(numbers[winner]),
            snr=z[winner],
            sigma=sigmas[winner],
            strain=strains[winner],
            times=times[winner],
        )

    def chisq(self, event: "Event", found: "Recovered") -> float:
        """Mean over detectors of the autocorrelation chi-square."""
        turns = self._turns(_CHISQ_S)
        values = []
        for detector in np.flatnonzero(event.on):
            white = self.normed(found.strain[None], detector)[0][0]
            at_peak = white.conj() * event.data[detector]
            at_peak = at_peak * self._turns(found.times[[detector]])[:, 0]
            series, expected = at_peak @ turns, (np.abs(white) ** 2) @ turns
            residual = np.abs(series - at_peak.sum() * expected) ** 2
            values.append(residual.sum() / (2 - 2 * np.abs(expected) ** 2).sum())
        return float(np.mean(values))


def _smallest(values: Floats, count: int) -> NDArray[np.int64]:
    if values.size <= count:
        return np.arange(values.size)
    return np.argpartition(values, count)[:count]


@dataclass(frozen=True, kw_only=True, eq=False)
class Recovered:
    """The winning template: number, strain; SNR, sigma (Mpc) and time of the peak by detector."""

    number: int
    snr: Floats
    sigma: Floats
    strain: Complex
    times: Floats

    @property
    def network_snr(self) -> float:
        """Root of the sum of squares over detectors."""
        return float(np.linalg.norm(self.snr))

    def is_found(self, slack: float = 0.0) -> bool:
        """Say whether it is loud enough, or lacks no more than the slack."""
        enough = (self.snr >= _LEAST_SNR - slack).sum() >= 2
        return bool(enough and self.network_snr >= _LEAST_NETWORK_SNR - slack)


@dataclass(frozen=True, kw_only=True, eq=False)
class Event:
    """A signal in noise: mass1, mass2, spin1z, spin2z; white data by detector; which are on."""

    truth: tuple[float, float, float, float]
    data: Complex
    on: NDArray[np.bool_]
    optimal: Floats
    sigma: Floats

    @property
    def pivot(self) -> int:
        """The detector with the largest optimal SNR."""
        return int(self.optimal.argmax())


def draw_event(filters: Filters, rng: np.random.Generator) -> Event:
    """Draw a binary loud enough to have a chance, and the detectors' data about its merger."""
    truth = _draw_truth(rng)
    on = _draw_on(rng)
    strain = filters.grid.strain(*truth)
    white = filters.weights * strain
    sigma = np.linalg.norm(white, axis=1)
    response = _draw_response(sigma * on, rng) * on
    expected = sigma * np.abs(response)
    network = np.linalg.norm(expected)
    snr = _LEAST_EXPECTED_SNR * rng.random() ** (-1 / 3)  # the volume within grows as its cube
    signal = white * (response * snr / network)[:, None]
    noise = rng.standard_normal((2, *signal.shape))
    return Event(
        truth=truth,
        data=((signal + noise[0] + 1j * noise[1]) * on[:, None]).astype(np.complex64),
        on=on,
        optimal=expected * snr / network,
        sigma=sigma,
    )


def _draw_truth(rng: np.random.Generator) -> tuple[float, float, float, float]:
    mass1 = _HEAVIEST ** rng.random()
    log_uniform, even = mass1 ** rng.random(), mass1 * (1 - rng.random() * (1 - 1 / mass1))
    mass2 = log_uniform if rng.random() < 0.5 else even
    spins = [
        rng.uniform(-0.05, 0.05)
        if mass < _STAR_MAX
        else 0.8 * rng.uniform(-1, 1) * rng.uniform(0, 1)
        for mass in (mass1, mass2)
    ]
    return mass1, mass2, spins[0], spins[1]


def _draw_on(rng: np.random.Generator) -> NDArray[np.bool_]:
    while True:
        on = rng.random(3) < _DUTY_CYCLE
        if on.sum() >= 2:
            return on


def _draw_response(sigma: Floats, rng: np.random.Generator) -> NDArray[np.complex128]:
    """Draw distance over effective distance with a phase, by detector, as loud sources have it."""
    while True:
        right_ascension, polarization, phase = rng.uniform(0, [2 * np.pi, np.pi, 2 * np.pi])
        declination, cos_i = np.arcsin(rng.uniform(-1, 1)), rng.uniform(-1, 1)
        patterns = [
            lal.ComputeDetAMResponse(
                lalsimulation.DetectorPrefixToLALDetector(ifo).response,
                right_ascension,
                declination,
                polarization,
                0.0,
            )
            for ifo in IFOS
        ]
        plus, cross = np.array(patterns).T
        response = (plus * (1 + cos_i**2) / 2 + 1j * cross * cos_i) * np.exp(1j * phase)
        loudness = np.linalg.norm(sigma * np.abs(response)) / np.linalg.norm(sigma)
        if rng.random() < loudness**3:  # volume within which such a source is loud enough
            return np.asarray(response)


def recover(filters: Filters, event: Event) -> Recovered:
    """Filter with the event's neighbourhood.

    The true waveform goes first: what it leaves far below the threshold no template lifts above.
    """
    true = np.array([1e20 * filters.grid.strain(*event.truth)], dtype=np.complex64)
    ideal = filters.best(event, np.array([-1]), true)
    if not ideal.is_found(_HOPE):
        return ideal
    numbers, strains = filters.near(event)
    loudest = np.argsort(-filters.coarse_snr(event, strains), kind="stable")[:_FINALISTS]
    return filters.best(event, numbers[loudest], strains[loudest])


def campaign(filters: Filters, seed: int, numbers: Iterator[int]) -> Iterator[tuple[str, ...]]:
    """Rows of the table; each event is drawn until it is found."""
    for number in numbers:
        rng = np.random.Generator(np.random.PCG64DXSM([seed, number]))
        while True:
            event = draw_event(filters, rng)
            found = recover(filters, event)
            if found.is_found():
                yield _row(filters, number, event, found)
                break


def _row(filters: Filters, number: int, event: Event, found: Recovered) -> tuple[str, ...]:
    def distances(sigma: Floats, snr: Floats) -> list[str]:
        return [f"{s / r:.5g}" if on else "" for s, r, on in zip(sigma, snr, event.on, strict=True)]

    singles = [f"{r:.5g}" if on else "" for r, on in zip(found.snr, event.on, strict=True)]
    return (
        str(number),
        "".join(ifo for ifo, on in zip(IFOS, event.on, strict=True) if on),
        *(f"{x:.6g}" for x in event.truth[:2]),
        *(f"{x:.4g}" for x in event.truth[2:]),
        f"{np.linalg.norm(event.optimal):.5g}",
        *distances(event.sigma, event.optimal),
        *(f"{x:.6g}" for x in filters.bank.template(found.number)[:2]),
        *(f"{x:.4g}" for x in filters.bank.template(found.number)[2:]),
        f"{found.network_snr:.5g}",
        f"{filters.chisq(event, found):.4g}",
        *singles,
        *distances(found.sigma, found.snr),
    )


def check_whole_bank(filters: Filters, seed: int, events: int) -> None:
    """Filter events with every template, and print what the neighbourhood missed."""
    drawn = []
    for number in range(events):
        rng = np.random.Generator(np.random.PCG64DXSM([seed, number]))
        while not (nearby := recover(filters, event := draw_event(filters, rng))).is_found():
            pass
        drawn.append((event, nearby))
    loudness = _whole_bank_snr(filters, [event for event, _ in drawn])
    other, gain = 0, []
    for (event, nearby), snr in zip(drawn, loudness, strict=True):
        numbers = np.argsort(-snr, kind="stable")[:_FINALISTS]
        best = filters.best(event, numbers, filters.generated(numbers))
        gain.append(best.network_snr / nearby.network_snr - 1)
        if gain[-1] > 1e-6:
            other += 1
            near, far = filters.bank.template(nearby.number), filters.bank.template(best.number)
            sys.stdout.write(f"true {event.truth}, near {near}, whole {far}, {gain[-1]:.4f}\n")
    sys.stdout.write(f"{other} of {events} recover a louder template; SNR gain {max(gain):.4f}\n")


def _whole_bank_snr(filters: Filters, events: list[Event]) -> NDArray[np.float32]:
    """Coarse SNR of events with all templates, (events, templates): in batches, events at once."""
    size = len(filters.bank)
    loudness = np.zeros((len(events), size), dtype=np.float32)
    pivots = np.array([event.pivot for event in events])
    coarse = filters.coarse[:, _CHECKED]
    for first in range(0, size, 1000):
        batch = np.arange(first, min(first + 1000, size))
        strains = filters.generated(batch)
        for pivot in np.unique(pivots):
            rows = np.flatnonzero(pivots == pivot)
            weight = (filters.weights[pivot] * 1e-17).astype(np.float32)
            data = weight * np.array([events[row].data[pivot].conj() for row in rows])
            turned = (data[:, :, None] * coarse.conj()).transpose(1, 0, 2)
            series = np.abs(strains @ turned.reshape(weight.size, -1))
            power = (strains.real**2 + strains.imag**2) @ weight**2
            peaks = series.reshape(batch.size, rows.size, -1).max(axis=2)
            loudness[np.ix_(rows, batch)] = (peaks / np.sqrt(power)[:, None]).T
        sys.stderr.write(f"\r{first} of {size} templates")
    return loudness


def kept_bank(path: Path) -> Bank:
    """Return the bank, from a file if it was laid out before: that takes half a minute."""
    if not path.exists():
        bank = build_bank()
        np.save(path, np.stack([bank.mass1, bank.mass2, bank.spin1z, bank.spin2z]))
    return Bank(*np.load(path))


def _whole_rows(table: Path) -> int:
    """Count a table's rows, below zero if its head lacks; a row cut short is cut off."""
    if not table.exists():
        return -2
    lines = [line for line in table.read_text().splitlines(keepends=True) if line.endswith("\n")]
    lines = lines if len(lines) >= 2 else []
    table.write_text("".join(lines))
    return len(lines) - 2


def main(arguments: list[str] | None = None) -> None:
    """Run, resume or check a campaign."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--events", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--whole-bank", type=int, metavar="N", help="only check N events")
    given = parser.parse_args(arguments)
    filters = Filters(kept_bank(given.table.with_suffix(".bank.npy")))
    if given.whole_bank:
        check_whole_bank(filters, given.seed, given.whole_bank)
        return
    done = _whole_rows(given.table)
    with given.table.open("a", newline="") as file:
        if done < 0:
            file.write(
                f"# tools/recovery_campaign.py --events {given.events} --seed {given.seed}; "
                f"lalsimulation {lalsimulation.__version__}, numpy {np.__version__}, "
                f"{len(filters.bank)} templates, from {F_LOW_HZ:g} Hz\n"
            )
            csv.writer(file, lineterminator="\n").writerow(COLUMNS)
        writer = csv.writer(file, lineterminator="\n")
        for row in campaign(filters, given.seed, iter(range(max(done, 0), given.events))):
            writer.writerow(row)
            file.flush()


if __name__ == "__main__":
    main()
