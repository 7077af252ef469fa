"""``spiir-pastro predict``."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import click
import polars as pl

from spiir_pastro.cli.options import FILE
from spiir_pastro.cli.output import print_table
from spiir_pastro.errors import NoTriggersError, TableError
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.io.predictions import as_csv, as_json, predict_read, predict_triggers
from spiir_pastro.io.sources import read_triggers
from spiir_pastro.io.triggers import TriggerRead
from spiir_pastro.models.pastro import PastroModel

__all__ = ["command"]

_ENDINGS = (".xml", ".xml.gz", ".csv", ".parquet", ".json")
_MOST_ROWS = 200
_TRIGGER_COLUMNS = ("far_hz", "snr", "mchirp_det", "mass1_det", "mass2_det", "ifos")


@click.command("predict")
@click.argument(
    "files",
    type=click.Path(path_type=Path, exists=True),
    nargs=-1,
    required=True,
    metavar="FILE|DIR...",
)
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

    FILE is a coinc.xml, a zerolag .xml(.gz), a trigger .csv or .parquet, or an alert .json. Of a
    DIR, all such files below it that hold triggers are taken, by name. A row comes out for each row
    that went in, in the same order; where nothing can be said (no FAR assigned), the row says why.

    The table, for people, begins with the most probable signal and shows what each was judged by.
    """
    pastro = load_model(model).model
    reads = list(_reads(files))
    if style == "table" and output is None:
        _print(reads, pastro)
        return
    predictions = pl.concat([predict_read(pastro, read) for read in reads])
    text = as_json(predictions) if style == "json" else as_csv(predictions)
    if output is None:
        click.echo(text.rstrip("\n"))
    else:
        write_atomically(output, text.rstrip("\n").encode() + b"\n")


def _reads(paths: Iterable[Path]) -> Iterator[TriggerRead]:
    """Read files, and of directories those that hold triggers."""
    for path in paths:
        if not path.is_dir():
            yield read_triggers(path)
            continue
        below = sorted(p for p in path.rglob("*") if p.is_file() and p.name.endswith(_ENDINGS))
        read, reasons = [], []
        for file in below:
            try:
                read.append(read_triggers(file))
            except NoTriggersError as exc:  # segments and statistics lie beside triggers
                reasons.append(str(exc))
        if not read:
            why = f": {reasons[0]}" if reasons else f", none ends in {', '.join(_ENDINGS)}"
            raise TableError(f"{path} holds no file of triggers{why}")
        for reason in reasons:
            click.echo(f"left out: {reason}", err=True)
        yield from read


def _print(reads: Iterable[TriggerRead], pastro: PastroModel) -> None:
    """Print the triggers, the most probable signals first, beside what they were judged by."""
    parts = []
    for read in reads:
        said = predict_triggers(pastro, read.triggers).drop("event_id")
        known = [name for name in _TRIGGER_COLUMNS if name in read.triggers.columns]
        parts.append(pl.concat([read.triggers.select("event_id", *known), said], how="horizontal"))
        parts.append(read.rejects.select("event_id", note="rule"))
    table = pl.concat(parts, how="diagonal").sort("p_astro", descending=True, nulls_last=True)
    first = ["event_id", "p_astro", "p_astro_low", "p_astro_high"]
    print_table(table.select(*first, pl.exclude(first)).head(_MOST_ROWS))
    if table.height > _MOST_ROWS:
        click.echo(f"and {table.height - _MOST_ROWS} more; --format csv gives all", err=True)
