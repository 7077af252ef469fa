"""``spiir-pastro compare``."""

from pathlib import Path

import click

from spiir_pastro.cli.comparing import (
    as_document,
    folds_option,
    judge_on,
    print_comparison,
    tolerance_options,
)
from spiir_pastro.cli.options import candidate_options
from spiir_pastro.cli.output import json_option, print_json, print_table
from spiir_pastro.evaluation.change import Tolerance
from spiir_pastro.evaluation.comparison import compare
from spiir_pastro.io.artifact import load_model
from spiir_pastro.pipeline.differences import differences
from spiir_pastro.pipeline.evaluations import as_evaluated, read_evaluation

_EITHER = click.Path(path_type=Path, exists=True)


@click.command("compare")
@click.argument("first", type=_EITHER)
@click.argument("second", type=_EITHER)
@candidate_options
@folds_option
@tolerance_options
@json_option("the rows")
def command(
    *,
    first: Path,
    second: Path,
    triggers: Path | None,
    processed: Path | None,
    known_events: Path | None,
    folds: int,
    false_alarm_rate: float,
    negligible: float,
    as_json: bool,
) -> None:
    """Say how two models, or two evaluations, differ.

    Of two folders that evaluate wrote: how the metrics changed on what both have. Of two model
    files: the parameters and provenance in which they differ, and with --triggers or --processed
    how their metrics do on these candidates.
    """
    tolerance = Tolerance(false_alarm_rate=false_alarm_rate, negligible=negligible)
    if first.is_dir() != second.is_dir():
        raise click.UsageError("give two model files, or two folders that evaluate wrote")
    if first.is_dir():
        before, after = read_evaluation(first), read_evaluation(second)
    elif triggers is None and processed is None:
        _print_differences(first, second, as_json=as_json)
        return
    else:
        judge = judge_on(processed, triggers, known_events, folds=folds)
        before, after = (
            as_evaluated(judge(model), model, name=str(path))
            for path, model in ((p, load_model(p)) for p in (first, second))
        )
    compared = compare(before, after, tolerance=tolerance)
    if as_json:
        print_json(as_document(compared))
    else:
        print_comparison(compared)


def _print_differences(first: Path, second: Path, *, as_json: bool) -> None:
    found = differences(load_model(first), load_model(second))
    if as_json:
        print_json(found.to_dicts())
    elif found.is_empty():
        click.echo("The models are the same.")
    else:
        print_table(found)
