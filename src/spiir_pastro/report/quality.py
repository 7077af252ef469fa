"""The sections that say how good a model is: curves, tables, alternatives, an earlier model."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from spiir_pastro.domain import Source
from spiir_pastro.evaluation.breakdown import Call, GroupScores
from spiir_pastro.evaluation.change import Verdict
from spiir_pastro.evaluation.comparison import Comparison
from spiir_pastro.evaluation.result import QUANTITIES, Evaluation
from spiir_pastro.report.numbers import figure, percent, source_name, span

__all__ = ["alternatives", "comparison", "quality"]


_UNFOUND = {
    True: "Against true values, of all injections made in analysed data, those missed included.",
    False: "Signals that SPIIR did not find do not count.",
}


def quality(evaluation: Evaluation, payload: Mapping[str, Any]) -> str:
    """Return calls, calibration, ROC, efficiency, confusion and scores by group."""
    choices = "".join(
        f'<option value="{name}">{escape(QUANTITIES[name])}</option>'
        for name in payload["efficiency"]
    )
    efficiency = (
        '<div class="panel"><h3>Efficiency: fraction of signals called</h3>'
        f'<div class="tools"><label>against <select id="efficiency-choice">{choices}</select>'
        "</label>"
        '<span class="key"><span><i style="background:var(--accent)"></i>p_astro ≥ 0.5</span>'
        '<span><i style="background:var(--bad)"></i>p_astro ≥ 0.9</span></span></div>'
        '<figure id="efficiency-plot" class="narrow"></figure>'
        '<p class="note">Of the signals among the candidates, with 90 % intervals. '
        f"{_UNFOUND[evaluation.missed is not None]}</p></div>"
        if choices
        else ""
    )
    return (
        '<section id="quality"><h2>How good is it?</h2><div class="two">'
        '<div class="panel"><h3>Calibration</h3><figure id="calibration-plot"></figure>'
        '<p class="note">Of those called p, a fraction p should be signals: points on the dashed '
        "line. Bars are 90 % intervals.</p></div>"
        '<div class="panel"><h3>Signals against noise (ROC)</h3><figure id="roc-plot"></figure>'
        f'<p class="note">The area under the curve (AUC) is {figure(evaluation.scores.auc, 4)}: '
        "how often a signal has a larger p_astro than noise.</p></div></div>"
        f'<div class="two"><div class="panel">{_calls(evaluation.calls)}</div>'
        f'<div class="panel">{_confusion(evaluation)}</div></div>{efficiency}'
        f'<div class="panel">{_scores([evaluation.overall, *evaluation.groups])}</div></section>'
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    """Return a table of HTML cells, the first column to the left."""

    def line(cells: Sequence[str], tag: str) -> str:
        return "".join(
            f"<{tag}{' class=l' if k == 0 else ''}>{cell}</{tag}>" for k, cell in enumerate(cells)
        )

    body = "".join(f"<tr>{line(cells, 'td')}</tr>" for cells in rows)
    title = f'<p class="note">{caption}</p>' if caption else ""
    return (
        f'{title}<div class="scroll" tabindex="0"><table>'
        f"<thead><tr>{line(heads, 'th')}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _calls(calls: Sequence[Call]) -> str:
    rows = [
        (
            f"≥ {call.threshold:g}",
            f"{call.called:,}",
            f"{call.real:,}",
            figure(call.expected),
            span(call.purity_interval, percent) if call.called else "–",
            span(call.efficiency_interval, percent) if call.signals else "–",
        )
        for call in calls
    ]
    heads = ("p_astro", "called", "real", "expected", "purity", "efficiency")
    return _table(
        heads,
        rows,
        caption="What is called a signal and what of it is real. Purity is real of called, "
        "efficiency real of all signals; 90 % intervals.",
    )


def _confusion(evaluation: Evaluation) -> str:
    confusion = evaluation.confusion
    heads = "".join(f"<th scope=col>{source_name(s)}</th>" for s in Source)
    lines = []
    for i, true in enumerate(Source):
        total = max(int(confusion.count[i].sum()), 1)
        cells = "".join(
            f'<td style="background:rgb(var(--heat) / {0.75 * count / total:.2f})">{count:,}'
            f"<small>{figure(confusion.expected[i, j])}</small></td>"
            for j, count in enumerate(confusion.count[i].tolist())
        )
        lines.append(f'<tr><th scope=row class="l">{source_name(true)}</th>{cells}</tr>')
    return (
        '<p class="note">What candidates are (rows), and what they are most probably called '
        "(columns). In small: the sum of the probabilities.</p>"
        '<div class="scroll" tabindex="0"><table class="heat">'
        f"<thead><tr><th></th>{heads}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def _scores(groups: Sequence[GroupScores]) -> str:
    rows = [
        (
            escape(f"{g.kind}: {g.name}" if g.kind != "all" else g.name),
            f"{g.scores.candidates:,}",
            f"{g.scores.signals:,}",
            _with_span(g.scores.expected_signals, g, "expected_signals"),
            _with_span(g.scores.log_loss, g, "log_loss"),
            _with_span(g.scores.brier, g, "brier"),
            _with_span(g.scores.auc, g, "auc"),
        )
        for g in groups
    ]
    heads = ("group", "candidates", "signals", "expected", "log loss", "Brier", "AUC")
    return _table(
        heads,
        rows,
        caption="Scores with 90 % bootstrap intervals; a class is scored against everything else.",
    )


def _with_span(value: float, group: GroupScores, name: str) -> str:
    if np.isnan(value):
        return "–"
    return f"{figure(value)}<br><small class=dim>{span(group.intervals[name], figure)}</small>"


_ON_ALTERNATIVES = """
The published recipe takes 3ρ*³/ρ⁴ over FAR/FAR*, densities of different variables. PyCBC Live's
model takes 6 FAR for the noise's density in SNR. Both are counted on these candidates and share
p_astro by the mass contour, or by hard cuts where there is no effective distance. Hard mass cuts
share this model's p_astro by the template's chirp mass. None sees what a candidate is.
"""


def alternatives(evaluation: Evaluation) -> str:
    """Return this model beside the alternatives, on the same candidates."""
    rows = []
    for group, agreement in evaluation.compared:
        rows.append(
            (
                escape(group.name),
                _with_span(group.scores.expected_signals, group, "expected_signals"),
                f"{group.scores.signals:,}",
                _with_span(group.scores.log_loss, group, "log_loss"),
                _with_span(group.scores.brier, group, "brier"),
                _with_span(group.scores.auc, group, "auc"),
                f"{percent(agreement.fraction)} of {agreement.events}" if agreement.events else "–",
            )
        )
    heads = ("method", "signals expected", "known", "log loss", "Brier", "AUC", "class agrees")
    return (
        '<section id="alternatives"><h2>Alternatives on the same candidates</h2>'
        '<div class="panel">'
        + _table(heads, rows, caption="Smaller log loss and Brier score are better; larger AUC is.")
        + f'<p class="note">{_ON_ALTERNATIVES}</p></div></section>'
    )


def comparison(compared: Comparison) -> str:
    """Return what changed against an earlier evaluation."""
    rows = [
        (
            escape(change.name.replace("_", " ")),
            figure(change.before, 4),
            figure(change.after, 4),
            span((change.low, change.high), figure),
            f'<span class="{_TONES.get(verdict, "")}">{verdict}</span>',
        )
        for change, verdict in zip(compared.changes, compared.verdicts, strict=True)
    ]
    heads = ("", escape(compared.before.name), "this model", "90 % of the change", "")
    return (
        f'<section id="before"><h2>What changed</h2><p>{escape(compared.verdict)}</p>'
        f'<div class="panel">{_table(heads, rows)}</div></section>'
    )


_TONES = {Verdict.BETTER: "better", Verdict.WORSE: "worse"}
