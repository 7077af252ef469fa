"""Options and terminal output of the commands that compare: evaluate, compare and report."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import polars as pl

from spiir_pastro.cli.options import from_either, setting
from spiir_pastro.cli.output import print_table
from spiir_pastro.evaluation.change import Tolerance
from spiir_pastro.evaluation.comparison import Comparison
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.pipeline.assessment import FOLDS, evaluate_processed, evaluate_triggers
from spiir_pastro.selection.time_span import ALWAYS, During

Judge = Callable[[ModelArtifact], Evaluation]

_DEFAULT = Tolerance()


def tolerance_options(command: click.decorators.FC) -> click.decorators.FC:
    """Give a command ``--false-alarm-rate`` and ``--negligible``."""
    rate = setting(
        "--false-alarm-rate",
        default=_DEFAULT.false_alarm_rate,
        help="Probability that two equally good models differ, in any metric.",
    )
    negligible = setting(
        "--negligible",
        default=_DEFAULT.negligible,
        help="Least change that matters, in standard errors of the metric.",
    )
    return rate(negligible(command))


folds_option = setting(
    "--folds",
    type=click.IntRange(min=0),
    default=FOLDS,
    help="Where the model was trained on the candidates: score them by models fitted without their "
    "fold of time; 0 to let the model score what it knows.",
)


def judge_on(
    processed: Path | None,
    triggers: Path | None,
    known_events: Path | None,
    *,
    folds: int,
    during: During = ALWAYS,
) -> Judge:
    """Return what evaluates a model on a processed campaign or on uploads, whichever was given."""
    shared: dict[str, Any] = {"known_events_path": known_events, "folds": folds, "during": during}
    return from_either(
        processed,
        triggers,
        of_campaign=lambda folder: partial(evaluate_processed, folder=folder, **shared),
        of_uploads=lambda path: partial(evaluate_triggers, triggers_path=path, **shared),
    )


def print_comparison(comparison: Comparison) -> None:
    """Print what changed: the verdict, each metric, and the settings that differ."""
    click.secho(comparison.verdict, bold=True)
    if comparison.caveat:
        click.secho(comparison.caveat, bold=True)
    print_table(_changes(comparison))
    if comparison.moved.height:
        click.echo("")
        print_table(comparison.moved, title="Known mergers that moved")
    if changed := comparison.changed_settings:
        none = ", which had no effect on any candidate" if comparison.had_no_effect else ""
        click.echo("")
        rows = [(name, *values) for name, values in changed.items()]
        columns = ["setting", "before", "after"]
        print_table(
            pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row"),
            title=f"Settings that differ{none}",
        )


def as_document(comparison: Comparison) -> dict[str, object]:
    """Put a comparison into plain values for JSON."""
    return {
        "verdict": comparison.verdict,
        "caveat": comparison.caveat,
        "paired": comparison.paired,
        "changes": _changes(comparison).to_dicts(),
        "moved": comparison.moved.to_dicts(),
        "settings": {name: list(pair) for name, pair in comparison.changed_settings.items()},
        "settings_had_no_effect": comparison.had_no_effect,
    }


def _changes(comparison: Comparison) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "metric": change.name,
                "before": change.before,
                "after": change.after,
                "low": change.low,
                "high": change.high,
                "events": change.events,
                "verdict": str(verdict),
            }
            for change, verdict in zip(comparison.changes, comparison.verdicts, strict=True)
        ],
        infer_schema_length=None,
    )
