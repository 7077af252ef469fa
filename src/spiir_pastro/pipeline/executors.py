"""Run a function over many tasks: here, on this machine's processes, or on a Dask cluster.

Results come as they are done, and a bounded number of tasks wait at a time, so memory does not grow
with their number. The caller puts results in order where that matters.
"""

import gc
import multiprocessing
import os
import re
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from importlib import import_module
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

from spiir_pastro.errors import ConfigError, PastroError

T = TypeVar("T")
R = TypeVar("R")

_WAITING_PER_WORKER = 2
_WAITING_ON_CLUSTER = 1000  # a cluster that adapts asks for workers by the tasks that wait


def run_all(
    function: Callable[[T], R],
    tasks: Iterable[T],
    *,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Iterator[R]:
    """Yield the results of a function over tasks, in the order they are done.

    Parameters
    ----------
    function
        A module-level function; it and the tasks travel to other processes.
    workers
        Processes on this machine; one for each core if not given. With one, all runs here.
    scheduler
        Address of a Dask scheduler, ``tcp://host:port``, to use instead.

    Raises
    ------
    ConfigError
        If ``workers`` is not positive, Dask is not installed, or the scheduler does not answer.
    PastroError
        If a worker process dies, or the scheduler goes away.
    """
    if scheduler is not None:
        return _on_cluster(function, tasks, scheduler)
    count = workers if workers is not None else len(os.sched_getaffinity(0))
    if count < 1:
        raise ConfigError(f"{count} workers cannot work; give 1 or more")
    return map(function, tasks) if count == 1 else _on_processes(function, tasks, count)


def _on_processes(function: Callable[[T], R], tasks: Iterable[T], count: int) -> Iterator[R]:
    # A fork is ready at once, where a fresh interpreter would import all anew; but it inherits the
    # locks that other threads hold, like Polars', without the threads that would release them.
    has_threads = len(list(Path("/proc/self/task").iterdir())) > 1
    context = multiprocessing.get_context("spawn" if has_threads else "fork")
    if not has_threads:
        gc.freeze()  # else the collector would look at, and so copy, all that the forks share
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker)
    try:
        todo = iter(tasks)
        waiting: set[Future[R]] = set()
        while True:
            room = _WAITING_PER_WORKER * count - len(waiting)
            # Two tasks a worker: none waits for the next one, and tasks are drawn no sooner than
            # needed.
            waiting |= {pool.submit(function, task) for task in islice(todo, room)}
            if not waiting:
                return
            done, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
    except BrokenProcessPool as error:
        raise PastroError(
            "a worker process died, perhaps for want of memory; start again with fewer workers: "
            "what is done is kept"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _begin_worker() -> None:
    """Keep to one core, and end at once when interrupted or when the parent ends, even if killed.

    A worker that caught the interrupt would go on with what waits for it.
    """
    os.environ["POLARS_MAX_THREADS"] = "1"
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    # At once: the result has no receiver, and an interpreter that waits for threads does not end.
    os._exit(1)


def _on_cluster(function: Callable[[T], R], tasks: Iterable[T], address: str) -> Iterator[R]:
    if not re.search(r":\d+$", address):
        raise ConfigError(f"{address!r} is no address of a scheduler; write tcp://host:port")
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise ConfigError("a Dask cluster needs: pip install 'spiir-pastro[cluster]'") from error
    try:
        client = distributed.Client(address, timeout="10s", set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise ConfigError(f"no Dask scheduler answers at {address}: {error}") from error
    with closing(client):
        todo = iter(tasks)
        waiting = distributed.as_completed(loop=client.loop)

        def submit(number: int) -> None:
            for task in islice(todo, number):
                # Not pure: a file that is read again may have changed, and must be read.
                waiting.add(client.submit(function, task, pure=False))

        submit(_WAITING_ON_CLUSTER)
        try:
            for future in waiting:
                yield future.result()
                submit(1)
        except distributed.KilledWorker as error:
            raise PastroError(
                f"workers of {address} died again and again over one file, perhaps for want of "
                "memory; give them more and start again: what is done is kept"
            ) from error
        except distributed.CancelledError as error:
            raise PastroError(
                f"the Dask scheduler at {address} went away; start it and this again: "
                "what is done is kept"
            ) from error
