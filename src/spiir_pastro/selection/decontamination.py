"""Decontamination: signals out of the background, noise out of the foreground.

The background holds real mergers, so it loses every trigger near a known one. An injection run is
the same strain plus signals, so most of its triggers are noise; that noise also stands in the run
without injections over the same data, its twin.

A trigger is the twin's if a trigger of the twin has the same time and the same chirp mass, within
tolerances, and is at least as loud but for a tolerance: a louder one has a signal on top of the
noise and stays. Tolerances, because injections change the estimated noise spectrum a little.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.selection.windows import Ints, is_near, pairs_within

KNOWN_WINDOW_NS = SECOND_NS
"""How near in time to a catalogue's merger a trigger is taken for it."""

TWIN_COLUMNS = ("gps_ns", "mchirp_det", "snr")
"""What has to be known of a twin's triggers."""


@dataclass(frozen=True, kw_only=True)
class TwinTolerance:
    """How alike two triggers of twin runs are that the same noise made."""

    window_ns: int = 10_000_000  # largest distance in time, in nanoseconds
    mchirp: float = 0.01  # largest distance in chirp mass, as a fraction of the twin's
    snr: float = 0.1  # by what fraction of the twin's SNR a trigger may be louder


def split_near(
    triggers: pl.DataFrame, times: Ints, *, window_ns: int = KNOWN_WINDOW_NS
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split triggers into those away from all of the times (GPS nanoseconds), (m,), and those near.

    Near is within the window of one, its ends included.
    """
    near = is_near(triggers["gps_ns"].to_numpy(), times, window_ns=window_ns)
    return triggers.filter(~near), triggers.filter(near)


def remove_twin_noise(
    triggers: pl.DataFrame, twin: pl.DataFrame, *, tolerance: TwinTolerance | None = None
) -> pl.DataFrame:
    """Drop the triggers that stand in the twin run too, no louder.

    Parameters
    ----------
    triggers, twin
        Columns ``gps_ns``, ``mchirp_det``, ``snr``, and any others. A row without chirp mass or
        SNR matches nothing.
    tolerance
        How alike they must be.
    """
    tolerance = tolerance or TwinTolerance()
    twin = twin.select(TWIN_COLUMNS).drop_nulls().sort("gps_ns")
    mchirp, noise_mchirp = triggers["mchirp_det"].to_numpy(), twin["mchirp_det"].to_numpy()
    snr, noise_snr = triggers["snr"].to_numpy(), twin["snr"].to_numpy()
    is_noise = np.zeros(triggers.height, dtype=bool)
    for rows, partners in pairs_within(
        triggers["gps_ns"].to_numpy(), twin["gps_ns"].to_numpy(), window_ns=tolerance.window_ns
    ):
        distance = np.abs(mchirp[rows] - noise_mchirp[partners])
        same = distance <= tolerance.mchirp * noise_mchirp[partners]
        # Louder than the twin by more: a signal on top of that noise.
        no_louder = snr[rows] <= (1 + tolerance.snr) * noise_snr[partners]
        is_noise[rows[same & no_louder]] = True
    return triggers.filter(~is_noise)
