"""How the cost grows: rows of a file, files, workers, candidates; each beside its peer.

Run it: ``python benchmarks/scaling.py [PLOT]``. Every point is the least of three; a peer stops
where it would take more than some seconds. The slope is that of the last two points in logarithms:
1 where ten times as much takes ten times as long.
"""

import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from bench_counts import simulated
from bench_extract import ours as extract_with
from bench_extract import peer_to_parquet
from bench_ligolw import peer
from bench_matching import campaign, every_pair
from compare_counts import by_peer
from ligo import p_astro
from matplotlib.ticker import NullFormatter
from zerolag_files import write_zerolag

import spiir_pastro as sp
from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.report.style import ACCENT, figure, house_style, save
from spiir_pastro.selection import match_injections

_LONG = 12.0  # seconds after which a side is not asked for more
_OURS = "spiir-pastro"


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Seconds of one side at growing sizes."""

    side: str
    sizes: list[int]
    seconds: list[float]

    @property
    def slope(self) -> float:
        """Power of the size at the end of the curve; nan for a single point."""
        if len(self.sizes) == 1:
            return math.nan
        (x0, x1), (y0, y1) = np.log(self.sizes[-2:]), np.log(self.seconds[-2:])
        return float((y1 - y0) / (x1 - x0))


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Curves over one quantity."""

    title: str
    quantity: str
    curves: list[Curve]


def curve(side: str, cases: Iterable[tuple[int, Callable[[], object]]]) -> Curve:
    """Time a side at each size, until it takes long."""
    sizes, seconds = [], []
    for size, call in cases:
        times: list[float] = []
        while len(times) < 3 and sum(times) < _LONG:
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        sizes.append(size)
        seconds.append(min(times))
        print(f"  {side:>14} {size:>10,} {seconds[-1]:10.4f} s", flush=True)
        if seconds[-1] > _LONG / 3:
            break
    return Curve(side=side, sizes=sizes, seconds=seconds)


def reading(folder: Path) -> Panel:
    print("reading one file, by rows")
    paths = {}
    for rows in (1_000, 10_000, 100_000, 300_000):
        paths[rows] = folder / f"H1L1_zerolag_rows{rows}_1.xml.gz"
        write_zerolag(paths[rows], rows)
    return Panel(
        title="Read one zerolag file",
        quantity="rows",
        curves=[
            curve(_OURS, ((n, partial(sp.read_table, p, "postcoh")) for n, p in paths.items())),
            curve("igwn-ligolw to pandas", ((n, partial(peer, p)) for n, p in paths.items())),
        ],
    )


def extracting(folder: Path) -> tuple[Panel, Panel]:
    paths = [folder / f"H1L1_zerolag_{i}_1.xml.gz" for i in range(32)]
    for i, path in enumerate(paths):
        write_zerolag(path, 10_000, seed=i)
    print("extracting files of 10,000 rows, two workers")
    some = (2, 8, 32)
    files = Panel(
        title="Extract files of 10,000 rows, 2 workers",
        quantity="files",
        curves=[
            curve(_OURS, ((n, partial(extract_with, paths[:n])) for n in some)),
            curve(
                "igwn-ligolw, 1 process",
                (
                    (n, partial(lambda few: list(map(peer_to_parquet, few)), paths[:n]))
                    for n in some
                ),
            ),
        ],
    )
    print("extracting 32 files of 10,000 rows, by workers")
    workers = Panel(
        title="Extract 32 files of 10,000 rows",
        quantity="workers",
        curves=[curve(_OURS, ((n, partial(extract_with, paths, workers=n)) for n in (1, 2)))],
    )
    return files, workers


def counting() -> Panel:
    print("counting three classes, by candidates")
    sets = {n: simulated(n, (5, 8, 22)) for n in (100, 1_000, 10_000, 100_000, 1_000_000)}
    pinned = {n: {"Terr": float(n - 35)} for n in sets}
    return Panel(
        title="Count three classes, noise pinned",
        quantity="candidates",
        curves=[
            curve(
                _OURS,
                (
                    (n, partial(sp.fit_counts, logs, expected_noise=pinned[n]["Terr"]))
                    for n, logs in sets.items()
                ),
            ),
            curve(
                "ligo.p_astro",
                ((n, partial(by_peer, p_astro, "Uniform", x, pinned[n])) for n, x in sets.items()),
            ),
        ],
    )


def matching() -> Panel:
    print("matching triggers to a hundredth as many injections")
    sets = {n: campaign(n, n // 100) for n in (10_000, 100_000, 1_000_000, 10_000_000)}
    few = {n: sets.get(n) or campaign(n, n // 100) for n in (10_000, 30_000, 60_000)}
    return Panel(
        title="Match triggers to n/100 injections",
        quantity="triggers",
        curves=[
            curve(_OURS, ((n, partial(match_injections, *each)) for n, each in sets.items())),
            curve("every pair", ((n, partial(every_pair, *each)) for n, each in few.items())),
        ],
    )


def draw(panels: list[Panel], stem: Path) -> None:
    with house_style():
        drawn = figure(width=1.5, height=0.8)
        for axis, panel in zip(drawn.subplots(2, 2).flat, panels, strict=True):
            for each, colour in zip(
                panel.curves, (SOURCE_COLOURS[Source.BNS], ACCENT), strict=True
            ):
                axis.loglog(each.sizes, each.seconds, "o-", color=colour, label=each.side)
            axis.xaxis.set_minor_formatter(NullFormatter())
            axis.set(title=panel.title, xlabel=panel.quantity, ylabel="seconds")
            axis.legend()
        save(drawn, stem)


def main(stem: Path | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        panels = [reading(Path(name)), *extracting(Path(name)), counting(), matching()]
    print(f"\n{'':42}{'side':>24}{'slope':>8}")
    for panel in panels:
        for each in panel.curves:
            print(f"{panel.title:42}{each.side:>24}{each.slope:8.2f}")
    if stem:
        draw([panel for panel in panels if panel.quantity != "workers"], stem)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else None)
