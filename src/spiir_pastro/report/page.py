"""The report as one self-contained page: nothing is fetched, everything foreign is escaped."""

import json
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import polars as pl

from spiir_pastro.evaluation.comparison import Comparison
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.report import quality, sections
from spiir_pastro.report.card import model_card
from spiir_pastro.report.payload import event_payload, report_payload

__all__ = ["write_event_page", "write_report"]

_STATIC = files("spiir_pastro.report").joinpath("static")
_SCRIPTS = ("plot.js", "table.js", "report.js")


def write_report(
    path: Path,
    evaluation: Evaluation,
    artifact: ModelArtifact,
    *,
    name: str,
    comparison: Comparison | None = None,
) -> None:
    """Write ``report.html``.

    Parameters
    ----------
    path
        The file to write.
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
    parts = [
        sections.header(evaluation, name),
        "<main id='main'>",
        sections.summary(evaluation, payload),
        sections.candidates(evaluation, payload["rows"]["set"].count(0)),
        sections.known_mergers(evaluation, payload),
        quality.quality(evaluation, payload),
        quality.alternatives(evaluation),
    ]
    if comparison is not None:
        parts.append(quality.comparison(comparison))
    parts += [model_card(artifact, evaluation), "</main>", sections.footer()]
    write_atomically(path, _page(f"Evaluation of {name}", "\n".join(parts), payload))


def write_event_page(path: Path, triggers: pl.DataFrame, artifact: ModelArtifact) -> None:
    """Write the page that explains one candidate, a canonical trigger table with predictions."""
    payload = event_payload(triggers, artifact.model)
    event = triggers.item(0, "event_id")
    body = sections.single(event)
    write_atomically(path, _page(f"Why {event} got its p_astro", body, payload))


def _page(title: str, body: str, payload: Mapping[str, Any]) -> bytes:
    text = json.dumps(payload, allow_nan=False, separators=(",", ":"), ensure_ascii=False)
    page = Template(_read("report.html")).substitute(
        title=escape(title),
        style=_read("report.css"),
        body=body,
        # Within a script element only "<" can end it or open a comment.
        data=text.replace("<", "\\u003c"),
        script="\n".join(map(_read, _SCRIPTS)),
    )
    return page.encode()


def _read(name: str) -> str:
    return _STATIC.joinpath(name).read_text(encoding="utf-8")
