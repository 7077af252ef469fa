"""A BAYESTAR campaign: inject, find, localise, tabulate.

::

    python tools/bayestar_campaign.py --events 366 --seed 1 OUT.csv

Each event is a signal in Gaussian noise of O3-like spectra, found with a signal-to-noise ratio of
at least 4 in two detectors and 8 in the network, and localised by BAYESTAR (``ligo.skymap``, the
extra ``bayestar``) from its SNR series at 1024 Hz. A row has what a search reports (SNR and
effective distance by detector) beside the mean and standard deviation of BAYESTAR's distance.

Masses are drawn class by class in the detectors' frame; from event 306 on, over what these leave
out of the plane: the mass gap, the lightest and the heaviest. Direction, orientation and distance
are those of sources of uniform density in volume whose expected network SNR is at least 7. An event
depends on the seed and its own number only, so a campaign that was stopped goes on where it was.
"""

import argparse
import csv
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from spiir_pastro.domain import ASTROPHYSICAL, Source, join_ifos
from spiir_pastro.pipeline.localise import LOWEST_HZ, BayestarEvent, BayestarSingle, decimated

__all__ = ["COLUMNS", "campaign", "main"]

_SPECTRA = {  # LALSimulation's noise of O3, and the part of the time a detector is on
    "H1": ("SimNoisePSDaLIGOaLIGOO3LowT1800545", 0.9),
    "L1": ("SimNoisePSDaLIGOaLIGOO3LowT1800545", 0.9),
    "V1": ("SimNoisePSDaLIGOAdVO3LowT1800545", 0.8),
}
_WAVEFORMS = {Source.BNS: "TaylorF2", Source.NSBH: "IMRPhenomD", Source.BBH: "IMRPhenomD"}
_F_HIGH_HZ = 4096
_LEAST_SNR, _LEAST_NETWORK_SNR, _LEAST_EXPECTED_SNR = 4.0, 8.0, 7.0
_BY_CLASS = 306  # events drawn class by class, before the rest of the plane
_STAR_MAX = 3.0
_FIRST_GPS, _DAY = 1_260_000_000, 86_400

COLUMNS = (
    "event",
    "source_class",
    "ifos",
    "mass1",
    "mass2",
    "spin1z",
    "spin2z",
    "mchirp_det",
    "inclination",
    "true_distance",
    "snr_net",
    *(f"snr_{ifo}" for ifo in _SPECTRA),
    *(f"deff_{ifo}" for ifo in _SPECTRA),
    "bayestar_distance_mean",
    "bayestar_distance_std",
)
"""Masses in solar masses, distances in Mpc, the inclination in radians."""

Row = dict[str, str | int | float]
Template = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class _Signal:
    """Where a source is, how it lies and when it merges."""

    ra: float
    dec: float
    psi: float
    inc: float
    distance: float
    gps: float


class _Detector:
    """A place on the Earth and its noise."""

    def __init__(self, ifo: str) -> None:
        import lal  # noqa: PLC0415  (an extra)
        import lalsimulation  # noqa: PLC0415
        from ligo.skymap.bayestar import filter as matched  # noqa: PLC0415

        instrument = lalsimulation.DetectorPrefixToLALDetector(ifo)
        self.ifo, self.response, self.location = ifo, instrument.response, instrument.location
        self.psd = lal.CreateREAL8FrequencySeries("psd", 0, 0, 1.0, lal.SecondUnit, _F_HIGH_HZ + 1)
        getattr(lalsimulation, _SPECTRA[ifo][0])(self.psd, LOWEST_HZ / 2)
        values = self.psd.data.data.copy()
        known = np.flatnonzero(values)  # zero is no noise at all: continue the ends instead
        values[: known[0]], values[known[-1] :] = values[known[0]], values[known[-1]]
        self.psd.data.data = values
        self.noise = matched.InterpolatedPSD(matched.abscissa(self.psd), values)

    def sensitivity(self, signal: _Signal) -> float:
        """Return the expected SNR over that of the same source overhead and face on."""
        import lal  # noqa: PLC0415

        gmst = lal.GreenwichMeanSiderealTime(lal.LIGOTimeGPS(signal.gps))
        plus, cross = lal.ComputeDetAMResponse(
            self.response, signal.ra, signal.dec, signal.psi, gmst
        )
        u = math.cos(signal.inc)
        return math.hypot(plus * (1 + u**2) / 2, cross * u)


