"""The model file: parameters and provenance as JSON, never code.

A model is written as nested objects, each naming its ``kind``. Reading makes of each what is
declared to stand in its place, lets its constructor judge the values, and refuses what the result
does not say again. So a hostile file can at worst be refused. Numbers survive exactly: JSON holds
the shortest decimals that read back as the same float.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from spiir_pastro.domain import (
    ASTROPHYSICAL,
    Candidates,
    Source,
    SourceProbabilities,
    Trigger,
)
from spiir_pastro.errors import ArtifactError, PastroError
from spiir_pastro.io.atomic import remove_drafts, write_atomically
from spiir_pastro.io.documents import unread_places
from spiir_pastro.io.event_properties import as_document as properties_document
from spiir_pastro.io.event_properties import property_plane
from spiir_pastro.io.provenance import Provenance, plain_provenance, read_provenance
from spiir_pastro.io.training_digest import TrainingDigest
from spiir_pastro.models.components import ByDetectors
from spiir_pastro.models.conditional import ConditionalGrid, LeaningGrid
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.factors import FactorDensity
from spiir_pastro.models.far_density import PowerLaw
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.models.properties import PropertyPlane
from spiir_pastro.models.regression import StudentRegression

if TYPE_CHECKING:
    import polars as pl

    from spiir_pastro.models.counts import CountPosterior

SCHEMA = "spiir-pastro/model/3"
"""What is written and read; its classes come from the mass plane."""

_LARGEST_BYTES = 64 * 2**20
_DAMAGE = (
    TypeError, ValueError, KeyError, OverflowError, RecursionError, msgspec.MsgspecError,
    SystemError,  # of msgspec 0.19, for an integer that is too large for a float
)  # fmt: skip

DENSITIES: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        ByDetectors,
        ConditionalGrid,
        GridDensity,
        LeaningGrid,
        PowerLaw,
        StudentRegression,
    )
}
"""What may stand where any density of a variable may; all else has one type."""


@dataclass(frozen=True, kw_only=True)
class ModelArtifact:
    """A model and where it comes from.

    Attributes
    ----------
    model
        The model.
    provenance
        What it was fitted on and with: inputs and their hashes, GPS span, parameters, counts,
        versions.
    compressed_counts
        The posterior of the counts in full, compressed, as `CountPosterior.as_mapping` writes it.
    reference
        Triggers with the probabilities that the fit got: who serves the model sees that it still
        gives them.
    trained_on
        Digests of the candidates it was trained on.
    version
        Of the package that fitted it.
    document
        The file it was read from, if it was.
    """

    model: PastroModel
    provenance: Provenance
    compressed_counts: Mapping[str, Any]
    reference: Sequence[tuple[Trigger, SourceProbabilities]] = ()
    trained_on: TrainingDigest = field(default_factory=TrainingDigest)
    version: str = "unversioned"
    document: Mapping[str, Any] | None = field(default=None, repr=False, compare=False)

    @property
    def is_as_written(self) -> bool:
        """Whether a file read says, value by value, what was written; the service takes no other.

        Looked at when asked for: who answers once and ends need not wait for it.
        """
        return self.document is None or self.document.get("sha256") == _digest(self.document)

    def __repr__(self) -> str:
        first, last = self.provenance.gps_span_ns
        return f"<ModelArtifact with {self.model!r}, of GPS {first / 1e9:.0f} to {last / 1e9:.0f}>"

    def _repr_html_(self) -> str:
        return self.model._repr_html_()

    def count_posterior(self) -> "CountPosterior":
        """Integrate the posterior of the counts anew, to sample or to add candidates; seconds."""
        from spiir_pastro.models.counts import CountPosterior  # noqa: PLC0415  (slow to load)

        return CountPosterior.from_mapping(self.compressed_counts)

    def predict(self, table: "pl.DataFrame") -> "pl.DataFrame":
        """Give every row of a trigger table its probabilities.

        Parameters
        ----------
        table
            A ``postcoh`` table as `spiir_pastro.read_table` returns it, or a trigger table with
            GraceDB's or the canonical column names.

        Returns
        -------
        polars.DataFrame
            event_id, p_astro, BNS, NSBH, BBH, Terrestrial, p_astro_low, p_astro_high (90 %
            interval of counts and densities), extrapolated (which densities are, in what) and
            note, a row each input row in its order. A row that cannot be assessed has nulls and a
            note that says why.
        """
        # Imported here so that the alert service loads a model without data frames.
        from spiir_pastro.io.predictions import predict_table  # noqa: PLC0415

        return predict_table(self.model, table)

    def assess(self, trigger: Trigger) -> SourceProbabilities:
        """Return one trigger's probabilities; TriggerError if nothing can be said of it."""
        return self.model.assess(trigger)

    def describe(self, trigger: Trigger, probabilities: SourceProbabilities) -> dict[str, Any]:
        """Return a trigger's properties as `spiir.properties.json` has them."""
        said = probabilities.as_mapping()
        shares = np.array([[said[source] for source in ASTROPHYSICAL]])
        candidates = Candidates.from_triggers([trigger])
        return properties_document(self._plane.properties(candidates, shares))

    def rescaled(self, volumes: Mapping[Source, float], *, noise: float = 1.0) -> "ModelArtifact":
        """Return a model for detectors of another sensitivity; see `PastroModel.rescaled`."""
        factors = {**{str(source): value for source, value in volumes.items()}, "noise": noise}
        earlier = self.provenance.rescaled
        product = {
            name: earlier.get(name, 1.0) * factors.get(name, 1.0) for name in {**earlier, **factors}
        }
        scaled = self.with_model(self.model.rescaled(volumes, noise=noise))
        provenance = msgspec.structs.replace(self.provenance, rescaled=product)
        return replace(scaled, provenance=provenance)

    def with_model(self, model: PastroModel) -> "ModelArtifact":
        """Put another model in, and what it says of the reference triggers."""
        reference = [(trigger, model.assess(trigger)) for trigger, _ in self.reference]
        return replace(self, model=model, reference=reference)

    @cached_property
    def _plane(self) -> PropertyPlane:
        return property_plane(self.model)


