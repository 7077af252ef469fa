"""``spiir-pastro evaluate``."""

from pathlib import Path

import click

from spiir_pastro.cli.comparing import Judge, as_document, folds_option, judge_on, print_comparison
from spiir_pastro.cli.options import NEW_FOLDER, candidate_options, model_option
from spiir_pastro.cli.output import json_option, print_json, print_table
from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.evaluation.comparison import Evaluated, compare
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import load_model
from spiir_pastro.pipeline.assessment import write_evaluation
from spiir_pastro.pipeline.evaluations import as_evaluated, read_evaluation
from spiir_pastro.selection.time_span import During

_MOST_MERGERS_SHOWN = 30


@click.command("evaluate")
@model_option
@candidate_options
@folds_option
@click.option("--since", type=float, help="Judge candidates from this GPS second on.")
@click.option("--until", type=float, help="Judge candidates before this GPS second.")
@click.option("--report", type=NEW_FOLDER, required=True, help="Folder to write.")
@click.option(
    "--against",
    type=click.Path(path_type=Path, exists=True),
    help="Compare with this model, on the same candidates, or with a folder that evaluate wrote.",
)
@json_option("the report's path and the metrics")
def command(
    *,
    model: Path,
    triggers: Path | None,
    processed: Path | None,
    known_events: Path | None,
    folds: int,
    since: float | None,
    until: float | None,
    report: Path,
    against: Path | None,
    as_json: bool,
) -> None:
    """Compare a model with injections, or with the known mergers among uploads.

    Writes report.html, metrics.json, tables and figures into the report folder.
    """
    during = During(since_s=since, until_s=until)
    judge = judge_on(processed, triggers, known_events, folds=folds, during=during)
    artifact = load_model(model)
    evaluation = judge(artifact)
    compared = None
    if against is not None:
        after = as_evaluated(evaluation, artifact, name=str(model))
        compared = compare(_earlier(against, judge), after)
    page = write_evaluation(evaluation, artifact, report, name=model.name, comparison=compared)
    if as_json:
        changed = {} if compared is None else {"comparison": as_document(compared)}
        print_json({"report": str(page), "metrics": evaluation.metrics(), **changed})
        return
    _print(evaluation)
    if compared is not None:
        click.echo("")
        print_comparison(compared)
    click.echo(f"\n{page}")


def _earlier(against: Path, judge: Judge) -> Evaluated:
    """Read an earlier evaluation, or judge an earlier model on the same candidates."""
    if against.is_dir():
        return read_evaluation(against)
    artifact = load_model(against)
    return as_evaluated(judge(artifact), artifact, name=str(against))


def _print(evaluation: Evaluation) -> None:
    click.secho(evaluation.holdout.sentence, bold=True)
    known = evaluation.known_mergers
    seen = known.filter(known["event_id"].is_not_null()).sort("far_hz").head(_MOST_MERGERS_SHOWN)
    if seen.height:
        print_table(
            seen.select(
                "name",
                "source_class",
                "event_id",
                "far_hz",
                "spiir_snr",
                "p_astro",
                *ASTROPHYSICAL,
            ),
            title=f"Known mergers SPIIR has, the {_MOST_MERGERS_SHOWN} most significant at most",
        )
        click.echo("")
    for name, value in evaluation.metrics().items():
        if "." not in name and value is not None:
            click.echo(f"{name:28} {value:.4g}")