def campaign(events: int, seed: int, done: int = 0) -> Iterator[Row]:
    """Rows of the table from event number `done` on; the classes take turns."""
    detectors = [_Detector(ifo) for ifo in _SPECTRA]
    for number in range(done, events):
        source = ASTROPHYSICAL[number % len(ASTROPHYSICAL)] if number < _BY_CLASS else None
        rng = np.random.default_rng([seed, number])
        yield {"event": number, **_find_and_localise(source, detectors, rng)}


def _network_snr(event: BayestarEvent) -> float:
    return math.hypot(*(single.snr for single in event.singles))


def _is_found(event: BayestarEvent) -> bool:
    loud = sum(single.snr >= _LEAST_SNR for single in event.singles)
    return loud >= 2 and _network_snr(event) >= _LEAST_NETWORK_SNR


def _find_and_localise(
    source: Source | None, detectors: Sequence[_Detector], rng: np.random.Generator
) -> Row:
    """Inject signals of one class, or of none that is drawn, until one is found; localise it."""
    from ligo.skymap.bayestar import localize  # noqa: PLC0415

    while True:
        template = _draw_elsewhere(rng) if source is None else _draw_template(source, rng)
        on = [d for d in detectors if rng.random() < _SPECTRA[d.ifo][1]]
        if len(on) < 2:
            continue
        kind = source or _class_of(template)
        signal, event = _inject(template, _WAVEFORMS[kind], on, rng)
        if _is_found(event):
            break
    sky = localize(event, waveform=_WAVEFORMS[kind], f_low=LOWEST_HZ, f_high_truncate=1.0)
    return {
        "source_class": str(kind),
        **template,
        "ifos": join_ifos(single.detector for single in event.singles),
        "mchirp_det": _mchirp(template["mass1"], template["mass2"]),
        "inclination": signal.inc,
        "true_distance": signal.distance,
        "snr_net": _network_snr(event),
        **{f"snr_{single.detector}": single.snr for single in event.singles},
        **{f"deff_{single.detector}": single.eff_distance_mpc for single in event.singles},
        "bayestar_distance_mean": float(sky.meta["distmean"]),
        "bayestar_distance_std": float(sky.meta["diststd"]),
    }


def _draw_template(source: Source, rng: np.random.Generator) -> Template:
    """Detector-frame masses and aligned spins of a class."""
    match source:
        case Source.BNS:
            mass2, mass1 = np.sort(rng.uniform(1.1, 2.4, 2))
            spin1, spin2 = rng.uniform(-0.05, 0.05, 2)
        case Source.NSBH:
            mass1, mass2 = _log_uniform(5, 40, rng), rng.uniform(1.2, 2.4)
            spin1, spin2 = rng.uniform(-0.9, 0.9), rng.uniform(-0.05, 0.05)
        case _:
            mass2, mass1 = np.sort([_log_uniform(6, 80, rng) for _ in range(2)])
            spin1, spin2 = rng.uniform(-0.9, 0.9, 2)
    values = {"mass1": mass1, "mass2": mass2, "spin1z": spin1, "spin2z": spin2}
    return {name: float(value) for name, value in values.items()}


def _draw_elsewhere(rng: np.random.Generator) -> Template:
    """Draw masses log-uniform from 1 to 150, half of them to 8, but not what classes draw from."""
    highest = 8 if rng.random() < 0.5 else 150  # the gap is small beside the heavy
    while True:
        mass2, mass1 = np.sort([_log_uniform(1, highest, rng) for _ in range(2)])
        stars = mass2 > 1.1 and mass1 < 2.4
        mixed = 5 < mass1 < 40 and 1.2 < mass2 < 2.4
        holes = mass2 > 6 and mass1 < 80
        if not (stars or mixed or holes):
            break
    limits = [0.05 if mass < _STAR_MAX else 0.9 for mass in (mass1, mass2)]
    spin1, spin2 = rng.uniform(-1, 1, 2) * limits
    values = {"mass1": mass1, "mass2": mass2, "spin1z": spin1, "spin2z": spin2}
    return {name: float(value) for name, value in values.items()}


