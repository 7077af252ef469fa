"""A machine of simulated time: its disk, its wrong clock, and the lives of the service on it.

A killed process leaves its files as they are at that moment, copied, so that nothing it would have
done later reaches the next life. A machine that loses power may also lose what was never synced.
"""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Protocol

from spiir_pastro.io.atomic import write_atomically
from storm.timeline import Killed, Process, SimulatedClock, Timeline

__all__ = ["Machine"]

_HALT_PROBABILITY = 0.1
_DELAY_PROBABILITY = 0.6
_WRITES = ("INSERT", "UPDATE", "DELETE", "COMMIT", "CREATE")


class Closable(Protocol):
    """What is open."""

    def close(self) -> None:
        """Close it."""


class Machine:
    """One host.

    Attributes
    ----------
    wall_offset
        Error of the wall clock, seconds.
    is_full
        Whether nothing can be written.
    crash_probability
        At each seam: before and after everything that leaves the process.
    delaying
        Draws how long after the decision to send a request leaves; None for at once.
    pauses_left, stops_left
        How often it may stand still for a while, or be told to end, just when a request has left.
    """

    def __init__(self, name: str, root: Path, timeline: Timeline, dice: random.Random) -> None:
        self.name = name
        self.timeline = timeline
        self.dice = dice
        self.process = Process()
        self.process.is_alive = False
        self.wall_offset = 0.0
        self.is_full = False
        self.crash_probability = 0.0
        self.crashes_left = 0
        self.pauses_left = self.stops_left = 0
        self.delaying: random.Random | None = None
        self.lives = 0
        self.crashes = 0
        self._root = root
        self.home = root / "life-0"
        self.home.mkdir(parents=True)
        self._opened: list[Closable] = []
        self.synced_bytes = 0
        self.on_death: Callable[[], None] = lambda: None
        self.on_stop: Callable[[], None] = lambda: None

    @property
    def spool(self) -> Path:
        """The spool's folder."""
        return self.home / "spool"

    def clock(self) -> SimulatedClock:
        """Make the clock of the present process."""
        return SimulatedClock(self.timeline, self.process, lambda: self.wall_offset)

    def begin(self) -> None:
        """Begin a new life."""
        self.process = Process()
        self.lives += 1

    def seam(self, name: str, at_death: Callable[[], None] | None = None) -> None:
        """Pass a point where the process may die."""
        process = self.process
        if not process.is_alive:
            raise Killed
        if self.timeline.now < 0.0:  # what befalls it comes later
            return
        probability = self.crash_probability * (20.0 if name in ("request", "answer") else 1.0)
        if self.crashes_left and self.dice.random() < probability:
            self.crashes_left -= 1
            if at_death is not None:
                at_death()
            self.crash(f"at {name}")
            raise Killed
        if name == "request" and self.pauses_left and self.dice.random() < _HALT_PROBABILITY:
            self.pauses_left -= 1
            self.pause(self.dice.uniform(1.0, 40.0))
        if name == "request" and self.stops_left and self.dice.random() < _HALT_PROBABILITY:
            self.stops_left -= 1
            self.on_stop()

    def pause(self, seconds: float) -> None:
        """Stop the process, and have it go on as if nothing had been."""
        self.process.paused_until = max(self.process.paused_until, self.timeline.now + seconds)

    def delay_s(self, at_most_s: float) -> float:
        """Draw how late a request leaves, and whether because the process stands still."""
        if self.delaying is None or self.delaying.random() > _DELAY_PROBABILITY:
            return 0.0
        seconds = self.delaying.uniform(0.0, at_most_s)
        if self.delaying.random() < 0.5:
            self.pause(seconds)
        return seconds

    def crash(self, how: str) -> None:
        """Kill the process; ``how`` may be ``power``."""
        self.crashes += 1
        before, self.home = self.home, self._root / f"life-{self.lives}"
        shutil.copytree(before, self.home, ignore=shutil.ignore_patterns("*-shm", ".*.part"))
        if how == "power":
            self._lose_unsynced()
        self.timeline.kill(self.process)
        self.on_death()

    def _lose_unsynced(self) -> None:
        """Cut the log anywhere after what was synced, or fill the rest with rubbish."""
        log = self.spool / "spool.sqlite-wal"
        if not log.exists():
            return
        content = log.read_bytes()
        keep = self.dice.randint(min(self.synced_bytes, len(content)), len(content))
        rest = self.dice.randbytes(len(content) - keep) if self.dice.random() < 0.5 else b""
        log.write_bytes(content[:keep] + rest)

    # The disk, as the spool sees it.

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open a database whose every statement is a seam."""
        self.seam("open")
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, factory=_Connection
        )
        self._opened.append(connection)
        connection.machine, connection.process = self, self.process
        connection.log = path.with_name(f"{path.name}-wal")
        return connection

    def lock(self, path: Path) -> IO[str]:
        """Open the lock; nobody else is there to take it."""
        file = path.open("w")
        self._opened.append(file)
        return file

    def tidy(self) -> None:
        """Close what dead processes left open."""
        for opened in self._opened:
            opened.close()
        self._opened.clear()

    def write(self, path: Path, content: bytes) -> None:
        """Write a file."""
        self.seam("write")
        if self.is_full:
            raise OSError(28, "No space left on device")
        write_atomically(path, content)
        self.seam("written")


class _Connection(sqlite3.Connection):
    machine: Machine
    process: Process
    log: Path
    is_synced = False

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401
        self._pass(statement)
        cursor = super().execute(statement, *values)
        if statement == "PRAGMA synchronous = FULL":
            self.is_synced = True
            super().execute("PRAGMA wal_autocheckpoint = 0")
        elif statement == "PRAGMA synchronous = NORMAL":
            super().execute("PRAGMA wal_autocheckpoint = 0")
        if self.is_synced and not self.in_transaction and statement.startswith(_WRITES):
            with suppress(FileNotFoundError):  # deleted under us
                self.machine.synced_bytes = self.log.stat().st_size
        self.machine.seam("sql done")
        return cursor

    def executemany(self, statement: str, *values: Any) -> sqlite3.Cursor:  # noqa: ANN401
        self._pass(statement)
        return super().executemany(statement, *values)

    def _pass(self, statement: str) -> None:
        if self.process is not self.machine.process:
            raise Killed
        self.machine.seam("sql")
        if self.machine.is_full and statement.startswith(_WRITES):
            raise sqlite3.OperationalError("database or disk is full")
