"""Known mergers: the published facts of the GWTC catalogues, or a table of one's own.

The committed table holds GWTC-1 (arXiv:1811.12907), GWTC-2.1 (arXiv:2108.01045), GWTC-3
(arXiv:2111.03606) and the first part of GWTC-4.0 (arXiv:2508.18082; without FAR and p_astro), as
GWOSC's event tables give them. A table of one's own may be a download of GWOSC's event portal, CSV
or JSON (gwosc.org/eventapi/csv/GWTC, gwosc.org/eventapi/json/allevents): its names of columns are
known, and of an event's versions the last one counts.
"""

import json
from importlib.resources import files
from pathlib import Path

import polars as pl
from polars.exceptions import PolarsError

from spiir_pastro.domain import MassBoundaries
from spiir_pastro.errors import TableError
from spiir_pastro.models.mass_plane import class_of_masses

_SCHEMA = {
    "name": pl.String,
    "gps": pl.Float64,
    "catalogue": pl.String,
    "status": pl.String,
    "snr": pl.Float64,
    "p_astro": pl.Float64,
    "mass1_source": pl.Float64,
    "mass2_source": pl.Float64,
    "mchirp_det": pl.Float64,
    "distance_mpc": pl.Float64,
    "redshift": pl.Float64,
}
_ALIASES = {
    "chirp_mass_det": "mchirp_det",
    "luminosity_distance": "distance_mpc",
    "commonName": "name",
    "GPS": "gps",
    "catalog.shortName": "catalogue",
    "network_matched_filter_snr": "snr",
    "mass_1_source": "mass1_source",
    "mass_2_source": "mass2_source",
    "chirp_mass": "mchirp_det",
}
"""Names of columns in GWOSC's downloads, and in tables made of them."""

_REDSHIFTED = ("chirp_mass_source", "redshift")


def read_known_events(
    path: Path | None = None, *, boundaries: MassBoundaries | None = None
) -> pl.DataFrame:
    """Read known mergers from a CSV, or the committed GWTC table.

    Parameters
    ----------
    path
        A CSV with ``name`` and ``gps`` (seconds), and whatever else of the table's columns is
        known, or GWOSC's own CSV or JSON. None for the committed table.
    boundaries
        Where neutron stars end, to name each event's class from its median source masses.

    Returns
    -------
    polars.DataFrame
        Sorted by time: name, gps, gps_ns, catalogue, status, snr, p_astro, mass1_source,
        mass2_source (solar masses), mchirp_det (solar masses), distance_mpc, redshift,
        source_class (null without masses) and is_known: p_astro of at least one half, or, where
        none is published, not listed as marginal or auxiliary.

    Raises
    ------
    TableError
        If the file cannot be read, lacks ``name`` or ``gps``, or a cell is no number.
    """
    source = path if path is not None else files("spiir_pastro.io").joinpath("data/gwtc.csv")
    try:
        content = source.read_bytes()
        is_json = content.lstrip()[:1] == b"{"
        table = _events_of(content) if is_json else pl.read_csv(content, infer_schema_length=None)
    except (OSError, LookupError, ValueError, TypeError, AttributeError, PolarsError) as exc:
        raise TableError(f"{source}: no table of known events: {exc}") from exc
    given = _canonical(table, source)
    table = given.select(pl.col(n).cast(t, strict=False) for n, t in _SCHEMA.items())
    for name in _SCHEMA:
        empty = table[name].is_null()
        wrong = empty if name in ("name", "gps") else empty & given[name].is_not_null()
        for row in wrong.arg_true().head(1):
            what = "missing" if given[name][row] is None else f"{given[name][row]!r}, not a number"
            where = f"event {row + 1}" if is_json else f"line {row + 2}"
            raise TableError(f"{source}, {where}: {name} is {what}")
    table = _last_versions(table, given)
    listed = pl.concat_str("catalogue", "status", ignore_nulls=True)
    marginal = listed.str.contains("marginal|auxiliary")
    mass1, mass2 = (table[f"mass{k}_source"].to_numpy() for k in (1, 2))
    classes = class_of_masses(mass1, mass2, boundaries or MassBoundaries())
    return table.with_columns(
        gps_ns=(pl.col("gps") * 1e6).round().cast(pl.Int64) * 1000,
        source_class=pl.Series(classes, dtype=pl.String),
        is_known=pl.coalesce(pl.col("p_astro") >= 0.5, ~marginal),
    ).sort("gps_ns", "name")


def _events_of(content: bytes) -> pl.DataFrame:
    """Read the events of GWOSC's JSON: an object by name and version."""
    events = json.loads(content)["events"]
    rows = [
        {k: v for k, v in event.items() if not isinstance(v, dict)} for event in events.values()
    ]
    return pl.DataFrame(rows, infer_schema_length=None, strict=False)


def _canonical(table: pl.DataFrame, source: object) -> pl.DataFrame:
    """Give columns their names, those that are absent too, and the version, if there is one."""
    own = {a: b for a, b in _ALIASES.items() if a in table.columns and b not in table.columns}
    table = table.rename(own)
    for name in ("name", "gps"):
        if name not in table.columns:
            raise TableError(
                f"{source}: a table of known events needs columns name and gps, or GWOSC's "
                f"commonName and GPS; {name} is absent"
            )
    if {*_REDSHIFTED} <= {*table.columns}:
        mass, z = (pl.col(name).cast(pl.Float64, strict=False) for name in _REDSHIFTED)
        given = pl.col("mchirp_det") if "mchirp_det" in table.columns else pl.lit(None)
        table = table.with_columns(mchirp_det=pl.coalesce(given, mass * (1 + z)))
    wanted = {**_SCHEMA, "version": pl.Int64}
    absent = [pl.lit(None, t).alias(n) for n, t in wanted.items() if n not in table.columns]
    return table.with_columns(absent).select(*wanted)


def _last_versions(table: pl.DataFrame, given: pl.DataFrame) -> pl.DataFrame:
    """Keep the last version of each event; all rows where there are no versions."""
    version = given["version"].cast(pl.Int64, strict=False)
    if version.null_count() == version.len():
        return table
    return (
        table.with_columns(version=version)
        .sort("version", nulls_last=False, maintain_order=True)
        .unique("name", keep="last", maintain_order=True)
        .drop("version")
    )
