"""Probabilities of many rows, beside what Polars takes to read the rows and write as many numbers.

Run it: ``python benchmarks/bench_predict.py [ROWS...]``, by default 10^5, 10^6 and 3*10^6. The
command reads Parquet and writes CSV, with intervals and without, in a process of its own. Bars:
200,000 rows a second with intervals, and a peak below 600 MB that does not grow with the rows.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl
from bench_extract import family_peak
from bench_report import candidates

from spiir_pastro.io.artifact import write_model
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import TrainingSet

__all__ = ["Cost", "limit", "predicted", "timed", "write_model_and_rows", "write_rows"]

Cost = tuple[float, float, float]
"""Seconds of wall, seconds of processor, peak in GB."""

_BLOCK = 1_000_000

_COPY = """
import sys
import polars as pl
columns = [pl.col("snr").alias(f"p{k}") for k in range(7)]
pl.scan_parquet(sys.argv[1]).select("event_id", *columns).sink_csv(sys.argv[2])
"""


def write_rows(path: Path, rows: int) -> None:
    """Write so many candidates, a block of them over and over at other times."""
    block = candidates(min(rows, _BLOCK)).drop("is_signal", "source_class")
    parts = [block.lazy()] * (rows // block.height)
    pl.concat(parts).sink_parquet(path, row_group_size=100_000)


def write_model_and_rows(folder: Path, rows: int) -> tuple[Path, Path]:
    """Write a model, and candidates for it."""
    few = candidates(10_000)
    artifact = fit(TrainingSet(labelled=few, counted=few), read_distances(CAMPAIGN))
    write_model(artifact, folder / "model.json")
    write_rows(folder / f"rows{rows}.parquet", rows)
    return folder / "model.json", folder / f"rows{rows}.parquet"


def timed(*command: str | Path) -> Cost:
    """Run a command; say what it cost. The peak is of its processes together."""
    with family_peak() as peak:
        start = time.perf_counter()
        child = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)  # noqa: S603
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0, command
        return wall, used.ru_utime + used.ru_stime, peak() / 1000


def predicted(model: Path, rows: Path, *options: str) -> Cost:
    """Predict a file of rows to CSV."""
    command = [sys.executable, "-m", "spiir_pastro", "predict", rows, "--model", model]
    return timed(*command, "--format", "csv", "--output", rows.with_suffix(".csv"), *options)


def limit(rows: Path) -> Cost:
    """Have Polars read the same file and write as many numbers a row."""
    return timed(sys.executable, "-c", _COPY, rows, rows.with_suffix(".limit.csv"))


def main() -> None:
    sizes = [int(float(size)) for size in sys.argv[1:]] or [10**5, 10**6, 3 * 10**6]
    print(f"{'rows':>11} {'':>18} {'wall s':>8} {'processor s':>11} {'rows/s':>11} {'peak GB':>8}")
    for rows in sorted(sizes):
        with tempfile.TemporaryDirectory() as name:
            model, table = write_model_and_rows(Path(name), rows)
            sides = {
                "with intervals": predicted(model, table),
                "without intervals": predicted(model, table, "--no-intervals"),
                "read and write": limit(table),
            }
        for side, (wall, busy, peak) in sides.items():
            speed = f"{rows / wall:11,.0f}"
            print(
                f"{rows:>11,} {side:>18} {wall:8.2f} {busy:11.2f} {speed} {peak:8.2f}", flush=True
            )


if __name__ == "__main__":
    main()
