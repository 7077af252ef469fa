"""The tables that say how good a model is: calls, classes, groups, alternatives, a change."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from spiir_pastro.domain import Source
from spiir_pastro.evaluation.breakdown import Call, Confusion, GroupScores
from spiir_pastro.evaluation.change import Verdict
from spiir_pastro.evaluation.comparison import Comparison
from spiir_pastro.evaluation.recovery import Recovered
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.report.numbers import between, figure, percent, percents, source_name


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A value, what stands small below it, and what it is like."""

    # what is read
    text: str
    small: str = ""
    tone: str = ""  # a class of the style sheet
    heat: float | None = None  # from 0 to 1, how strongly it is coloured; None for not at all


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of the page: what it shows, its heads, and its rows of cells."""

    caption: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    on_phones: int  # columns, the first; the others on demand


def _table(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Cell | str]],
    *,
    on_phones: int | None = None,
) -> Table:
    cells = [[cell if isinstance(cell, Cell) else Cell(text=cell) for cell in row] for row in rows]
    return Table(caption=caption, heads=heads, rows=cells, on_phones=on_phones or len(heads))


def calls(every: Sequence[Call]) -> Table:
    """Return what is called a signal at usual thresholds, and what of it is one."""
    rows = [
        (
            f"≥ {call.threshold:g}",
            f"{call.called:,}",
            f"{call.real:,}",
            figure(call.expected),
            percents(call.purity_interval) if call.called else "–",
            percents(call.efficiency_interval) if call.signals else "–",
        )
        for call in every
    ]
    return _table(
        "What is called a signal and what of it is real. Purity is real of called, efficiency "
        "real of all signals; 90 % intervals.",
        ("p_astro", "called", "real", "expected", "purity", "efficiency"),
        rows,
    )


def confusion(found: Confusion) -> Table:
    """Return what candidates are against what they are called."""
    rows: list[list[Cell | str]] = []
    for i, true in enumerate(Source):
        total = max(int(found.count[i].sum()), 1)
        cells = [
            Cell(text=f"{count:,}", small=figure(found.expected[i, j]), heat=count / total)
            for j, count in enumerate(found.count[i].tolist())
        ]
        rows.append([source_name(true), *cells])
    return _table(
        "What candidates are (rows), and what they are most probably called (columns). In small: "
        "the sum of the probabilities.",
        ("", *map(source_name, Source)),
        rows,
    )


def recovery(rows: Sequence[Recovered]) -> Table:
    """Return truth beside inference, class by class."""
    return _table(
        "Truth beside inference: the signals there were, those among the candidates, and how many "
        "of each class the model counts, without seeing which they are.",
        ("class", "made", "among the candidates", "counted"),
        [
            (
                str(row.source),
                "–" if row.made is None else f"{row.made:,}",
                f"{row.found:,}",
                Cell(text=figure(row.counted), small=between(row.interval)),
            )
            for row in rows
        ],
    )


def scores(groups: Sequence[GroupScores]) -> Table:
    """Return scores by group with their bootstrap intervals."""
    rows = [
        (
            f"{g.kind}: {g.name}" if g.kind != "all" else g.name,
            f"{g.scores.signals:,}",
            _with_ends(g.scores.log_loss, g, "log_loss"),
            _with_ends(g.scores.auc, g, "auc"),
            _with_ends(g.scores.expected_signals, g, "expected_signals"),
            _with_ends(g.scores.brier, g, "brier"),
            f"{g.scores.candidates:,}",
        )
        for g in groups
    ]
    return _table(
        "Scores with 90 % bootstrap intervals; a class is scored against everything else.",
        ("group", "signals", "log loss", "AUC", "expected", "Brier", "candidates"),
        rows,
        on_phones=4,
    )


def alternatives(evaluation: Evaluation) -> Table:
    """Return this model beside the alternatives, on the same candidates."""
    rows = [
        (
            group.name,
            _with_ends(group.scores.log_loss, group, "log_loss"),
            _with_ends(group.scores.auc, group, "auc"),
            f"{percent(agreement.fraction)} of {agreement.events}" if agreement.events else "–",
            _with_ends(group.scores.expected_signals, group, "expected_signals"),
            f"{group.scores.signals:,}",
            _with_ends(group.scores.brier, group, "brier"),
        )
        for group, agreement in evaluation.compared
    ]
    return _table(
        "Smaller log loss and Brier score are better; larger AUC is.",
        ("method", "log loss", "AUC", "class agrees", "signals expected", "known", "Brier"),
        rows,
        on_phones=4,
    )


def _with_ends(value: float, group: GroupScores, name: str) -> Cell | str:
    return (
        "–" if np.isnan(value) else Cell(text=figure(value), small=between(group.intervals[name]))
    )


_TONES = {Verdict.BETTER: "better", Verdict.WORSE: "worse"}


def change(compared: Comparison) -> Table:
    """Return what changed against an earlier evaluation."""
    rows = [
        (
            one.name.replace("_", " "),
            figure(one.before, 4),
            figure(one.after, 4),
            between((one.low, one.high)),
            Cell(text=str(verdict), tone=_TONES.get(verdict, "")),
        )
        for one, verdict in zip(compared.changes, compared.verdicts, strict=True)
    ]
    return _table("", ("", compared.before.name, "this model", "90 % of the change", ""), rows)
