"""The parts of the report's page, as HTML; every value is escaped where it enters."""

from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from spiir_pastro.domain import Source
from spiir_pastro.evaluation.intervals import fraction_interval
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.report.numbers import count_of, figure, percent, source_name, span

__all__ = [
    "candidates",
    "footer",
    "header",
    "known_mergers",
    "single",
    "summary",
]

LOW_LATENCY_AGREEMENT = 0.93
"""Fraction of O4 events whose low-latency class was the final catalogue's (arXiv:2605.19153)."""


def header(evaluation: Evaluation, name: str) -> str:
    """Return the title and the links to the sections."""
    links = {
        "summary": "Summary", "candidates": "Candidates", "mergers": "Known mergers",
        "quality": "How good", "alternatives": "Alternatives", "card": "Model card",
    }  # fmt: skip
    anchors = "".join(f'<a href="#{key}">{text}</a>' for key, text in links.items())
    s = evaluation.scores
    return (
        f"<header><h1>Evaluation of {escape(name)}</h1>"
        f'<p class="dim">{s.candidates:,} independent candidates of the SPIIR search, '
        f"{count_of(s.signals, evaluation.truth)} among them. For each the model says how probable "
        "it is that it is a signal (<i>p_astro</i>), and of which class: two neutron stars (BNS), "
        "a neutron star and a black hole (NSBH), two black holes (BBH), or noise "
        "(Terrestrial).</p>"
        f'</header><nav aria-label="Sections"><div>{anchors}</div></nav>'
    )


def summary(evaluation: Evaluation, payload: Mapping[str, Any]) -> str:
    """Answer the three questions a newcomer asks."""
    cards = [_purity(evaluation), _confused(evaluation), _disagreements(evaluation, payload)]
    answers = "".join(cards)
    return f'<section id="summary"><h2>Summary</h2><div class="answers">{answers}</div></section>'


def _purity(evaluation: Evaluation) -> str:
    call = next(call for call in evaluation.calls if call.threshold == 0.9)
    if call.called:
        pure = f"{call.real:,} of {call.called:,}"
        said = (
            f"candidates with p_astro of 0.9 or more are {escape(evaluation.truth)}s: "
            f"{percent(call.real / call.called)} (90 % interval "
            f"{span(call.purity_interval, percent)}). If the model is right, "
            f"{figure(call.expected)} of them should be."
        )
    else:
        pure, said = "none", "No candidate has a p_astro of 0.9 or more."
    total = (
        f"All in all it expects {figure(evaluation.scores.expected_signals)} signals "
        f"(90 % {span(evaluation.overall.intervals['expected_signals'], figure)}); "
        f"{evaluation.scores.signals:,} are known."
    )
    return _card(
        "How many of the events called 0.9 are real?", pure, f"<p>{said}</p><p>{total}</p>"
    )


def _confused(evaluation: Evaluation) -> str:
    agreement, confusion = evaluation.signal_agreement, evaluation.confusion
    mergers = evaluation.agreement
    agreeing = int(np.trace(agreement.confusion))
    interval = tuple(fraction_interval(agreeing, agreement.events).tolist())
    big = f"{agreeing:,} of {agreement.events:,}" if agreement.events else "–"
    lines = "".join(
        f"<li>{count:,} {source_name(true)} called {source_name(called)}</li>"
        for true, called, count in confusion.mistakes()[:5]
    )
    return _card(
        "Which classes are confused?",
        big,
        f"<p>{escape(evaluation.truth)}s are given the right class of binary: "
        f"{percent(agreement.fraction)} (90 % interval {span(interval, percent)}). Low-latency "
        f"classification in O4 reached {percent(LOW_LATENCY_AGREEMENT)} (arXiv:2605.19153). "
        f"Of the known mergers SPIIR has, {int(np.trace(mergers.confusion))} of {mergers.events} "
        "are.</p>"
        + (f"<p>Commonest mistakes:</p><ul>{lines}</ul>" if lines else "<p>No mistakes.</p>"),
    )


