"""``spiir-pastro evaluate``."""

from pathlib import Path

import click

from spiir_pastro.cli.tables import print_table
from spiir_pastro.io.artifact import load_model
from spiir_pastro.pipeline.evaluate import evaluate_triggers, write_evaluation
from spiir_pastro.report.evaluation import write_figures

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


@click.command("evaluate")
@click.option("--model", type=_FILE, required=True, help="Model file that fit wrote.")
@click.option("--triggers", type=_FILE, required=True, help="Uploaded triggers, CSV or Parquet.")
@click.option(
    "--known-events",
    type=_FILE,
    help="Known mergers (name, gps, ...); default: GWTC-1 to GWTC-4.0.",
)
@click.option("--report", type=click.Path(path_type=Path, file_okay=False), required=True)
def command(model: Path, triggers: Path, known_events: Path | None, report: Path) -> None:
    """Compare a model with the known mergers among triggers.

    Writes metrics.json, tables and figures into the report folder.
    """
    evaluation = evaluate_triggers(load_model(model), triggers, known_events_path=known_events)
    write_evaluation(evaluation, report)
    write_figures(evaluation.candidates, evaluation.known_mergers, report)
    seen = evaluation.known_mergers.filter(evaluation.known_mergers["event_id"].is_not_null())
    print_table(
        seen.select(
            "name",
            "source_class",
            "event_id",
            "far_hz",
            "spiir_snr",
            "p_astro",
            "BNS",
            "NSBH",
            "BBH",
        ),
        title="Known mergers SPIIR has",
    )
    click.echo("")
    for name, value in evaluation.metrics().items():
        click.echo(f"{name:28} {value:.4g}")
    click.echo(f"\n{report}")
