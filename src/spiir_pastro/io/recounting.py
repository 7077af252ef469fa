"""A model's counts go on as candidates arrive, equal to a refit.

The command `update` and the alert service share this, so that they agree.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from spiir_pastro.errors import FitError
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.provenance import InputFile
from spiir_pastro.io.training_digest import TrainingDigest
from spiir_pastro.models.count_summary import CountSummary

if TYPE_CHECKING:
    import polars as pl


def require_recountable(artifact: ModelArtifact) -> None:
    """Raise FitError if a model's counts are not those of its candidates: a rescaled one's."""
    if artifact.provenance.rescaled:
        raise FitError("this model's counts were rescaled; update the model it was made from")


def recounted(
    artifact: ModelArtifact, new: "pl.DataFrame", *, updates: Sequence[InputFile] = ()
) -> ModelArtifact:
    """Add candidates to a model's counts, as if they had been in its fit; the densities stay.

    ``new`` are independent candidates up to the model's FAR threshold that it has not counted (see
    `spiir_pastro.selection.uncounted.uncounted`), ``updates`` the files that they come from.
    FitError if the model was rescaled, or the counts move too far.
    """
    # Imported here so that the alert service loads a model without data frames.
    from spiir_pastro.io.trigger_tables import to_candidates  # noqa: PLC0415

    require_recountable(artifact)
    factors = artifact.model.densities.log_bayes_factors(
        to_candidates(new), far_threshold_hz=artifact.model.far_threshold_hz
    )
    posterior = artifact.count_posterior().updated(factors)
    updated = artifact.with_model(replace(artifact.model, counts=CountSummary.of(posterior)))
    digests = np.union1d(artifact.trained_on.values, TrainingDigest.of(new).values)
    provenance = artifact.provenance
    times = sorted([*provenance.gps_span_ns, *new["gps_ns"]])
    return replace(
        updated,
        compressed_counts=posterior.as_mapping(),
        trained_on=TrainingDigest(values=digests),
        provenance=msgspec.structs.replace(
            provenance,
            updates=(*provenance.updates, *updates),
            candidates=posterior.n_candidates,
            gps_span_ns=(times[0], times[-1]),
        ),
    )
