"""``spiir-pastro process``: staged triggers to foreground and background."""

from pathlib import Path

import click

from spiir_pastro.cli.tables import print_table
from spiir_pastro.io.frames import FrameFormat
from spiir_pastro.io.runs import read_runs
from spiir_pastro.pipeline.extract import staged_files
from spiir_pastro.pipeline.process import process

__all__ = ["command"]

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(name="process")
@click.argument("runs_file", metavar="RUNS.yaml", type=_FILE)
@click.option(
    "--staging",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default="data/staging",
    show_default=True,
    help="Where extract left its tables.",
)
@click.option(
    "--processed",
    type=click.Path(file_okay=False, path_type=Path),
    default="data/processed",
    show_default=True,
    help="Where to write; an earlier result there is replaced.",
)
@click.option(
    "--known-events",
    type=_FILE,
    help="CSV of known mergers with columns name and gps; the GWTC catalogues if not given.",
)
@click.option(
    "--format",
    "file_format",
    type=click.Choice([str(kind) for kind in FrameFormat]),
    default=str(FrameFormat.PARQUET),
    show_default=True,
    help="How tables are stored.",
)
def command(
    runs_file: Path,
    staging: Path,
    processed: Path,
    known_events: Path | None,
    file_format: str,
) -> None:
    """Cluster, label and decontaminate staged runs into foreground and background."""
    runs = read_runs(runs_file)
    staged = staged_files(runs, staging)
    processed.mkdir(parents=True, exist_ok=True)
    result = process(runs, staged, known_events=known_events, scratch=processed)
    for name in result.left_out:
        click.echo(f"left out, because extract failed or found no triggers: {name}", err=True)
    result.write(processed, file_format=FrameFormat(file_format))
    print_table(result.fate_table(), title="What became of every staged row")
