"""Time and threads as the service sees them, so that a simulated world can stand in for both.

Two times are kept apart. The wall clock names moments for people and files; it may be stepped by
hours. Whatever is waited for is counted on the monotonic clock.
"""

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Protocol


class Condition(Protocol):
    """As :class:`threading.Condition`."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def wait(self, timeout: float | None = None) -> bool:
        """Give up the lock and wait to be notified."""

    def notify_all(self) -> None:
        """Wake all that wait."""


class Flag(Protocol):
    """As :class:`threading.Event`; may be set by a signal handler."""

    def set(self) -> None:
        """Raise the flag."""

    def clear(self) -> None:
        """Lower the flag."""

    def is_set(self) -> bool:
        """Whether it is raised."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is raised; False if that took too long."""


class Worker(Protocol):
    """As :class:`threading.Thread`, started."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it is through."""


class Clock(Protocol):
    """Two times, and what waits on them."""

    def wall_s(self) -> float:
        """Unix seconds, as far as this machine knows."""

    def monotonic_s(self) -> float:
        """Seconds since some moment; never steps."""

    def condition(self) -> Condition:
        """Make a condition."""

    def flag(self) -> Flag:
        """Make a flag."""

    def spawn(self, work: Callable[[], None], *, name: str) -> Worker:
        """Have something done beside."""


class SystemClock:
    """The time of the machine, and threads."""

    wall_s = staticmethod(time.time)
    monotonic_s = staticmethod(time.monotonic)
    condition = staticmethod(threading.Condition)
    flag = staticmethod(threading.Event)

    def spawn(self, work: Callable[[], None], *, name: str) -> Worker:
        """Start a thread that does not keep the process alive."""
        thread = threading.Thread(target=work, name=name, daemon=True)
        thread.start()
        return thread
