"""``spiir-pastro report``."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click
import numpy as np

from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.evaluation.change import Tolerance
from spiir_pastro.evaluation.comparison import compare
from spiir_pastro.pipeline.comparison import evaluation_of_revision, read_evaluation
from spiir_pastro.report.comparison import write_markdown

__all__ = ["command"]

_FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
_DEFAULT = Tolerance()


@click.command("report")
@click.option("--report", type=_FOLDER, default="reports", show_default=True,
              help="Folder that evaluate wrote.")  # fmt: skip
@click.option("--against", metavar="REV", help="Git revision whose evaluation, kept by DVC, it is "
              "compared with.")  # fmt: skip
@click.option("--against-dir", type=_FOLDER, help="The earlier evaluation itself, in place of REV.")
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    is_flag=False,
    flag_value="comparison/report.md",
    default="comparison/report.md",
    show_default=True,
    help="Write Markdown here, and its figures beside it.",
)
@click.option("--gate", is_flag=True, help="Exit with 3 if the model got worse beyond noise.")
@click.option("--confidence", default=_DEFAULT.confidence, show_default=True,
              help="Probability that the interval of a change holds it.")  # fmt: skip
@click.option("--negligible", default=_DEFAULT.negligible, show_default=True,
              help="Least change that matters, in standard errors of the metric.")  # fmt: skip
@click.option("--resamples", default=_DEFAULT.resamples, show_default=True,
              help="Draws of the bootstrap.")  # fmt: skip
@click.option("--moved-by", default=0.05, show_default=True,
              help="Tell of a known merger whose p_astro moved by more.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Seed of the bootstrap.")
def command(
    *,
    report: Path,
    against: str | None,
    against_dir: Path | None,
    markdown: Path,
    gate: bool,
    confidence: float,
    negligible: float,
    resamples: int,
    moved_by: float,
    seed: int,
) -> None:
    """Say what a change did to the model: an evaluation beside an earlier one.

    Metrics are compared on the candidates both have, with bootstrap intervals of the change.
    """
    earlier: AbstractContextManager[Path]
    match (against, against_dir):
        case (str(), None):
            earlier = evaluation_of_revision(report, against)
        case (None, Path()):
            earlier = nullcontext(against_dir)
        case _:
            raise click.UsageError("give either --against REV or --against-dir DIR")
    with earlier as folder:
        before = read_evaluation(folder)
    comparison = compare(
        before,
        read_evaluation(report),
        rng=np.random.default_rng(seed),
        tolerance=Tolerance(confidence=confidence, negligible=negligible, resamples=resamples),
        moved_by=moved_by,
    )
    write_markdown(comparison, markdown, against=against or str(against_dir))
    click.echo(markdown)
    for change in comparison.worse:
        click.echo(
            f"worse beyond noise: {change.name} {change.before:.4g} -> {change.after:.4g} "
            f"(change {change.low:+.2g} to {change.high:+.2g})",
            err=True,
        )
    if gate and comparison.worse:
        raise click.exceptions.Exit(ExitCode.INCOMPLETE)