def _disagreements(evaluation: Evaluation, payload: Mapping[str, Any]) -> str:
    mergers = payload["known"]
    if not mergers:
        return _card("Known mergers", "–", "<p>No known merger is within the candidates' time.</p>")
    missed = [m for m in mergers if m["event_id"] is None]
    unlike = [m for m in mergers if m["reason"] and m["event_id"] is not None]
    seen = len(mergers) - len(missed)
    lines = "".join(
        f"<li><b>{escape(m['name'])}</b>: {escape(m['reason'])}</li>"
        for m in sorted(unlike, key=lambda m: m["p_astro"] or 0.0)[:4]
    )
    more = '<p><a href="#mergers">All of them, and why</a></p>'
    extra = evaluation.uncatalogued().height
    return _card(
        "Which known mergers do we disagree on?",
        f"{len(unlike)} of {seen}",
        f"<p>that SPIIR saw; another {len(missed)} of the {len(mergers)} have no SPIIR candidate. "
        f"{count_of(extra, 'candidate')} with p_astro of at least 0.5 "
        f"{'is' if extra == 1 else 'are'} in no catalogue.</p>"
        f"<ul>{lines}</ul>{more}",
    )


def _card(question: str, answer: str, body: str) -> str:
    said = f'<h3>{question}</h3><span class="big">{answer}</span>{body}'
    return f'<article class="card">{said}</article>'


def candidates(evaluation: Evaluation, shown: int) -> str:
    """Return the candidates' plot and table."""
    total = evaluation.candidates.height
    sample = (
        f" Shown are {shown:,} of {total:,}: the most probable, the most wrongly judged, and an "
        "even sample of the rest."
        if shown < total
        else ""
    )
    keys = "".join(
        f'<span><svg width="14" height="14" viewBox="-7 -7 14 14" aria-hidden="true">{_MARKS[s]}'
        "</svg> "
        f"most probably {source_name(s)}</span>"
        for s in Source
    )
    return (
        '<section id="candidates"><h2>Candidates</h2>'
        "<p>A candidate is the more significant the smaller its false-alarm rate (FAR): how often "
        f"noise makes one as loud. Rings mark every {escape(evaluation.truth)}.{sample}</p>"
        f'<div class="panel"><div class="key">{keys}</div><figure id="candidates-plot"></figure>'
        '<p class="note">Hover for values, drag to zoom, double-click to reset, click a candidate '
        "for its contour and why it got its number.</p></div>"
        '<div class="panel long"><h3>All candidates shown</h3>'
        '<div id="candidates-table"></div></div>'
        "</section>"
    )


_MARKS = {
    Source.BNS: '<path d="M-4-4h8v8h-8z" fill="var(--bns)"/>',
    Source.NSBH: '<path d="M0-5L5 4H-5z" fill="var(--nsbh)"/>',
    Source.BBH: '<circle r="4" fill="var(--bbh)"/>',
    Source.TERRESTRIAL: '<path d="M-3-3l6 6m0-6l-6 6" stroke="var(--terrestrial)" fill="none"/>',
}


def known_mergers(evaluation: Evaluation, payload: Mapping[str, Any]) -> str:
    """Return the known mergers, and the candidates that no catalogue has."""
    left_out = "".join(
        f"<li><b>{escape(run)}</b>: {escape(why)}</li>" for run, why in evaluation.left_out.items()
    )
    parts = ['<section id="mergers"><h2>Known mergers</h2>']
    if left_out:
        parts.append(
            f'<p>Left out, since they cannot be judged:</p><ul class="note">{left_out}</ul>'
        )
    if payload["known"]:
        parts.append(
            '<div class="panel long"><h3>Every known merger, seen or missed</h3>'
            '<div id="known-table"></div></div>'
            '<div class="panel long"><h3>What we say of those seen, most significant first</h3>'
            '<div id="mergers-plot"></div></div>'
        )
    parts.append(
        '<div class="panel long"><h3>Called signals (p_astro of 0.5 or more), but in no '
        "catalogue</h3>"
        '<div id="uncatalogued-table"></div></div></section>'
    )
    return "".join(parts)


def single(event: str) -> str:
    """Return the body of one candidate's page."""
    return (
        f"<header><h1>Why {escape(event)} got its p_astro</h1></header>"
        '<main id="main"><section class="panel" id="single"></section></main>' + footer()
    )


def footer() -> str:
    """Return the last line, and what to do without scripts."""
    return (
        "<footer><noscript>Plots and sortable tables need JavaScript; nothing is fetched from "
        "anywhere.</noscript><p>spiir-pastro. This page is one file and works without a network."
        "</p></footer>"
    )
