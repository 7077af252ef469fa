"""Time an evaluation and its report of a campaign with a million candidates.

Bars: 15 s from candidates to ``report.html``, of less than 10 MB::

    python benchmarks/bench_report.py [CANDIDATES...]

Noise is uniform in FAR, signals (one in ten) follow a power law, each class with its own chirp
masses; the model is fitted on every hundredth candidate.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.evaluation.result import Evaluation
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.trigger_tables import to_candidates
from spiir_pastro.models.alternatives import alternatives
from spiir_pastro.pipeline.assessment import write_evaluation
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.prediction import predict_rows
from spiir_pastro.pipeline.training import TrainingSet

THRESHOLD_HZ = 3e-4
T = TypeVar("T")


def main() -> None:
    for n in [int(float(size)) for size in sys.argv[1:]] or [10_000, 100_000, 1_000_000]:
        print(f"{n:,} candidates")
        steps, size = cost(n)
        for name, seconds in {**steps, "together": sum(steps.values())}.items():
            print(f"{name:28} {seconds:6.1f} s")
        print(f"{'size of report.html':28} {size / 1e6:6.1f} MB, bar 10 MB", flush=True)


def cost(n: int) -> tuple[dict[str, float], int]:
    """Evaluate so many candidates; return the seconds of each step, and the bytes of the page."""
    table = candidates(n)
    few = table.gather_every(max(n // 10_000, 1))
    artifact = fit(TrainingSet(labelled=few, counted=few), read_distances(CAMPAIGN))
    steps: dict[str, float] = {}

    def timed(name: str, work: Callable[[], T]) -> T:
        start = time.perf_counter()
        result = work()
        steps[name] = time.perf_counter() - start
        return result

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        evaluation = timed("predict, with alternatives", lambda: evaluated(table, artifact))
        timed("metrics with intervals", evaluation.metrics)
        timed(
            "report, tables and figures",
            lambda: write_evaluation(evaluation, artifact, folder, name="benchmark"),
        )
        return steps, (folder / "report.html").stat().st_size


def evaluated(table: pl.DataFrame, artifact: ModelArtifact) -> Evaluation:
    said = predict_rows(artifact.model, table)
    text, numbers = ("name", "event_id", "source_class"), ("far_hz", "p_astro", *map(str, Source))
    events = pl.DataFrame(
        schema=dict.fromkeys(text, pl.String) | dict.fromkeys(numbers, pl.Float64)
    )
    return Evaluation(
        candidates=pl.concat([table, said], how="horizontal"),
        known_mergers=events,
        alternatives=alternatives(artifact.model, to_candidates(table), said["p_astro"].to_numpy()),
        truth="injection",
    )


def candidates(n: int) -> pl.DataFrame:
    rng = np.random.default_rng(1)
    signal = rng.random(n) < 0.1
    kind = rng.integers(0, 3, n)
    log_far = np.where(signal, -rng.exponential(10, n), -rng.exponential(1, n))
    centre = np.array([0.3, 1.1, 3.2])[kind]
    log_mchirp = np.where(signal, rng.normal(centre, 0.25), rng.uniform(0, 4, n))
    distance = rng.lognormal(6, 0.5, n)
    return pl.DataFrame(
        {
            "event_id": [f"T{k}" for k in range(n)],
            "gps_ns": 1_260_000_000_000_000_000 + 10**10 * np.arange(n),
            "ifos": np.where(rng.random(n) < 0.5, "H1L1", "H1L1V1"),
            "bank": np.array(["BNS", "NSBH", "BBH"])[rng.integers(0, 3, n)],
            "far_hz": THRESHOLD_HZ * np.exp(log_far),
            "snr": 8 * np.exp(np.where(signal, -0.05 * log_far, rng.normal(0, 0.1, n))),
            "mchirp_det": np.exp(log_mchirp),
            "mtotal_det": np.exp(log_mchirp) * rng.uniform(0.1, 0.25, n) ** -0.6,
            "eff_distance_mpc_H1": distance,
            "eff_distance_mpc_L1": distance * rng.lognormal(0, 0.2, n),
            "eff_distance_mpc_V1": pl.Series([None] * n, dtype=pl.Float64),
            "eff_distance_mpc_K1": pl.Series([None] * n, dtype=pl.Float64),
            "is_signal": signal,
            "source_class": np.array([str(s) for s in ASTROPHYSICAL])[kind],
            "injection_distance_mpc": distance,
        }
    ).with_columns(
        pl.when("is_signal").then("source_class").alias("source_class"),
        pl.when("is_signal").then("injection_distance_mpc").alias("injection_distance_mpc"),
    )


if __name__ == "__main__":
    main()
