"""``spiir-pastro rescale``."""

from pathlib import Path

import click

from spiir_pastro.cli.options import FILE, NEW_FILE, POSITIVE, setting
from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.io.artifact import load_model, write_model


@click.command("rescale")
@click.argument("model", type=FILE)
@click.option(
    "--volume",
    metavar="CLASS=FACTOR,...",
    help="Sensitive volume over that of the training, by class: BNS=2.4,NSBH=2.2,BBH=1.9.",
)
@click.option(
    "--range",
    "range_factor",
    type=POSITIVE,
    help="Range over that of the training, for all classes alike: volumes are its cube.",
)
@setting(
    "--noise-rate",
    type=POSITIVE,
    default=1.0,
    help="Rate of noise candidates over that of the training.",
)
@click.option("--output", type=NEW_FILE, required=True, help="Model file.")
def command(
    *,
    model: Path,
    volume: str | None,
    range_factor: float | None,
    noise_rate: float,
    output: Path,
) -> None:
    """Scale the counts of MODEL to detectors of another sensitivity than in training."""
    if (volume is None) == (range_factor is None):
        raise click.UsageError("give --volume or --range, one of the two")
    volumes = _volumes(volume) if volume else dict.fromkeys(ASTROPHYSICAL, (range_factor or 1) ** 3)
    artifact = load_model(model).rescaled(volumes, noise=noise_rate)
    write_model(artifact, output)
    counts = zip(ASTROPHYSICAL, artifact.model.counts.mean, strict=True)
    click.echo(f"{output}: expected {', '.join(f'{mean:.2f} {source}' for source, mean in counts)}")


def _volumes(text: str) -> dict[Source, float]:
    """Read factors by class."""
    factors = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        try:
            source, factor = Source(name.strip()), float(value)
        except ValueError as exc:
            raise click.UsageError(
                f"--volume: {part!r} is no class with its factor; write BNS=2.4,NSBH=2.2,BBH=1.9"
            ) from exc
        if source not in ASTROPHYSICAL or not factor > 0:
            raise click.UsageError(
                f"--volume: {part!r} must scale BNS, NSBH or BBH, and be above 0"
            )
        factors[source] = factor
    return factors
