"""The status page: one self-contained document, no scripts, nothing fetched from elsewhere.

Jinja2 fills ``templates/status.html``; whatever came in an alert is escaped.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.serve.drift import Drift
from spiir_pastro.serve.model_slot import Model
from spiir_pastro.serve.spool import Record

if TYPE_CHECKING:
    from jinja2 import Template

_STATES = {"done": ("on GraceDB", "good"), "pending": ("waiting", "wait")}
"""What a record's state is called, and its tone."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """What the page shows."""

    problems: Mapping[str, str]  # what is wrong, by part
    facts: Mapping[str, str]  # where alerts come from and go to, the model, and so on
    figures: Mapping[str, str]  # numbers for the cards
    models: Mapping[str, Model]  # those in use, by the search each answers
    records: Sequence[Record]  # the last events, the newest first
    drift: Sequence[Drift]  # counts beside their expectation


def render(status: Status) -> str:
    """Write the page."""
    content = {name: getattr(status, name) for name in Status.__slots__}
    return _template().render(content, now=time.time())


@cache
def _template() -> "Template":
    # Only who looks at the page waits for Jinja2.
    from spiir_pastro.report.templating import templates_of  # noqa: PLC0415

    made = templates_of("spiir_pastro.serve")
    made.filters |= {"duration": duration, "number": _number, "shares": _shares, "utc": utc}
    made.globals |= {"colours": SOURCE_COLOURS, "states": _STATES}
    return made.get_template("status.html")


def _shares(content: bytes) -> dict[Source, float]:
    """Read the probabilities of a p_astro.json, 0 where one is not there."""
    said = msgspec.json.decode(content, type=dict[str, float])
    return {source: said.get(source, 0.0) for source in Source}


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def utc(seconds: float) -> str:
    """Write Unix seconds for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def duration(seconds: float) -> str:
    """Write seconds for people."""
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
