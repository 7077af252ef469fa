"""Work is spread without loss, and a worker's death is an error, not a hang."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from spiir_pastro.errors import ConfigError, PastroError
from spiir_pastro.pipeline.executors import run_all


@pytest.mark.parametrize("workers", [1, 2])
def test_every_task_is_done_once(workers: int) -> None:
    assert sorted(run_all(abs, range(-20, 0), workers=workers)) == list(range(1, 21))


def test_tasks_are_drawn_as_there_is_room() -> None:
    drawn = []

    def tasks() -> Iterator[int]:
        for i in range(100):
            drawn.append(i)
            yield i

    results = run_all(abs, tasks(), workers=2)
    next(iter(results))
    assert len(drawn) < 10
    results.close()  # type: ignore[attr-defined]


_ALONE_AND_NOT = """
import threading, wave
from spiir_pastro.pipeline.executors import run_all

if __name__ == "__main__":
    held = threading.Lock()
    for threads in 0, 1:
        with held:
            for _ in range(threads):
                threading.Thread(target=held.acquire, daemon=True).start()
            print(*run_all(eval, ["'wave' in __import__('sys').modules"], workers=2))
"""


def test_workers_have_what_is_imported_unless_another_thread_may_hold_a_lock() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _ALONE_AND_NOT], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["True", "False"]


def test_a_dead_worker_is_an_error() -> None:
    with pytest.raises(PastroError, match="a worker process died"):
        list(run_all(os._exit, [1], workers=2))


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ConfigError, match="0 workers cannot work"):
        run_all(abs, [1], workers=0)
    with pytest.raises(ConfigError, match="'tcp://host' is no address of a scheduler; write tcp:"):
        list(run_all(abs, [1], scheduler="tcp://host"))


@pytest.mark.slow
def test_a_scheduler_that_is_not_there_is_an_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match="no Dask scheduler answers"):
            list(run_all(abs, [1], scheduler=f"tcp://127.0.0.1:{port}"))


@pytest.fixture
def scheduler() -> Iterator[str]:
    dask, distributed = pytest.importorskip("dask"), pytest.importorskip("distributed")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            protocol="tcp",
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        ) as cluster,
    ):
        yield cluster.scheduler_address


def test_a_cluster_that_adapts_sees_how_much_there_is_to_do(scheduler: str) -> None:
    drawn = []

    def tasks() -> Iterator[int]:
        for i in range(100):
            drawn.append(i)
            yield i

    results = run_all(abs, tasks(), scheduler=scheduler)
    next(iter(results))
    assert len(drawn) == 100
    assert len(list(results)) == 99


def test_a_worker_that_dies_on_a_cluster_is_an_error(scheduler: str) -> None:
    with pytest.raises(PastroError, match="died again and again over one file"):
        list(run_all(os._exit, [1], scheduler=scheduler))
