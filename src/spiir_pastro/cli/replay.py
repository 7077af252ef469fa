"""``spiir-pastro replay``."""

from pathlib import Path

import click

from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.cli.options import FILE, NEW_FOLDER, model_option
from spiir_pastro.io.artifact import load_model
from spiir_pastro.serve import startup


@click.command("replay")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@model_option
@click.option(
    "--out",
    type=NEW_FOLDER,
    help="Write the files into this folder's uploads, and a spool beside them.",
)
@click.option("--config", type=FILE, help="Upload where these settings say, through their spool.")
def command(files: tuple[Path, ...], model: Path, out: Path | None, config: Path | None) -> None:
    """Feed recorded alerts through the alert service's own code.

    FILE is an alert as JSON, or a dead letter. Ends with code 3 if an event was not delivered or an
    alert not understood.
    """
    if (out is None) == (config is None):
        raise click.UsageError("give either --out, to write files, or --config, to upload")
    startup.configure_logs()
    counts = startup.replay(files, model, load=load_model, out=out, config=config)
    click.echo(", ".join(f"{state} {count}" for state, count in counts.items()))
    if any(count for state, count in counts.items() if state != "done"):
        raise click.exceptions.Exit(ExitCode.INCOMPLETE)
