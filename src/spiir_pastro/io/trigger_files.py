"""Read triggers from whatever holds them: coinc.xml, zerolag, trigger CSV or Parquet, alert."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from spiir_pastro.domain import DETECTORS
from spiir_pastro.errors import NoTriggersError, TableError
from spiir_pastro.io.alerts import parse_alert
from spiir_pastro.io.ligolw import read_tables
from spiir_pastro.io.trigger_lines import canonical_row
from spiir_pastro.io.trigger_tables import TriggerRead, from_coinc, from_csv, from_postcoh
from spiir_pastro.models.blocks import BLOCK_ROWS


def read_triggers(path: str | Path) -> TriggerRead:
    """Read the triggers of a file, told apart by its name and tables.

    Parameters
    ----------
    path
        ``.xml`` or ``.xml.gz`` (a candidate's ``coinc.xml``, or a zerolag file with a ``postcoh``
        table), ``.csv``, ``.parquet``, or ``.json`` (an alert).

    Raises
    ------
    TableError
        If the file cannot be read or its name ends in no known format.
    AlertError
        If an alert cannot be understood.
    """
    path = Path(path)
    try:
        match "".join(path.suffixes[-2:]) if path.suffix == ".gz" else path.suffix:
            case ".xml" | ".xml.gz":
                return _read_ligolw(path)
            case ".csv":
                return _from_columns(path, pl.read_csv(path, infer_schema_length=None))
            case ".parquet":
                return _from_columns(path, pl.read_parquet(path))
            case ".json":
                return _read_alert(path)
    except (OSError, pl.exceptions.PolarsError) as exc:
        raise TableError(f"{path}: cannot be read: {exc}") from exc
    raise TableError(
        f"{path}: its name ends in no known format; triggers come as .xml, .xml.gz, .csv, .parquet "
        "or .json"
    )


def trigger_blocks(path: Path, *, rows: int = BLOCK_ROWS) -> Iterator[TriggerRead]:
    """Read the triggers of a file as `read_triggers` does, in blocks, in its order.

    Only CSV and Parquet come in several blocks, each of so many ``rows`` at most.
    """
    if path.suffix not in (".csv", ".parquet"):
        yield read_triggers(path)
        return
    try:
        is_csv = path.suffix == ".csv"
        table = pl.scan_csv(path, infer_schema_length=None) if is_csv else pl.scan_parquet(path)
        empty = True
        for block in table.collect_batches(chunk_size=rows, maintain_order=True):
            empty = False
            yield _from_columns(path, block)
        if empty:
            yield _from_columns(path, table.collect())
    except (OSError, pl.exceptions.PolarsError) as exc:
        raise TableError(f"{path}: cannot be read: {exc}") from exc


def _from_columns(path: Path, table: pl.DataFrame) -> TriggerRead:
    try:
        return from_csv(table)
    except TableError as exc:
        raise TableError(f"{path}: {exc}") from exc


def _read_ligolw(path: Path) -> TriggerRead:
    tables = read_tables(path)
    if "coinc_inspiral" in tables and "sngl_inspiral" in tables:
        return from_coinc(tables, event_id=path.name.split(".xml")[0])
    if "postcoh" in tables:
        return from_postcoh(tables["postcoh"])
    raise NoTriggersError(
        f"{path}: holds no triggers: neither postcoh nor coinc_inspiral is among its tables "
        f"{', '.join(tables)}"
    )


def _read_alert(path: Path) -> TriggerRead:
    trigger = parse_alert(path.read_bytes()).trigger()
    unknown = dict.fromkeys(f"eff_distance_mpc_{ifo}" for ifo in DETECTORS)
    return from_csv(pl.DataFrame([unknown | canonical_row(trigger)]))
