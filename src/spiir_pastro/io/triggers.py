"""Trigger tables of every dialect, read into one: the canonical trigger table.

``event_id``, ``gps_ns``, ``ifos``, ``far_hz``, ``snr``, ``mchirp_det`` and for each detector
``eff_distance_mpc_<IFO>``; what each holds stands in `spiir_pastro.domain.columns.MEANINGS`.
Further columns of the source (``mass1_det``, ``combined_chisq``, ...) ride along where they are
known. SPIIR writes 0 for "no FAR yet", "no such detector" and "no distance": all become null.
A row that cannot be a trigger goes to the rejects with the rule it broke.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl

from spiir_pastro.domain import DETECTORS, Candidates, join_ifos
from spiir_pastro.errors import TableError, TriggerError

__all__ = [
    "TRIGGER_UNITS",
    "TriggerRead",
    "from_coinc",
    "from_csv",
    "from_postcoh",
    "to_candidates",
]

EFF_DISTANCES = tuple(f"eff_distance_mpc_{ifo}" for ifo in DETECTORS)

TRIGGER_UNITS: Mapping[str, str] = {
    "event_id": "",
    "gps_ns": "ns (GPS)",
    "ifos": "",
    "far_hz": "Hz",
    "snr": "",
    "mchirp_det": "Msun",
    **dict.fromkeys(EFF_DISTANCES, "Mpc"),
    "mass1_det": "Msun",
    "mass2_det": "Msun",
    "spin1z": "",
    "spin2z": "",
    "combined_chisq": "",
    "bank_id": "",
    "template_id": "",
}
"""Canonical columns in their order, with their units; those after the distances are optional."""

_REQUIRED = {
    "event_id": "graceid or event_id",
    "gps_ns": "end_time (GPS seconds, with end_time_ns if they are whole) or gps_ns",
    "ifos": "ifos",
    "far_hz": "far or far_hz (Hz)",
    "snr": "snr or cohsnr",
    "mchirp_det": "mchirp or mchirp_det (solar masses, in the detectors' frame)",
}
"""What must be there, and the names under which a table may have it."""

_FROM_POSTCOH = {
    "far": "far_hz",
    "cohsnr": "snr",
    "mchirp": "mchirp_det",
    **{f"deff_{ifo}": f"eff_distance_mpc_{ifo}" for ifo in DETECTORS},
    "mass1": "mass1_det",
    "mass2": "mass2_det",
    "cmbchisq": "combined_chisq",
    "bankid": "bank_id",
    "tmplt_idx": "template_id",
}
_FROM_CSV = {
    "graceid": "event_id",
    "far": "far_hz",
    "cohsnr": "snr",
    "mchirp": "mchirp_det",
    "mass1": "mass1_det",
    "mass2": "mass2_det",
}
_CSV_DISTANCE = re.compile(
    r"(?:eff_?dist(?:ance)?|deff)(?:_mpc)?_([HLVK])1?(?:_mpc)?", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class TriggerRead:
    """What a source held: triggers in its own order, and the rows that are none.

    Attributes
    ----------
    triggers
        The canonical trigger table.
    rejects
        Columns ``row`` (0-based position in the source), ``event_id`` and ``rule``.
    """

    triggers: pl.DataFrame
    rejects: pl.DataFrame


def from_postcoh(postcoh: pl.DataFrame) -> TriggerRead:
    """Read a ``postcoh`` table as :func:`spiir_pastro.read_table` returns it."""
    table = postcoh.rename({a: b for a, b in _FROM_POSTCOH.items() if a in postcoh.columns})
    return _canonical(table)


def from_csv(table: pl.DataFrame) -> TriggerRead:
    """Read a trigger CSV or Parquet: GraceDB's names or the canonical ones.

    Effective distances may be called ``eff_distance_H1``, ``eff_distance_mpc_H1``, ``deff_H1``
    and the like.
    """
    names = {a: b for a, b in _FROM_CSV.items() if a in table.columns and b not in table.columns}
    for name in table.columns:
        if match := _CSV_DISTANCE.fullmatch(name):
            names[name] = f"eff_distance_mpc_{match[1].upper()}1"
    return _canonical(table.rename(names))


def from_coinc(tables: Mapping[str, pl.DataFrame], *, event_id: str) -> TriggerRead:
    """Read a single candidate's ``coinc.xml`` the way GraceDB does.

    Time, FAR, SNR and chirp mass come from ``coinc_inspiral``, effective distances from
    ``sngl_inspiral``, so that the file and its alert give the same numbers.
    """
    coinc, singles = tables["coinc_inspiral"], tables["sngl_inspiral"]
    if coinc.height != 1:
        raise TableError(
            f"{event_id}: coinc_inspiral has {coinc.height} rows; a candidate's file has one"
        )
    distances = dict(zip(singles["ifo"], singles["eff_distance"], strict=True))
    return _canonical(
        coinc.select(
            pl.lit(event_id).alias("event_id"),
            "end_time",
            "end_time_ns",
            "ifos",
            pl.col("combined_far").alias("far_hz"),
            "snr",
            pl.col("mchirp").alias("mchirp_det"),
            *(
                pl.lit(distances.get(ifo), pl.Float64).alias(f"eff_distance_mpc_{ifo}")
                for ifo in DETECTORS
            ),
        )
    )


def to_candidates(triggers: pl.DataFrame) -> Candidates:
    """Hand a canonical trigger table to the mathematics; null becomes NaN."""

    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return triggers[name].cast(pl.Float64).fill_null(np.nan).to_numpy()

    return Candidates(
        far_hz=column("far_hz"),
        snr=column("snr"),
        mchirp_det=column("mchirp_det"),
        eff_distance_mpc=np.stack([column(name) for name in EFF_DISTANCES], axis=1),
    )


def _canonical(table: pl.DataFrame) -> TriggerRead:
    """Bring a table with canonical names to canonical values, and set aside what cannot be."""
    table = _with_time(table)
    for name, accepted in _REQUIRED.items():
        if name not in table.columns:
            raise TableError(
                f"a trigger table needs a column {accepted}; this one has "
                f"{', '.join(table.columns)}: rename the one that is meant"
            )
    absent = [pl.lit(None, pl.Float64).alias(n) for n in EFF_DISTANCES if n not in table.columns]
    optional = [
        n for n in TRIGGER_UNITS if n in table.columns and n not in (*_REQUIRED, *EFF_DISTANCES)
    ]
    numbers = ("far_hz", "snr", "mchirp_det", *EFF_DISTANCES)
    table = table.with_columns(absent).select(
        pl.col("event_id").cast(pl.String),
        pl.col("gps_ns"),
        _ifos(table["ifos"]).alias("ifos"),
        *(_null_if_zero(name) for name in numbers),
        *optional,
    )
    rule = pl.coalesce(
        pl.when(pl.col("gps_ns").is_null()).then(pl.lit("gps_ns: no time")),
        pl.when(pl.col("ifos").is_null()).then(pl.lit("ifos: no list of detectors")),
        *(
            pl.when(~(pl.col(name).is_finite() & (pl.col(name) > 0))).then(
                pl.format("{}: {} is not finite and positive", pl.lit(name), name)
            )
            for name in numbers
        ),
    ).alias("rule")
    judged = table.with_row_index("row").with_columns(rule)
    return TriggerRead(
        triggers=judged.filter(pl.col("rule").is_null()).drop("row", "rule"),
        rejects=judged.filter(pl.col("rule").is_not_null()).select("row", "event_id", "rule"),
    )


def _with_time(table: pl.DataFrame) -> pl.DataFrame:
    """Join seconds and nanoseconds into one integer; alone, seconds may have a fraction."""
    if "gps_ns" in table.columns or "end_time" not in table.columns:
        return table
    whole = pl.col("end_time").cast(pl.Int64)
    if "end_time_ns" in table.columns:
        nanoseconds = pl.col("end_time_ns").cast(pl.Int64)
    else:
        nanoseconds = ((pl.col("end_time") - whole) * 1e9).round().cast(pl.Int64)
    return table.with_columns(gps_ns=whole * 1_000_000_000 + nanoseconds)


def _ifos(column: pl.Series) -> pl.Series:
    """Write each distinct set of detectors canonically; what is none becomes null."""
    canonical: dict[str, str | None] = {}
    for text in column.drop_nulls().unique():
        try:
            canonical[text] = join_ifos([text])
        except TriggerError:
            canonical[text] = None
    return column.replace_strict(canonical, default=None, return_dtype=pl.String)


def _null_if_zero(name: str) -> pl.Expr:
    """Read SPIIR's 0 as what it means, "none", and single precision as the decimals written."""
    value = pl.col(name).cast(pl.Float64)
    return pl.when(value != 0).then(value).alias(name)
