"""Counts where they belong: of other candidates than the densities', of new ones, of other ranges.

Densities come from what is labelled, counts from the candidates of the search itself. A campaign's
injections make good densities, and its counts are those of the campaign; a model that serves needs
the counts of the candidates it is asked about. These go on as candidates arrive (`update`), equal
to a refit, and are scaled when the sensitivity changes (`rescale`).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from spiir_pastro.domain import Source, SourceProbabilities, Trigger
from spiir_pastro.errors import FitError
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.provenance import Counted
from spiir_pastro.io.sources import read_triggers
from spiir_pastro.io.training_digest import TrainingDigest
from spiir_pastro.io.triggers import to_candidates
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.pipeline.training import FitSettings, TrainingSet, fingerprints
from spiir_pastro.selection.clustering import cluster
from spiir_pastro.selection.uploads import select_uploads

__all__ = ["counting", "rescale", "update"]


def counting(training: TrainingSet, uploads: Path, *, settings: FitSettings) -> TrainingSet:
    """Count the candidates of a table of uploads in place of the training's own.

    Parameters
    ----------
    training
        What the densities are fitted on.
    uploads
        A trigger table; its candidates are clustered and cut as `fit --triggers` does.
    settings
        Choices of the fit.
    """
    read = read_triggers(uploads)
    selection = select_uploads(
        read.triggers,
        read_known_events(boundaries=settings.boundaries),
        far_threshold_hz=settings.far_threshold_hz,
    )
    counted = Counted(
        inputs=fingerprints([uploads]),
        rows=read.triggers.height + read.rejects.height,
        rejects=read.rejects.height,
        left_out=dict(selection.left_out),
    )
    # How long these were collected is not known, so there are no rates.
    return replace(
        training,
        counted=selection.candidates,
        livetime_yr=None,
        data=msgspec.structs.replace(training.data, counted=counted),
    )


def update(artifact: ModelArtifact, table: Path) -> tuple[ModelArtifact, Mapping[str, int]]:
    """Add the candidates of a table to a model's counts, as if they had been in the fit.

    Parameters
    ----------
    artifact
        The model; its densities stay.
    table
        A trigger table. Of each second the most significant row is a candidate; candidates that
        the model counted already, or above its FAR threshold, are left out.

    Returns
    -------
    artifact, rows
        The model, and how many rows were ``added``, ``known`` and ``above`` the threshold.

    Raises
    ------
    FitError
        If nothing new is there, the model was rescaled, or the counts move too far.
    """
    if artifact.provenance.rescaled:
        raise FitError("this model's counts were rescaled; update the model it was made from")
    model = artifact.model
    triggers = read_triggers(table).triggers
    below = triggers.filter(pl.col("far_hz") <= model.far_threshold_hz)
    clustered = cluster(below)
    # By their digests: a candidate counted twice would raise the rate.
    known = artifact.trained_on.knows(clustered)
    judged = model.densities.judge(to_candidates(clustered))
    new = clustered.filter(pl.Series(~known & judged))
    if new.is_empty():
        raise FitError(
            f"{table}: none of {triggers.height} rows is a new candidate with a FAR up to "
            f"{model.far_threshold_hz:g} Hz; there is nothing to add"
        )
    factors = model.densities.log_bayes_factors(
        to_candidates(new), far_threshold_hz=model.far_threshold_hz
    )
    posterior = artifact.count_posterior().updated(factors)
    updated = replace(model, counts=CountSummary.of(posterior))
    digests = np.union1d(artifact.trained_on.values, TrainingDigest.of(new).values)
    provenance = artifact.provenance
    times = sorted([*provenance.gps_span_ns, *new["gps_ns"]])
    return replace(
        artifact,
        model=updated,
        compressed_counts=posterior.as_mapping(),
        trained_on=TrainingDigest(values=digests),
        provenance=msgspec.structs.replace(
            provenance,
            updates=(*provenance.updates, *fingerprints([table])),
            candidates=posterior.n_candidates,
            gps_span_ns=(times[0], times[-1]),
        ),
        reference=_reassessed(artifact, updated),
    ), {"added": new.height, "known": int(known.sum()), "above": triggers.height - below.height}


def rescale(
    artifact: ModelArtifact, volumes: Mapping[Source, float], *, noise: float = 1.0
) -> ModelArtifact:
    """Return a model for detectors of another sensitivity; see `PastroModel.rescaled`."""
    model = artifact.model.rescaled(volumes, noise=noise)
    factors = {**{str(source): value for source, value in volumes.items()}, "noise": noise}
    earlier = artifact.provenance.rescaled
    product = {
        name: earlier.get(name, 1.0) * factors.get(name, 1.0) for name in {**earlier, **factors}
    }
    return replace(
        artifact,
        model=model,
        provenance=msgspec.structs.replace(artifact.provenance, rescaled=product),
        reference=_reassessed(artifact, model),
    )


def _reassessed(
    artifact: ModelArtifact, model: PastroModel
) -> list[tuple[Trigger, SourceProbabilities]]:
    """Assess the reference triggers with another model."""
    return [(trigger, model.assess(trigger)) for trigger, _ in artifact.reference]
