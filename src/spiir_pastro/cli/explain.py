"""``spiir-pastro explain``."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.cli.bars import waterfall
from spiir_pastro.cli.options import FILE, known_events_option
from spiir_pastro.cli.output import json_option, print_json, print_table
from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.errors import TriggerError
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.predictions import as_table
from spiir_pastro.io.properties import as_document, property_plane
from spiir_pastro.io.sources import read_triggers
from spiir_pastro.io.triggers import to_candidates
from spiir_pastro.models.components import FACTORS
from spiir_pastro.models.explanation import Explanation, explain
from spiir_pastro.models.pastro import ClassSharing, PastroModel
from spiir_pastro.models.properties import SourceProperties
from spiir_pastro.report.evidence import FACTS, weigh
from spiir_pastro.report.numbers import probability
from spiir_pastro.report.page import write_event_page
from spiir_pastro.selection.known import label_known

__all__ = ["command"]

_SHARING = {
    ClassSharing.MULTI_COMPONENT: "their own densities, outliers by the mass contour",
    ClassSharing.MASS_CONTOUR: "the mass contour",
}

LEAST_BIN = 0.005
"""A bin of a smaller probability is not printed."""


@click.command("explain")
@click.argument("event")
@click.option("--model", type=FILE, required=True, help="Model file that fit wrote.")
@click.option("--triggers", type=FILE, help="Where EVENT is an id or a name: the file that has it.")
@known_events_option
@click.option(
    "--html", type=click.Path(path_type=Path, dir_okay=False), help="Write a page as well."
)
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
    trigger = _find(event, triggers, known_events)
    candidates = to_candidates(trigger)
    explained = explain(artifact.model, candidates)
    shares = weigh(explained).shares[:, -1]
    properties = property_plane(artifact.model).properties(candidates, shares)
    if as_json:
        document = _document(trigger.row(0, named=True), explained)
        print_json(document | {"properties": as_document(properties)})
    else:
        _print(trigger.row(0, named=True), explained, model=artifact.model)
        _print_properties(explained, properties)
    if html is not None:
        said = pl.concat([trigger, as_table(explained.predictions)], how="horizontal")
        write_event_page(html, said, artifact)
        click.echo(f"\n{html}", err=as_json)


def _find(event: str, triggers: Path | None, known_events: Path | None) -> pl.DataFrame:
    """Return the one candidate meant, as a canonical trigger table of one row."""
    path = Path(event) if triggers is None else triggers
    if triggers is None and not path.exists():
        raise TriggerError(
            f"no file {event}; correct its name, or say with --triggers whose id or name it is"
        )
    table = read_triggers(path).triggers
    if triggers is not None:
        by_id = table.filter(pl.col("event_id") == event)
        table = by_id if by_id.height else _of_merger(table, event, read_known_events(known_events))
    if table.height != 1:
        what = f"{path} holds {table.height} candidates"
        what += f" called {event}" if triggers is not None else ""
        raise TriggerError(f"{what}, where one belongs; name it, and its file with --triggers")
    return table


def _of_merger(table: pl.DataFrame, name: str, events: pl.DataFrame) -> pl.DataFrame:
    """Return the most significant candidate of a known merger; none if the name is not known."""
    named = events.filter(pl.col("name") == name)
    if named.is_empty():  # the catalogue may have its time of day, too, as in GW190412_053044
        named = events.filter(pl.col("name").str.starts_with(f"{name}_"))
    if named.height != 1:
        return table.clear()
    near = label_known(table, named).filter(pl.col("known_event").is_not_null())
    if near.is_empty():
        raise TriggerError(
            f"no trigger is within a second of {name}, GPS {named.item(0, 'gps')}; give the "
            "triggers of its time"
        )
    return near.sort("far_hz", nulls_last=True).head(1)


def _print(trigger: dict[str, Any], explained: Explanation, *, model: PastroModel) -> None:
    p = explained.predictions
    _draw(trigger["event_id"], explained)
    if p.notes[0]:
        click.echo(f"note: {p.notes[0]}")
    for line in _extrapolations(trigger, explained):
        click.echo(line)
    print_table(_table(trigger, explained))
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
    edges = itertools.pairwise(properties.mchirp_edges.tolist())
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
            f"extrapolated: {factor.label} {trigger[factor.column]:.3g}, where there are too "
            f"few events to say {whose} density; its logarithm may be {below:.1f} less or "
            f"{above:.1f} more"
        )


def _table(trigger: dict[str, Any], explained: Explanation) -> pl.DataFrame:
    """Put what goes into the probabilities into rows, sources into columns."""
    lines = [
        (f"density at {f.label}", trigger[f.column], np.exp(explained.log_terms[name][0]))
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
    sources = [*ASTROPHYSICAL, Source.TERRESTRIAL]
    return pl.DataFrame(
        {
            "": [name for name, _, _ in lines],
            "value": pl.Series([value for _, value, _ in lines], dtype=pl.Float64),
            **{
                str(source): pl.Series([float(row[k]) for _, _, row in lines]).fill_nan(None)
                for k, source in enumerate(sources)
            },
        }
    )
