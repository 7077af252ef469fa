"""``spiir-pastro fit``."""

from functools import partial
from pathlib import Path
from typing import Any

import click
import msgspec
import polars as pl

from spiir_pastro.cli.options import (
    FILE,
    NEW_FILE,
    NOT_NEGATIVE,
    POSITIVE,
    candidate_options,
    from_either,
    setting,
)
from spiir_pastro.cli.output import json_option, print_json, print_table
from spiir_pastro.domain import ASTROPHYSICAL, MassBoundaries
from spiir_pastro.io.artifact import ModelArtifact, write_model
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.populations import MASS_PLANE, SHIPPED_POPULATIONS, read_populations
from spiir_pastro.io.provenance import DistanceRecord, Rates
from spiir_pastro.models.counts import Prior
from spiir_pastro.models.density_settings import DensitySettings
from spiir_pastro.models.distance_fit import ESTIMATORS, Estimator
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.pastro import ClassSharing
from spiir_pastro.models.response import Response
from spiir_pastro.pipeline.counting import counting
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import TrainingSet, from_processed, from_uploads, within_gps
from spiir_pastro.selection.time_span import During

_MASSES = MassBoundaries()
_DENSITIES = {
    "mchirp_min": "Least chirp mass of the template banks, solar masses; below nothing is said.",
    "mchirp_max": "Largest chirp mass of the template banks, solar masses.",
    "density_floor": "Weight of a uniform density in those of noise: bounds signal against noise.",
    "outlier_fraction": "Signals whose masses no class explains: bounds class against class.",
    "population_error": "Standard error of the logarithm of a class's density of chirp mass.",
    "response_error": "Standard error of the logarithm of a class's density of mass ratio.",
    "population_events": "As how many known mergers the population counts beside those seen.",
    "enough_for_a_class": "Signals from which a class gets its own laws of FAR and SNR.",
    "enough_for_curves": "Noise candidates from which SNR is described mass by mass.",
}
_RESPONSE = {
    "w_width": "Scatter of the recovered (m1 - m2) / (m1 + m2) about the true one.",
    "w_as_noise": "Fraction of signals whose template has any mass ratio, as noise's have.",
    "heavy_mchirp": "Mergers heavier than this, solar masses, are at times recovered far off.",
    "misrecovered_fraction": "How many of them.",
    "misrecovered_ratio_min": "Least of recovered over true chirp mass of those.",
    "misrecovered_ratio_max": "Largest of recovered over true chirp mass of those.",
}


def _densities(command: click.Command) -> click.Command:
    """Make each choice about densities and response an option."""
    for name, text in (_DENSITIES | _RESPONSE).items():
        option = f"--{name.replace('_', '-')}"
        default = getattr(DensitySettings if name in _DENSITIES else Response, name)
        command.params.append(click.Option([option], default=default, show_default=True, help=text))
    return command


