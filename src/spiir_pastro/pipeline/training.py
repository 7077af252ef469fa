"""What a model is fitted on: labelled candidates for the densities, and candidates to count.

Either uploads, some of which are known mergers, or a processed campaign, whose injections stand for
signals. Both become the same :class:`TrainingSet`.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import MassBoundaries, Source
from spiir_pastro.domain.times import SECOND_NS, YEAR_S
from spiir_pastro.errors import FitError
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.provenance import InputFile, TrainingData
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.io.trigger_tables import to_candidates
from spiir_pastro.models.cosmology import redshift
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.mass_plane import class_of_masses
from spiir_pastro.models.response import Response, mass_difference
from spiir_pastro.pipeline.processed import open_processed
from spiir_pastro.pipeline.sensitivity import (
    Sensitivity,
    sensitivities,
    signal_weights,
)
from spiir_pastro.selection.clustering import cluster
from spiir_pastro.selection.time_span import ALWAYS, During
from spiir_pastro.selection.uploads import select_uploads


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """Candidates with labels, candidates to count, and where both come from."""

    # canonical triggers with ``is_signal`` and ``source_class`` (null for noise, or where it is
    # not known), all with a FAR below the threshold. Where signals are reweighted, with
    # ``weight``. Signals have their true detector-frame masses ``true_mass1_det`` and
    # ``true_mass2_det`` where these are known.
    labelled: pl.DataFrame
    counted: pl.DataFrame  # canonical triggers: the independent candidates of the search
    # a counted candidate as near as this to a known merger is that merger, nanoseconds
    known_window_ns: int = SECOND_NS
    # how long the candidates were counted; None where it is not known
    livetime_yr: float | None = None
    # seconds before the merger at which signals end; 0 for whole ones
    early_warning_s: float = 0.0
    # what injections measure, by class
    sensitivity: Mapping[Source, Sensitivity] = field(default_factory=dict)
    # what a reader of the model should know of them
    data: TrainingData = field(default_factory=TrainingData)


def within_gps(training: TrainingSet, during: During) -> TrainingSet:
    """Keep the candidates of a part of the time, for a clean split in time.

    How long the part was searched, and with what sensitivity, is not known.

    Raises
    ------
    ConfigError
        If no candidate is left.
    """
    if during == ALWAYS:
        return training
    return replace(
        training,
        labelled=training.labelled.filter(during.holds("gps_ns")),
        counted=during.of(training.counted),
        livetime_yr=None,
        sensitivity={},
        data=msgspec.structs.replace(
            training.data, since_gps=during.since_s, until_gps=during.until_s
        ),
    )


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
    labelled = _with_true_masses(
        selection.candidates.rename({"is_known": "is_signal", "known_class": "source_class"}),
        known_events,
    )
    known = labelled.filter("is_signal")
    return TrainingSet(
        labelled=labelled,
        counted=labelled,
        data=TrainingData(
            inputs=fingerprints([triggers_path, known_events_path]),
            rows=read.triggers.height + read.rejects.height,
            rejects=read.rejects.height,
            dropped=dict(selection.dropped),
            left_out=dict(selection.left_out),
            known_mergers=tuple(known["known_event"]),
        ),
    )


def from_processed(folder: Path, *, settings: FitSettings) -> TrainingSet:
    """Take a processed campaign: injections seen are signals, the background is noise.

    Those recovered at another chirp mass are among them: without them no binary would seem
    misrecovered, and signals more significant than they are. The candidates counted are those of
    the background runs, known mergers included. An injection's class is that of its source-frame
    masses.

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
    foreground = processed.injections_seen().filter(below)
    noise = background.with_columns(is_signal=False, source_class=pl.lit(None, pl.String))
    signals = foreground.with_columns(
        source_class(foreground, settings.boundaries).alias("source_class"),
        is_signal=True,
        true_mass1_det="injection_mass1_det",
        true_mass2_det="injection_mass2_det",
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
        livetime_yr=livetime_yr,
        early_warning_s=max(run.early_warning_s for run in summary.injections),
        sensitivity=sensitivities(
            foreground,
            summary.injections,
            populations=settings.population,
            livetime_yr=livetime_yr,
        ),
        data=TrainingData(
            inputs=processed.inputs,
            description=summary.description,
            livetime_s=summary.background_livetime_s,
            missing={p.name: f"{p.trouble}: {p.why}" for p in summary.problems},
            injections_found=foreground.height,
        ),
    )


def _with_true_masses(labelled: pl.DataFrame, known_events: pl.DataFrame) -> pl.DataFrame:
    """Add the detector-frame masses of the known mergers that have them."""
    by_distance = redshift(known_events["distance_mpc"].fill_null(np.nan).to_numpy())
    z = pl.coalesce("redshift", pl.Series(by_distance).fill_nan(None))
    masses = known_events.select(
        known_event="name",
        true_mass1_det=pl.col("mass1_source") * (1 + z),
        true_mass2_det=pl.col("mass2_source") * (1 + z),
    )
    return labelled.join(
        masses.unique("known_event", keep="first", maintain_order=True),
        on="known_event",
        how="left",
        maintain_order="left",
    )


def fitted_response(labelled: pl.DataFrame, response: Response) -> Response:
    """Correct a response by the signals whose true masses are known."""
    names = ("true_mass1_det", "true_mass2_det")
    if not {*names} <= {*labelled.columns}:
        return response
    known = labelled.filter("is_signal").drop_nulls(names)
    heavy, light = (known[name].to_numpy() for name in names)
    true_w = np.abs(heavy - light) / (heavy + light)
    candidates = to_candidates(known)
    return response.fitted(
        (_log_mchirp(heavy, light), true_w),
        (np.log(candidates.mchirp_det), mass_difference(candidates.eta)),
    )


def _log_mchirp(mass1: NDArray[np.float64], mass2: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(0.6 * np.log(mass1 * mass2) - 0.2 * np.log(mass1 + mass2))


def source_class(
    injections: pl.DataFrame, boundaries: MassBoundaries, *, prefix: str = "injection_"
) -> pl.Series:
    """Name each injection's class by its source-frame masses."""
    z = redshift(injections[f"{prefix}distance_mpc"].to_numpy())
    mass1, mass2 = (injections[f"{prefix}mass{k}_det"].to_numpy() / (1 + z) for k in (1, 2))
    return pl.Series(class_of_masses(mass1, mass2, boundaries), dtype=pl.String)


def fingerprints(paths: Iterable[Path | None]) -> tuple[InputFile, ...]:
    """Name and SHA-256 of each input given."""
    return tuple(
        InputFile(name=path.name, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        for path in paths
        if path is not None and path.is_file()
    )
