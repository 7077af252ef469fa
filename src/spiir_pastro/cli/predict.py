"""``spiir-pastro predict``."""

from pathlib import Path

import click
import polars as pl

from spiir_pastro.cli.options import FILE
from spiir_pastro.cli.output import print_table
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.io.predictions import as_csv, as_json, predict_read
from spiir_pastro.io.sources import read_triggers

__all__ = ["command"]


@click.command("predict")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="FILE...")
@click.option("--model", type=FILE, required=True, help="Model file that fit wrote.")
@click.option(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    show_default=True,
    help="json is GraceDB's p_astro.json when there is one candidate.",
)
@click.option("--json", "style", flag_value="json", help="The same as --format json.")
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write here, not to stdout."
)
def command(files: tuple[Path, ...], model: Path, style: str, output: Path | None) -> None:
    """Give every trigger its probabilities BNS, NSBH, BBH, Terrestrial.

    FILE is a coinc.xml, a zerolag .xml(.gz), a trigger .csv or .parquet, or an alert .json. A row
    comes out for each row that went in, in the same order; where nothing can be said (no FAR
    assigned), the row says why.
    """
    pastro = load_model(model).model
    predictions = pl.concat([predict_read(pastro, read_triggers(path)) for path in files])
    if style == "table" and output is None:
        print_table(predictions)
        return
    text = as_json(predictions) if style == "json" else as_csv(predictions)
    if output is None:
        click.echo(text.rstrip("\n"))
    else:
        write_atomically(output, text.rstrip("\n").encode() + b"\n")
