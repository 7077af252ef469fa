"""Two evaluations side by side, as Markdown with figures for a merge request."""

import math
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import polars as pl
from matplotlib.axes import Axes

from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.evaluation.change import Change, Verdict
from spiir_pastro.evaluation.comparison import Comparison, Evaluated
from spiir_pastro.evaluation.scores import reliability, roc
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.report.evaluation import draw_reliability, draw_roc
from spiir_pastro.report.style import INK, figure, house_style, save

_ROC_POINTS = 1000
_BEFORE, _AFTER = SOURCE_COLOURS[Source.TERRESTRIAL], SOURCE_COLOURS[Source.BNS]


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
    with house_style():
        for name, draw in (("roc", draw_roc_change), ("calibration", draw_calibration_change)):
            drawn = figure(width=0.9)
            draw(drawn.subplots(), comparison.shared)
            save(drawn, path.with_name(name))
    write_atomically(path, _markdown(comparison, against).encode())


def write_alone(evaluated: Evaluated, path: Path) -> None:
    """Write how a model does, and figures beside it, where there is nothing to compare with."""
    candidates = evaluated.candidates.drop_nulls("p_astro")
    p, is_signal = candidates["p_astro"].to_numpy(), candidates["is_signal"].to_numpy()
    curve, bins = roc(p, is_signal).thinned(_ROC_POINTS), reliability(p, is_signal)
    with house_style():
        for name, draw in (
            ("roc", partial(draw_roc, curve=curve)),
            ("calibration", partial(draw_reliability, bins=bins)),
        ):
            drawn = figure(width=0.9)
            draw(drawn.subplots())
            save(drawn, path.with_name(name))
    parts = [
        "# How the model does",
        "No earlier evaluation to compare with.",
        _metrics(evaluated),
        "![Calibration](calibration.png)",
        "![ROC](roc.png)",
    ]
    write_atomically(path, ("\n\n".join(parts) + "\n").encode())


def draw_roc_change(ax: Axes, shared: pl.DataFrame) -> None:
    """Draw both ROC curves of the same candidates, false alarms logarithmic but showing zero."""
    smallest = 1.0
    for name, colour, column in (("before", _BEFORE, "p_before"), ("after", _AFTER, "p_after")):
        curve = roc(shared[column].to_numpy(), shared["is_signal"].to_numpy())
        smallest = min(smallest, curve.false_alarm[curve.false_alarm > 0].min(initial=1.0))
        ax.step(curve.false_alarm, curve.efficiency, where="post", color=colour, label=name)
    ax.set_xscale("symlog", linthresh=smallest, linscale=0.3)
    decades = range(math.ceil(math.log10(smallest)), 1)
    ax.set_xticks([0, *(10.0**n for n in decades)])
    ax.set(xlim=(0, 1), ylim=(0, 1.02), title="Receiver operating characteristic")
    ax.set(xlabel="fraction of noise called a signal", ylabel="fraction of signals found")
    ax.legend(loc="lower right")


def draw_calibration_change(ax: Axes, shared: pl.DataFrame) -> None:
    """Draw of both models how many of those called p are signals, with 90 % intervals."""
    ax.plot([0, 1], [0, 1], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    for name, colour, column, mark in (
        ("before", _BEFORE, "p_before", "s"), ("after", _AFTER, "p_after", "o"),
    ):  # fmt: skip
        bins = reliability(shared[column].to_numpy(), shared["is_signal"].to_numpy())
        filled = bins.count > 0
        errors = abs(bins.interval[filled].T - bins.fraction[filled])
        ax.errorbar(
            bins.mean_probability[filled], bins.fraction[filled], yerr=errors, fmt=mark,
            color=colour, capsize=3, label=name,
        )  # fmt: skip
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), title="Calibration")
    ax.set(xlabel="$p_\\mathrm{astro}$ said", ylabel="fraction that are signals")
    ax.legend(loc="upper left")


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
