"""Waiting for what is to come: no longer than it takes, and as long as a loaded machine needs.

How soon something comes is proven where time is simulated, or measured; a test that waits here
would otherwise fail for want of a processor.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from spiir_pastro.serve.service import Service

__all__ = ["PATIENCE_S", "run_until", "running", "wait_until"]

PATIENCE_S = 120.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@contextmanager
def running(served: Service) -> Iterator[None]:
    """Run a service beside the test, and stop it at the end."""
    thread = threading.Thread(target=served.run)
    thread.start()
    try:
        yield
    finally:
        served.stop()
        thread.join(PATIENCE_S)


def run_until(served: Service, condition: Callable[[], bool]) -> dict[str, int]:
    """Run a service until a condition holds."""

    def stop() -> None:
        try:
            wait_until(condition)
        finally:
            served.stop()

    thread = threading.Thread(target=stop)
    thread.start()
    try:
        return served.run()
    finally:
        thread.join(PATIENCE_S)
