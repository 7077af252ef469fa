"""What a model is fitted on: labelled candidates for the densities, and candidates to count.

Either uploads, some of which are known mergers, or a processed campaign, whose injections stand for
signals. Both become the same :class:`TrainingSet`.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from spiir_pastro.domain import ASTROPHYSICAL, MassBoundaries, Source
from spiir_pastro.errors import FitError
from spiir_pastro.io.distances import CAMPAIGN, LocalisedEvents, read_distances
from spiir_pastro.io.gwtc import class_of_masses, read_known_events
from spiir_pastro.io.sources import read_triggers
from spiir_pastro.models.cosmology import redshift
from spiir_pastro.models.counts import Prior
from spiir_pastro.models.distance_fit import Estimator
from spiir_pastro.models.fitting import DensitySettings, Reference
from spiir_pastro.models.pastro import ClassSharing
from spiir_pastro.models.population import BinaryPopulation
from spiir_pastro.pipeline.processed import open_processed
from spiir_pastro.pipeline.sensitivity import (
    YEAR_S,
    Sensitivity,
    sensitivities,
    signal_weights,
)
from spiir_pastro.pipeline.summary import Summary
from spiir_pastro.selection.clustering import SECOND_NS, cluster
from spiir_pastro.selection.uploads import select_uploads

__all__ = [
    "FitSettings",
    "TrainingSet",
    "fingerprints",
    "from_processed",
    "from_uploads",
    "reference_of",
    "source_class",
]


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """What a person chooses about a fit.

    Attributes
    ----------
    far_threshold_hz
        Candidates with a FAR up to this are counted.
    prior
        Prior of the counts, ``jeffreys`` or ``uniform``.
    sharing
        How p_astro is shared among the classes.
    boundaries
        Where neutron stars end and black holes begin.
    mchirp_relative_error
        Of the template's chirp mass.
    distance_estimator
        How distances are fitted.
    noise_trials
        A candidate's FAR over the one by its own bank's statistics, where those are given.
    densities
        The densities' own choices.
    population
        What the sky holds, by class, which injections are reweighted to; None to take it for what
        was injected.
    """

    far_threshold_hz: float = 3e-4
    prior: Prior = "jeffreys"
    sharing: ClassSharing = ClassSharing.MULTI_COMPONENT
    boundaries: MassBoundaries = field(default_factory=MassBoundaries)
    mchirp_relative_error: float = 0.01
    distance_estimator: Estimator = "best"
    noise_trials: float = 8.0
    densities: DensitySettings = field(default_factory=DensitySettings)
    population: Mapping[Source, BinaryPopulation] | None = None


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """Candidates with labels, candidates to count, and where both come from.

    Attributes
    ----------
    labelled
        Canonical triggers with ``is_signal`` and ``source_class`` (null for noise, or where it is
        not known), all with a FAR below the threshold. Where signals are reweighted, with
        ``weight``.
    counted
        Canonical triggers: the independent candidates of the search.
    known_window_ns
        A counted candidate as near as this to a known merger is that merger, nanoseconds.
    reference
        Chirp masses by class; None for those of the localised events.
    livetime_yr
        How long the candidates were counted; None where it is not known.
    sensitivity
        What injections measure, by class.
    provenance
        What a reader of the model should know of them; plain JSON values.
    """

    labelled: pl.DataFrame
    counted: pl.DataFrame
    known_window_ns: int = SECOND_NS
    reference: Reference | None = None
    livetime_yr: float | None = None
    sensitivity: Mapping[Source, Sensitivity] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)


def from_uploads(
    triggers_path: Path,
    *,
    known_events_path: Path | None = None,
    settings: FitSettings,
) -> TrainingSet:
    """Take uploads: candidates within a second of a known merger are signals, the rest is noise.

    Raises
    ------
    FitError
        If a population is chosen: there are no injections to reweight.
    """
    if settings.population is not None:
        raise FitError("uploads have no injections to reweight to a population; choose none")
    known_events = read_known_events(known_events_path, boundaries=settings.boundaries)
    read = read_triggers(triggers_path)
    selection = select_uploads(
        read.triggers, known_events, far_threshold_hz=settings.far_threshold_hz
    )
    labelled = selection.candidates.rename({"is_known": "is_signal", "known_class": "source_class"})
    known = labelled.filter("is_signal")
    return TrainingSet(
        labelled=labelled,
        counted=labelled,
        provenance={
            "inputs": fingerprints([triggers_path, known_events_path]),
            "rows": read.triggers.height + read.rejects.height,
            "rejects": read.rejects.height,
            "left_out": dict(selection.left_out),
            "known_mergers": known["known_event"].to_list(),
        },
    )


def from_processed(folder: Path, *, settings: FitSettings) -> TrainingSet:
    """Take a processed campaign: injections found are signals, the background is noise.

    The candidates counted are those of the background runs, known mergers included. An injection's
    class is that of its source-frame masses.

    Raises
    ------
    FitError
        If the folder holds no background or no foreground below the threshold.
    DocumentError
        If its summary or a table is not what was written.
    """
    below = pl.col("far_hz") <= settings.far_threshold_hz
    processed = open_processed(folder)
    summary = processed.summary
    tables = {
        kind: [*processed.tables(kind).values()]
        for kind in ("background", "foreground", "known_mergers")
    }
    absent = [kind for kind in ("background", "foreground") if not tables[kind]]
    if absent:
        raise FitError(f"{folder} holds no {' and no '.join(absent)}; run spiir-pastro process")
    background = pl.concat(tables["background"]).filter(below)
    foreground = pl.concat(tables["foreground"]).filter(below)
    noise = background.with_columns(is_signal=False, source_class=pl.lit(None, pl.String))
    signals = foreground.with_columns(
        source_class(foreground, settings.boundaries).alias("source_class"), is_signal=True
    )
    known = [table.filter(below) for table in tables["known_mergers"]]
    livetime_yr = summary.background_livetime_s / YEAR_S
    if settings.population is not None:
        weights = signal_weights(signals, summary.injections, settings.population)
        signals = signals.with_columns(pl.Series("weight", weights)).filter(pl.col("weight") > 0)
    return TrainingSet(
        labelled=pl.concat([noise, signals], how="diagonal"),
        counted=cluster(
            pl.concat([background, *known], how="diagonal"),
            window_ns=summary.settings.cluster_window_ns,
        ),
        known_window_ns=summary.settings.known_window_ns,
        reference=_recovered(signals, settings.densities),
        livetime_yr=livetime_yr,
        sensitivity=sensitivities(
            foreground,
            processed.tables("missed"),
            summary.injections,
            populations=settings.population,
            livetime_yr=livetime_yr,
            far_threshold_hz=settings.far_threshold_hz,
        ),
        provenance={
            "inputs": processed.inputs,
            "livetime_s": summary.background_livetime_s,
            **_gaps(summary),
            "injections_found": foreground.height,
        },
    )


def _gaps(summary: Summary) -> dict[str, Any]:
    """Repeat what of the campaign was not there, if anything."""
    missing = {p.name: f"{p.trouble}: {p.why}" for p in summary.problems}
    return {"missing": missing} if missing else {}


def reference_of(events: LocalisedEvents, *, settings: DensitySettings | None = None) -> Reference:
    """Return recovered chirp masses by class, solar masses, of localised events with classes.

    The shipped campaign stands in for events without classes or chirp masses.
    """
    has_both = (events.source_class != "") & ~np.isnan(events.mchirp_det)
    if not {*ASTROPHYSICAL} <= {*events.source_class[has_both].tolist()}:
        return reference_of(read_distances(CAMPAIGN), settings=settings)
    masses = {
        source: events.mchirp_det[has_both & (events.source_class == source)]
        for source in ASTROPHYSICAL
    }
    return Reference.of_injections(masses, settings=settings)


def _recovered(signals: pl.DataFrame, settings: DensitySettings) -> Reference:
    """Take injections found as true values: far-off recoveries were not matched to injections."""
    by_class = {source: signals.filter(source_class=str(source)) for source in ASTROPHYSICAL}
    missing = [str(source) for source, mine in by_class.items() if mine.is_empty()]
    if missing:
        raise FitError(
            f"no injection of {' and '.join(missing)} was found below the FAR threshold; "
            "add runs with such injections"
        )
    weights = None
    if "weight" in signals.columns:
        weights = {source: mine["weight"].to_numpy() for source, mine in by_class.items()}
    return Reference.of_injections(
        {source: mine["mchirp_det"].to_numpy() for source, mine in by_class.items()},
        weight=math.inf,
        sample_weights=weights,
        settings=settings,
    )


def source_class(
    injections: pl.DataFrame, boundaries: MassBoundaries, *, prefix: str = "injection_"
) -> pl.Series:
    """Name each injection's class by its source-frame masses."""
    z = redshift(injections[f"{prefix}distance_mpc"].to_numpy())
    masses = pl.DataFrame(
        {
            "mass1_source": injections[f"{prefix}mass1_det"] / (1 + z),
            "mass2_source": injections[f"{prefix}mass2_det"] / (1 + z),
        }
    )
    return masses.select(class_of_masses(boundaries)).to_series()


def fingerprints(paths: Iterable[Path | None]) -> Sequence[Mapping[str, str]]:
    """Name and SHA-256 of each input given."""
    return [
        {"name": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in paths
        if path is not None and path.is_file()
    ]
