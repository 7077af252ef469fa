"""``spiir-pastro compare``."""

from pathlib import Path

import click

from spiir_pastro.cli.options import FILE
from spiir_pastro.cli.output import json_option, print_json, print_table
from spiir_pastro.io.artifact import load_model
from spiir_pastro.pipeline.differences import differences

__all__ = ["command"]


@click.command("compare")
@click.argument("first", type=FILE)
@click.argument("second", type=FILE)
@json_option("the rows")
def command(*, first: Path, second: Path, as_json: bool) -> None:
    """List the parameters and provenance in which two models differ.

    How differently they judge candidates is what evaluate --against says.
    """
    found = differences(load_model(first), load_model(second))
    if as_json:
        print_json(found.to_dicts())
    elif found.is_empty():
        click.echo("The models are the same.")
    else:
        print_table(found)
