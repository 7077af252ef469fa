"""A single candidate's file, for whoever answers inside the pipeline or asks about one event.

The same trigger as `spiir_pastro.read_triggers` makes of the file, in a thirtieth of the time,
because a file of 20 kB needs neither data frames nor lanes: expat's tree and two tables of it.
"""

import csv
from pathlib import Path
from xml.etree import ElementTree as ET

from spiir_pastro.domain import DETECTORS, Trigger
from spiir_pastro.errors import PastroError, TableError, TriggerError
from spiir_pastro.io.alerts import parse_alert
from spiir_pastro.io.trigger_lines import trigger_from_row

_LARGEST_BYTES = 2**24
"""A candidate's file has 20 kB; with the SNR series of three detectors near 2 MB."""

_LARGEST_SINGLE_BYTES = 2**22
"""Of what `only_candidate` looks into: longer ones are tables of many, better not parsed twice."""

_NULLS = frozenset({"", "None"})


def only_candidate(path: Path) -> Trigger | None:
    """Read the one candidate of a ``coinc.xml`` or an alert's ``.json``, by the file's name.

    None of any other file, and of one that is not as it should be: the general reader,
    `spiir_pastro.read_triggers`, then says why.
    """
    try:
        if path.stat().st_size > _LARGEST_SINGLE_BYTES:
            return None
        match path.suffix:
            case ".xml":
                return read_candidate(path)
            case ".json":
                return parse_alert(path.read_bytes()).trigger()
    except (OSError, PastroError):
        return None
    return None


def read_candidate(path: str | Path) -> Trigger:
    """Read the one candidate of a file the way GraceDB does.

    TableError if the file cannot be read, is no LIGO_LW, or has not exactly one candidate;
    TriggerError if its values make no trigger.
    """
    path = Path(path)
    try:
        if not path.is_file():
            raise TableError(f"{path}: there is no such file; give a candidate's coinc.xml")
        if path.stat().st_size > _LARGEST_BYTES:
            raise TableError(f"{path}: larger than {_LARGEST_BYTES} bytes; no candidate's file is")
        root = ET.fromstring(path.read_bytes())  # noqa: S314  (expat bounds what entities may grow to)
    except (OSError, ValueError, ET.ParseError) as exc:
        raise TableError(f"{path}: cannot be read: {exc}") from exc
    coincs, singles = (_rows(root, name, path) for name in ("coinc_inspiral", "sngl_inspiral"))
    if len(coincs) != 1:
        raise TableError(
            f"{path}: coinc_inspiral has {len(coincs)} rows; a candidate's file has one"
        )
    (coinc,) = coincs
    row: dict[str, object] = {"event_id": path.name.split(".xml")[0], "ifos": coinc.get("ifos")}
    for name, column in _COLUMNS.items():
        row[name] = _number(coinc.get(column), path, column)
    for single in singles:
        if (ifo := single.get("ifo")) in DETECTORS:
            distance = _number(single.get("eff_distance"), path, "eff_distance")
            row[f"eff_distance_mpc_{ifo}"] = distance
    try:
        return trigger_from_row(row)
    except TriggerError as exc:
        raise TriggerError(f"{path}: {exc}") from exc


_COLUMNS = {
    "end_time": "end_time",
    "end_time_ns": "end_time_ns",
    "far_hz": "combined_far",
    "snr": "snr",
    "mchirp_det": "mchirp",
    "mtotal_det": "mass",
}


def _rows(root: ET.Element, name: str, path: Path) -> list[dict[str, str]]:
    """Return a table's rows, cells as text by column."""
    tables = root.iter("Table")
    named = (t for t in tables if _bare(t.get("Name", "").removesuffix(":table")) == name)
    if (table := next(named, None)) is None:
        raise TableError(f"{path}: holds no table {name}; a candidate's file does")
    columns = [_bare(column.get("Name", "")) for column in table.iter("Column")]
    # A table's rows are one list of cells, which may end with a delimiter; line ends mean nothing.
    text = " ".join((table.findtext("Stream") or "").split("\n")).strip().removesuffix(",")
    if not text:
        return []
    try:
        (line,) = csv.reader([text], escapechar="\\", doublequote=False, skipinitialspace=True)
    except csv.Error as exc:
        raise TableError(f"{path}: {name}: {exc}") from exc
    cells = [cell.strip() for cell in line]
    if not columns or len(cells) % len(columns):
        raise TableError(
            f"{path}: {name} has {len(cells)} cells, which are no rows of {len(columns)} columns"
        )
    return [
        dict(zip(columns, cells[k : k + len(columns)], strict=True))
        for k in range(0, len(cells), len(columns))
    ]


def _bare(name: str) -> str:
    return name.rpartition(":")[2]


def _number(cell: str | None, path: Path, column: str) -> int | float | None:
    if cell is None or cell in _NULLS:
        return None
    try:
        return int(cell) if cell.lstrip("+-").isdigit() else float(cell)
    except ValueError as exc:
        raise TableError(f"{path}: {column}: {cell!r} is no number") from exc
