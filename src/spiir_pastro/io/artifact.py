"""The model file: parameters and provenance as JSON, never code.

A model is written as nested objects, each naming its ``kind``. Reading accepts the kinds listed
here and no other, gives each exactly its own fields, and lets its constructor judge the values, so
a hostile file can at worst be refused. Numbers survive exactly: JSON holds the shortest decimals
that read back as the same float.
"""

import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spiir_pastro.domain import MassBoundaries, Source, SourceProbabilities, Trigger
from spiir_pastro.errors import ArtifactError, PastroError
from spiir_pastro.io.atomic import remove_drafts, write_atomically
from spiir_pastro.models.components import CandidateDensity, ComponentDensities
from spiir_pastro.models.conditional import ConditionalGrid
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import CountPosterior
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.distance import DistanceFit, DistanceModel
from spiir_pastro.models.far_density import PowerLaw
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.models.pastro import ClassSharing, PastroModel
from spiir_pastro.models.regression import StudentRegression

if TYPE_CHECKING:
    import polars as pl

__all__ = ["SCHEMA", "ModelArtifact", "as_document", "load_model", "write_model"]

SCHEMA = "spiir-pastro/model/2"
"""What is written; its densities know their errors."""

_READABLE = ("spiir-pastro/model/1", SCHEMA)

_LARGEST_BYTES = 64 * 2**20

_KINDS: Mapping[str, type] = {
    kind.__name__: kind
    for kind in (
        CandidateDensity,
        ComponentDensities,
        ConditionalGrid,
        CountSummary,
        DistanceFit,
        DistanceModel,
        GridDensity,
        MassBoundaries,
        MassContourClassifier,
        PastroModel,
        PowerLaw,
        StudentRegression,
    )
}


@dataclass(frozen=True, kw_only=True)
class ModelArtifact:
    """A model and where it comes from.

    Attributes
    ----------
    model
        The model.
    provenance
        What it was fitted on and with: inputs and their hashes, GPS span, parameters, counts,
        versions. Plain JSON values.
    compressed_counts
        The posterior of the counts in full, compressed, as `CountPosterior.as_mapping` writes it.
    """

    model: PastroModel
    provenance: Mapping[str, Any]
    compressed_counts: Mapping[str, Any]

    def __repr__(self) -> str:
        return f"<ModelArtifact with {self.model!r}, provenance of {', '.join(self.provenance)}>"

    def _repr_html_(self) -> str:
        return self.model._repr_html_()

    def count_posterior(self) -> CountPosterior:
        """Integrate the posterior of the counts anew, to sample or to add candidates; seconds."""
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


def as_document(artifact: ModelArtifact) -> dict[str, Any]:
    """Return a model as the plain JSON values that `write_model` writes."""
    return {
        "schema": SCHEMA,
        "provenance": artifact.provenance,
        "model": _encode(artifact.model),
        "counts": artifact.compressed_counts,
    }


def write_model(artifact: ModelArtifact, path: Path) -> None:
    """Write a model file, atomically; the same artifact gives the same bytes."""
    text = json.dumps(as_document(artifact), indent=1, allow_nan=False)
    remove_drafts(path)
    write_atomically(path, text.encode() + b"\n")


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
        document = json.loads(path.read_bytes(), parse_constant=_refuse_constant)
    except (OSError, ValueError, RecursionError) as exc:
        raise ArtifactError(f"{path}: no model file: {exc}") from exc
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema is None:
        raise ArtifactError(f"{path}: no model file: it names no schema; give what fit wrote")
    if schema not in _READABLE:
        raise ArtifactError(
            f"{path}: schema is {schema!r}, this version reads {' and '.join(_READABLE)}; "
            "fit the model again, or install the version that wrote it"
        )
    try:
        model = _decode(document.get("model"))
    except (TypeError, ValueError, RecursionError, PastroError) as exc:
        raise ArtifactError(f"{path}: damaged model: {exc}") from exc
    if not isinstance(model, PastroModel):
        raise ArtifactError(f"{path}: holds a {type(model).__name__}, not a PastroModel")
    return ModelArtifact(
        model=model,
        provenance=document.get("provenance", {}),
        compressed_counts=document.get("counts", {}),
    )


def _encode(value: Any) -> Any:  # noqa: ANN401  (any part of a model)
    if is_dataclass(value):
        parts = {f.name: _encode(getattr(value, f.name)) for f in fields(value) if f.init}
        return {"kind": type(value).__name__, **parts}
    if isinstance(value, Mapping):
        return {str(key): _encode(part) for key, part in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value


def _decode(value: Any) -> Any:  # noqa: ANN401  (any part of a model)
    if isinstance(value, list):
        return np.array(value, dtype=np.float64)
    if not isinstance(value, dict):
        return value
    if "kind" not in value:
        return {Source(key): _decode(part) for key, part in value.items()}
    kind = _KINDS.get(value["kind"])
    if kind is None:
        raise ArtifactError(f"kind {value['kind']!r} is none of {', '.join(_KINDS)}")
    own = [f for f in fields(kind) if f.init]
    given = set(value) - {"kind"}
    needed = {f.name for f in own if f.default is MISSING and f.default_factory is MISSING}
    if wrong := (given - {f.name for f in own}) | (needed - given):
        raise ArtifactError(f"{value['kind']} lacks or should not have {', '.join(sorted(wrong))}")
    parts = {name: _decode(value[name]) for name in sorted(given)}
    if kind is PastroModel:
        parts["sharing"] = ClassSharing(parts["sharing"])
    return kind(**parts)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
