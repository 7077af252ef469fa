"""``spiir-pastro predict``."""

from collections.abc import Sequence
from pathlib import Path

import click
import msgspec

from spiir_pastro.cli.options import NEW_FILE, model_option, setting
from spiir_pastro.cli.output import FIRST_COLUMNS, TRIGGER_COLUMNS, opened, print_columns
from spiir_pastro.domain import Candidates, Trigger, join_ifos
from spiir_pastro.io.answers import Prediction, as_csv, as_json, as_rows
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.candidate_file import only_candidate


@click.command("predict")
@click.argument(
    "files",
    type=click.Path(path_type=Path, exists=True, readable=True),
    nargs=-1,
    required=True,
    metavar="FILE|DIR...",
)
@model_option
@setting(
    "--format",
    "style",
    type=click.Choice(["table", "csv", "json"]),
    default="table",
    help="json is GraceDB's p_astro.json when there is one candidate.",
)
@click.option("--json", "style", flag_value="json", help="The same as --format json.")
@click.option("--output", type=NEW_FILE, help="Write here, not to stdout.")
@click.option(
    "--no-intervals",
    "without_intervals",
    is_flag=True,
    help="Leave p_astro_low and p_astro_high empty, which is three times faster.",
)
@click.option(
    "--properties",
    is_flag=True,
    help="Add HasNS, HasMassGap, HasRemnant and the source-frame chirp mass, if it is a signal.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Threads; one for each core if not given. The result is the same.",
)
def command(
    *,
    files: tuple[Path, ...],
    model: Path,
    style: str,
    output: Path | None,
    without_intervals: bool,
    properties: bool,
    workers: int | None,
) -> None:
    """Give every trigger its probabilities BNS, NSBH, BBH, Terrestrial.

    FILE is a coinc.xml, a zerolag .xml(.gz), a trigger .csv or .parquet, or an alert .json; of a
    DIR, all such files below it that hold triggers are taken, by name. CSV and JSON have a row for
    each row that went in, in the same order; where nothing can be said (no FAR assigned), the row
    says why.

    The table, for people, begins with the most probable signal and shows what each was judged by.
    """
    if properties and style == "json":
        raise click.UsageError("--properties adds columns; write them with --format csv")
    pastro = load_model(model).model
    if len(files) == 1 and not properties and (trigger := only_candidate(files[0])):
        said = pastro.predict(Candidates.from_triggers([trigger]), intervals=not without_intervals)
        _write_one(trigger, as_rows([trigger.event_id], said), style, output)
        return
    # Data frames take longer to load than a candidate to judge.
    from spiir_pastro.cli.predict_tables import predict_tables  # noqa: PLC0415

    predict_tables(
        pastro,
        files,
        style=style,
        output=output,
        intervals=not without_intervals,
        properties=properties,
        workers=workers,
    )


def _write_one(
    trigger: Trigger, rows: Sequence[Prediction], style: str, output: Path | None
) -> None:
    """Write what one candidate is told, in the style asked for; a file holds CSV or JSON."""
    if style == "table" and output is None:
        (row,) = rows
        known = {name: getattr(trigger, name) for name in TRIGGER_COLUMNS}
        known |= {"ifos": join_ifos(trigger.ifos), **msgspec.structs.asdict(row)}
        shown = dict.fromkeys(FIRST_COLUMNS) | known
        print_columns({name: [value] for name, value in shown.items()})
        return
    with opened(output) as out:
        out.write(as_json(rows) if style == "json" else as_csv(rows).encode())
