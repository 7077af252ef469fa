"""A trigger on a line: a JSON object, named like a row of a trigger CSV.

The columns of :func:`spiir_pastro.io.trigger_tables.from_csv`, without its data frames:
``graceid`` or ``event_id``, ``far`` (Hz), ``snr``, ``mchirp`` or ``mass1`` and ``mass2`` (solar
masses, in the detectors' frame), ``ifos``, ``end_time`` with ``end_time_ns`` or ``gps_ns``, and
effective distances (Mpc) like ``deff_H1``. Only the id may be left out: a trigger that was not
uploaded has none. Other names are ignored; ``null`` and SPIIR's 0 are "unknown".
"""

import math
from collections import Counter
from collections.abc import Mapping

import msgspec

from spiir_pastro.domain import DETECTORS, Trigger, split_ifos
from spiir_pastro.domain.columns import canonical_trigger_columns
from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import TriggerError

MAX_LINE_BYTES = 2**16
"""A row of a trigger CSV with all of its names has one or two thousand."""

LATEST_S = 9.2e9  # later times do not fit into 64 bits of nanoseconds

Row = Mapping[str, object]


def parse_trigger_line(line: bytes) -> Trigger:
    """Read a trigger from a JSON object.

    Raises
    ------
    TriggerError
        If the line is no JSON object (NaN and infinity are no JSON), or no trigger.

    Examples
    --------
    >>> parse_trigger_line(
    ...     b'{"far": 1e-9, "snr": 9.1, "mchirp": 1.2, "ifos": "H1,L1", "end_time": 1264316116.5}'
    ... ).gps_ns
    1264316116500000000
    """
    if len(line) > MAX_LINE_BYTES:
        raise TriggerError(f"a line of {len(line)} bytes; {MAX_LINE_BYTES} is the limit")
    try:
        row = msgspec.json.decode(line, type=dict[str, object])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise TriggerError(f"no JSON object: {exc}; give a trigger's columns by name") from exc
    return trigger_from_row(row)


def format_trigger_line(trigger: Trigger) -> str:
    """Write a trigger as `parse_trigger_line` reads it, to the last digit."""
    return msgspec.json.encode(canonical_row(trigger)).decode()


def canonical_row(trigger: Trigger) -> dict[str, object]:
    """Return a trigger by the names of the canonical trigger table; distances that are known."""
    distances = trigger.eff_distance_mpc.items()
    return {
        "event_id": trigger.event_id,
        "gps_ns": trigger.gps_ns,
        "ifos": "".join(trigger.ifos),
        "far_hz": trigger.far_hz,
        "snr": trigger.snr,
        "mchirp_det": trigger.mchirp_det,
        "mtotal_det": trigger.mtotal_det,
        **{f"eff_distance_mpc_{ifo}": distance for ifo, distance in distances},
    }


def trigger_from_row(row: Row) -> Trigger:
    """Make a trigger of values by the name of their column; TriggerError if they make none."""
    names = canonical_trigger_columns(row)
    for name, count in Counter(names.get(given, given) for given in row).items():
        if count > 1:
            raise TriggerError(f"{count} keys give {name}; keep the one that is meant")
    row = {names.get(given, given): value for given, value in row.items()}
    return Trigger(
        event_id=_text(row, "event_id"),
        gps_ns=_time_ns(row),
        ifos=split_ifos(_text(row, "ifos")),
        far_hz=_positive(row, "far_hz", "far"),
        snr=_positive(row, "snr", "snr"),
        mchirp_det=_chirp_mass(row),
        eff_distance_mpc=_distances(row),
        mtotal_det=_total_mass(row),
    )


def _chirp_mass(row: Row) -> float | None:
    """Take the chirp mass, or make it of both masses."""
    if "mchirp_det" in row or not {"mass1_det", "mass2_det"} <= row.keys():
        return _positive(row, "mchirp_det", "mchirp, or mass1 and mass2")
    mass1 = _positive(row, "mass1_det", "mass1")
    mass2 = _positive(row, "mass2_det", "mass2")
    if mass1 is None or mass2 is None:
        return None
    ratio = min(mass1, mass2) / max(mass1, mass2)  # of masses, so that no power overflows
    chirp_mass: float = max(mass1, mass2) * ratio**0.6 / (1 + ratio) ** 0.2
    return chirp_mass


def _total_mass(row: Row) -> float | None:
    """Take the total mass, or make it of both masses."""
    if "mtotal_det" in row or not {"mass1_det", "mass2_det"} <= row.keys():
        return _positive(row, "mtotal_det", "mass") if "mtotal_det" in row else None
    masses = [_positive(row, f"mass{k}_det", f"mass{k}") for k in (1, 2)]
    return None if None in masses else masses[0] + masses[1]  # type: ignore[operator]


def _time_ns(row: Row) -> int:
    """Join seconds and nanoseconds; alone, seconds may have a fraction."""
    if "gps_ns" in row:
        return int(_number(row, "gps_ns", "gps_ns") or 0)
    seconds = _number(row, "end_time", "end_time (GPS seconds), with end_time_ns, or gps_ns")
    if seconds is None or not 0 <= seconds <= LATEST_S:
        raise TriggerError(f"end_time: {row['end_time']!r} is no GPS time in seconds")
    whole = math.floor(seconds)
    if row.get("end_time_ns") is None:
        return whole * SECOND_NS + round((seconds - whole) * SECOND_NS)
    return whole * SECOND_NS + int(_number(row, "end_time_ns", "end_time_ns") or 0)


def _distances(row: Row) -> dict[str, float]:
    names = {ifo: f"eff_distance_mpc_{ifo}" for ifo in DETECTORS}
    given = {ifo: _positive(row, name, name) for ifo, name in names.items() if name in row}
    return {ifo: distance for ifo, distance in given.items() if distance is not None}


def _positive(row: Row, name: str, called: str) -> float | None:
    """Take a number of which 0 means "none"."""
    return _number(row, name, called) or None


def _number(row: Row, name: str, called: str) -> int | float | None:
    """Take a number that may be null, but must be there: a name mistyped is no null."""
    if name not in row:
        raise TriggerError(f"no {called} among {', '.join(row) or 'no keys'}; give it, or null")
    value = row[name]
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TriggerError(f"{called}: {str(value)[:80]!r} is no number")
    return value


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if value is None and name == "event_id":
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise TriggerError(f"{name}: {str(value)[:80]!r} is no text; give it")
    return str(value)
