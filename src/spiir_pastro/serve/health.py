"""What is wrong at the moment: a board of named problems, empty when all is well."""

import threading
import time
from collections.abc import Callable

import structlog

log = structlog.get_logger(__name__)

STALLED_AFTER_S = 30.0


class Health:
    """Problems by the part that has them; every change is logged once.

    The loop calls :meth:`beat` at each turn, which calls ``on_beat``; a loop that hangs is a
    problem.
    """

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}
        self._lock = threading.Lock()
        self._last_beat = time.monotonic()
        self._checks: dict[str, Callable[[], str | None]] = {}
        self.on_beat: Callable[[], None] = lambda: None

    def beat(self) -> None:
        """Say that the loop is turning."""
        self._last_beat = time.monotonic()
        self.on_beat()

    def watch(self, part: str, check: Callable[[], str | None]) -> None:
        """Have a part's problem looked for whenever problems are asked for."""
        self._checks[part] = check

    def report(self, part: str, problem: str) -> None:
        """Put a part's problem on the board."""
        with self._lock:
            known = self._problems.get(part)
            self._problems[part] = problem
        if known is None:
            log.error("health.problem", part=part, problem=problem)

    def clear(self, part: str) -> None:
        """Take a part's problem off the board."""
        with self._lock:
            gone = self._problems.pop(part, None)
        if gone is not None:
            log.info("health.recovered", part=part, problem=gone)

    def problems(self) -> dict[str, str]:
        """Return the problems by part, in the order of their names."""
        with self._lock:
            found = dict(self._problems)
        for part, check in self._checks.items():
            if problem := check():
                found[part] = problem
        silent_s = time.monotonic() - self._last_beat
        if silent_s > STALLED_AFTER_S:
            found["loop"] = f"the loop has not turned for {silent_s:.0f} s"
        return dict(sorted(found.items()))
