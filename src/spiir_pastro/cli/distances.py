"""``spiir-pastro distances``."""

from pathlib import Path

import click

from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.cli.options import FILE, NEW_FILE
from spiir_pastro.pipeline.localise import distances


@click.command("distances")
@click.argument("files", type=FILE, nargs=-1, required=True, metavar="COINC.xml...")
@click.option(
    "--output",
    type=NEW_FILE,
    required=True,
    help="CSV file that fit --distances reads; one that exists is continued.",
)
def command(*, files: tuple[Path, ...], output: Path) -> ExitCode:
    """Run BAYESTAR on candidates: distances to fit effective distances to.

    Each COINC.xml must carry its SNR series and noise spectra. It takes some twenty seconds an
    event. Needs the extra [bayestar].
    """
    wrong = 0
    for path, trouble in distances(files, output):
        wrong += bool(trouble)
        click.echo(f"left out: {trouble}" if trouble else f"{path.name}: localised", err=True)
    if wrong:
        click.echo(f"{output}: {wrong} of {len(files)} candidates were left out", err=True)
        return ExitCode.INCOMPLETE
    return ExitCode.DONE
