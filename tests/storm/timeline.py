"""Simulated time: one thread, in which greenlets take turns wherever the real code would wait.

A process is a set of tasks that live and die together. Its code is the service's own; only what it
waits on is ours. The order of everything follows from the seed, so a schedule replays exactly.
"""

import heapq
import itertools
from collections.abc import Callable
from types import TracebackType

import greenlet

__all__ = ["Killed", "Process", "SimulatedClock", "SimulatedFlag", "Timeline", "Waiter"]

EPOCH_S = 1.7e9


class Killed(BaseException):
    """Raised in the tasks of a process that is dead: nothing of it may have an effect any more."""


class Process:
    """A life of a program: whether it runs, stands still or is dead."""

    def __init__(self) -> None:
        self.is_alive = True
        self.paused_until = 0.0
        self.waiters: set[Waiter] = set()


class Waiter:
    """A task that waits, to be woken once."""

    def __init__(self, timeline: "Timeline", process: Process) -> None:
        self._timeline = timeline
        self._greenlet = greenlet.getcurrent()
        self.process = process
        self._is_woken = False
        process.waiters.add(self)

    def wake(self, *, value: bool) -> None:
        """Have the task go on, unless it was woken before."""
        if not self._is_woken:
            self._is_woken = True
            self.process.waiters.discard(self)
            self._timeline.at(self._timeline.now, lambda: self._resume(value=value))

    def _resume(self, *, value: bool) -> None:
        process = self.process
        if self._greenlet.dead:
            return
        if not process.is_alive:
            self._greenlet.throw(Killed)
        elif process.paused_until > self._timeline.now:
            self._timeline.at(process.paused_until, lambda: self._resume(value=value))
        else:
            self._greenlet.switch(value)


class Timeline:
    """What happens when.

    Attributes
    ----------
    now
        True seconds since the beginning.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self._queue: list[tuple[float, int, Callable[[], object]]] = []
        self._order = itertools.count()
        self._hub = greenlet.getcurrent()

    def at(self, time_s: float, action: Callable[[], object]) -> None:
        """Have something happen."""
        heapq.heappush(self._queue, (max(time_s, self.now), next(self._order), action))

    def run(self, until: float) -> None:
        """Let everything happen up to a moment."""
        while self._queue and self._queue[0][0] <= until:
            self.now, _, action = heapq.heappop(self._queue)
            action()
        self.now = max(self.now, until)

    def block(self, waiter: Waiter) -> bool:
        """Let the others go on until a task's waiter is woken."""
        return bool(self._hub.switch()) if waiter.process.is_alive else self._die()

    def sleep(self, process: Process, seconds: float) -> None:
        """Let a task wait."""
        waiter = Waiter(self, process)
        self.at(self.now + seconds, lambda: waiter.wake(value=False))
        self.block(waiter)

    def spawn(self, process: Process, work: Callable[[], None]) -> "_Task":
        """Start a task."""
        task = _Task(self, process)
        task.start(work)
        return task

    def kill(self, process: Process) -> None:
        """End a process: what it waits for ends with Killed."""
        process.is_alive = False
        for waiter in list(process.waiters):
            waiter.wake(value=False)

    @staticmethod
    def _die() -> bool:
        raise Killed


class _Task:
    def __init__(self, timeline: Timeline, process: Process) -> None:
        self._timeline = timeline
        self._process = process
        self._is_done = False
        self._joining: list[Waiter] = []

    def start(self, work: Callable[[], None]) -> None:
        body = greenlet.greenlet(lambda: self._run(work))
        self._timeline.at(self._timeline.now, body.switch)

    def join(self, timeout: float | None = None) -> None:
        if self._is_done:
            return
        waiter = Waiter(self._timeline, self._process)
        self._joining.append(waiter)
        if timeout is not None:
            self._timeline.at(self._timeline.now + timeout, lambda: waiter.wake(value=False))
        self._timeline.block(waiter)

    def _run(self, work: Callable[[], None]) -> None:
        try:
            if self._process.is_alive:
                work()
        except Killed:
            pass
        finally:
            self._is_done = True
            for waiter in self._joining:
                waiter.wake(value=True)


class _SimulatedCondition:
    def __init__(self, timeline: Timeline, process: Process) -> None:
        self._timeline = timeline
        self._process = process
        self._waiters: list[Waiter] = []

    def __enter__(self) -> bool:
        return True

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """No other task runs between two waits: there is nothing to lock."""

    def wait(self, timeout: float | None = None) -> bool:
        waiter = Waiter(self._timeline, self._process)
        self._waiters.append(waiter)
        if timeout is not None:
            self._timeline.at(self._timeline.now + timeout, lambda: waiter.wake(value=False))
        return self._timeline.block(waiter)

    def notify_all(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake(value=True)


class SimulatedFlag:
    """A flag on which tasks wait."""

    def __init__(self, timeline: Timeline, process: Process) -> None:
        self._changed = _SimulatedCondition(timeline, process)
        self._is_set = False

    def set(self) -> None:
        """Raise it."""
        self._is_set = True
        self._changed.notify_all()

    def clear(self) -> None:
        """Lower it."""
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it is raised."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is raised."""
        if not self._is_set:
            self._changed.wait(timeout)
        return self._is_set


class SimulatedClock:
    """A machine's clocks, of which the wall clock may be wrong, for one process.

    Attributes
    ----------
    offset
        Gives the error of the wall clock, seconds.
    """

    def __init__(self, timeline: Timeline, process: Process, offset: Callable[[], float]) -> None:
        self._timeline = timeline
        self._process = process
        self.offset = offset

    def wall_s(self) -> float:
        """Return what the wall clock says."""
        return EPOCH_S + self._timeline.now + self.offset()

    def monotonic_s(self) -> float:
        """Return true seconds."""
        return self._timeline.now

    def condition(self) -> _SimulatedCondition:
        """Make a condition."""
        return _SimulatedCondition(self._timeline, self._process)

    def flag(self) -> SimulatedFlag:
        """Make a flag."""
        return SimulatedFlag(self._timeline, self._process)

    def spawn(self, work: Callable[[], None], *, name: str) -> _Task:
        """Start a task."""
        del name
        return self._timeline.spawn(self._process, work)
