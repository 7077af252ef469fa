"""``spiir-pastro update``."""

from pathlib import Path

import click

from spiir_pastro.cli.options import FILE, NEW_FILE
from spiir_pastro.domain import ASTROPHYSICAL
from spiir_pastro.io.artifact import load_model, write_model
from spiir_pastro.pipeline.counting import update


@click.command("update")
@click.argument("model", type=FILE)
@click.option(
    "--counted", type=FILE, required=True, help="Trigger table with the candidates to add."
)
@click.option("--output", type=NEW_FILE, help="Model file to write; MODEL itself if not given.")
def command(*, model: Path, counted: Path, output: Path | None) -> None:
    """Add new candidates to the counts of MODEL, as if they had been in its fit.

    The densities stay. Candidates that the model counted already are left out, so the same table
    may be given again with new rows at its end.
    """
    artifact, rows = update(load_model(model), counted)
    write_model(artifact, output or model)
    counts = artifact.model.counts
    expected = ", ".join(
        f"{mean:.1f} +- {std:.1f} {source}"
        for source, mean, std in zip(ASTROPHYSICAL, counts.mean, counts.std, strict=True)
    )
    click.echo(
        f"{output or model}: {rows['added']} candidates added ({rows['known']} were counted "
        f"already, {rows['above']} rows are above the FAR threshold); expected {expected}"
    )
