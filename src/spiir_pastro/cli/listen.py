"""``spiir-pastro listen``."""

from pathlib import Path

import click

from spiir_pastro.cli.options import FILE, model_option
from spiir_pastro.io.artifact import load_model
from spiir_pastro.serve import startup


@click.command("listen")
@model_option
@click.option("--config", type=FILE, required=True, help="Settings, as in deploy/listen.toml.")
@click.option(
    "--check", is_flag=True, help="Try settings, model, credentials and servers, then end."
)
@click.option(
    "--dry-run", is_flag=True, help="Write files into the spool's dry-run folder, upload nothing."
)
def command(*, model: Path, config: Path, check: bool, dry_run: bool) -> None:
    """Answer SPIIR's IGWN Alerts with their source probabilities on GraceDB.

    Runs until SIGTERM. A new model file in the old one's place is taken up while running; SIGHUP
    does so at once, and tries again what waits.
    """
    if check:
        for line in startup.check(model, config, load=load_model):
            click.echo(line)
        return
    startup.configure_logs()
    startup.listen(model, config, load=load_model, dry_run=dry_run)
