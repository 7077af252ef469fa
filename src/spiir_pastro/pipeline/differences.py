"""In what two models differ, parameter by parameter."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import polars as pl

from spiir_pastro.io.artifact import ModelArtifact, as_document


def differences(first: ModelArtifact, second: ModelArtifact) -> pl.DataFrame:
    """List the parameters and provenance in which two models differ.

    Columns parameter (dotted path), first and second, as text; null where a model has none. Of
    arrays, their length and the largest difference of equal lengths.
    """
    left, right = (dict(leaves(as_document(model))) for model in (first, second))
    names = sorted(left.keys() | right.keys())
    # The compressed counts are left out: their means stand in the model.
    rows = [
        (name, *_shown(left.get(name), right.get(name)))
        for name in names
        if not name.startswith("counts.")
    ]
    return pl.DataFrame(
        [row for row in rows if row[1] != row[2]],
        schema={"parameter": pl.String, "first": pl.String, "second": pl.String},
        orient="row",
    )


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401  (JSON)
    """Walk a document to its scalars and arrays, each with its dotted path."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _shown(left: Any, right: Any) -> tuple[str | None, str | None]:  # noqa: ANN401  (JSON)
    both = isinstance(left, list) and isinstance(right, list)
    if both and left != right and _numeric(left) and _numeric(right):
        gap = np.abs(np.subtract(left, right)).max() if np.shape(left) == np.shape(right) else None
        note = "" if gap is None else f", up to {gap:.3g} apart"
        return f"{len(left)} values", f"{len(right)} values{note}"
    return _text(left), _text(right)


def _numeric(values: list[Any]) -> bool:
    try:
        return np.asarray(values).dtype.kind in "fi"
    except ValueError:
        return False


def _text(value: Any) -> str | None:  # noqa: ANN401  (JSON)
    match value:
        case None:
            return None
        case float():
            return f"{value:.6g}"
        case list() if len(value) > 4:
            return f"{len(value)} values"
        case _:
            return str(value)
