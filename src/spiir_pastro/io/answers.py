"""What candidates are told, a `Prediction` each: JSON and CSV without data frames.

A file of one candidate is answered in a third of a second so; tables of many go through
`spiir_pastro.io.predictions`, with the same columns and the same text.
"""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Literal

import msgspec

from spiir_pastro.domain import Source
from spiir_pastro.io.documents import Document, encode_document, read_document
from spiir_pastro.models.pastro import Predictions

PROBABILITY_COLUMNS = ("p_astro", *(str(source) for source in Source))


class Prediction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one candidate is told; null where nothing can be said, and ``note`` says why."""

    event_id: str | None
    p_astro: float | None
    BNS: float | None
    NSBH: float | None
    BBH: float | None
    Terrestrial: float | None
    p_astro_low: float | None
    p_astro_high: float | None
    extrapolated: str | None
    note: str | None


class PredictionFile(Document, frozen=True, kw_only=True):
    """What several candidates are told, in the order in which they were given."""

    candidates: tuple[Prediction, ...]
    schema_version: Literal[1] = 1


def as_rows(event_ids: Iterable[str], predictions: Predictions) -> list[Prediction]:
    """Put predictions into a row a candidate, in their order; NaN becomes null."""
    return [
        Prediction(
            event_id=event_id,
            p_astro=_known(p_astro),
            **dict(zip(PROBABILITY_COLUMNS[1:], map(_known, probabilities), strict=True)),
            p_astro_low=_known(low),
            p_astro_high=_known(high),
            extrapolated=extrapolated,
            note=note,
        )
        for event_id, p_astro, probabilities, (low, high), extrapolated, note in zip(
            event_ids,
            predictions.p_astro.tolist(),
            predictions.probabilities.tolist(),
            predictions.p_astro_interval.tolist(),
            predictions.extrapolated.tolist(),
            predictions.notes.tolist(),
            strict=True,
        )
    ]


def as_json(rows: Sequence[Prediction]) -> bytes:
    """Write GraceDB's ``p_astro.json`` of a single candidate, of others a `PredictionFile`.

    So is one that cannot be assessed: ``p_astro.json`` has no place to say why.
    """
    if len(rows) == 1 and rows[0].p_astro is not None:
        only = {str(source): getattr(rows[0], source) for source in Source}
        return json.dumps(only, indent=1).encode() + b"\n"
    return encode_document(PredictionFile(candidates=tuple(rows)))


def read_predictions(path: Path) -> tuple[Prediction, ...]:
    """Read what `as_json` wrote of several candidates.

    Raises
    ------
    DocumentError
        If the file is not there, damaged, incomplete or of another version.
    """
    remedy = "run spiir-pastro predict --format json again"
    return read_document(path, PredictionFile, remedy=remedy).candidates


def as_csv(rows: Sequence[Prediction]) -> str:
    """Write a row a candidate below the columns' names, cell by cell as Polars does."""
    cells = ([_cell(value) for value in msgspec.structs.astuple(row)] for row in rows)
    lines = [Prediction.__struct_fields__, *cells]
    return "".join(f"{','.join(line)}\n" for line in lines)


def _known(value: float) -> float | None:
    return None if value != value else value  # noqa: PLR0124  (only NaN differs from itself)


def _cell(value: object) -> str:
    match value:
        case None:
            return ""
        case float():
            return _number(value)
    text = str(value)
    plain = text and not any(mark in text for mark in ',"\r\n')
    return text if plain else '"' + text.replace('"', '""') + '"'


def _number(value: float) -> str:
    """Write a float with the digits that read back as the same one.

    Examples
    --------
    >>> _number(2.5e-5), _number(1e-9), _number(0.25)
    ('0.000025', '1e-9', '0.25')
    """
    text = repr(value)
    return f"{Decimal(text):f}" if text.endswith("e-05") else text.replace("e-0", "e-")
