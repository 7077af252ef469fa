"""Two evaluations side by side, as Markdown with figures for a merge request."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import polars as pl

from spiir_pastro.evaluation.change import Change, Verdict
from spiir_pastro.evaluation.comparison import Comparison, Evaluated
from spiir_pastro.evaluation.scores import reliability, roc
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.report.evaluation import score_figures


def write_markdown(comparison: Comparison, path: Path, *, against: str) -> None:
    """Write the comparison, and its figures beside it.

    Parameters
    ----------
    comparison
        What to tell.
    path
        The Markdown file; ``roc.png`` and ``calibration.png`` go into its folder.
    against
        What the reader knows the earlier evaluation by.
    """
    _write_figures(path, comparison.shared, before="p_before", after="p_after")
    write_atomically(path, _markdown(comparison, against).encode())


def write_alone(evaluated: Evaluated, path: Path) -> None:
    """Write how a model does, and figures beside it, where there is nothing to compare with."""
    _write_figures(path, evaluated.candidates.drop_nulls("p_astro"), model="p_astro")
    parts = [
        "# How the model does",
        "No earlier evaluation to compare with.",
        _metrics(evaluated),
        "![Calibration](calibration.png)",
        "![ROC](roc.png)",
    ]
    write_atomically(path, ("\n\n".join(parts) + "\n").encode())


def _write_figures(path: Path, candidates: pl.DataFrame, **columns: str) -> None:
    """Draw the probabilities in columns, by the model's name, beside a Markdown file."""
    is_signal = candidates["is_signal"].to_numpy()
    said = {name: candidates[column].to_numpy() for name, column in columns.items()}
    models = {name: (roc(p, is_signal), reliability(p, is_signal)) for name, p in said.items()}
    for name, content in score_figures(models).items():
        write_atomically(path.with_name(name), content)


def _markdown(comparison: Comparison, against: str) -> str:
    changes = zip(comparison.changes, comparison.verdicts, strict=True)
    parts = [
        "# What this change does to the model",
        f"Compared with `{against}`. **{comparison.verdict}**",
        *([f"**{comparison.caveat}**"] if comparison.caveat else []),
        *_settings(comparison),
        _table(
            ("Metric", "before", "after", "change", "90 % interval", "events", "verdict"),
            [_row(change, verdict) for change, verdict in changes],
        ),
        _events(comparison),
        "## Known mergers that moved",
        _moved(comparison.moved),
        "## Calibration and ROC",
        "![Calibration before and after](calibration.png)",
        "![ROC before and after](roc.png)",
        "<details><summary>All metrics, each on its own candidates</summary>",
        _all_metrics(comparison),
        "</details>",
    ]
    return "\n\n".join(parts) + "\n"


def _settings(comparison: Comparison) -> Sequence[str]:
    """Name the settings that differ, and say so if that had no effect at all."""
    changed = comparison.changed_settings
    if not changed:
        return []
    rows = [(f"`{name}`", old or "", new or "") for name, (old, new) in changed.items()]
    note = ["These settings had no effect on any candidate:"] if comparison.had_no_effect else []
    return [*note, _table(("Setting", "before", "after"), rows)]


def _row(change: Change, verdict: Verdict) -> Sequence[str]:
    if verdict is Verdict.UNTESTED:
        return (change.name, "", "", "", "", "0", str(verdict))
    loud = verdict in (Verdict.WORSE, Verdict.BETTER)
    return (
        change.name,
        f"{change.before:.4g}",
        f"{change.after:.4g}",
        "0" if verdict is Verdict.SAME else f"{change.difference:+.2g}",
        "" if verdict is Verdict.SAME else f"{change.low:+.2g} to {change.high:+.2g}",
        f"{change.events}",
        f"**{verdict}**" if loud else str(verdict),
    )


def _events(comparison: Comparison) -> str:
    shared = comparison.shared.height
    gone = comparison.before.candidates.height - shared
    new = comparison.after.candidates.height - shared
    rate = f"{100 * comparison.tolerance.false_alarm_rate:g} %"
    ends = (
        f'Two equally good models get a "worse" or a "better" in {rate} of all comparisons, over '
        "all metrics together."
    )
    if not comparison.paired:
        return f"The candidates are of different data, and are compared as two samples. {ends}"
    return (
        f"On the {shared} candidates of both, {comparison.shared['is_signal'].sum()} of them "
        f"signals ({gone} only before, {new} only after); a signal in the time span of both that "
        f"only one has is missed by the other. {ends}"
    )


def _moved(moved: pl.DataFrame) -> str:
    if moved.is_empty():
        return "None."
    rows = [
        (
            row["name"],
            row["source_class"] or "",
            _said(row["class_before"], row["p_before"]),
            _said(row["class_after"], row["p_after"]),
        )
        for row in moved.iter_rows(named=True)
    ]
    return _table(("Merger", "catalogue", "before", "after"), rows)


def _said(name: str | None, p_astro: float | None) -> str:
    return "no candidate" if p_astro is None else f"{name}, p_astro {p_astro:.3f}"


def _all_metrics(comparison: Comparison) -> str:
    return _metrics(comparison.before, comparison.after)


def _metrics(*evaluated: Evaluated) -> str:
    """Put the metrics of evaluations side by side, but for those of groups."""
    names = dict.fromkeys(name for one in evaluated[::-1] for name in one.metrics)
    rows = [
        [name, *(_number(one.metrics.get(name)) for one in evaluated)]
        for name in names
        if "." not in name
    ]
    heads = ("before", "after") if len(evaluated) > 1 else ("value",)
    return _table(("Metric", *heads), rows)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.5g}"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    ruler = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [header, ruler, *rows])
