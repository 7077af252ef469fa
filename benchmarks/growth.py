"""How the cost of predicting, processing and evaluating grows with the rows, beside its limit.

Run it: ``python benchmarks/growth.py [PLOT [ROWS]]``, up to 10^7 rows, or so many. The limit of
predicting is reading the file and writing as many numbers; of processing, reading the columns that
it needs; of evaluating, predicting the same candidates.
"""

import sys
import tempfile
from pathlib import Path

import bench_process
import bench_report
from bench_predict import limit, predicted, timed, write_model_and_rows
from matplotlib.ticker import NullFormatter
from scaling import Curve

from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.report.style import ACCENT, figure, house_style, save

_LEAST = 100_000
_MOST_EVALUATED = 1_000_000  # more candidates than any search has
_READ = """
import sys
import polars as pl
from spiir_pastro.io.trigger_tables import POSTCOH_COLUMNS
table = pl.scan_parquet(sys.argv[1] + "/**/*.postcoh.parquet")
names = [name for name in table.collect_schema().names() if name in POSTCOH_COLUMNS]
for block in table.select(names).collect_batches():
    pass
"""

Costs = tuple[float, float]
"""Seconds of ours, and of the limit."""


def predicting(rows: int) -> Costs:
    with tempfile.TemporaryDirectory() as name:
        model, table = write_model_and_rows(Path(name), rows)
        return predicted(model, table)[0], limit(table)[0]


def processing(rows: int) -> Costs:
    with tempfile.TemporaryDirectory() as name:
        bench_process.campaign(Path(name), rows)
        ours = bench_process.processed(Path(name))[0]
        return ours, timed(sys.executable, "-c", _READ, Path(name) / "staging")[0]


def evaluating(rows: int) -> Costs:
    steps, _ = bench_report.cost(rows)
    return sum(steps.values()), steps["predict, with alternatives"]


def sizes(most: int) -> list[int]:
    """Return round numbers of rows, three by ten."""
    found = [_LEAST]
    while found[-1] * 3 <= most:
        found.append(found[-1] * 3 if str(found[-1])[0] == "1" else found[-1] // 3 * 10)
    return found


def main(stem: Path | None, most: int) -> None:
    panels = []
    for title, cost, up_to in (
        ("predict", predicting, most),
        ("process", processing, most),
        ("evaluate", evaluating, min(most, _MOST_EVALUATED)),
    ):
        ours, limits, rows = [], [], sizes(up_to)
        print(f"{title}\n{'rows':>13} {'seconds':>9} {'limit':>9} {'rows/s':>11}")
        for n in rows:
            mine, least = cost(n)
            ours.append(mine)
            limits.append(least)
            print(f"{n:>13,} {mine:9.2f} {least:9.2f} {n / mine:11,.0f}", flush=True)
        panels.append((title, Curve(side="spiir-pastro", sizes=rows, seconds=ours), limits))
    for title, curve, _ in panels:
        print(f"{title}: the last step grows like rows to the power {curve.slope:.2f}")
    if stem:
        draw(panels, stem)


def draw(panels: list[tuple[str, Curve, list[float]]], stem: Path) -> None:
    with house_style():
        drawn = figure(width=1.5, height=0.4)
        for axis, (title, curve, limits) in zip(
            drawn.subplots(1, len(panels)), panels, strict=True
        ):
            ours = {"color": SOURCE_COLOURS[Source.BNS], "label": curve.side}
            axis.loglog(curve.sizes, curve.seconds, "o-", **ours)
            axis.loglog(curve.sizes, limits, "o-", color=ACCENT, label="its limit")
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set(title=title, xlabel="rows", ylabel="seconds")
            axis.legend()
        save(drawn, stem)


if __name__ == "__main__":
    main(
        Path(sys.argv[1]) if sys.argv[1:] else None,
        int(float(sys.argv[2])) if sys.argv[2:] else 10**7,
    )
