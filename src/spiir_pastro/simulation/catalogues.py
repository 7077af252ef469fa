"""The true signals of a campaign: injections as a table, real mergers as a catalogue."""

import numpy as np
import polars as pl

from spiir_pastro.models.early_warning import SOLAR_MASS_S
from spiir_pastro.models.mass_plane import chirp_mass
from spiir_pastro.simulation.campaign import Campaign
from spiir_pastro.simulation.config import NETWORK
from spiir_pastro.simulation.network import greenwich_angle
from spiir_pastro.simulation.triggers import Signals

_F_LOWER_HZ = 15.0
_LEAST_CATALOGUE_SNR = 8.0


def injection_frame(signals: Signals) -> pl.DataFrame:
    """Return the rows of a ``sim_inspiral`` table; masses are detector-frame, as injected."""
    b = signals.binaries
    n, shift = len(b), 1 + b.redshift
    distance = b.eff_distance_mpc()
    geocentre = (b.gps * 1e9).astype(np.int64)
    times = {"geocent": geocentre} | {
        ifo[0].lower(): signals.arrival_ns[:, d] for d, ifo in enumerate(NETWORK)
    }
    mtotal = (b.mass1 + b.mass2) * shift
    return pl.DataFrame(
        {
            "process_id": np.zeros(n, dtype=np.int64),
            "simulation_id": signals.numbers,
            **{f"{name}_end_time": t // 10**9 for name, t in times.items()},
            **{f"{name}_end_time_ns": t % 10**9 for name, t in times.items()},
            "end_time_gmst": greenwich_angle(b.gps),
            "mass1": b.mass1 * shift,
            "mass2": b.mass2 * shift,
            "mchirp": b.mchirp_det,
            "eta": b.mass1 * b.mass2 / (b.mass1 + b.mass2) ** 2,
            "distance": b.distance_mpc,
            "longitude": b.right_ascension,
            "latitude": b.declination,
            "inclination": b.inclination,
            "coa_phase": b.coa_phase,
            "polarization": b.polarization,
            "spin1z": b.spin1z,
            "spin2z": b.spin2z,
            "f_final": 1 / (6**1.5 * np.pi * mtotal * SOLAR_MASS_S),
            **{f"eff_dist_{ifo[0].lower()}": distance[:, d] for d, ifo in enumerate(NETWORK)},
        }
    ).with_columns(
        waveform=pl.lit("simulated"),
        source=pl.lit(""),
        numrel_data=pl.lit(""),
        taper=pl.lit("TAPER_NONE"),
        f_lower=pl.lit(_F_LOWER_HZ),
        **{name: pl.lit(0) for name in _ZERO_IN_SIM_INSPIRAL},
    )


_ZERO_IN_SIM_INSPIRAL = (
    "spin1x",
    "spin1y",
    "spin2x",
    "spin2y",
    "numrel_mode_min",
    "numrel_mode_max",
    "amp_order",
    "bandpass",
)


def merger_frame(campaign: Campaign) -> pl.DataFrame:
    """Return the real mergers that a catalogue would list, by time, plus their number.

    Those that an offline search of the same strain finds: while enough detectors were on, with a
    network SNR of `_LEAST_CATALOGUE_SNR` or more in the best template, noise included, however
    small the SNR in one of the detectors is.
    """
    parts = []
    for source, signals in campaign.mergers.items():
        b = signals.binaries
        single = np.where(signals.on, np.abs(signals.optimal + signals.noise), 0)
        snr = np.linalg.norm(single, axis=1)
        enough = signals.on.sum(axis=1) >= campaign.config.detectors_needed
        parts.append(
            pl.DataFrame(
                {
                    "name": [f"SIM{number:05d}" for number in signals.numbers],
                    "gps": b.gps,
                    "snr": snr,
                    "p_astro": np.ones(len(b)),
                    "mass1_source": b.mass1,
                    "mass2_source": b.mass2,
                    "chirp_mass_source": chirp_mass(b.mass1, b.mass2),
                    "chirp_mass_det": b.mchirp_det,
                    "luminosity_distance": b.distance_mpc,
                    "redshift": b.redshift,
                    "class_by_median_mass": [str(source)] * len(b),
                    "merger_id": signals.numbers,
                },
                schema_overrides={"name": pl.String, "class_by_median_mass": pl.String},
            ).filter(pl.Series(enough & (snr >= _LEAST_CATALOGUE_SNR)))
        )
    return pl.concat(parts).sort("gps")
