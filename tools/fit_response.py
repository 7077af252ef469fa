"""Fit the response to the table of recovered injections, and print it as typed-in constants.

::

    python tools/fit_response.py src/spiir_pastro/io/data/recovered_injections.csv

The widths of ln(chirp mass) at given nodes and Student's degrees of freedom are fitted together by
maximum likelihood, and so is the width of w = (m1 - m2) / (m1 + m2), cut at 0 and 1. Chirp masses
wrong by more than a factor of two are left to the branch of misrecovered binaries, whose share by
true chirp mass is printed beside. Then follows, by chirp mass, how well the fit describes the
table: quantiles of abs(ln(recovered / true)) in the table and in the response, and the mean and
standard deviation of the recovered w.
"""

import argparse
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import optimize, stats

from spiir_pastro.models.response import WIDEST_LOG_ERROR, Response

Floats = NDArray[np.float64]

_NODES = np.array([1.0, 1.5, 2.5, 5.0, 8.0, 14.0, 22.0, 35.0, 60.0])
_SHOWN = np.array([0.85, 1.2, 1.8, 2.5, 4.0, 6.0, 9.0, 14.0, 20.0, 30.0, 45.0, 70.0, 140.0])
_QUANTILES = (0.5, 0.9, 0.99)


def recovered(path: Path) -> tuple[Floats, Floats, Floats, Floats]:
    """Read true and recovered ln(chirp mass), true and recovered w."""
    table = pl.read_csv(path, comment_prefix="#")

    def plane(first: str, second: str) -> tuple[Floats, Floats]:
        mass1, mass2 = table[first].to_numpy(), table[second].to_numpy()
        log_mchirp = 0.6 * np.log(mass1 * mass2) - 0.2 * np.log(mass1 + mass2)
        return log_mchirp, (mass1 - mass2) / (mass1 + mass2)

    true, found = plane("mass1", "mass2"), plane("rec_mass1", "rec_mass2")
    return true[0], found[0], true[1], found[1]


def fitted(table: tuple[Floats, Floats, Floats, Floats], given_dof: float | None) -> Response:
    """Return the likeliest core, the branch of misrecovered ones as it is."""
    log_true, log_found, w_true, w_found = table
    core = np.abs(log_found - log_true) < WIDEST_LOG_ERROR
    start = np.interp(np.log(_NODES), *np.log([Response().mchirp_nodes, Response().mchirp_widths]))

    def response(x: Floats) -> Response:
        return replace(
            Response(),
            mchirp_nodes=_NODES,
            mchirp_widths=np.exp(x[:-1]),
            dof=given_dof or float(np.exp(x[-1])),
        )

    def minus_log_likelihood(x: Floats) -> float:
        tried = response(x)
        width = tried.width(log_true[core])
        t = (log_found - log_true)[core] / width
        law = stats.t(tried.dof)
        within = 1 - 2 * law.sf(WIDEST_LOG_ERROR / width)
        return -float((law.logpdf(t) - np.log(width * within)).sum())

    found = optimize.minimize(minus_log_likelihood, [*start, np.log(3.0)], method="L-BFGS-B")
    core_only = response(found.x)
    w_width = optimize.minimize_scalar(
        lambda s: -_log_w_density(replace(core_only, w_width=s), w_true[core], w_found[core]),
        bounds=(0.02, 1.0),
        method="bounded",
    )
    return replace(core_only, w_width=float(w_width.x))


def _log_w_density(response: Response, w_true: Floats, w_found: Floats) -> float:
    rows = [
        response.core_w(np.array([b]), np.array([a]))[0, 0]
        for a, b in zip(w_true, w_found, strict=True)
    ]
    return float(np.log(rows).sum())


def describe(response: Response, path: Path) -> None:
    """Print constants, then the table beside what the response draws for its true binaries."""
    log_true, log_found, w_true, w_found = recovered(path)
    rng = np.random.Generator(np.random.PCG64DXSM(1))
    repeat = 50
    core_only = replace(response, misrecovered_fraction=0.0)
    drawn, w_drawn = core_only.draw(np.tile(log_true, repeat), np.tile(w_true, repeat), rng)
    shift = np.abs(log_found - log_true)
    shift_drawn = np.abs(drawn - np.tile(log_true, repeat))
    _say(f"mchirp_nodes = {response.mchirp_nodes.tolist()}")
    _say(f"mchirp_widths = {[float(f'{x:.2g}') for x in response.mchirp_widths]}")
    _say(f"dof = {response.dof:.2f}, w_width = {response.w_width:.3f}")
    _say("chirp mass  found  misrec.  table 50 %, 90 %, 99 %    response             w    response")
    for low, high in pairwise(_SHOWN):
        rows = (log_true >= np.log(low)) & (log_true < np.log(high))
        core = rows & (shift < WIDEST_LOG_ERROR)
        again = np.tile(core, repeat) & (shift_drawn < WIDEST_LOG_ERROR)
        ours, theirs = (
            " ".join(f"{q:.4f}" for q in np.quantile(x, _QUANTILES))
            for x in (shift[core], shift_drawn[again])
        )
        spread, spread_drawn = (
            f"{np.mean(x):+.2f} {np.std(x):.2f}"
            for x in ((w_found - w_true)[core], (w_drawn - np.tile(w_true, repeat))[again])
        )
        share = 1 - core.sum() / rows.sum()
        _say(
            f"{low:5g} {high:5g} {rows.sum():5d}  {share:6.3f}  {ours}  {theirs}  "
            f"{spread}  {spread_drawn}"
        )


def _say(line: str) -> None:
    print(line)  # noqa: T201  (the command's output)


def main() -> None:
    """Fit and describe."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("table", type=Path)
    parser.add_argument("--dof", type=float, help="keep Student's degrees of freedom at this")
    given = parser.parse_args()
    describe(fitted(recovered(given.table), given.dof), given.table)


if __name__ == "__main__":
    main()
