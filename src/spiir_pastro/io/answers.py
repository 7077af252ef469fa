"""What candidates are told, as plain rows: JSON and CSV without data frames.

A file of one candidate is answered in a third of a second so; tables of many go through
`spiir_pastro.io.predictions`, with the same columns and the same text.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

from spiir_pastro.domain import Source
from spiir_pastro.models.pastro import Predictions

__all__ = ["PROBABILITY_COLUMNS", "Row", "as_csv", "as_json", "as_rows"]

Row = Mapping[str, object]

PROBABILITY_COLUMNS = ("p_astro", *(str(source) for source in Source))


def as_rows(event_ids: Iterable[str], predictions: Predictions) -> list[Row]:
    """Put predictions into a row a candidate, in their order; NaN becomes null."""
    return [
        {
            "event_id": event_id,
            "p_astro": _known(p_astro),
            **dict(zip(PROBABILITY_COLUMNS[1:], map(_known, probabilities), strict=True)),
            "p_astro_low": _known(low),
            "p_astro_high": _known(high),
            "extrapolated": extrapolated,
            "note": note,
        }
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


def as_json(rows: Sequence[Row]) -> str:
    """Write ``p_astro.json`` of a single candidate, or a list of such objects with event ids.

    A candidate that cannot be assessed has nulls and a note.
    """
    probabilities = [{str(source): row[source] for source in Source} for row in rows]
    if len(rows) == 1 and rows[0]["p_astro"] is not None:
        return json.dumps(probabilities[0], indent=1)
    named = [
        {"event_id": row["event_id"], **p, **({"note": row["note"]} if row["note"] else {})}
        for row, p in zip(rows, probabilities, strict=True)
    ]
    return json.dumps(named, indent=1)


def as_csv(rows: Sequence[Row]) -> str:
    """Write a row a candidate below the columns' names, cell by cell as Polars does."""
    lines = [list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)]
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
