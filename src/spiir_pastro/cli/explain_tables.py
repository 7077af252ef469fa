"""What ``spiir-pastro explain`` does with tables: one candidate found among many, and its page."""

from pathlib import Path

import polars as pl

from spiir_pastro.errors import TriggerError
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.predictions import as_table
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.models.pastro import Predictions
from spiir_pastro.selection.labelling import label_known


def find(event: str, triggers: Path | None, known_events: Path | None) -> pl.DataFrame:
    """Return the one candidate meant, as a canonical trigger table of one row."""
    path = Path(event) if triggers is None else triggers
    if triggers is None and not path.exists():
        raise TriggerError(
            f"no file {event}; correct its name, or say with --triggers whose id or name it is"
        )
    table = read_triggers(path).triggers
    if triggers is not None:
        by_id = table.filter(pl.col("event_id") == event)
        table = by_id if by_id.height else _of_merger(table, event, read_known_events(known_events))
    if table.height != 1:
        what = f"{path} holds {table.height} candidates"
        what += f" called {event}" if triggers is not None else ""
        raise TriggerError(f"{what}, where one belongs; name it, and its file with --triggers")
    return table


def _of_merger(table: pl.DataFrame, name: str, events: pl.DataFrame) -> pl.DataFrame:
    """Return the most significant candidate of a known merger; none if the name is not known."""
    named = events.filter(pl.col("name") == name)
    if named.is_empty():  # the catalogue may have its time of day, too, as in GW190412_053044
        named = events.filter(pl.col("name").str.starts_with(f"{name}_"))
    if named.height != 1:
        return table.clear()
    near = label_known(table, named).filter(pl.col("known_event").is_not_null())
    if near.is_empty():
        raise TriggerError(
            f"no trigger is within a second of {name}, GPS {named.item(0, 'gps')}; give the "
            "triggers of its time"
        )
    return near.sort("far_hz", nulls_last=True).head(1)


def write_page(
    path: Path, trigger: pl.DataFrame, predictions: Predictions, artifact: ModelArtifact
) -> None:
    """Write a candidate's page."""
    from spiir_pastro.report.page import write_event_page  # noqa: PLC0415  (Plotly)

    said = pl.concat([trigger, as_table(predictions)], how="horizontal")
    write_event_page(path, said, artifact)
