"""A million candidates of three classes: time and peak memory of a fit; one prediction.

python benchmarks/bench_counts.py
"""

import resource
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

import spiir_pastro as sp


def simulated(n: int, signals: tuple[int, ...]) -> NDArray[np.float64]:
    """Ln f/b: noise uniform in u, signals 0.1 u**-0.9; a broad and three narrow densities in x."""
    rng = np.random.default_rng(1)
    log_u = np.log(rng.random(n))
    n_noise = n - sum(signals)
    log_u[n_noise:] *= 10
    centres = (-2.0, 0.0, 2.0)
    narrow = [rng.normal(c, 0.7, s) for c, s in zip(centres, signals, strict=True)]
    x = np.concatenate([rng.normal(0, 3, n_noise), *narrow])[:, None]
    in_x = np.log(3 / 0.7) - ((x - centres) / 0.7) ** 2 / 2 + (x / 3) ** 2 / 2
    return np.asarray(np.log(0.1) - 0.9 * log_u[:, None] + in_x)


def seconds(action: Callable[[], object], repeat: int = 1) -> tuple[float, float]:
    """Wall and CPU seconds of one action, the best of a few."""
    best = (np.inf, np.inf)
    for _ in range(repeat):
        wall, cpu = time.perf_counter(), time.process_time()
        action()
        best = min(best, (time.perf_counter() - wall, time.process_time() - cpu))
    return best


def main() -> None:
    sp.fit_counts([[1.0, 2.0, 3.0]])
    print(
        f"{'candidates':>10} {'signals':>16} {'wall s':>7} {'CPU s':>7} {'nodes':>7} {'singles':>7}"
    )
    for n, signals in (
        (8_822, (5, 8, 22)),
        (1_000_000, (2, 5, 80)),
        (1_000_000, (100, 500, 4_000)),
    ):
        logs = simulated(n, signals)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        wall, cpu = seconds(lambda logs=logs: sp.fit_counts(logs), repeat=3)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        posterior = sp.fit_counts(logs)
        print(
            f"{n:>10} {signals!s:>16} {wall:7.2f} {cpu:7.2f} {len(posterior.lattice.weights):7d} "
            f"{len(posterior.likelihood.singles):7d}   peak {peak / 2**20:.2f} GiB, "
            f"{(peak - before) / 2**20:.2f} more than with the input alone"
        )
        time_prediction(posterior, logs[-1:])


def time_prediction(posterior: sp.CountPosterior, one: NDArray[np.float64]) -> None:
    """Print how long the probabilities of a single candidate take."""
    posterior.probabilities(one)
    many = 200
    times = seconds(lambda: [posterior.probabilities(one) for _ in range(many)], repeat=3)
    wall, cpu = (1e6 * t / many for t in times)
    print(f"{'':>10} one prediction: {wall:.0f} us wall, {cpu:.0f} us CPU")


if __name__ == "__main__":
    main()
