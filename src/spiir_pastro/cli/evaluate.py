"""``spiir-pastro evaluate``."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import click

from spiir_pastro.cli.options import FILE, candidate_options, from_either
from spiir_pastro.cli.output import json_option, print_json, print_table
from spiir_pastro.errors import ArtifactError
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import ModelArtifact, load_model
from spiir_pastro.pipeline.evaluate import (
    evaluate_processed,
    evaluate_triggers,
    write_evaluation,
)
from spiir_pastro.report.page import Previous

__all__ = ["command"]

_SHOWN = 30


@click.command("evaluate")
@click.option("--model", type=FILE, required=True, help="Model file that fit wrote.")
@candidate_options
@click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to write.",
)
@click.option("--against", type=FILE, help="Compare with this model, or its metrics.json.")
@json_option("the report's path and the metrics")
def command(
    *,
    model: Path,
    triggers: Path | None,
    processed: Path | None,
    known_events: Path | None,
    report: Path,
    against: Path | None,
    as_json: bool,
) -> None:
    """Compare a model with injections, or with the known mergers among uploads.

    Writes report.html, metrics.json, tables and figures into the report folder.
    """
    judge = from_either(
        processed,
        triggers,
        of_campaign=lambda folder: partial(
            evaluate_processed, folder=folder, known_events_path=known_events
        ),
        of_uploads=lambda path: partial(
            evaluate_triggers, triggers_path=path, known_events_path=known_events
        ),
    )
    artifact = load_model(model)
    previous = None if against is None else _previous(against, judge)
    evaluation = judge(artifact)
    page = write_evaluation(evaluation, artifact, report, name=model.name, previous=previous)
    if as_json:
        print_json({"report": str(page), "metrics": evaluation.metrics()})
    else:
        _print(evaluation)
        click.echo(f"\n{page}")


def _print(evaluation: Evaluation) -> None:
    known = evaluation.known_mergers
    seen = known.filter(known["event_id"].is_not_null()).sort("far_hz").head(_SHOWN)
    if seen.height:
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
            title=f"Known mergers SPIIR has, the {_SHOWN} most significant at most",
        )
        click.echo("")
    for name, value in evaluation.metrics().items():
        if "." not in name and value is not None:
            click.echo(f"{name:28} {value:.4g}")


def _previous(against: Path, judge: Callable[[ModelArtifact], Evaluation]) -> Previous:
    """Read an earlier model's metrics, or judge it on the same candidates."""
    try:
        document = json.loads(against.read_bytes())
    except ValueError as exc:
        raise ArtifactError(f"{against}: neither a model nor a metrics.json: {exc}") from exc
    if "schema" not in document:
        return Previous(name=str(against), metrics=document)
    return Previous(name=str(against), metrics=judge(load_model(against)).metrics())
