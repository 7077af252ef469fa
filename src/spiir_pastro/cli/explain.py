"""``spiir-pastro explain``."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from spiir_pastro.cli.bars import waterfall
from spiir_pastro.cli.options import FILE, NEW_FILE, known_events_option, model_option
from spiir_pastro.cli.output import json_option, print_columns, print_json
from spiir_pastro.domain import ASTROPHYSICAL, DETECTORS, Candidates, Source, Trigger, join_ifos
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.candidate_file import only_candidate
from spiir_pastro.io.event_properties import as_document, property_plane
from spiir_pastro.models.explanation import Explanation, explain
from spiir_pastro.models.factors import FACTORS
from spiir_pastro.models.pastro import ClassSharing, PastroModel
from spiir_pastro.models.properties import MCHIRP_BINS, SourceProperties
from spiir_pastro.report.evidence import FACTS, weigh
from spiir_pastro.report.numbers import probability

_SHARING = {
    ClassSharing.MULTI_COMPONENT: "their own densities, outliers by the mass contour",
    ClassSharing.MASS_CONTOUR: "the mass contour",
}

LEAST_BIN = 0.005
"""A bin of a smaller probability is not printed."""


@click.command("explain")
@click.argument("event")
@model_option
@click.option("--triggers", type=FILE, help="Where EVENT is an id or a name: the file that has it.")
@known_events_option
@click.option("--html", type=NEW_FILE, help="Write a page as well.")
@json_option("the numbers")
def command(
    *,
    event: str,
    model: Path,
    triggers: Path | None,
    known_events: Path | None,
    html: Path | None,
    as_json: bool,
) -> None:
    """Say why a candidate got its probabilities.

    EVENT is a file that holds one candidate (a coinc.xml, an alert .json, a CSV of one row), or the
    id of one among --triggers, or the name of a known merger that is among them, like GW190521.
    """
    artifact = load_model(model)
    alone = only_candidate(Path(event)) if triggers is None and html is None else None
    if alone is not None:
        _tell(_as_row(alone), Candidates.from_triggers([alone]), artifact.model, as_json=as_json)
        return
    # Data frames take longer to load than a candidate to explain.
    from spiir_pastro.cli.explain_tables import find, write_page  # noqa: PLC0415
    from spiir_pastro.io.trigger_tables import to_candidates  # noqa: PLC0415

    trigger = find(event, triggers, known_events)
    row, candidates = trigger.row(0, named=True), to_candidates(trigger)
    explained = _tell(row, candidates, artifact.model, as_json=as_json)
    if html is not None:
        write_page(html, trigger, explained.predictions, artifact)
        click.echo(f"\n{html}", err=as_json)


def _as_row(trigger: Trigger) -> dict[str, Any]:
    """Put a trigger into the columns of a trigger table, distances to single precision as there."""
    distances = (trigger.eff_distance_mpc.get(ifo) for ifo in DETECTORS)
    single = [None if d is None else float(np.float32(d)) for d in distances]
    return {
        "event_id": trigger.event_id,
        "gps_ns": trigger.gps_ns,
        "ifos": join_ifos(trigger.ifos),
        "far_hz": trigger.far_hz,
        "snr": trigger.snr,
        "mchirp_det": trigger.mchirp_det,
        **dict(zip((f"eff_distance_mpc_{ifo}" for ifo in DETECTORS), single, strict=True)),
        "mtotal_det": trigger.mtotal_det,
    }


def _tell(
    row: dict[str, Any], candidates: Candidates, model: PastroModel, *, as_json: bool
) -> Explanation:
    explained = explain(model, candidates)
    properties = property_plane(model).properties(candidates, weigh(explained).shares[:, -1])
    if as_json:
        print_json(_document(row, explained) | {"properties": as_document(properties)})
    else:
        _print(row, explained, model=model)
        _print_properties(explained, properties)
    return explained


def _print(trigger: dict[str, Any], explained: Explanation, *, model: PastroModel) -> None:
    p = explained.predictions
    _draw(trigger["event_id"], explained)
    if p.notes[0]:
        click.echo(f"note: {p.notes[0]}")
    for line in _extrapolations(trigger, explained):
        click.echo(line)
    print_columns(_columns(trigger, explained))
    click.echo(
        "\nThe densities multiply; with the counts they are shared out as the probabilities. "
        f"Classes are shared by {_SHARING[model.sharing]}."
    )
    mean, std = explained.source_mchirp[0]
    if np.isfinite(mean):
        click.echo(f"The contour's source-frame chirp mass: {mean:.3g} ± {std:.2g} solar masses.")
    else:
        click.echo("No mass contour: the candidate comes without SNR or effective distances.")


def _print_properties(explained: Explanation, properties: SourceProperties) -> None:
    """Say what the mass plane knows of a signal, with how probable it is that it is one."""
    if np.isnan(properties.has_ns[0]):
        return
    p_astro = explained.predictions.p_astro[0]
    known = f", and p_astro is {p_astro:.4f}" if np.isfinite(p_astro) else ""
    click.echo(f"\nIf it is a signal{known}:")
    flags = properties.has_ns[0], properties.has_mass_gap[0], properties.has_remnant[0]
    names = "HasNS", "HasMassGap", "HasRemnant"
    pairs = zip(names, flags, strict=True)
    click.echo("  " + ", ".join(f"{name} {probability(flag)}" for name, flag in pairs))
    low, median, high = properties.source_mchirp[0]
    click.echo(f"  source-frame chirp mass {median:.3g} ({low:.3g} to {high:.3g}, 90 %), in bins:")
    edges = itertools.pairwise(MCHIRP_BINS)
    bins = [
        f"{left:g} to {right:g}: {probability(p)}"
        for (left, right), p in zip(edges, properties.mchirp_bins[0], strict=True)
        if p >= LEAST_BIN
    ]
    click.echo(f"  {', '.join(bins)} solar masses")


def _draw(event_id: str, explained: Explanation) -> None:
    """Draw what each fact adds, and say how the classes share a signal."""
    p, evidence = explained.predictions, weigh(explained)
    pairs = zip(ASTROPHYSICAL, evidence.shares[0, -1], strict=True)
    classes = ", ".join(f"{source} {probability(share)}" for source, share in pairs)
    if np.isfinite(p.p_astro[0]):
        low, high = p.p_astro_interval[0]
        click.secho(f"{event_id}: p_astro {p.p_astro[0]:.4f}", bold=True, nl=False)
        click.echo(f" (90 % interval {low:.4f} to {high:.4f}, of counts and densities)")
        click.echo("\nFor a signal, in decibans (10 make it ten times likelier):")
        for line in waterfall(FACTS, evidence.decibans[0].tolist(), total="together"):
            click.echo(f"  {line}")
        click.echo(f"If it is a signal: {classes}\n")
    else:
        click.secho(f"{event_id}: whether it is a signal cannot be said without a FAR", bold=True)
        click.echo(f"If it is one: {classes}, by the rest alone\n")


def _document(trigger: dict[str, Any], explained: Explanation) -> dict[str, object]:
    """Put the same into a JSON document."""
    p = explained.predictions

    def by_source(values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(map(str, Source), values.tolist(), strict=False))

    mean, std = explained.source_mchirp[0].tolist()
    return {
        "schema_version": 1,
        "candidate": trigger,
        "p_astro": float(p.p_astro[0]),
        "p_astro_interval": p.p_astro_interval[0].tolist(),
        "probabilities": by_source(p.probabilities[0]),
        "extrapolated": str(p.extrapolated[0]),
        "note": str(p.notes[0]),
        "densities": {name: by_source(np.exp(log[0])) for name, log in explained.log_terms.items()},
        "log_density_errors": {
            name: [by_source(side) for side in explained.log_errors[:, k, :, 0].T]
            for k, name in enumerate(FACTORS)
        },
        "expected_counts": by_source(explained.counts),
        "contour_shares": by_source(explained.contour_shares[0]),
        "source_mchirp": {"mean": mean, "std": std},
    }


def _extrapolations(trigger: dict[str, Any], explained: Explanation) -> Iterator[str]:
    """Say which densities extrapolate, in what and how far."""
    for source, term in zip(*np.nonzero(explained.extrapolations[0]), strict=True):
        factor = list(FACTORS.values())[term]
        whose = [*(f"{name}'s" for name in ASTROPHYSICAL), "noise's"][source]
        below, above = explained.log_errors[source, term, :, 0]
        yield (
            f"extrapolated: {factor.label} ({factor.column} {trigger[factor.column]:.3g}), where "
            f"there are too few events to say {whose} density; its logarithm may be {below:.1f} "
            f"less or {above:.1f} more"
        )


def _columns(trigger: dict[str, Any], explained: Explanation) -> dict[str, list[Any]]:
    """Put what goes into the probabilities into rows, sources into columns."""
    # With its column: what stands for the mass ratio beside the chirp mass is the total mass.
    densities = {name: np.exp(log[0]) for name, log in explained.log_terms.items()}
    lines = [
        (f"density at {f.label} ({f.column})", trigger[f.column], densities[name])
        for name, f in FACTORS.items()
    ]
    errors = np.sqrt((explained.log_errors[..., 0] ** 2).sum(axis=1))
    lines.append(("logarithm may be less by", None, errors[:, 0]))
    lines.append(("or more by", None, errors[:, 1]))
    lines.append(("expected count", None, explained.counts))
    weights = np.log(explained.counts) + sum(log[0] for log in explained.log_terms.values())
    odds = np.exp(weights - weights.max())
    lines.append(("share at the mean counts", None, odds / odds.sum()))
    contour = np.append(explained.contour_shares[0], np.nan)
    lines.append(("mass contour's share", None, contour))
    lines.append(("probability", None, explained.predictions.probabilities[0]))
    by_source = np.stack([row for _, _, row in lines], axis=1)
    return {
        "": [name for name, _, _ in lines],
        "value": [value for _, value, _ in lines],
        **{
            str(source): [None if np.isnan(value) else value for value in column]
            for source, column in zip(
                [*ASTROPHYSICAL, Source.TERRESTRIAL], by_source.tolist(), strict=True
            )
        },
    }
