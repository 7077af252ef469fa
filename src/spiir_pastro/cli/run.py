"""``spiir-pastro run``: every stage, in order."""

import os
from dataclasses import replace
from pathlib import Path

import click
import polars as pl
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from spiir_pastro.cli.options import FILE, NEW_FOLDER, setting
from spiir_pastro.cli.output import print_table, progress_bar
from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.evaluation.recovery import recovered
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.pipeline.workflow import Workspace, run
from spiir_pastro.report.headline import sentence
from spiir_pastro.report.numbers import between, figure
from spiir_pastro.simulation import CampaignConfig

# The second campaign is judged, not learnt from: noise far beyond the FAR threshold may be absent.
_SECOND_FAR_MAX_HZ = 1e-3
_EVENTS_SHOWN = 5


@click.command(name="run")
@click.argument("runs_file", metavar="[RUNS.yaml]", required=False, type=FILE)
@setting("--into", type=NEW_FOLDER, default="demo", help="Folder for the results of all stages.")
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
@setting("--days", default=6.0, help="Length of a simulated campaign, days.")
@setting("--seed", default=0, help="Seed of a simulated campaign.")
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
    """Run every stage on a runs file, or on a simulated campaign if none is given.

    A simulated campaign is followed by a second one that the model has not seen and is judged on.
    """
    workspace = Workspace(
        root=into, known_events=known_events, distances=distances, workers=workers
    )
    # Days enough for candidates to learn from, with little of the noise that no fit looks at.
    first = CampaignConfig(
        days=days,
        seed=seed,
        groups=2,
        noise_rate_hz=0.1,
        injection_interval_s=300.0,
        mergers_per_day=dict.fromkeys(ASTROPHYSICAL, 10.0),
        file_seconds=604_800,
    )
    second = replace(first, seed=seed + 1, gps_start=first.gps_end, far_max_hz=_SECOND_FAR_MAX_HZ)
    stages = run(
        workspace,
        runs_file=runs_file,
        simulation=first,
        second=None if runs_file else second,
        on_step=(bar := _Bar()),
    )
    evaluation = None
    for done in stages:
        bar.clear()
        click.echo(f"{done.stage:9} {done.seconds:8.1f} s  {done.result}")
        evaluation = done.evaluation or evaluation
    loudest = pl.read_csv(workspace.predictions, infer_schema_length=None).sort(
        "p_astro", descending=True, nulls_last=True
    )
    print_table(loudest.drop("note").head(_EVENTS_SHOWN), title="\nIts most probable signals")
    if evaluation is not None:
        _print(evaluation)
        click.echo(f"\nopen {workspace.reports / 'report.html'}")


def _print(evaluation: Evaluation) -> None:
    """Put truth beside inference."""
    rows = recovered(evaluation)
    click.secho(f"\n{evaluation.holdout.sentence}.", bold=True)
    print_table(
        pl.DataFrame(
            {
                "class": [str(row.source) for row in rows],
                "injected": [row.made for row in rows],
                "among the candidates": [row.found for row in rows],
                "the model counts": [
                    f"{figure(row.counted)} ({between(row.interval)})" for row in rows
                ],
            },
            schema_overrides={"injected": pl.Int64},
        ),
        title="Truth beside inference, 90 % intervals in brackets",
    )
    click.secho(f"\n{sentence(evaluation)}", bold=True)


class _Bar:
    """How far a stage is, on stderr; nothing where stderr is no terminal."""

    def __init__(self) -> None:
        self._progress: Progress | None = None

    def __call__(self, stage: str, done: int, of: int | None) -> None:
        """Show that a stage has done a part."""
        if self._progress is None:
            columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
            self._progress = progress_bar("{task.description:9}", *columns, transient=True)
            self._progress.start()
            self._progress.add_task(stage, total=None)
        self._progress.update(self._progress.task_ids[0], completed=done, total=of)

    def clear(self) -> None:
        """Take the line away, at the end of a stage."""
        if self._progress is not None:
            self._progress.stop()
        self._progress = None