@_densities
@click.command("fit")
@candidate_options
@click.option(
    "--distances",
    type=FILE,
    help="Events with effective and BAYESTAR distances; default: the campaign that ships.",
)
@click.option("--model", type=NEW_FILE, required=True, help="Model file to write.")
@setting(
    "--far-threshold-hz",
    type=POSITIVE,
    default=FitSettings.far_threshold_hz,
    help="Count candidates with a FAR up to this, Hz.",
)
@setting(
    "--sharing",
    type=click.Choice([str(s) for s in ClassSharing]),
    default=str(ClassSharing.MULTI_COMPONENT),
    help="Share p_astro among classes by their densities or by the mass contour.",
)
@setting(
    "--prior",
    type=click.Choice(["jeffreys", "uniform"]),
    default="jeffreys",
    help="Prior of the expected counts.",
)
@setting("--m-min", default=_MASSES.m_min, help="Least secondary mass, solar masses.")
@setting("--ns-max", default=_MASSES.ns_max, help="Heaviest neutron star, solar masses.")
@click.option("--gap-max", type=float, help="End of the mass gap, solar masses; none if not given.")
@setting("--m-max", default=_MASSES.m_max, help="Largest primary mass, solar masses.")
@setting(
    "--mchirp-relative-error",
    type=NOT_NEGATIVE,
    default=FitSettings.mchirp_relative_error,
    help="Standard error of the template's chirp mass, as a fraction of it.",
)
@setting(
    "--distance-estimator",
    type=click.Choice([*ESTIMATORS, "best"]),
    default=FitSettings.distance_estimator,
    help="How distances are fitted; best is the form that predicts distances held out best. Where "
    "--distances are of eight real events or more they choose: a fit to them, one to the campaign "
    "that ships, or PyCBC Live's constants.",
)
@click.option(
    "--population",
    metavar="NAME|FILE",
    help="Take masses from this population of the sky, and reweight injections to it: "
    f"{', '.join(SHIPPED_POPULATIONS)} or a YAML file. {MASS_PLANE}, and rates as injected, if "
    "not given.",
)
@click.option(
    "--noise-statistics",
    type=FILE,
    multiple=True,
    help="SPIIR statistics file of a bank, for the SNR of noise; may be given more than once.",
)
@setting(
    "--noise-trials",
    type=POSITIVE,
    default=FitSettings.noise_trials,
    help="Trials factor: a candidate's FAR over the FAR by its own bank's statistics.",
)
@click.option(
    "--counted",
    type=FILE,
    help="Count the candidates of this trigger table, not the campaign's: densities from "
    "injections, counts from the search itself.",
)
@click.option("--since", type=float, help="Fit on candidates from this GPS second on.")
@click.option("--until", type=float, help="Fit on candidates before this GPS second.")
@json_option("how many candidates there are, and how many are expected, and rates,")
def command(
    *,
    triggers: Path | None,
    processed: Path | None,
    distances: Path | None,
    known_events: Path | None,
    model: Path,
    far_threshold_hz: float,
    sharing: str,
    prior: Prior,
    m_min: float,
    ns_max: float,
    gap_max: float | None,
    m_max: float,
    mchirp_relative_error: float,
    distance_estimator: Estimator,
    population: str | None,
    noise_statistics: tuple[Path, ...],
    noise_trials: float,
    counted: Path | None,
    since: float | None,
    until: float | None,
    as_json: bool,
    **choices: Any,  # noqa: ANN401  (numbers, each of the kind of its default)
) -> None:
    """Fit a model on a processed campaign, or on uploads and known mergers.

    Of a campaign, the injections found are signals and the background is noise. Of uploads, the
    candidates within a second of a known merger are signals and the rest is noise. They are taken
    for whole signals: uploads of an early-warning search are --counted with a campaign of it.

    A campaign also gives rates: detections a year of livetime, and mergers per Gpc^3 and year where
    the runs file says what the injections were drawn from.
    """
    boundaries = MassBoundaries(m_min=m_min, ns_max=ns_max, gap_max=gap_max, m_max=m_max)
    settings = FitSettings(
        far_threshold_hz=far_threshold_hz,
        sharing=ClassSharing(sharing),
        prior=prior,
        boundaries=boundaries,
        mchirp_relative_error=mchirp_relative_error,
        distance_estimator=distance_estimator,
        noise_trials=noise_trials,
        densities=DensitySettings(**{name: choices[name] for name in _DENSITIES}),
        response=Response(**{name: choices[name] for name in _RESPONSE}),
        population=None
        if population is None
        else read_populations(population, boundaries=boundaries),
    )
    training = from_either(
        processed,
        triggers,
        of_campaign=partial(from_processed, settings=settings),
        of_uploads=partial(from_uploads, known_events_path=known_events, settings=settings),
    )
    if counted is not None:
        training = counting(training, counted, settings=settings)
    training = within_gps(training, During(since_s=since, until_s=until))
    artifact = fit(
        training,
        read_distances(distances or CAMPAIGN),
        settings=settings,
        noise_statistics=noise_statistics,
    )
    write_model(artifact, model)
    for file, why in artifact.provenance.missing.items():
        click.echo(f"{file}: {why}", err=True)
    summary = _summary(training, artifact)
    if as_json:
        print_json({"model": str(model), **summary})
        return
    expected = ", ".join(
        f"{count['mean']:.1f} +- {count['std']:.1f} {source}"
        for source, count in summary["expected"].items()
    )
    click.echo(
        f"{model}: {summary['candidates']} candidates, {summary['signals']} of them signals; "
        f"expected {expected}"
    )
    _print_distances(artifact.provenance.distances)
    _print_dropped(training)
    _print_rates(artifact.provenance.rates)


def _print_distances(choice: DistanceRecord | None) -> None:
    """Say which distance model real events chose."""
    if choice:
        scatter = "; ".join(f"{name}: {value:.3f}" for name, value in choice.scatter.items())
        click.echo(f"distances by {choice.chosen}")
        click.echo(f"  scatter over {choice.events} real events: {scatter}")


def _print_dropped(training: TrainingSet) -> None:
    """Say how many rows of a table of uploads are no candidates, and why."""
    said = training.data
    reasons = {"that are no triggers": said.rejects or 0, **said.dropped}
    dropped = {reason: count for reason, count in reasons.items() if count}
    if dropped:
        click.echo(f"dropped {sum(dropped.values())} of {said.rows} rows:")
    for reason, count in dropped.items():
        click.echo(f"  {count} {reason}")
    for run, why in said.left_out.items():
        click.echo(f"left out {run}: {why}")


def _print_rates(rates: Rates) -> None:
    """Print the median rates with their 90 % intervals, and why one is not known."""
    if not rates.classes:
        click.echo(f"no rates: {rates.why_not}")
        return
    rows = [
        (str(source), *one.detections_per_yr, *(one.mergers_per_gpc3_yr or [None] * 3))
        for source, one in rates.classes.items()
    ]
    columns = ["class", "detections/yr", "5 %", "95 %", "mergers/Gpc3/yr", "5 % ", "95 % "]
    print_table(
        pl.DataFrame(rows, schema=columns, orient="row", infer_schema_length=None),
        title=f"\nRates from {rates.livetime_yr:.4g} years of livetime",
    )
    for source, one in rates.classes.items():
        if one.why_not:
            click.echo(f"no merger rate of {source}: {one.why_not}")


def _summary(training: TrainingSet, artifact: ModelArtifact) -> dict[str, Any]:
    counts = artifact.model.counts
    return {
        "candidates": training.labelled.height,
        "signals": int(training.labelled["is_signal"].sum()),
        "expected": {
            str(source): {"mean": float(mean), "std": float(std)}
            for source, mean, std in zip(ASTROPHYSICAL, counts.mean, counts.std, strict=True)
        },
        "rates": msgspec.to_builtins(artifact.provenance.rates),
    }
