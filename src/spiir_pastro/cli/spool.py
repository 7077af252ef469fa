"""``spiir-pastro spool``."""

import json
from itertools import islice
from pathlib import Path

import click
import polars as pl

from spiir_pastro.cli.options import FOLDER, setting
from spiir_pastro.cli.output import json_option, print_json, print_table
from spiir_pastro.serve.spool import Record, browse
from spiir_pastro.serve.status_page import utc


@click.command("spool")
@click.argument("folder", type=FOLDER)
@click.option(
    "--model", default="", help="Only what this model answered: its name, or a part of it."
)
@click.option("--event", help="Only this event, by its GraceDB id.")
@click.option("--state", type=click.Choice(["pending", "done"]), help="Only events in this state.")
@setting("--last", type=click.IntRange(1), default=50, help="Number of events, the newest first.")
@json_option("the events, and the files' content,")
def command(
    *, folder: Path, model: str, event: str | None, state: str | None, last: int, as_json: bool
) -> None:
    """List what the alert service answered, what waits, and with which model.

    FOLDER is the settings' spool. The service may run meanwhile.
    """
    matching = (
        record
        for record in browse(folder)
        if model in record.model
        and event in (None, record.event_id)
        and state in (None, record.state)
    )
    rows = [_row(record) for record in islice(matching, last)]
    if as_json:
        print_json(rows)
    elif rows:
        print_table(pl.DataFrame(rows, infer_schema_length=None).drop("content", "properties"))
    else:
        click.echo("no such events")


def _row(record: Record) -> dict[str, object]:
    return {
        "event_id": record.event_id,
        "state": record.state,
        "outcome": record.outcome,
        "read": utc(record.read_at),
        "far_hz": record.far_hz,
        "p_astro": record.p_astro,
        "most_probable": record.source,
        "answer": record.revision + 1,
        "attempts": record.attempts,
        "model": record.model,
        "error": record.error,
        "content": json.loads(record.content),
        "properties": None if record.properties is None else json.loads(record.properties),
    }
