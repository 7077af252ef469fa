"""``spiir-pastro backfill``."""

from datetime import UTC, datetime
from pathlib import Path

import click

from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.cli.options import FILE, model_option
from spiir_pastro.io.artifact import load_model
from spiir_pastro.serve import startup

_FORMATS = ["%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"]


@click.command("backfill")
@click.option("--since", type=click.DateTime(_FORMATS), required=True, help="UTC.")
@model_option
@click.option("--config", type=FILE, required=True, help="Settings of the service.")
def command(*, since: datetime, model: Path, config: Path) -> None:
    """Answer events on GraceDB that lack our file, through the service's spool.

    If the service is running, it is asked to search, and does so within seconds. Ends with code 3
    if an event was not delivered.
    """
    startup.configure_logs()
    counts = startup.backfill(since.replace(tzinfo=UTC).timestamp(), model, config, load=load_model)
    if counts is None:
        click.echo("the running service searches; its log says backfill.done")
        return
    click.echo(", ".join(f"{state} {count}" for state, count in counts.items()))
    if counts["pending"]:
        raise click.exceptions.Exit(ExitCode.INCOMPLETE)
