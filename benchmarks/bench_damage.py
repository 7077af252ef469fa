"""Kill commands at random moments, and flip single bits of what they wrote.

``kills`` ends each command (simulate, extract, process, fit, evaluate) by SIGKILL at a random
moment, gives it again, and compares what then stands in its folder with an unbroken run's, byte by
byte. ``flips`` changes single bits of staged tables, receipts, processed tables and the summary: a
reader must refuse each, or read the same values. From the project's root, with the number of kills
in all::

    PYTHONPATH=src:tests python benchmarks/bench_damage.py kills 40
    PYTHONPATH=src:tests python benchmarks/bench_damage.py flips
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crash.stages import STAGES, commands
from spiir_pastro.errors import DocumentError, IncompleteError
from spiir_pastro.io.runs import Purpose, read_runs
from spiir_pastro.pipeline.inventory import StagedFile, take_inventory
from spiir_pastro.pipeline.processed import open_processed
from tree import tree

_CAMPAIGN = "--days 8 --groups 1 --far-max 3e-4 --mergers-per-day 40 --injection-interval 1500"
_STAGED_FLIPS, _FLIPS = 400, 50


def _start(arguments: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", "spiir_pastro", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def _finish(arguments: list[str]) -> float:
    """Run a command to its end; return how long it took, in seconds."""
    start = time.monotonic()
    started = _start(arguments)
    _, said = started.communicate()
    if started.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {said.decode()}")
    return time.monotonic() - start


def _killed(arguments: list[str], after: float) -> bool:
    """Run a command and kill it after so many seconds; say whether it was still running."""
    started = _start(arguments)
    try:
        started.communicate(timeout=after)
    except subprocess.TimeoutExpired:
        started.kill()
        started.communicate()
    return started.returncode == -signal.SIGKILL


def kills(folder: Path, count: int) -> None:
    """Kill each stage so many times over all, and give it again."""
    root, kept = folder / "work", folder / "kept"
    root.mkdir()
    given, dice, done, differing = commands(root, _CAMPAIGN), np.random.default_rng(1), 0, 0
    for number, stage in enumerate(STAGES):
        shutil.copytree(root, kept)
        seconds = _finish(given[stage])
        whole = tree(root)
        wanted = count // len(STAGES) + (number < count % len(STAGES))
        hit = 0
        while hit < wanted:
            shutil.rmtree(root)
            shutil.copytree(kept, root)
            hit += _killed(given[stage], seconds * dice.random())
            _finish(given[stage])
            differing += tree(root) != whole
        print(f"{stage}: {hit} kills; {differing} differ so far", flush=True)
        done += hit
        shutil.rmtree(kept)
    print(f"{done} kills, each followed by the same command: {differing} differ")


@dataclass
class _Tally:
    """What became of the bits flipped in one kind of file."""

    kind: str
    found: int = 0
    without_effect: int = 0
    silent: int = 0

    def add(self, read: Callable[[], object], meant: object) -> None:
        """Read a file of which a bit was flipped."""
        try:
            same = read() == meant
        except (DocumentError, IncompleteError):
            self.found += 1
        else:
            self.without_effect += same
            self.silent += not same


def _flipped(path: Path, count: int, dice: np.random.Generator) -> Iterator[None]:
    """Flip one bit after another of a file, and restore it."""
    good = path.read_bytes()
    for bit in dice.choice(8 * len(good), count, replace=False).tolist():
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        yield
    path.write_bytes(good)


def _rows(file: StagedFile) -> dict[str, list[object]]:
    return {table: file.read(table).rows() for table in file.receipt.tables}


def flips(folder: Path) -> None:
    """Flip bits of everything that one stage hands to the next."""
    root = folder / "work"
    root.mkdir()
    given, dice = commands(root, _CAMPAIGN), np.random.default_rng(2)
    for stage in ("simulate", "extract", "process"):
        _finish(given[stage])
    runs = read_runs(root / "campaign" / "RUNS.yaml", staged=True)
    inventory = take_inventory(runs, root / "staging")
    staged = [
        file
        for run in runs.having(Purpose.BACKGROUND)
        for files in inventory.staged[run.name].files.values()
        for file in files
    ][:_FLIPS]
    tallies = [_Tally("staged tables"), _Tally("receipts")]
    for file in staged:
        meant = _rows(file)
        for table in file.receipt.tables:
            path = file.staging.path(file.name, table)
            for _ in _flipped(path, max(_STAGED_FLIPS // len(staged), 8), dice):
                tallies[0].add(lambda file=file: _rows(file), meant)  # type: ignore[misc]
    for file in staged:
        path = root / "staging" / f"{file.name}.receipt.json"
        for _ in _flipped(path, max(_FLIPS // len(staged), 1), dice):
            tallies[1].add(lambda file=file: file.staging.receipt(file.name), file.receipt)  # type: ignore[misc]
    processed = root / "processed"
    tallies += _processed_flips(processed, dice)
    print(
        "| file | bits flipped | refused | without effect | read wrongly |\n|---|--:|--:|--:|--:|"
    )
    for t in tallies:
        flipped = t.found + t.without_effect + t.silent
        print(f"| {t.kind} | {flipped} | {t.found} | {t.without_effect} | {t.silent} |")


def _processed_flips(processed: Path, dice: np.random.Generator) -> Iterator[_Tally]:
    summary = open_processed(processed).summary
    tally = _Tally("summary.json")
    for _ in _flipped(processed / "summary.json", _FLIPS, dice):
        tally.add(lambda: open_processed(processed).summary, summary)
    yield tally
    for name in sorted(summary.tables):
        kind, _, bank = name.removesuffix(".parquet").partition("/")
        if not bank:
            continue
        meant = open_processed(processed).tables(kind)[bank].rows()
        tally = _Tally(name)
        for _ in _flipped(processed / name, _FLIPS, dice):
            tally.add(
                lambda kind=kind, bank=bank: open_processed(processed).tables(kind)[bank].rows(),  # type: ignore[misc]
                meant,
            )
        yield tally


def main() -> None:
    """Do what the first argument says."""
    with tempfile.TemporaryDirectory() as folder:
        if sys.argv[1] == "kills":
            kills(Path(folder), int(sys.argv[2]))
        else:
            flips(Path(folder))


if __name__ == "__main__":
    main()
