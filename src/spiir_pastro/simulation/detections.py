r"""Triggers before SPIIR writes them: the SNR in each detector, from noise or from a signal.

A trigger is a template, a complex SNR and a chi-square in every detector that is on, and times. All
other columns of a file follow from these (`postcoh_frame`): with z_i the SNR in detector i and n
the part of the SNR that no gravitational wave from the trigger's direction can make,

    coherent SNR^2 = sum |z_i|^2 - n^2,   null SNR = n,   combined chi-square = mean of chi-squares,
    effective distance = sigma(template) / |z_i|,

which real SPIIR rows satisfy to every digit they have (tested).
"""

from dataclasses import dataclass, fields
from functools import cache
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.models.early_warning import heard_fraction, last_frequency_hz
from spiir_pastro.simulation.bank import TemplateGroup, template_duration_s
from spiir_pastro.simulation.config import DETECTORS, CampaignConfig
from spiir_pastro.simulation.network import sigma_mpc
from spiir_pastro.simulation.noise import SINGLE_DETECTOR_NOISE
from spiir_pastro.simulation.ranking import (
    FAR_FACTOR,
    NOISE_CEILING_HZ,
    combined_far_hz,
    stretched_far_hz,
)

Floats = NDArray[np.float64]

NOISE, INJECTION, MERGER = "noise", "injection", "merger"
"""Where a trigger comes from."""

_F_FINAL_HZ = 1024.0
_WINDOWS = {
    "far_1w": 0.0,
    "far_1d": 86_400.0,
    "far_2h": 7200.0,
}  # seconds after the start at which each is known


