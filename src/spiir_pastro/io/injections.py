"""Injection sets: LIGO_LW ``sim_inspiral`` tables, read into one canonical table.

The masses of a ``sim_inspiral`` table are in the detector's frame, as the waveform needs them.
"""

from collections.abc import Mapping

import polars as pl

from spiir_pastro.domain import DETECTORS
from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import TableError

_NAMES = {
    "simulation_id": "injection_id",
    "mchirp": "mchirp_det",
    "mass1": "mass1_det",
    "mass2": "mass2_det",
    "spin1z": "spin1z",
    "spin2z": "spin2z",
    "distance": "distance_mpc",
    "inclination": "inclination",
    "longitude": "right_ascension",
    "latitude": "declination",
    **{f"eff_dist_{ifo[0].lower()}": f"eff_distance_mpc_{ifo}" for ifo in DETECTORS},
}
_REQUIRED = ("geocent_end_time", "geocent_end_time_ns", "mchirp", "mass1", "mass2", "distance")

INJECTION_UNITS: Mapping[str, str] = {
    "injection_id": "",
    "gps_ns": "ns (GPS)",
    "mchirp_det": "Msun",
    "mass1_det": "Msun",
    "mass2_det": "Msun",
    "spin1z": "",
    "spin2z": "",
    "distance_mpc": "Mpc",
    "inclination": "rad",
    "right_ascension": "rad",
    "declination": "rad",
    **dict.fromkeys((f"eff_distance_mpc_{ifo}" for ifo in DETECTORS), "Mpc"),
}
"""Columns of the canonical injection table in their order, with their units."""


def from_sim_inspiral(table: pl.DataFrame) -> pl.DataFrame:
    """Bring a ``sim_inspiral`` table, as `spiir_pastro.read_table` returns it, to canonical names.

    These are the columns of ``INJECTION_UNITS``, sorted by (gps_ns, injection_id); unknown ones are
    null. ``gps_ns`` is the merger's arrival at the geocentre. Where the ``simulation_id`` do not
    tell injections apart (PyCBC's and LALInference's files repeat them), or there are none, an
    injection is known by its row's number. TableError if a time, mass or distance is missing.
    """
    absent = [name for name in _REQUIRED if name not in table.columns]
    if absent:
        raise TableError(f"sim_inspiral has no column {', '.join(absent)}; give a full table")
    gps_ns = pl.col("geocent_end_time").cast(pl.Int64) * SECOND_NS
    ids = table.get_column("simulation_id", default=pl.Series([None, None]))
    if ids.has_nulls() or ids.is_duplicated().any():
        table = table.drop("simulation_id", strict=False).with_row_index("simulation_id")
    injections = table.select(
        pl.col("simulation_id").cast(pl.Int64).alias("injection_id"),
        (gps_ns + pl.col("geocent_end_time_ns").cast(pl.Int64)).alias("gps_ns"),
        *(
            (pl.col(old) if old in table.columns else pl.lit(None)).cast(pl.Float64).alias(new)
            for old, new in _NAMES.items()
            if old != "simulation_id"
        ),
    ).select(
        pl.when(pl.col(name) != 0).then(name) if name.startswith("eff_distance") else name
        for name in INJECTION_UNITS
    )
    needed = ("injection_id", "gps_ns", "mchirp_det", "mass1_det", "mass2_det", "distance_mpc")
    for name in needed:
        if injections[name].has_nulls():
            row = injections[name].is_null().arg_max()
            raise TableError(f"row {row} of sim_inspiral has no {name}; complete or drop it")
    return injections.sort("gps_ns", "injection_id")
