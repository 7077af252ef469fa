"""BAYESTAR on SPIIR's own candidates: the distances that effective distances are fitted to.

A ``coinc.xml`` that carries SNR series and noise spectra is localised as it is; its row has what
SPIIR reported (SNR, effective distance by detector) beside the mean and standard deviation of
BAYESTAR's distance, and is what ``fit --distances`` reads. It takes some twenty seconds an event
and core, so that a table that exists is continued. BAYESTAR is ``ligo.skymap``, the extra
``bayestar``.
"""

import csv
import logging
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spiir_pastro.domain import DETECTORS
from spiir_pastro.errors import PastroError, TableError
from spiir_pastro.io.trigger_files import read_triggers

LOWEST_HZ = 30.0
SERIES_HZ = 1024
"""Rate to which SNR series are decimated: the mean moves by 2 %, and it is three times as fast."""

HEAVIEST_INSPIRAL_MCHIRP_MSUN = 1.74
"""Chirp mass in solar masses, of two neutron stars of 2, up to which the inspiral is all there is
of a waveform in the band."""

COLUMNS = (
    "event",
    "ifos",
    "mchirp_det",
    "snr_net",
    *(f"deff_{ifo}" for ifo in DETECTORS),
    "bayestar_distance_mean",
    "bayestar_distance_std",
)
"""Masses in solar masses, distances in Mpc."""


@dataclass(frozen=True, kw_only=True)
class BayestarSingle:
    """One detector's trigger, in the shape ``ligo.skymap`` asks for."""

    detector: str
    snr: float
    phase: float
    time: Any
    psd: Any
    snr_series: Any
    eff_distance_mpc: float = math.nan


@dataclass(frozen=True, kw_only=True)
class BayestarEvent:
    """A coincidence, in the shape ``ligo.skymap`` asks for."""

    singles: Sequence[BayestarSingle]
    template_args: dict[str, float]


def distances(candidates: Sequence[Path], table: Path) -> Iterator[tuple[Path, str]]:
    """Localise candidates and write a row each; yield each with what was wrong, or "".

    Parameters
    ----------
    candidates
        Files; one whose name is in the table already is passed over.
    table
        CSV file; one that exists is continued.

    Raises
    ------
    TableError
        If the table is not one of these.
    """
    logging.getLogger("BAYESTAR").setLevel(logging.ERROR)  # spectra beyond the waveform's band
    done = _done(table)
    with table.open("a", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if done is None:
            writer.writeheader()
        for path in candidates:
            if path.name in (done or ()):
                continue
            try:
                row = _row(path)
            except PastroError as error:
                yield path, str(error)
                continue
            writer.writerow(row)
            file.flush()
            yield path, ""


def _done(table: Path) -> set[str] | None:
    """Return the events of a table; None if there is no table."""
    if not table.exists() or not table.stat().st_size:
        return None
    with table.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise TableError(
                f"{table}: has columns {', '.join(reader.fieldnames or ())}, not those of a table "
                "of distances; name another file"
            )
        return {row["event"] for row in reader}


def _row(path: Path) -> dict[str, str]:
    triggers = read_triggers(path).triggers
    if triggers.height != 1:
        raise TableError(f"{path}: holds {triggers.height} candidates; give a coinc.xml of one")
    (trigger,) = triggers.to_dicts()
    mean, std = localise_candidate(path, waveform_of(trigger["mchirp_det"]))
    numbers = {
        "mchirp_det": trigger["mchirp_det"],
        "snr_net": trigger["snr"],
        **{f"deff_{ifo}": trigger[f"eff_distance_mpc_{ifo}"] for ifo in DETECTORS},
        "bayestar_distance_mean": mean,
        "bayestar_distance_std": std,
    }
    written = {name: "" if value is None else f"{value:.8g}" for name, value in numbers.items()}
    return {"event": path.name, "ifos": trigger["ifos"], **written}


def waveform_of(mchirp_det: float | None) -> str:
    """Name the template family for a chirp mass; both need no data files beside LALSimulation."""
    light = mchirp_det is not None and mchirp_det <= HEAVIEST_INSPIRAL_MCHIRP_MSUN
    return "TaylorF2" if light else "IMRPhenomD"


def localise_candidate(coinc: Path, waveform: str) -> tuple[float, float]:
    """Localise a candidate whose file carries SNR series and PSDs.

    Parameters
    ----------
    coinc
        A LIGO_LW file such as SPIIR uploads with a candidate.
    waveform
        LALSimulation's name of the template family, such as ``TaylorF2``.

    Returns
    -------
    mean, std
        Of the luminosity distance in Mpc.

    Raises
    ------
    TableError
        If the file lacks them, or BAYESTAR gives it no distance.
    """
    from ligo.skymap.bayestar import localize  # noqa: PLC0415  (an extra)
    from ligo.skymap.io.events.ligolw import LigoLWEventSource  # noqa: PLC0415

    try:
        with coinc.open("rb") as tables, coinc.open("rb") as psds:
            (event,) = LigoLWEventSource(tables, psd_file=psds, coinc_def=None).values()
            singles = [_single(coinc, single) for single in event.singles]
            template = event.template_args
    except (ValueError, KeyError, IndexError, OSError) as exc:
        raise TableError(
            f"{coinc}: carries no SNR series or no noise spectrum that BAYESTAR can read ({exc}); "
            "give a coinc.xml that SPIIR wrote for localisation"
        ) from exc
    event = BayestarEvent(singles=singles, template_args=template)
    sky = localize(event, waveform=waveform, f_low=LOWEST_HZ)
    mean, std = float(sky.meta["distmean"]), float(sky.meta["diststd"])
    if not np.isfinite([mean, std]).all():
        raise TableError(f"{coinc}: BAYESTAR gives it no distance (mean {mean}, std {std})")
    return mean, std


def _single(coinc: Path, single: Any) -> BayestarSingle:  # noqa: ANN401  (ligo.skymap's)
    if single.snr_series is None or single.psd is None:
        what = "SNR series" if single.snr_series is None else "noise spectrum"
        raise TableError(
            f"{coinc}: no {what} of {single.detector}; give a coinc.xml that SPIIR wrote for "
            "localisation"
        )
    return BayestarSingle(
        detector=single.detector,
        snr=single.snr,
        phase=single.phase,
        time=single.time,
        psd=single.psd,
        snr_series=decimated(single.snr_series),
    )


def decimated(series: Any) -> Any:  # noqa: ANN401  (LAL ships no types)
    """Every n-th sample, the middle one among them."""
    import lal  # noqa: PLC0415  (an extra)

    factor = max(round(1 / series.deltaT / SERIES_HZ), 1)
    first = (series.data.length // 2) % factor
    kept = series.data.data[first::factor]
    thin = lal.CreateCOMPLEX8TimeSeries(
        series.name,
        series.epoch + first * series.deltaT,
        0,
        series.deltaT * factor,
        series.sampleUnits,
        kept.size,
    )
    thin.data.data = kept
    return thin
