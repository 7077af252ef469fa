"""Extract 20 zerolag files of 50,000 rows, beside igwn-ligolw to pandas to Parquet.

Run it: ``python benchmarks/bench_extract.py [FILES [ROWS]]``. Both sides use two fresh processes on
the same files, in turn, three times; ``inflate`` is igzip alone in the same two processes. Bars: 7
times faster than the peer, within 4 times the inflate, below 1 GiB, and with ten times the rows at
most 12 times the time and no more memory.
"""

import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import polars as pl
from bench_ligolw import inflate, peer
from timing import Times
from zerolag_files import write_zerolag

from spiir_pastro.pipeline.extraction import extract
from spiir_pastro.pipeline.raw_files import raw_files

_WORKERS = 2
_ROUNDS = 3


def peer_to_parquet(path: Path) -> None:
    """Write what the peer's user would."""
    peer(path).to_parquet(path.with_suffix(".peer.parquet"), compression="zstd")


def inflated_size(path: Path) -> int:
    return len(inflate(path))


def in_two_processes(function: Callable[[Path], object]) -> Callable[[list[Path]], None]:
    def run(paths: list[Path]) -> None:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(_WORKERS, mp_context=context) as pool:
            list(pool.map(function, paths))

    return run


def ours(paths: list[Path], *, workers: int = _WORKERS) -> None:
    """Run the command as a user does; in a pool of this script workers would import pandas too.

    What it writes stays beside the raw files, as what the peer writes does: to remove it is not the
    command's work.
    """
    staging = tempfile.mkdtemp(dir=paths[0].parent)
    command = [sys.executable, "-m", "spiir_pastro", "extract", *map(str, paths)]
    options = ["--staging", staging, "--workers", str(workers)]
    subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)  # noqa: S603


@contextmanager
def family_peak() -> Iterator[Callable[[], float]]:
    """Watch the resident memory in MB of this process's children, summed, and keep the largest."""
    peak, ended = 0.0, threading.Event()

    def family(pid: int) -> Iterator[int]:
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(child)
            yield from family(int(child))

    def resident(pid: int) -> float:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20

    def watch() -> None:
        nonlocal peak
        while not ended.wait(0.02):
            with suppress(OSError):  # one of them has just ended
                peak = max(peak, sum(map(resident, family(os.getpid()))))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield lambda: peak
    finally:
        ended.set()
        watcher.join()


def timed(run: Callable[[list[Path]], None], paths: list[Path]) -> tuple[float, float, float]:
    """Wall and processor seconds, and peak megabytes, of the workers."""
    os.sync()  # else the first to sync a file would wait for the inputs, which are new
    with family_peak() as peak:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start = time.perf_counter()
        run(paths)
        wall = time.perf_counter() - start
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return wall, cpu, peak()


def main(files: int, rows: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = [folder / f"H1L1_zerolag_{i}_86400.xml.gz" for i in range(files)]
        for i, path in enumerate(paths):
            write_zerolag(path, rows, seed=i)
        tiny = [folder / f"H1L1_zerolag_tiny{i}_10.xml.gz" for i in range(_WORKERS)]
        for path in tiny:
            write_zerolag(path, 1)
        sides = {
            "inflate": in_two_processes(inflated_size),
            "ours": ours,
            "peer": in_two_processes(peer_to_parquet),
        }
        idle = {side: timed(run, tiny) for side, run in sides.items()}
        rounds = [{side: timed(run, paths) for side, run in sides.items()} for _ in range(_ROUNDS)]
        wall = {side: Times(wall=[each[side][0] for each in rounds]) for side in sides}
        busy = {side: sorted(each[side] for each in rounds)[_ROUNDS // 2] for side in sides}
        net = {side: busy[side][1] - idle[side][1] for side in sides}
        print(f"{files} files of {rows} rows x 67 columns, {_WORKERS} processes")
        print("wall seconds with the processes' start, processor seconds without it")
        heads = ("", "wall", "cpu", "/ inflate", "peer /", "peak MB")
        print("".join(f"{head:>10}" for head in heads) + f"{'peer / this, wall':>24}")
        for side, (seconds, _, memory) in busy.items():
            print(
                f"{side:>10}{seconds:10.2f}{net[side]:10.2f}{net[side] / net['inflate']:10.2f}"
                f"{net['peer'] / net[side]:10.1f}{memory:10.0f}"
                f"{wall['peer'].over(wall[side]):>24}"
            )
        with tempfile.TemporaryDirectory() as staging:
            extract(raw_files(paths[:1]), Path(staging), workers=1)
            [staged] = Path(staging).glob("*.parquet")
            theirs = pd.read_parquet(paths[0].with_suffix(".peer.parquet"))
            assert pl.read_parquet(staged)["end_time"].to_list() == theirs["end_time"].to_list()
        large = folder / "H1L1_zerolag_large_86400.xml.gz"
        write_zerolag(large, 10 * rows)
        growth = here(large) / here(paths[0])
        memory = [timed(ours, [path])[2] for path in (paths[0], large)]
        print(
            f"one file, ten times the rows: {growth:.1f} times the processor time, "
            f"{memory[0]:.0f} to {memory[1]:.0f} MB"
        )


def here(path: Path) -> float:
    """Extract one file in this process; return the least processor time of three."""
    seconds = []
    for _ in range(3):
        start = time.process_time()
        with tempfile.TemporaryDirectory() as staging:
            extract(raw_files([path]), Path(staging), workers=1)
        seconds.append(time.process_time() - start)
    return min(seconds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if sys.argv[1:] else 20, int(sys.argv[2]) if sys.argv[2:] else 50_000)
