"""``spiir-pastro report``."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from spiir_pastro.cli.comparing import tolerance_options
from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.cli.options import FOLDER, NEW_FILE, setting
from spiir_pastro.evaluation.change import Tolerance
from spiir_pastro.evaluation.comparison import compare
from spiir_pastro.pipeline.evaluations import read_evaluation
from spiir_pastro.pipeline.revisions import evaluation_of_revision
from spiir_pastro.report.change_report import write_alone, write_markdown


@click.command("report")
@setting("--report", type=FOLDER, default="reports", help="Folder that evaluate wrote.")
@click.option(
    "--against",
    metavar="REV",
    help="Git revision whose evaluation, kept by DVC, it is compared with.",
)
@click.option("--against-dir", type=FOLDER, help="The earlier evaluation itself, in place of REV.")
@setting(
    "--markdown",
    type=NEW_FILE,
    is_flag=False,
    flag_value="comparison/report.md",
    default="comparison/report.md",
    help="Write Markdown here, and its figures beside it.",
)
@click.option("--gate", is_flag=True, help="Exit with 3 if the model got worse beyond noise.")
@tolerance_options
@setting("--moved-by", default=0.05, help="List known mergers whose p_astro changed by more.")
def command(
    *,
    report: Path,
    against: str | None,
    against_dir: Path | None,
    markdown: Path,
    gate: bool,
    false_alarm_rate: float,
    negligible: float,
    moved_by: float,
) -> None:
    """Say what a change did to the model: an evaluation beside an earlier one.

    What is compared is what both could have: the same candidates, injections and known mergers, in
    the time span of both. One that is lost counts as missed. With nothing to compare with, it says
    how the model does.
    """
    after = read_evaluation(report)
    earlier: AbstractContextManager[Path]
    match (against, against_dir):
        case (str(), None):
            earlier = evaluation_of_revision(report, against)
        case (None, Path()):
            earlier = nullcontext(against_dir)
        case (None, None) if not gate:
            write_alone(after, markdown)
            click.echo(markdown)
            return
        case _:
            raise click.UsageError("give either --against REV or --against-dir DIR")
    with earlier as folder:
        before = read_evaluation(folder, name=against or str(against_dir))
    comparison = compare(
        before,
        after,
        tolerance=Tolerance(false_alarm_rate=false_alarm_rate, negligible=negligible),
        moved_by=moved_by,
    )
    write_markdown(comparison, markdown, against=comparison.before.name)
    click.echo(markdown)
    for change in comparison.worse:
        click.echo(
            f"worse beyond noise: {change.name} {change.before:.4g} -> {change.after:.4g} "
            f"(change {change.low:+.2g} to {change.high:+.2g})",
            err=True,
        )
    if not comparison.is_tested:
        click.echo("nothing could be tested: the evaluations share no event", err=True)
    if gate and (comparison.worse or not comparison.is_tested):
        raise click.exceptions.Exit(ExitCode.INCOMPLETE)