def _class_of(template: Template) -> Source:
    """Class of detector-frame masses, with neutron stars up to 3 solar masses."""
    stars = sum(template[name] < _STAR_MAX for name in ("mass1", "mass2"))
    return (Source.BBH, Source.NSBH, Source.BNS)[stars]


def _log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))


def _inject(
    template: Template, waveform: str, detectors: Sequence[_Detector], rng: np.random.Generator
) -> tuple[_Signal, BayestarEvent]:
    """Filter one signal of this template in Gaussian noise."""
    from ligo.skymap.bayestar import filter as matched  # noqa: PLC0415

    whitened = matched.sngl_inspiral_psd(waveform, f_min=LOWEST_HZ, **template)
    horizons = [
        matched.SignalModel(matched.signal_psd_series(whitened, d.noise)).get_horizon_distance()
        for d in detectors
    ]
    signal = _draw_signal(detectors, horizons, rng)
    singles = [_trigger(d, whitened, signal, rng) for d in detectors]
    return signal, BayestarEvent(singles=singles, template_args=template)


def _draw_signal(
    detectors: Sequence[_Detector], horizons: Sequence[float], rng: np.random.Generator
) -> _Signal:
    """Source of uniform density in volume with the least expected SNR or more.

    A direction and orientation in which signals reach r times farther has r³ the sources.
    """
    while True:
        overhead = _Signal(
            ra=rng.uniform(0, 2 * np.pi),
            dec=float(np.arcsin(rng.uniform(-1, 1))),
            psi=rng.uniform(0, 2 * np.pi),
            inc=float(np.arccos(rng.uniform(-1, 1))),
            distance=0.0,
            gps=_FIRST_GPS + rng.uniform(0, _DAY),
        )
        reach = math.hypot(
            *(h * d.sensitivity(overhead) for h, d in zip(horizons, detectors, strict=True))
        )
        if rng.random() < (reach / math.hypot(*horizons)) ** 3:
            distance = reach / _LEAST_EXPECTED_SNR * rng.random() ** (1 / 3)
            return replace(overhead, distance=float(distance))


def _trigger(
    detector: _Detector, whitened: object, signal: _Signal, rng: np.random.Generator
) -> BayestarSingle:
    """SNR series of one detector around its peak, with one draw of the noise."""
    import lal  # noqa: PLC0415
    from ligo.skymap.tool.bayestar_realize_coincs import simulate_snr  # noqa: PLC0415

    np.random.seed(rng.integers(2**32))  # noqa: NPY002  (ligo.skymap draws from the global one)
    epoch = lal.LIGOTimeGPS(signal.gps)
    horizon, snr, phase, time, series = simulate_snr(
        signal.ra,
        signal.dec,
        signal.psi,
        signal.inc,
        signal.distance,
        epoch,
        lal.GreenwichMeanSiderealTime(epoch),
        whitened,
        detector.noise,
        detector.response,
        detector.location,
        measurement_error="gaussian-noise",
    )
    return BayestarSingle(
        detector=detector.ifo,
        snr=float(snr),
        phase=float(phase),
        time=time,
        psd=detector.psd,
        snr_series=decimated(series),
        eff_distance_mpc=float(horizon / snr),
    )


def _mchirp(mass1: float, mass2: float) -> float:
    return math.pow(mass1 * mass2, 0.6) / math.pow(mass1 + mass2, 0.2)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write or continue a campaign's table."""
    parser = argparse.ArgumentParser(description="A BAYESTAR campaign, written event by event.")
    parser.add_argument("--events", type=int, default=366)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("table", type=Path, help="CSV file; one that exists is continued")
    options = parser.parse_args(arguments)
    logging.getLogger("BAYESTAR").setLevel(logging.ERROR)  # spectra beyond the waveform's band
    table: Path = options.table
    done = sum(1 for _ in table.open()) - 1 if table.exists() else -1
    with table.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if done < 0:
            writer.writeheader()
        for row in campaign(options.events, options.seed, max(done, 0)):
            writer.writerow(
                {name: f"{v:.8g}" if isinstance(v, float) else v for name, v in row.items()}
            )
            file.flush()


if __name__ == "__main__":
    main()
