"""``spiir-pastro predict``."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import click
import polars as pl
from rich.console import Console
from rich.progress import Progress, TextColumn

from spiir_pastro.cli.options import FILE
from spiir_pastro.cli.output import print_table
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.atomic import atomic_path
from spiir_pastro.io.predictions import as_json
from spiir_pastro.io.triggers import TriggerRead
from spiir_pastro.pipeline.predict import predict_files

__all__ = ["command"]

_MOST_ROWS_SHOWN = 200
_TRIGGER_COLUMNS = ("far_hz", "snr", "mchirp_det", "mtotal_det", "ifos")


@click.command("predict")
@click.argument(
    "files",
    type=click.Path(path_type=Path, exists=True, readable=True),
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
@click.option(
    "--no-intervals",
    "without_intervals",
    is_flag=True,
    help="Leave p_astro_low and p_astro_high empty, which is three times faster.",
)
@click.option(
    "--properties",
    is_flag=True,
    help="Add HasNS, HasMassGap, HasRemnant and the source-frame chirp mass, if it is a signal.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads; one for each core if not given. The result is the same.",
)
def command(
    *,
    files: tuple[Path, ...],
    model: Path,
    style: str,
    output: Path | None,
    without_intervals: bool,
    properties: bool,
    workers: int | None,
) -> None:
    """Give every trigger its probabilities BNS, NSBH, BBH, Terrestrial.

    FILE is a coinc.xml, a zerolag .xml(.gz), a trigger .csv or .parquet, or an alert .json; of a
    DIR, all such files below it that hold triggers are taken, by name. CSV and JSON have a row for
    each row that went in, in the same order; where nothing can be said (no FAR assigned), the row
    says why.

    The table, for people, begins with the most probable signal and shows what each was judged by.
    """
    pastro = load_model(model).model
    blocks = predict_files(
        pastro,
        files,
        left_out=_say,
        intervals=not without_intervals,
        properties=properties,
        workers=workers,
    )
    if style == "table" and output is None:
        _print(blocks)
        return
    with _opened(output) as out:
        if style == "json":
            out.write(as_json(pl.concat([said for _, said in blocks])).encode() + b"\n")
        else:
            _write_csv(blocks, out, rows=_rows(files) if output else None)


def _say(reason: str) -> None:
    click.echo(f"left out: {reason}", err=True)


def _print(blocks: Iterable[tuple[TriggerRead, pl.DataFrame]]) -> None:
    """Print the triggers, the most probable signals first, beside what they were judged by."""
    parts = []
    for read, said in blocks:
        rejected = read.rejects["row"].cast(pl.Int64)
        judged = said.filter(~pl.int_range(pl.len()).is_in(rejected.implode())).drop("event_id")
        known = [name for name in _TRIGGER_COLUMNS if name in read.triggers.columns]
        parts.append(
            pl.concat([read.triggers.select("event_id", *known), judged], how="horizontal")
        )
        parts.append(read.rejects.select("event_id", note="rule"))
    table = pl.concat(parts, how="diagonal").sort("p_astro", descending=True, nulls_last=True)
    first = ["event_id", "p_astro", "p_astro_low", "p_astro_high"]
    print_table(table.select(*first, pl.exclude(first)).head(_MOST_ROWS_SHOWN))
    if table.height > _MOST_ROWS_SHOWN:
        click.echo(f"and {table.height - _MOST_ROWS_SHOWN} more; --format csv gives all", err=True)


def _write_csv(
    blocks: Iterable[tuple[TriggerRead, pl.DataFrame]], out: BinaryIO, *, rows: int | None
) -> None:
    """Write rows as they come; show progress to a person if it is known how many will."""
    watched = rows is not None and sys.stderr.isatty()
    columns = (*Progress.get_default_columns(), TextColumn("{task.speed:,.0f} rows/s"))
    with Progress(*columns, console=Console(stderr=True), disable=not watched) as progress:
        task = progress.add_task("predict", total=rows)
        for k, (_, said) in enumerate(blocks):
            out.write(said.write_csv(include_header=k == 0).encode())
            progress.advance(task, said.height)


def _rows(paths: Sequence[Path]) -> int | None:
    """Count the rows of files that say how many they have; None if one does not."""
    if not all(path.suffix == ".parquet" for path in paths):
        return None
    return sum(int(pl.scan_parquet(path).select(pl.len()).collect().item()) for path in paths)


@contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    """Give where to write: a file that appears whole, or stdout."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with atomic_path(output) as draft, draft.open("wb") as out:
        yield out
