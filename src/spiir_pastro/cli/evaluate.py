"""``spiir-pastro evaluate``."""

import json
from pathlib import Path

import click

from spiir_pastro.cli.tables import print_table
from spiir_pastro.errors import ArtifactError
from spiir_pastro.io.artifact import load_model
from spiir_pastro.pipeline.evaluate import evaluate_triggers, write_evaluation
from spiir_pastro.report.evaluation import write_figures
from spiir_pastro.report.page import Previous, write_report

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
@click.option("--against", type=_FILE, help="Compare with this model, or its metrics.json.")
def command(
    model: Path, triggers: Path, known_events: Path | None, report: Path, against: Path | None
) -> None:
    """Compare a model with the known mergers among triggers.

    Writes report.html, metrics.json, tables and figures into the report folder.
    """
    artifact = load_model(model)
    previous = None if against is None else _previous(against, triggers, known_events)
    evaluation = evaluate_triggers(artifact, triggers, known_events_path=known_events)
    write_evaluation(evaluation, report)
    write_figures(evaluation.candidates, evaluation.known_mergers, report)
    write_report(report / "report.html", evaluation, artifact, name=model.name, previous=previous)
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
        if "." not in name and value is not None:
            click.echo(f"{name:28} {value:.4g}")
    click.echo(f"\n{report / 'report.html'}")


def _previous(against: Path, triggers: Path, known_events: Path | None) -> Previous:
    """Read an earlier model's metrics, or evaluate it on the same triggers."""
    try:
        document = json.loads(against.read_bytes())
    except ValueError as exc:
        raise ArtifactError(f"{against}: neither a model nor a metrics.json: {exc}") from exc
    if "schema" not in document:
        return Previous(name=str(against), metrics=document)
    earlier = evaluate_triggers(load_model(against), triggers, known_events_path=known_events)
    return Previous(name=str(against), metrics=earlier.metrics())