def as_document(artifact: ModelArtifact) -> dict[str, Any]:
    """Return a model as the plain JSON values that `write_model` writes."""
    return {
        "schema": SCHEMA,
        "version": artifact.version,
        "provenance": plain_provenance(artifact.provenance),
        "reference": [
            {"trigger": _encode(trigger), "probabilities": probabilities.as_mapping()}
            for trigger, probabilities in artifact.reference
        ],
        "trained_on": artifact.trained_on.as_text(),
        "model": _encode(artifact.model),
        "counts": artifact.compressed_counts,
    }


def write_model(artifact: ModelArtifact, path: Path) -> None:
    """Write a model file, atomically; the same artifact gives the same bytes.

    It ends with a digest of what it says, so that a value changed on its way is noticed.
    """
    document = as_document(artifact)
    document |= {"sha256": _digest(document)}
    parts = (
        f"{json.dumps(name)}: {json.dumps(part, allow_nan=False, separators=(',', ':'))}"
        for name, part in document.items()
    )
    remove_drafts(path)
    write_atomically(path, ("{\n" + ",\n".join(parts) + "\n}\n").encode())


def load_model(path: str | Path) -> ModelArtifact:
    """Read a model file.

    Raises
    ------
    ArtifactError
        If the file cannot be read, is too large, has another schema, an unknown kind or fields, or
        values that make no model.
    """
    path = Path(path)
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ArtifactError(f"{path}: larger than {_LARGEST_BYTES} bytes; no model is")
        document = msgspec.json.decode(path.read_bytes())
    except (OSError, ValueError, msgspec.MsgspecError, RecursionError) as exc:
        raise ArtifactError(f"{path}: no model file: {exc}") from exc
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema is None:
        raise ArtifactError(f"{path}: no model file: it names no schema; give what fit wrote")
    if schema != SCHEMA:
        raise ArtifactError(
            f"{path}: schema is {schema!r}, this version reads {SCHEMA}; "
            "fit the model again, or install the version that wrote it"
        )
    try:
        return _artifact(document)
    except (*_DAMAGE, PastroError) as exc:
        raise ArtifactError(f"{path}: damaged model: {exc}; fit the model again") from exc


def _artifact(document: Mapping[str, Any]) -> ModelArtifact:
    """Make a model of a file's content, part by part."""
    counts = document["counts"]
    if not isinstance(counts, dict):
        raise ArtifactError("its counts are no object")
    return ModelArtifact(
        model=_model(document["model"]),
        provenance=read_provenance(document["provenance"]),
        compressed_counts=counts,
        reference=[_reference(entry) for entry in document["reference"]],
        trained_on=TrainingDigest.from_text(document["trained_on"]),
        version=str(document["version"]),
        document=document,
    )


def _digest(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what a document says, however it is laid out."""
    import hashlib  # noqa: PLC0415  (with OpenSSL; who answers once needs none)

    said = {name: part for name, part in document.items() if name != "sha256"}
    text = json.dumps(said, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _reference(entry: Mapping[str, Any]) -> tuple[Trigger, SourceProbabilities]:
    trigger = msgspec.convert(entry["trigger"], Trigger)
    if entry["trigger"] != _encode(trigger):
        raise ArtifactError(f"reference trigger {trigger.event_id} is of another version")
    return trigger, SourceProbabilities.from_mapping(entry["probabilities"])


def _encode(value: Any) -> Any:  # noqa: ANN401  (any part of a model)
    if is_dataclass(value):
        parts = {f.name: _encode(getattr(value, f.name)) for f in fields(value) if f.init}
        return {"kind": type(value).__name__, **parts}
    if isinstance(value, Mapping):
        return {str(key): _encode(part) for key, part in value.items()}
    if isinstance(value, tuple):
        return [_encode(part) for part in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def _model(content: object) -> PastroModel:
    """Make a model of a file's plain values, all of which it must say again."""
    model = msgspec.convert(content, PastroModel, dec_hook=_part)
    if unread := next(unread_places(content, _encode(model)), None):
        raise ArtifactError(f"{unread} is none of a model of this version")
    return model


def _part(kind: type, value: Any) -> object:  # noqa: ANN401  (any part of a model)
    if kind is not FactorDensity:
        return np.array(value, dtype=np.float64)
    if value["kind"] not in DENSITIES:
        raise ArtifactError(f"kind {value['kind']!r} is none of {', '.join(DENSITIES)}")
    return msgspec.convert(value, DENSITIES[value["kind"]], dec_hook=_part)
