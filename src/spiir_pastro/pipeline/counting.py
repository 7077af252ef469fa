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

from spiir_pastro.errors import FitError
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.provenance import Counted
from spiir_pastro.io.recounting import recounted, require_recountable
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.io.trigger_tables import to_candidates
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.training import TrainingSet, fingerprints
from spiir_pastro.selection.uncounted import uncounted
from spiir_pastro.selection.uploads import select_uploads


def counting(training: TrainingSet, uploads: Path, *, settings: FitSettings) -> TrainingSet:
    """Count the candidates of a table of uploads in place of the training's own.

    They are clustered and cut as ``fit --triggers`` does.
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

    Of each second the most significant row is a candidate; candidates of which the model counted
    any row already, or above its FAR threshold, are left out.

    Returns
    -------
    artifact, rows
        The model, and how many rows were ``added``, ``known`` and ``above`` the threshold.

    Raises
    ------
    FitError
        If nothing new is there, the model was rescaled, or the counts move too far.
    """
    require_recountable(artifact)
    triggers = read_triggers(table).triggers
    threshold = artifact.model.far_threshold_hz
    new, rows = uncounted(
        triggers,
        far_threshold_hz=threshold,
        known=artifact.trained_on.knows(triggers),
        judged=artifact.model.densities.judge(to_candidates(triggers)),
    )
    if new.is_empty():
        raise FitError(
            f"{table}: none of {triggers.height} rows is a new candidate with a FAR up to "
            f"{threshold:g} Hz; there is nothing to add"
        )
    return recounted(artifact, new, updates=fingerprints([table])), rows
