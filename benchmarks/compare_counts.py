"""Counts of three classes on the same candidates: this package beside its peers and brute force.

    python benchmarks/compare_counts.py [--slow]

Prints a table for each of two sets of 8,822 candidates, one with few signals and one with more than
a quadrature of 20 Gauss-Laguerre nodes can tell (its largest node is 66.5). Uniform priors; the
noise count is pinned unless the line says free. PyCBC counts one class: it is given the third
alone, and so are we beside it. sgnl-pastro (60 nodes a class) and ligo.p_astro with the noise free
take minutes and run only when asked for. Times are CPU seconds of a fit with its means.
"""

import contextlib
import io
import itertools
import os
import sys
import time
from collections.abc import Callable
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before the linear algebra starts its threads

import numpy as np
from bench_counts import simulated
from ligo import p_astro
from numpy.typing import NDArray
from pycbc.population.fgmc_laguerre import count_posterior
from scipy.special import logsumexp

import spiir_pastro as sp

Floats = NDArray[np.float64]
Counted = tuple[Floats, float]

CLASSES = ("BNS", "NSBH", "BBH")
SETS = {"few": (5, 8, 22), "many": (10, 40, 300)}
N_CANDIDATES = 8_822
_FITS, _LONG = 5, 5.0


def timed(fit: Callable[[], Floats]) -> Counted:
    """Means, and the least processor seconds of a few fits (of one, if that takes long)."""
    seconds: list[float] = []
    while len(seconds) < _FITS and sum(seconds) < _LONG:
        start = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            means = fit()
        seconds.append(time.process_time() - start)
    return means, min(seconds)


def by_brute_force(logs: Floats, noise: float, signals: tuple[int, ...]) -> Floats:
    """Every candidate at every node of a Gauss-Legendre box around the true numbers."""
    x, w = np.polynomial.legendre.leggauss(48)
    true = np.array(signals)
    reach = np.sqrt(2.2 * true + 9)
    low, high = np.maximum(true - 6 * reach, 0), true + 8 * reach
    axes = [a + (b - a) * (x + 1) / 2 for a, b in zip(low, high, strict=True)]
    counts = np.array(list(itertools.product(*axes)))
    log_weights = np.log(np.array(list(itertools.product(w, repeat=3)))).sum(axis=1)
    value = log_weights - counts.sum(axis=1)
    for rows in np.array_split(np.exp(logs) / noise, 1_000):
        value += np.log1p(counts @ rows.T).sum(axis=1)
    return np.asarray(np.exp(value - logsumexp(value)) @ counts)


def by_peer(module: Any, prior: object, logs: Floats, pinned: dict[str, float]) -> Floats:  # noqa: ANN401
    """ligo.p_astro's class, which sgnl-pastro shares."""
    sources = {
        name: module.SourceType(label=name, w_fgmc=np.exp(column))
        for name, column in zip(CLASSES, logs.T, strict=True)
    }
    posterior = module.MarginalizedPosterior(
        f_divby_b=np.ones(len(logs)),
        prior_type=prior,
        terr_source=module.SourceType(label="Terr", w_fgmc=np.ones(len(logs))),
        fix_sources=pinned,
        verbose=False,
        **sources,
    )
    return np.array([posterior.mean([name]) for name in CLASSES])


def row(name: str, counted: Counted, exact: Floats, ours: float) -> None:
    """Print a line of the table."""
    means, seconds = counted
    worst = np.abs(means / exact - 1).max()
    cells = " | ".join(f"{mean:.3f}" for mean in means)
    print(f"| {name} | {cells} | {worst:.1e} | {seconds:.2f} | {seconds / ours:.0f} |")


def compare(name: str, signals: tuple[int, ...], *, slow: bool) -> None:
    """Print the table of one set."""
    logs, noise = simulated(N_CANDIDATES, signals), float(N_CANDIDATES - sum(signals))
    print(f"\n{name}: {signals} signals among {N_CANDIDATES}\n")
    print(
        "| | BNS | NSBH | BBH | worst error | CPU s | times ours |\n|---|---|---|---|---|---|---|"
    )
    sp.fit_counts(logs[:10])
    exact = timed(lambda: by_brute_force(logs, noise, signals))
    ours = timed(lambda: sp.fit_counts(logs, expected_noise=noise).mean)
    row("brute force", exact, exact[0], ours[1])
    row("spiir-pastro", ours, exact[0], ours[1])
    pinned = {"Terr": noise}
    ligo = timed(lambda: by_peer(p_astro, "Uniform", logs, pinned))
    row("ligo.p_astro", ligo, exact[0], ours[1])
    if slow:
        from pastro import multicomponent_fgmc_rates_module as sgnl  # noqa: PLC0415

        priors = dict.fromkeys((*CLASSES, "Terr"), "Uniform")
        free = timed(lambda: sp.fit_counts(logs).mean)
        row("spiir-pastro, noise free", free, free[0], free[1])
        ligo = timed(lambda: by_peer(p_astro, "Uniform", logs, {}))
        row("ligo.p_astro, noise free", ligo, free[0], free[1])
        row("sgnl-pastro", timed(lambda: by_peer(sgnl, priors, logs, pinned)), exact[0], ours[1])
    one = timed(lambda: sp.fit_counts(logs[:, 2], expected_noise=noise).mean)
    print(f"\nBBH alone: spiir-pastro {one[0][0]:.3f}", end="")
    for nodes in (20, 100):
        with np.errstate(over="ignore", invalid="ignore"):
            pycbc, _ = timed(
                lambda n=nodes: np.array(
                    [count_posterior(logs[:, 2], n, noise, prior=0).expect(lambda x: x)]
                )
            )
        print(f", pycbc.population with {nodes} nodes {pycbc[0]:.3f}", end="")
    print()


if __name__ == "__main__":
    for label, counts in SETS.items():
        compare(label, counts, slow="--slow" in sys.argv)
