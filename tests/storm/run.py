"""Play many schedules: ``python -m storm.run COUNT [--first SEED] [--processes N]``.

To be run in tests/ with ``PYTHONPATH=../tools``, as ``make storm`` does. Prints each seed that
finds something, and how many schedules went in which time. A seed replays exactly:
``python -m storm.run 1 --first SEED``.
"""

import argparse
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import structlog

from spiir_pastro.serve import alert_source, service, sweeps
from storm.world import Finding, play

__all__ = ["findings", "quicken"]

_SHARE = 250
RENEW_S = 20.0


def quicken() -> None:
    """Say nothing, and look around less often than in real time: it would cost most of the time."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    service.POLL_S = 1.0
    service.HOUSEKEEPING_S = 4.0
    sweeps.LOOK_S = 10.0
    alert_source.RENEW_S = RENEW_S


def findings(seeds: range) -> list[tuple[int, Finding]]:
    """Play schedules one after another; return those that found something."""
    quicken()
    found = []
    shared_memory = Path("/dev/shm")  # noqa: S108  (syncing a disk would cost most of the time)
    root = Path(tempfile.mkdtemp(dir=shared_memory if shared_memory.is_dir() else None))
    try:
        for seed in seeds:
            finding = play(seed, root / str(seed))
            if not finding.is_clean:
                found.append((seed, finding))
            shutil.rmtree(root / str(seed), ignore_errors=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return found


def _shares(first: int, count: int) -> Iterator[range]:
    for begin in range(first, first + count, _SHARE):
        yield range(begin, min(begin + _SHARE, first + count))


def main() -> int:
    """Play, print, and return 1 if anything was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    arguments = parser.parse_args()
    begun, total = time.monotonic(), 0
    with ProcessPoolExecutor(arguments.processes) as pool:
        for found in pool.map(findings, _shares(arguments.first, arguments.count)):
            for seed, finding in found:
                total += 1
                print(f"seed {seed}: {finding}", flush=True)  # noqa: T201
    minutes = (time.monotonic() - begun) / 60.0
    print(  # noqa: T201
        f"{arguments.count} schedules, {total} with findings, "
        f"{arguments.count / minutes:.0f} a minute"
    )
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
