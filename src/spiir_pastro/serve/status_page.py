"""The status page: one self-contained document, no scripts, nothing fetched from elsewhere."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

import msgspec

from spiir_pastro.domain import SOURCE_COLOURS
from spiir_pastro.serve.drift import Drift
from spiir_pastro.serve.model_slot import Model
from spiir_pastro.serve.spool import Record

__all__ = ["Status", "duration", "render", "utc"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2330; --dim: #667085; --paper: #f6f7f9; --card: #fff;
  --line: #e4e7ec; --good: #00785a; --bad: #b3400a; --wait: #8a5a00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --dim: #98a2b3; --paper: #12161d;
  --card: #1b212b; --line: #2c3440; --good: #2fc79a; --bad: #ff8a4c; --wait: #e6b34d;
  } }
* { box-sizing: border-box }
body { margin: 0 auto; padding: 2rem 1.25rem 3rem; max-width: 90rem; background: var(--paper);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: baseline }
h1 { font-size: 1.35rem; margin: 0 } h2 { font-size: 1rem; margin: 2rem 0 .6rem }
.dim { color: var(--dim) } .good { color: var(--good) } .bad { color: var(--bad) }
.wait { color: var(--wait) }
.pill { border: 1.5px solid currentColor; border-radius: 99px; padding: .05rem .7rem;
  font-weight: 600; font-size: .85rem }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr));
  gap: .75rem; margin-top: 1.25rem }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: .7rem .9rem }
.card b { display: block; font-size: 1.45rem; font-weight: 650; line-height: 1.3 }
.card span { color: var(--dim); font-size: .82rem }
.panel { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  overflow-x: auto }
.problems { margin-top: 1.25rem; padding: .7rem 1rem; border-left: 4px solid var(--bad) }
.problems p { margin: .15rem 0; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; font-size: .9rem }
th, td { padding: .42rem .65rem; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line) }
tr:last-child td { border-bottom: 0 } th { color: var(--dim); font-weight: 500 }
.l { text-align: left }
.bar { display: inline-flex; width: 6rem; height: .7rem; border-radius: 3px; margin-left: .5rem;
  overflow: hidden; background: var(--line) }
.key { font-size: .85rem; font-weight: 400 }
.key span { margin-left: 1rem }
.key i { display: inline-block; width: .7rem; height: .7rem;
  border-radius: 2px; margin-right: .3rem }
"""

_STATES = {
    "done": ("on GraceDB", "good"),
    "pending": ("waiting", "wait"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Status:
    """What the page shows.

    Attributes
    ----------
    problems
        What is wrong, by part.
    facts
        Where alerts come from and go to, the model, and so on.
    figures
        Numbers for the cards.
    models
        Those in use, by the search each answers.
    records
        The last events, the newest first.
    drift
        Counts beside their expectation.
    """

    problems: Mapping[str, str]
    facts: Mapping[str, str]
    figures: Mapping[str, str]
    models: Mapping[str, Model]
    records: Sequence[Record]
    drift: Sequence[Drift]


def render(status: Status) -> str:
    """Write the page; whatever came in an alert is escaped."""
    word, tone = ("problems", "bad") if status.problems else ("all well", "good")
    facts = " · ".join(f"{escape(k)} {escape(v)}" for k, v in status.facts.items())
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="10">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>SPIIR p_astro · {word}</title><style>{_STYLE}</style></head><body>
<header><h1>SPIIR p_astro alert service</h1><span class="pill {tone}">{word}</span>
<span class="dim">{utc(time.time())}</span></header>
<div class="dim">{facts}</div>
{_problems(status.problems)}
<div class="cards">{"".join(_card(k, v) for k, v in status.figures.items())}</div>
<div class="dim">models: {_models(status.models)}</div>
<h2>Last events{_key()}</h2><div class="panel">{_events(status.records)}</div>
<h2>Counts against expectation</h2><div class="panel">{_drift(status.drift)}</div>
</body></html>
"""


def utc(seconds: float) -> str:
    """Write Unix seconds for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _problems(problems: Mapping[str, str]) -> str:
    if not problems:
        return ""
    lines = "".join(f"<p><b>{escape(k)}</b> {escape(v)}</p>" for k, v in problems.items())
    return f'<div class="card problems">{lines}</div>'


def _card(name: str, value: str) -> str:
    return f'<div class="card"><b>{escape(value)}</b><span>{escape(name)}</span></div>'


def _models(models: Mapping[str, Model]) -> str:
    return " · ".join(f"{escape(search)} {_link(m.name)}" for search, m in models.items())


def _link(model: str) -> str:
    """Link to the events that a model answered."""
    return f'<a href="/?model={quote(model)}">{escape(model)}</a>'


def _events(records: Sequence[Record]) -> str:
    heads = '<th class="l">Event<th class="l">Read<th>FAR (Hz)<th>SNR<th>Chirp mass (M☉)'
    heads += '<th>p_astro<th class="l">Most probable<th class="l">State<th>Answered after'
    heads += '<th class="l">Model'
    rows = "".join(_event(record) for record in records)
    return f"<table><tr>{heads}</tr>{rows or _nothing(10)}</table>"


def _event(record: Record) -> str:
    state, tone = _STATES[record.state]
    after = "" if record.done_at is None else duration(record.done_at - record.read_at)
    tries = f" · {record.attempts} tries" if record.attempts and record.state != "done" else ""
    tries += f" · answer {record.revision + 1}" if record.revision else ""
    return (
        f'<tr><td class="l"><b>{escape(record.event_id)}</b>'
        f'<td class="l">{utc(record.read_at)}'
        f"<td>{_number(record.far_hz, '.2e')}<td>{_number(record.snr, '.1f')}"
        f"<td>{_number(record.mchirp_det, '.2f')}"
        f"<td>{record.p_astro:.4f}{_bar(record.content)}"
        f'<td class="l">{escape(record.source)}'
        f'<td class="l {tone}" title="{escape(record.error or "")}">{state}{tries}'
        f'<td>{after}<td class="l">{_link(record.model)}</tr>'
    )


def _bar(content: bytes) -> str:
    """Draw the four probabilities of a p_astro.json, classes in colour."""
    said = msgspec.json.decode(content, type=dict[str, float])
    parts = "".join(
        f'<i style="width:{100 * said.get(source, 0):.2f}%;background:{colour}"></i>'
        for source, colour in SOURCE_COLOURS.items()
    )
    title = ", ".join(f"{source} {said.get(source, 0):.3g}" for source in SOURCE_COLOURS)
    return f'<span class="bar" title="{title}">{parts}</span>'


def _key() -> str:
    parts = "".join(
        f'<span><i style="background:{colour}"></i>{source}</span>'
        for source, colour in SOURCE_COLOURS.items()
    )
    return f'<span class="dim key">{parts}</span>'


def _drift(drift: Sequence[Drift]) -> str:
    heads = '<th class="l">What<th>Seen<th>Expected<th class="l">'
    rows = "".join(
        f'<tr><td class="l">{escape(count.what)}<td>{count.observed}'
        f"<td>{_number(count.expected, '.3g')}"
        f'<td class="l bad">{"drifted" if count.has_drifted else ""}</tr>'
        for count in drift
    )
    return f"<table><tr>{heads}</tr>{rows}</table>"


def _nothing(columns: int) -> str:
    return f'<tr><td class="l dim" colspan="{columns}">nothing yet</tr>'


def _number(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def duration(seconds: float) -> str:
    """Write seconds for people."""
    if seconds < 1:
        return f"{1e3 * seconds:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
