"""The counts of the service's own model go on with the candidates it was asked about.

Once a day the spool's candidates of the search of the whole sky are added to the counts, by the
arithmetic of ``spiir-pastro update``. The result is a model file beside the spool,
``<spool>.counted.json``, written whole or not at all; it says which model it was made from and when
each candidate was that it added. So a restart, a kill or a lost spool counts none twice, and a new
model from the operator begins anew.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import structlog

from spiir_pastro.domain import Trigger
from spiir_pastro.errors import FitError
from spiir_pastro.io.artifact import ModelArtifact, load_model, write_model
from spiir_pastro.io.provenance import ServiceCounts
from spiir_pastro.io.recounting import recounted, require_recountable
from spiir_pastro.serve.model_slot import Model, load_rehearsed

log = structlog.get_logger(__name__)

SETTLED_S = 3600.0
"""A candidate counts an hour after it was read: by then all of its merger's uploads are there."""


def counted_path(folder: Path) -> Path:
    """Return the file that outlives a spool's folder: ``<folder>.counted.json``."""
    return folder.with_name(f"{folder.name}.counted.json")


def add_to_counts(
    artifact: ModelArtifact, triggers: Sequence[Trigger], *, base: str
) -> ModelArtifact | None:
    """Add candidates to a model's counts; None if none is new.

    Parameters
    ----------
    artifact
        The model, or what an earlier call made of it; FitError if it was rescaled.
    triggers
        What was answered, also what is counted already.
    base
        SHA-256 of the model's file.
    """
    # Imported here so that the alert service starts without data frames.
    from spiir_pastro.io.trigger_tables import from_trigger_list, to_candidates  # noqa: PLC0415
    from spiir_pastro.selection.uncounted import uncounted  # noqa: PLC0415

    require_recountable(artifact)
    if not triggers:
        return None
    table = from_trigger_list(triggers)
    earlier = artifact.provenance.service_counts
    counted_ns = () if earlier is None else earlier.gps_ns
    new, rows = uncounted(
        table,
        far_threshold_hz=artifact.model.far_threshold_hz,
        known=artifact.trained_on.knows(table),
        judged=artifact.model.densities.judge(to_candidates(table)),
        counted_ns=counted_ns,
    )
    if new.is_empty():
        return None
    log.info("counts.added", **rows)
    added = recounted(artifact, new)
    counts = ServiceCounts(base=base, gps_ns=(*counted_ns, *new["gps_ns"]))
    provenance = msgspec.structs.replace(added.provenance, service_counts=counts)
    return replace(added, provenance=provenance)


class CountedFile:
    """The model file with the service's own counts; see `counted_path`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Model | None:
        """Return the model with its counts, None if there is none; ArtifactError if damaged."""
        return load_rehearsed(self.path, load_model) if self.path.exists() else None

    def count(self, base: Model, start: Model | None, triggers: Sequence[Trigger]) -> Model | None:
        """Add candidates to the counts and return the new model; None if none is new.

        ``base`` is the operator's model, ``start`` what an earlier call made of it, if any did.
        After an error (PastroError, or OSError if it cannot be written) the file is as it was.
        """
        artifact = (start or base).assessor
        if not isinstance(artifact, ModelArtifact):
            raise FitError("only a model that fit wrote has counts to go on with")
        added = add_to_counts(artifact, triggers, base=base.digest)
        if added is None:
            return None
        draft = self.path.with_name(f"{self.path.name}.new")
        write_model(added, draft)
        rehearsed = load_rehearsed(draft, load_model)
        draft.replace(self.path)
        return rehearsed


def is_made_from(model: Model | None, base: Model) -> bool:
    """Whether a model is another one with the service's counts."""
    artifact = None if model is None else model.assessor
    counts = artifact.provenance.service_counts if isinstance(artifact, ModelArtifact) else None
    return counts is not None and counts.base == base.digest
