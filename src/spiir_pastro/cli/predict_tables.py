"""What ``spiir-pastro predict`` does with many triggers: blocks of data frames in, rows out."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import BinaryIO

import click
import msgspec
import polars as pl
from rich.progress import Progress, TextColumn

from spiir_pastro.cli.output import (
    FIRST_COLUMNS,
    TRIGGER_COLUMNS,
    opened,
    print_table,
    progress_bar,
)
from spiir_pastro.io.answers import Prediction, as_json
from spiir_pastro.io.trigger_tables import TriggerRead
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.pipeline.prediction import predict_files

_MOST_ROWS_SHOWN = 200


def predict_tables(
    pastro: PastroModel,
    files: Sequence[Path],
    *,
    style: str,
    output: Path | None,
    intervals: bool,
    properties: bool,
    workers: int | None,
) -> None:
    """Give the triggers of files and folders their probabilities, and write them as they come."""
    blocks = predict_files(
        pastro,
        files,
        left_out=_say,
        intervals=intervals,
        properties=properties,
        workers=workers,
    )
    if style == "table" and output is None:
        _print(blocks)
        return
    with opened(output) as out:
        if style == "json":
            rows = [row for _, said in blocks for row in said.iter_rows(named=True)]
            out.write(as_json(msgspec.convert(rows, list[Prediction])))
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
        known = [name for name in TRIGGER_COLUMNS if name in read.triggers.columns]
        parts.append(
            pl.concat([read.triggers.select("event_id", *known), judged], how="horizontal")
        )
        parts.append(read.rejects.select("event_id", note="rule"))
    table = pl.concat(parts, how="diagonal").sort("p_astro", descending=True, nulls_last=True)
    shown = table.select(*FIRST_COLUMNS, pl.exclude(*FIRST_COLUMNS)).head(_MOST_ROWS_SHOWN)
    print_table(shown)
    if table.height > _MOST_ROWS_SHOWN:
        click.echo(f"and {table.height - _MOST_ROWS_SHOWN} more; --format csv gives all", err=True)


def _write_csv(
    blocks: Iterable[tuple[TriggerRead, pl.DataFrame]], out: BinaryIO, *, rows: int | None
) -> None:
    """Write rows as they come; show progress to a person if it is known how many will."""
    done = TextColumn("{task.completed:,} rows")
    with progress_bar(*Progress.get_default_columns(), done) as progress:
        task = progress.add_task("predict", total=rows, visible=rows is not None)
        for k, (_, said) in enumerate(blocks):
            out.write(said.write_csv(include_header=k == 0).encode())
            progress.advance(task, said.height)


def _rows(paths: Sequence[Path]) -> int | None:
    """Count the rows of files that say how many they have; None if one does not."""
    if not all(path.suffix == ".parquet" for path in paths):
        return None
    return sum(int(pl.scan_parquet(path).select(pl.len()).collect().item()) for path in paths)