@dataclass(frozen=True, kw_only=True, eq=False)
class Detections:
    """Arrays of n triggers; the detector axis is the campaign's ``network``."""

    gps_ns: NDArray[np.int64]  # (n, detectors) arrival in each detector, GPS nanoseconds
    on: NDArray[np.bool_]  # (n, detectors) which detectors took part
    # (n, detectors); zero where a detector took no part
    snr: Floats
    coaphase: Floats
    chisq: Floats
    null_snr: Floats  # (n,) SNR in the null stream
    template: NDArray[np.int64]  # (n,) index in the bank group
    # (n,) recovered, in radians
    right_ascension: Floats
    declination: Floats
    # (n,) by which a run's own background stretches ln(FAR/FAR*) of what lies below FAR*; 1 for
    # noise, whose FAR is calibrated
    depth_factor: Floats
    origin: NDArray[np.str_]  # (n,) NOISE, INJECTION or MERGER
    origin_id: NDArray[np.int64]  # (n,) number of the injection or merger; -1 for noise

    def __len__(self) -> int:
        return self.template.size

    def __getitem__(self, rows: slice | NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        return type(self)(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    @classmethod
    def join(cls, *parts: Self) -> Self:
        """Put triggers together, in order of time."""
        joined = cls(
            **{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)}
        )
        return joined[np.argsort(joined.end_ns, kind="stable")]

    @property
    def coherent_snr(self) -> Floats:
        """Coherent SNR, (n,)."""
        return np.asarray(np.sqrt(np.maximum((self.snr**2).sum(axis=1) - self.null_snr**2, 0)))

    @property
    def combined_chisq(self) -> Floats:
        """Mean chi-square of the detectors that took part, (n,)."""
        return np.asarray(self.chisq.sum(axis=1) / self.on.sum(axis=1))

    @property
    def pivot(self) -> NDArray[np.int64]:
        """Index of the detector with the largest SNR, whose time is the trigger's, (n,)."""
        return np.asarray(np.argmax(self.snr, axis=1))

    @property
    def end_ns(self) -> NDArray[np.int64]:
        """Time of the trigger, GPS nanoseconds, (n,)."""
        return np.asarray(np.take_along_axis(self.gps_ns, self.pivot[:, None], axis=1)[:, 0])

    def far_hz(self, group: TemplateGroup) -> Floats:
        """Return the combined FAR in Hz, over all bank groups of a search, (n,)."""
        mtotal = (group.mass1 + group.mass2)[self.template]
        far = combined_far_hz(group.bank, mtotal, self.coherent_snr, self.combined_chisq, self.on)
        return stretched_far_hz(far, self.depth_factor)


def postcoh_frame(
    found: Detections, group: TemplateGroup, config: CampaignConfig, *, first_id: int
) -> pl.DataFrame:
    """Return triggers of a bank group as rows of SPIIR's table, under today's column names.

    The triggers are in the order of their rows, whose ``event_id`` counts up from ``first_id``.
    """
    n, pivot, end_ns = len(found), found.pivot, found.end_ns
    mass1, mass2 = group.mass1[found.template], group.mass2[found.template]
    mchirp, mtotal = np.exp(group.log_mchirp[found.template]), mass1 + mass2
    seconds, nanoseconds = np.divmod(end_ns, 10**9)
    early_s = config.early_warning_s
    reach = config.bns_ranges_mpc, config.observing_run
    sigma = _sigma(group, *reach, early_s)[found.template]
    columns: dict[str, NDArray[np.generic]] = {
        "process_id": np.zeros(n, dtype=np.int64),
        "event_id": first_id + np.arange(n),
        "end_time": seconds,
        "end_time_ns": nanoseconds,
        "cohsnr": found.coherent_snr,
        "cmbchisq": found.combined_chisq,
        "nullsnr": found.null_snr,
        "ra": np.degrees(found.right_ascension),
        "dec": np.degrees(found.declination),
        "livetime": seconds - config.gps_start,
        "ifos": _IFOS_WRITTEN[found.on @ 2 ** np.arange(len(config.network))],
        "pivotal_ifo": np.array(DETECTORS)[pivot],
        "bankid": group.bankid[found.template],
        "tmplt_idx": group.tmplt_idx[found.template],
        "mass1": mass1,
        "mass2": mass2,
        "mchirp": mchirp,
        "mtotal": mtotal,
        "eta": mass1 * mass2 / mtotal**2,
        "spin1z": group.spin1z[found.template],
        "spin2z": group.spin2z[found.template],
        "template_duration": np.maximum(template_duration_s(mchirp) - early_s, 0),
        "f_final": _last_frequency_hz(mchirp, early_s),
        **_detector_columns(found, config.network, sigma, end_ns),
        **_far_columns(found, group, config),
    }
    return pl.DataFrame(columns).with_columns(
        pl.lit("").alias("skymap_fname"),
        pl.lit(None, dtype=pl.Int32).alias("pix_idx"),
        *(pl.lit(0).alias(name) for name in _ALWAYS_ZERO),
    )


@cache
def _sigma(
    group: TemplateGroup, bns_ranges_mpc: tuple[float, ...], run: str, early_s: float
) -> Floats:
    """Return sigma of a group's templates in Mpc, (templates, detectors)."""
    # Of the templates and not of the triggers, of which there are many more.
    masses, spins = (group.mass1, group.mass2), (group.spin1z, group.spin2z)
    snr_fraction = heard_fraction(np.exp(group.log_mchirp), group.mass1 + group.mass2, early_s)
    return sigma_mpc(masses, spins, bns_ranges_mpc, run) * snr_fraction[:, None]


def _last_frequency_hz(mchirp: Floats, early_s: float) -> Floats:
    if early_s == 0:
        return np.full(mchirp.size, _F_FINAL_HZ)
    return np.minimum(last_frequency_hz(mchirp, early_s), _F_FINAL_HZ)


_ALWAYS_ZERO = (
    "is_background",
    "fap",
    "rank",
    "spearman_pval",
    "spin1x",
    "spin1y",
    "spin2x",
    "spin2y",
)
_IFOS_WRITTEN = np.array(
    ["".join(ifo for d, ifo in enumerate(DETECTORS) if code >> d & 1) for code in range(16)]
)


def _detector_columns(
    found: Detections, ifos: tuple[str, ...], sigma: Floats, end_ns: NDArray[np.int64]
) -> dict[str, NDArray[np.generic]]:
    """Return the columns that each detector has."""
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = np.where(found.on, sigma / found.snr, 0.0)
    times = np.where(found.on, found.gps_ns, end_ns[:, None])
    return {
        f"{name}_{ifo}": values[:, d]
        for d, ifo in enumerate(ifos)
        for name, values in (
            ("snglsnr", found.snr),
            ("chisq", found.chisq),
            ("coaphase", found.coaphase),
            ("deff", distance),
            ("end_time_sngl", times // 10**9),
            ("end_time_ns_sngl", times % 10**9),
        )
    }


def _far_columns(
    found: Detections, group: TemplateGroup, config: CampaignConfig
) -> dict[str, NDArray[np.generic]]:
    """Return combined and single-detector FARs over the three background windows.

    SPIIR takes the largest of the three and multiplies it by a factor. Here one of the two longer
    windows holds the calibrated FAR over that factor and the others are smaller, so the largest is
    exact. A window is 0 until the search has run that long, and all are 0 while none is assigned.
    """
    elapsed = found.end_ns / 1e9 - config.gps_start
    rates = {"far": found.far_hz(group)} | {
        f"far_sngl_{ifo}": np.where(
            found.on[:, d],
            SINGLE_DETECTOR_NOISE.far_hz(
                np.where(found.on[:, d], found.snr[:, d], 1.0),
                np.where(found.on[:, d], found.chisq[:, d], 1.0),
                NOISE_CEILING_HZ,
            ),
            0.0,
        )
        for d, ifo in enumerate(config.network)
    }
    day_leads = (_hashed(found.end_ns, 0) < 0.3) & (elapsed >= _WINDOWS["far_1d"])
    columns: dict[str, NDArray[np.generic]] = {}
    for name, rate in rates.items():
        columns[name] = np.where(elapsed >= config.unassigned_s, rate, 0.0)
        for k, (window, known_after) in enumerate(_WINDOWS.items()):
            leads = day_leads if window == "far_1d" else (window == "far_1w") & ~day_leads
            share = np.where(leads, 1.0, _hashed(found.end_ns, 1 + k))
            shown = elapsed >= max(known_after, config.unassigned_s)
            columns[name.replace("far", window, 1)] = np.where(
                shown, rate * share / FAR_FACTOR, 0.0
            )
    return columns


def _hashed(end_ns: NDArray[np.int64], salt: int) -> Floats:
    """Hash times to uniform deviates in [0, 1): the same for a trigger in every run that has it."""
    # Both factors are those of SplitMix64 (Steele, Lea and Flood 2014).
    mixed = (end_ns.astype(np.uint64) + np.uint64(salt)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    return np.asarray((mixed >> np.uint64(11)) * 2.0**-53)
