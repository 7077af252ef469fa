"""``spiir-pastro run``: every stage, in order."""

import os
from pathlib import Path

import click
import polars as pl

from spiir_pastro.cli.options import FILE
from spiir_pastro.cli.output import print_table
from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.pipeline.run import Workspace, run
from spiir_pastro.simulation import CampaignConfig

__all__ = ["command"]

_SHOWN = 8


@click.command(name="run")
@click.argument("runs_file", metavar="[RUNS.yaml]", required=False, type=FILE)
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    default="demo",
    show_default=True,
    help="Where every stage leaves its result.",
)
@click.option(
    "--known-events",
    type=FILE,
    help="CSV of known mergers; the GWTC catalogues, or a simulated campaign's own.",
)
@click.option(
    "--distances",
    type=FILE,
    help="CSV of localised events; the BAYESTAR campaign that ships, or a simulated one's own.",
)
@click.option(
    "--days", default=6.0, show_default=True, help="Length of a simulated campaign, days."
)
@click.option("--seed", default=0, show_default=True, help="Seed of a simulated campaign.")
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    default=os.cpu_count() or 1,
    show_default="all cores",
    help="Processes to use; the result is the same.",
)
def command(
    *,
    runs_file: Path | None,
    into: Path,
    known_events: Path | None,
    distances: Path | None,
    days: float,
    seed: int,
    workers: int,
) -> None:
    """Run every stage on a runs file, or on a simulated campaign if none is given."""
    workspace = Workspace(
        root=into, known_events=known_events, distances=distances, workers=workers
    )
    # Days enough for candidates to learn from, with little of the noise that no fit looks at.
    simulation = CampaignConfig(
        days=days,
        seed=seed,
        groups=2,
        noise_rate_hz=0.1,
        injection_interval_s=300.0,
        mergers_per_day=dict.fromkeys(ASTROPHYSICAL, 10.0),
        file_seconds=604_800,
    )
    for done in run(workspace, runs_file=runs_file, simulation=simulation):
        click.echo(f"{done.stage:9} {done.seconds:8.1f} s  {done.result}")
    loudest = pl.read_csv(workspace.predictions, infer_schema_length=None).sort(
        "p_astro", descending=True, nulls_last=True
    )
    print_table(loudest.drop("note").head(_SHOWN), title="\nIts most probable signals")
