"""Matching and clustering at scale, beside the naive peer that compares every pair.

Run it: ``python benchmarks/bench_matching.py``. The peer builds the (triggers x injections) array
that existing codes build, on an input where that fits in memory; both must find the same.
Bar: 10^7 triggers against 10^5 injections within 30 s and 4 GiB on two cores.
"""

import resource
import time
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import polars as pl
from timing import race

from spiir_pastro.selection import cluster, match_injections, remove_twin_noise

T = TypeVar("T")
_SPACING_NS = 20_000_000_000


def campaign(n_triggers: int, n_injections: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Noise over the whole span, and for every second injection a trigger beside it."""
    rng = np.random.default_rng(7)
    injected_ns = np.arange(n_injections) * _SPACING_NS + rng.integers(0, 10**9, n_injections)
    mchirp = rng.uniform(1, 40, n_injections)
    found = np.arange(0, n_injections, 2)
    noise = n_triggers - found.size
    span_ns = n_injections * _SPACING_NS
    gps_ns = np.append(rng.integers(0, span_ns, noise), injected_ns[found] + 3_000_000)
    mass = np.append(rng.uniform(1, 40, noise), mchirp[found] * 1.01)
    rows = rng.permutation(n_triggers)
    triggers = pl.DataFrame(
        {
            "event_id": pl.Series(np.arange(n_triggers)).cast(pl.String),
            "gps_ns": gps_ns[rows],
            "far_hz": 10 ** rng.uniform(-9, -3, n_triggers),
            "snr": rng.uniform(6, 12, n_triggers),
            "mchirp_det": mass[rows],
            **{f"eff_distance_mpc_{ifo}": rng.uniform(10, 900, n_triggers) for ifo in ("H1", "L1")},
        }
    )
    injections = pl.DataFrame(
        {
            "injection_id": np.arange(n_injections),
            "gps_ns": injected_ns,
            "mchirp_det": mchirp,
            "distance_mpc": rng.uniform(10, 900, n_injections),
        }
    )
    return triggers, injections


def every_pair(triggers: pl.DataFrame, injections: pl.DataFrame) -> set[tuple[str, int]]:
    """Compare every trigger with every injection."""
    dt = np.abs(triggers["gps_ns"].to_numpy()[:, None] - injections["gps_ns"].to_numpy())
    truth = injections["mchirp_det"].to_numpy()
    alike = np.abs(triggers["mchirp_det"].to_numpy()[:, None] - truth) <= 0.1 * truth
    row, injection = np.nonzero((dt <= 900_000_000) & alike)
    best = (
        triggers[pl.Series(row)]
        .with_columns(injection=injections["injection_id"].to_numpy()[injection])
        .sort("far_hz", pl.col("snr").neg(), "event_id")
        .unique("injection", keep="first")
    )
    return set(zip(best["event_id"], best["injection"], strict=True))


def timed(call: Callable[[], T]) -> tuple[float, T]:
    """Return the seconds a call takes, and its answer."""
    start = time.perf_counter()
    answer = call()
    return time.perf_counter() - start, answer


def main() -> None:
    """Print the tables."""
    print(f"{'triggers':>10} {'injections':>10} {'match s':>8} {'cluster s':>9} {'twin s':>7} GiB")
    for n_triggers, n_injections in [(10**5, 10**3), (10**6, 10**4), (10**7, 10**5)]:
        triggers, injections = campaign(n_triggers, n_injections)
        match_s, _ = timed(lambda: match_injections(triggers, injections))  # noqa: B023
        cluster_s, _ = timed(lambda: cluster(triggers))  # noqa: B023
        twin_s, _ = timed(lambda: remove_twin_noise(triggers, triggers))  # noqa: B023
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"{n_triggers:>10} {n_injections:>10} {match_s:8.2f} {cluster_s:9.2f} {twin_s:7.2f} "
            f"{peak:.2f}"
        )
    triggers, injections = campaign(50_000, 1_000)
    matches = match_injections(triggers, injections)
    found = set(zip(matches.found["event_id"], matches.found["injection_id"], strict=True))
    assert found == every_pair(triggers, injections)
    pairs, ours = race(
        {
            "every pair": lambda: every_pair(triggers, injections),
            "ours": lambda: match_injections(triggers, injections),
        },
        rounds=5,
    ).values()
    print(
        f"50000 x 1000: every pair {pairs.best_wall:.2f} s, ours {ours.best_wall:.4f} s; "
        f"every pair / ours {pairs.over(ours)}"
    )


if __name__ == "__main__":
    main()
