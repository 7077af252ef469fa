"""A campaign of 4 weeks, 3 banks, with and without injections: minutes a stage, and peak memory.

Run it: ``python benchmarks/bench_campaign.py [ROWS]``, with 10^7 rows, a tenth of a real one, if
not given. Every stage is the command that a user runs, on the files that the one before it wrote;
predict takes a table of as many rows. What it costs for 10^8 rows is this for ROWS=1e8.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import polars as pl
from bench_predict import timed, write_rows

_DAYS = 28
_RUNS = 6  # three banks, with and without injections


def stages(folder: Path, rows: int) -> Iterator[tuple[str, list[str | Path]]]:
    """Yield each stage's name and arguments, in order."""
    raw, staging, processed = (folder / name for name in ("raw", "staging", "processed"))
    model, table = folder / "model.json", folder / "rows.parquet"
    rate_hz = rows / (_RUNS * _DAYS * 86_400)
    yield (
        "simulate",
        [raw, "--days", str(_DAYS), "--noise-rate", f"{rate_hz:.4f}", "--file-seconds", "86400"],
    )
    yield "extract", [raw / "RUNS.yaml", "--staging", staging]
    yield "process", [raw / "RUNS.yaml", "--staging", staging, "--processed", processed]
    yield "fit", ["--processed", processed, "--model", model]
    yield "evaluate", ["--processed", processed, "--model", model, "--report", folder / "report"]
    write_rows(table, rows)
    yield "predict", [table, "--model", model, "--format", "csv", "--output", folder / "said.csv"]


def main(rows: int) -> None:
    print(f"{'stage':>10} {'minutes':>9} {'processor':>10} {'peak GB':>8}")
    total = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stage, arguments in stages(folder, rows):
            wall, busy, peak = timed(sys.executable, "-m", "spiir_pastro", stage, *arguments)
            total += wall
            print(f"{stage:>10} {wall / 60:9.2f} {busy / 60:10.2f} {peak:8.2f}", flush=True)
        staged = pl.scan_parquet(folder / "staging" / "**" / "*.postcoh.parquet")
        found = int(staged.select(pl.len()).collect().item())
    print(f"{'together':>10} {total / 60:9.2f}    for {found:,} rows")


if __name__ == "__main__":
    main(int(float(sys.argv[1])) if sys.argv[1:] else 10**7)
