"""The report as one self-contained page: nothing is fetched, everything foreign is escaped.

Jinja2 fills the templates beside this file; Plotly, whose script comes with its Python package and
is put into the page, draws the plots in the browser. See docs/adr/0004 for why these.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from spiir_pastro.domain import SOURCE_COLOURS, SOURCE_MARKS, Source
from spiir_pastro.evaluation.comparison import Comparison
from spiir_pastro.evaluation.recovery import recovered
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.report import numbers, quality
from spiir_pastro.report.card import model_card
from spiir_pastro.report.headline import headline
from spiir_pastro.report.payload import event_payload, report_payload
from spiir_pastro.report.templating import templates_of

_TEMPLATES = files("spiir_pastro.report").joinpath("templates")
_LONGEST_EVENT_LABEL = 16
_SCRIPTS = ("cells.js", "pictures.js", "report.js")


def report_page(
    evaluation: Evaluation,
    artifact: ModelArtifact,
    *,
    name: str,
    comparison: Comparison | None = None,
) -> bytes:
    """Return ``report.html``.

    Parameters
    ----------
    evaluation
        What the model said, beside what is known.
    artifact
        The model, for its card and for the explanation of single candidates.
    name
        What to call the model.
    comparison
        With an earlier evaluation, shown as what changed.
    """
    payload = report_payload(evaluation, artifact.model)
    return _fill(
        "report.html",
        payload,
        name=name,
        evaluation=evaluation,
        head=headline(evaluation, artifact),
        few=_records(payload["rows"], payload["interesting"]),
        tables=_tables(evaluation, comparison),
        compared=comparison,
        card=model_card(artifact, evaluation),
        shown=payload["rows"]["set"].count(0),
    )


def write_event_page(path: Path, triggers: pl.DataFrame, artifact: ModelArtifact) -> None:
    """Write the page that explains one candidate, a canonical trigger table with predictions."""
    payload = event_payload(triggers, artifact.model)
    write_atomically(path, _fill("event.html", payload, event=triggers.item(0, "event_id")))


def _tables(evaluation: Evaluation, comparison: Comparison | None) -> Mapping[str, quality.Table]:
    tables = {
        "calls": quality.calls(evaluation.calls),
        "recovery": quality.recovery(recovered(evaluation)),
        "confusion": quality.confusion(evaluation.confusion),
        "scores": quality.scores([evaluation.overall, *evaluation.groups]),
        "alternatives": quality.alternatives(evaluation),
    }
    if comparison is not None:
        tables["change"] = quality.change(comparison)
    return tables


def _records(rows: Mapping[str, list[Any]], chosen: list[int]) -> list[dict[str, Any]]:
    """Return rows of the payload one by one, each with its number."""
    names = [name for name, values in rows.items() if values]
    return [{"row": k, **{name: rows[name][k] for name in names}} for k in chosen]


def _fill(template: str, payload: Mapping[str, Any], **content: Any) -> bytes:  # noqa: ANN401
    text = json.dumps(payload, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    page = (
        _environment()
        .get_template(template)
        .render(
            payload=payload,
            # Within a script element only "<" can end it or open a comment.
            data=Markup(text.replace("<", "\\u003c")),  # noqa: S704
            **content,
        )
    )
    return page.encode()


def _label(row: Mapping[str, Any]) -> str:
    """Name a candidate shortly: by its merger or its id; by what it is where that is long."""
    name = str(row.get("known_event") or row["event_id"])
    if len(name) <= _LONGEST_EVENT_LABEL:
        return name
    far = "no FAR" if row["far_hz"] is None else f"{row['far_hz']:.0e} Hz"
    return f"{far}, {numbers.figure(row['mchirp_det'])} M☉"


_GLYPHS = {"square": "■", "triangle-up": "▲", "circle": "●", "x-thin-open": "×"}
"""Plotly's symbols in text."""


@cache
def _environment() -> jinja2.Environment:
    """Return the templates, with what all of them use; whatever they are given is escaped."""
    made = templates_of("spiir_pastro.report")
    made.filters |= {
        name: getattr(numbers, name) for name in ("count_of", "figure", "percent", "probability")
    }
    made.filters["event_label"] = _label
    made.globals |= {
        "sources": [(str(source), numbers.source_name(source)) for source in Source],
        "colours": {str(source): colour for source, colour in SOURCE_COLOURS.items()},
        "glyphs": {str(source): _GLYPHS.get(mark, "■") for source, mark in SOURCE_MARKS.items()},
        "plotly": Markup(get_plotlyjs().replace("</script", "<\\/script")),  # noqa: S704
        "scripts": Markup("\n".join(map(_text, _SCRIPTS))),  # noqa: S704
        "style": Markup(_text("report.css")),  # noqa: S704
    }
    return made


def _text(name: str) -> str:
    return _TEMPLATES.joinpath(name).read_text(encoding="utf-8")
