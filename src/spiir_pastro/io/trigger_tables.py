"""Trigger tables of every dialect, read into one: the canonical trigger table.

``event_id``, ``gps_ns``, ``ifos``, ``far_hz``, ``snr``, ``mchirp_det`` and for each detector
``eff_distance_mpc_<IFO>``; each is an entry of `spiir_pastro.domain.columns.TRIGGER_COLUMNS`.
Further columns of the source (``mass1_det``, ``combined_chisq``, ...) are kept where they are
known. SPIIR writes 0 for "no FAR yet", "no such detector" and "no distance": all become null.
A row that cannot be a trigger goes to the rejects with the rule it broke.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from spiir_pastro.domain import DETECTORS, Candidates, Trigger, join_ifos
from spiir_pastro.domain.columns import TRIGGER_COLUMNS, canonical_trigger_columns
from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import TableError, TriggerError
from spiir_pastro.io.trigger_lines import LATEST_S, canonical_row, trigger_from_row

EFF_DISTANCES = tuple(f"eff_distance_mpc_{ifo}" for ifo in DETECTORS)

TRIGGER_UNITS: Mapping[str, str] = {name: one.unit for name, one in TRIGGER_COLUMNS.items()}

_POLARS_TYPES: Mapping[type, type[pl.DataType]] = {float: pl.Float64, int: pl.Int64, str: pl.String}
TRIGGER_TYPES = {name: _POLARS_TYPES[one.kind] for name, one in TRIGGER_COLUMNS.items()}

_REQUIRED = {
    "event_id": "graceid or event_id",
    "gps_ns": "end_time (GPS seconds, with end_time_ns if they are whole) or gps_ns",
    "ifos": "ifos",
    "far_hz": "far or far_hz (Hz)",
    "snr": "snr or cohsnr",
    "mchirp_det": "mchirp or mchirp_det (solar masses, in the detectors' frame)",
}
"""What must be there, and the names under which a table may have it."""

_POSITIVE = tuple(name for name, one in TRIGGER_COLUMNS.items() if one.zero_is_null)

_TIMES = ("end_time", "end_time_ns")
_FROM_POSTCOH = {one.postcoh: name for name, one in TRIGGER_COLUMNS.items() if one.postcoh}
_SINGLE_SNRS = {ifo: f"snglsnr_{ifo}" for ifo in DETECTORS}

POSTCOH_COLUMNS = frozenset(
    {*TRIGGER_UNITS, *_FROM_POSTCOH, *_TIMES, "cohsnr", *_SINGLE_SNRS.values()}
)
"""The columns of a ``postcoh`` table that `from_postcoh` takes; it reads no other."""

POSTCOH_NEEDED = (
    "event_id", *_TIMES, "ifos", "far", "mchirp", "cohsnr", *_SINGLE_SNRS.values(),
)  # fmt: skip
"""Those without which there is no trigger, or one with another SNR."""

_MASK = "detectors as bits"
_GIVEN = "given "  # begins the names of columns as a source has them


@dataclass(frozen=True, kw_only=True)
class TriggerRead:
    """What a source held: triggers in its own order, and the rows that are none.

    Rejects have the columns ``row`` (0-based position in the source), ``event_id`` and ``rule``.
    """

    triggers: pl.DataFrame
    rejects: pl.DataFrame


def from_postcoh(postcoh: pl.DataFrame) -> TriggerRead:
    """Read a ``postcoh`` table as :func:`spiir_pastro.read_table` returns it.

    The SNR is that of all detectors together; see `_network_snr`.
    """
    table = postcoh.rename({a: b for a, b in _FROM_POSTCOH.items() if a in postcoh.columns})
    if "cohsnr" in table.columns:
        table = table.with_columns(_network_snr(table).alias("snr"))
    return _canonical(table)


def _network_snr(postcoh: pl.DataFrame) -> pl.Series:
    """Take the root of the sum of the squares of the SNRs of the detectors that took part.

    That is what SPIIR writes into ``coinc_inspiral.snr``, so it is what GraceDB and its alerts
    have. ``cohsnr`` is less by what is in the null stream, cohsnr^2 + nullsnr^2 = snr^2, which
    exists for three detectors or more; it stands in where a detector's SNR is not there.
    """
    present = [ifo for ifo, name in _SINGLE_SNRS.items() if name in postcoh.columns]
    if not present:
        return postcoh["cohsnr"]
    sets = postcoh["ifos"].cast(pl.String)
    bits = {ifo: 1 << i for i, ifo in enumerate(DETECTORS)}
    masks = {
        text: sum(bit for ifo, bit in bits.items() if ifo in text)
        for text in sets.drop_nulls().unique()
    }
    # One look at the text of each row: four would cost more than all the rest of a trigger.
    mask = sets.replace_strict(masks, default=None, return_dtype=pl.UInt8).alias(_MASK)
    total = pl.lit(0.0)
    for ifo, bit in bits.items():
        snr = pl.col(_SINGLE_SNRS[ifo]) if ifo in present else pl.lit(None)
        snr = snr.cast(pl.Float64, strict=False)
        total += pl.when(pl.col(_MASK) & bit > 0).then(snr * snr).otherwise(0.0)
    known = total.is_finite() & (total > 0)
    coherent = pl.col("cohsnr").cast(pl.Float64, strict=False)
    snr = pl.when(known).then(total.sqrt()).otherwise(coherent)
    return postcoh.with_columns(mask).select(snr).to_series()


def from_csv(table: pl.DataFrame) -> TriggerRead:
    """Read a trigger CSV or Parquet: GraceDB's names or the canonical ones.

    Effective distances may be called ``eff_distance_H1``, ``eff_distance_mpc_H1``, ``deff_H1``
    and the like.
    """
    names = canonical_trigger_columns(table.columns)
    for name, count in Counter(names.get(n, n) for n in table.columns).items():
        if count > 1:
            raise TableError(f"{count} columns give {name}; keep the one that is meant")
    return _canonical(table.rename(names))


def from_coinc(tables: Mapping[str, pl.DataFrame], *, event_id: str) -> TriggerRead:
    """Read a single candidate's ``coinc.xml`` the way GraceDB does.

    Time, FAR, SNR, chirp and total mass come from ``coinc_inspiral``, effective distances from
    ``sngl_inspiral``, so that the file and its alert give the same numbers.
    """
    coinc, singles = tables["coinc_inspiral"], tables["sngl_inspiral"]
    if coinc.height != 1:
        raise TableError(
            f"{event_id}: coinc_inspiral has {coinc.height} rows; a candidate's file has one"
        )
    # Other writers of a coinc.xml may leave the total mass out; it is then unknown.
    mtotal = pl.col("mass") if "mass" in coinc.columns else pl.lit(None, pl.Float64)
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
            mtotal.alias("mtotal_det"),
            *(
                pl.lit(distances.get(ifo), pl.Float64).alias(f"eff_distance_mpc_{ifo}")
                for ifo in DETECTORS
            ),
        )
    )


def to_candidates(triggers: pl.DataFrame) -> Candidates:
    """Turn a canonical trigger table into arrays; null becomes NaN."""

    def column(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return triggers[name].cast(pl.Float64).fill_null(np.nan).to_numpy()

    return Candidates(
        far_hz=column("far_hz"),
        snr=column("snr"),
        mchirp_det=column("mchirp_det"),
        eff_distance_mpc=np.stack([column(name) for name in EFF_DISTANCES], axis=1),
        mtotal_det=column("mtotal_det"),
        # Canonical names have two letters each.
        n_detectors=(triggers["ifos"].str.len_bytes() / 2).to_numpy(),
    )


def from_trigger_list(triggers: Sequence[Trigger]) -> pl.DataFrame:
    """Make a canonical trigger table of triggers, in their order."""
    names = [*_REQUIRED, *EFF_DISTANCES, "mtotal_det"]
    schema = {name: TRIGGER_TYPES[name] for name in names}
    return pl.DataFrame([canonical_row(trigger) for trigger in triggers], schema=schema)


def to_trigger_list(triggers: pl.DataFrame) -> list[Trigger]:
    """Take the rows of a canonical trigger table one by one."""
    return [trigger_from_row(row) for row in triggers.iter_rows(named=True)]


def _canonical(table: pl.DataFrame) -> TriggerRead:
    """Convert a table with canonical names to canonical values; set aside rows that have none."""
    _require_types(table)
    table = _with_time(table)
    for name, accepted in _REQUIRED.items():
        if name not in table.columns:
            raise TableError(
                f"a trigger table needs a column {accepted}; this one has "
                f"{', '.join(table.columns)}: rename the one that is meant"
            )
    absent = [pl.lit(None, pl.Float64).alias(n) for n in EFF_DISTANCES if n not in table.columns]
    table = _with_total_mass(table.with_columns(absent))
    given = table.select(name for name in TRIGGER_TYPES if name in table.columns)
    values = given.select(
        pl.col(name).cast(TRIGGER_TYPES[name], strict=False) for name in given.columns
    ).with_columns(_ifos(given["ifos"].cast(pl.String)))
    judged = given.select(pl.all().name.prefix(_GIVEN)).hstack(values).with_row_index("row")
    rules = list(_rules(given.columns))
    broken = pl.any_horizontal(condition.fill_null(value=False) for condition, _ in rules)
    bad = judged.select(broken).to_series()
    rule = pl.coalesce(pl.when(condition).then(text) for condition, text in rules).alias("rule")
    zero_to_null = (pl.when(pl.col(name) != 0).then(name).alias(name) for name in _POSITIVE)
    return TriggerRead(
        triggers=(values.filter(~bad) if bad.any() else values).with_columns(zero_to_null),
        rejects=judged.filter(bad).select("row", "event_id", rule),
    )


def _rules(columns: Sequence[str]) -> Iterator[tuple[pl.Expr, pl.Expr]]:
    """Say of each rule which triggers break it, and how that is put."""
    yield pl.col("gps_ns").is_null(), pl.lit("gps_ns: no time")
    yield pl.col("ifos").is_null(), pl.lit("ifos: no list of detectors")
    for name in columns:
        if TRIGGER_TYPES[name] != pl.String:
            given, value = pl.col(_GIVEN + name), pl.col(name)
            rule = pl.format("{}: {} is no number", pl.lit(name), given)
            yield given.is_not_null() & value.is_null(), rule
    for name in _POSITIVE:
        value = pl.col(name)
        rule = pl.format("{}: {} is not finite and positive", pl.lit(name), value)
        yield ~(value.is_finite() & (value >= 0)), rule


def _require_types(table: pl.DataFrame) -> None:
    """Refuse columns that would become text or numbers with another meaning, like dates."""
    types = {**TRIGGER_TYPES, **dict.fromkeys(_TIMES, pl.Int64)}
    for name, dtype in table.schema.items():
        is_text = dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null)
        if name in types and not (dtype.is_numeric() or is_text):
            what = "text" if types[name] == pl.String else "numbers (times are GPS)"
            raise TableError(f"column {name} holds {dtype}; give {what}")


def _with_time(table: pl.DataFrame) -> pl.DataFrame:
    """Join seconds and nanoseconds into one integer; alone, seconds may have a fraction."""
    if "gps_ns" in table.columns or "end_time" not in table.columns:
        return table
    seconds = pl.col("end_time").cast(pl.Float64, strict=False)
    seconds = pl.when(seconds.is_between(0, LATEST_S)).then(seconds)
    whole = seconds.floor()
    if "end_time_ns" in table.columns:
        nanoseconds = pl.col("end_time_ns").cast(pl.Float64, strict=False)
    else:
        nanoseconds = ((seconds - whole) * SECOND_NS).round()
    whole, nanoseconds = (part.cast(pl.Int64, strict=False) for part in (whole, nanoseconds))
    return table.with_columns(gps_ns=whole * SECOND_NS + nanoseconds)


def _with_total_mass(table: pl.DataFrame) -> pl.DataFrame:
    """Add the template's total mass, of its components where these are what is given."""
    if "mtotal_det" in table.columns:
        return table
    components = [name for name in ("mass1_det", "mass2_det") if name in table.columns]
    masses = [pl.col(name).cast(pl.Float64, strict=False) for name in components]
    total = masses[0] + masses[1] if len(masses) == 2 else pl.lit(None, pl.Float64)
    return table.with_columns(total.alias("mtotal_det"))


def _ifos(column: pl.Series) -> pl.Series:
    """Write each distinct set of detectors canonically; what is none becomes null."""
    canonical: dict[str, str | None] = {}
    for text in column.drop_nulls().unique():
        try:
            canonical[text] = join_ifos([text])
        except TriggerError:
            canonical[text] = None
    return column.replace_strict(canonical, default=None, return_dtype=pl.String)
