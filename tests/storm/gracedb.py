"""A GraceDB of simulated time, with every way to fail that the real one has."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from spiir_pastro.serve.gracedb_client import Answer, NoAnswer
from spiir_pastro.serve.upload import FILE_NAME, PROPERTIES
from storm.machine import Machine
from storm.timeline import EPOCH_S, Timeline

__all__ = [
    "SETTLE_S",
    "WEATHERS",
    "Entry",
    "SimulatedGraceDB",
    "SimulatedGraceDBClient",
]

TIMEOUT_S = 1.0
SETTLE_S = 3.0
_LATEST_S = 0.9 * SETTLE_S


@dataclass
class Entry:
    """A version of an event's file: who wrote it, with which comment, and when it is seen."""

    content: bytes
    writer: str
    comment: str
    seen_from: float


class SimulatedGraceDB:
    """Events, their files and labels.

    Attributes
    ----------
    weather
        How requests go: the name of a fault that meets a share of them.
    share
        That share.
    lag_s
        Seconds after which what was written is seen by every reader.
    """

    def __init__(self, timeline: Timeline, dice: random.Random) -> None:
        self.timeline = timeline
        self.dice = dice
        self.created: dict[str, tuple[float, tuple[str, str]]] = {}
        self.visible_from: dict[str, float] = {}
        self.files: dict[str, list[Entry]] = {}
        self.properties: dict[str, list[Entry]] = {}
        self.labels: dict[str, float] = {}
        self.weather = "fair"
        self.share = 1.0
        self.lag_s = 0.0

    def create(self, event: dict[str, Any], *, late_s: float = 0.0) -> None:
        """Create an event, which is found a little later."""
        event_id = event["graceid"]
        without, labelled = (json.dumps(event | {"labels": x}) for x in ([], ["PASTRO_READY"]))
        self.created[event_id] = self.timeline.now, (without, labelled)
        self.visible_from[event_id] = self.timeline.now + late_s

    def write(
        self,
        event_id: str,
        content: bytes,
        writer: str,
        comment: str,
        *,
        filename: str = FILE_NAME,
        label: bool = True,
    ) -> int:
        """Take a file, and its label."""
        seen_from = self.timeline.now + self.dice.uniform(0.0, self.lag_s)
        files = self._of_kind(filename).setdefault(event_id, [])
        files.append(Entry(content, writer, comment, seen_from))
        if label:
            self.labels.setdefault(event_id, seen_from)
        return len(files)

    def forget(self, event_id: str, *, properties_alone: bool) -> None:
        """Lose what was written of an event, or the last of it, as if set up from an older copy."""
        self.properties.pop(event_id, None)
        if not properties_alone:
            self.files.pop(event_id, None)
            self.labels.pop(event_id, None)

    def seen(self, event_id: str, filename: str) -> list[Entry]:
        """Return the versions of a file that a reader sees now."""
        files = self._of_kind(filename)
        return [e for e in files.get(event_id, ()) if e.seen_from <= self.timeline.now]

    def _of_kind(self, filename: str) -> dict[str, list[Entry]]:
        return self.files if filename == FILE_NAME else self.properties

    def knows(self, event_id: str) -> bool:
        """Whether the event is found now."""
        return self.visible_from.get(event_id, float("inf")) <= self.timeline.now


_STATUSES = ("401", "403", "404", "418", "429", "500", "502", "503", "504")


class SimulatedGraceDBClient:
    """What the service asks."""

    def __init__(self, gracedb: SimulatedGraceDB, machine: Machine) -> None:
        self._gracedb = gracedb
        self._machine = machine
        self._process = machine.process

    def service(self) -> Answer:
        """Say who it is."""
        return self._ask(lambda: _json(200, {"labels": ["PASTRO_READY"]}))

    def logs(self, event_id: str) -> Answer:
        """Give an event's log."""

        def act() -> Answer:
            if not self._gracedb.knows(event_id):
                return _json(404, {"detail": "Not found."})
            rows = [{"N": 1, "filename": ""}]
            for name in (FILE_NAME, PROPERTIES.name):
                rows += [{"N": 2, "filename": name} for _ in self._gracedb.seen(event_id, name)]
            return _json(200, {"numRows": len(rows), "log": rows})

        return self._ask(act)

    def file(self, event_id: str, filename: str) -> Answer:
        """Give an event's file."""

        def act() -> Answer:
            entries = self._gracedb.seen(event_id, filename)
            if not entries:
                return _json(404, {"detail": "Not found."})
            return Answer(status=200, body=entries[-1].content)

        return self._ask(act)

    def events(self, query: str, *, start: int, count: int) -> Answer:
        """Give the events created between two times."""
        first, last = query.split("created: ")[1].split(" .. ")

        def act() -> Answer:
            now = self._gracedb.timeline.now
            found = []
            for event_id, (created, event) in self._gracedb.created.items():
                if first <= _utc(created) <= last and self._gracedb.knows(event_id):
                    is_labelled = self._gracedb.labels.get(event_id, float("inf")) <= now
                    found.append(event[is_labelled])
            page = ", ".join(found[start : start + min(count, 5)])
            body = f'{{"numRows": {len(found)}, "events": [{page}]}}'
            return Answer(status=200, body=body.encode())

        return self._ask(act)

    def write_log(
        self, event_id: str, comment: str, *, filename: str, content: bytes, tag: str, label: str
    ) -> Answer:
        """Take a file with its label."""
        del tag

        def act(*, label: bool = bool(label)) -> Answer:
            if not self._gracedb.knows(event_id):
                return _json(404, {"detail": "Not found."})
            number = self._gracedb.write(
                event_id,
                content,
                self._machine.name,
                comment,
                filename=filename,
                label=label,
            )
            return _json(201, {"N": number, "filename": filename})

        return self._ask(act, half=lambda: act(label=False))

    def write_label(self, event_id: str, label: str) -> Answer:
        """Take a label."""
        del label

        def act() -> Answer:
            if not self._gracedb.knows(event_id):
                return _json(404, {"detail": "Not found."})
            is_new = event_id not in self._gracedb.labels
            self._gracedb.labels.setdefault(event_id, self._gracedb.timeline.now)
            return _json(201 if is_new else 200, {})

        return self._ask(act)

    def close(self) -> None:
        """Nothing is held."""

    def _ask(
        self, act: Callable[[], Answer], *, half: Callable[[], Answer] | None = None
    ) -> Answer:
        """Make a request in today's weather; once sent it arrives, whatever becomes of us."""
        gracedb, dice = self._gracedb, self._gracedb.dice
        self._machine.seam("request", lambda: self._perhaps_later(act))
        weather = gracedb.weather if dice.random() < gracedb.share else "fair"
        if weather == "mixed":
            weather = dice.choice(_FAULTS)
        transit_s = dice.uniform(0.001, 0.05)
        if half and weather == "fair":  # bad weather makes it late enough
            transit_s += self._machine.delay_s(_LATEST_S - gracedb.lag_s - transit_s)
        met: list[Answer | NoAnswer] = []
        gracedb.timeline.at(
            gracedb.timeline.now + transit_s,
            lambda: met.append(self._meet(weather, act, half or act, writes=half is not None)),
        )
        self._sleep(transit_s + 0.001)
        (answer,) = met
        waits = isinstance(answer, NoAnswer) and answer.cause == "timeout"
        self._sleep(TIMEOUT_S if waits else dice.uniform(0.001, 0.05))
        self._machine.seam("answer")
        if isinstance(answer, NoAnswer):
            raise answer
        return answer

    def _meet(
        self,
        weather: str,
        act: Callable[[], Answer],
        half: Callable[[], Answer],
        *,
        writes: bool,
    ) -> Answer | NoAnswer:
        """Answer, or not, with the request done or not."""
        # A reader would be told of the file itself; a label's answer is empty if all is well, too.
        if weather in ("nothing done", "empty 201") and not writes:
            weather = "page"
        if weather in _BODIES:
            return Answer(status=_BODIES[weather][0], body=_BODIES[weather][1])
        match weather:
            case "fair":
                return act()
            case "refused":
                return NoAnswer("refused", cause="connection")
            case "cut before" | "cut after" | "timeout before" | "timeout after":
                what, _, when = weather.partition(" ")
                self._late(act, is_done=when == "after")
                cause = "timeout" if what == "timeout" else "connection"
                return NoAnswer(what, cause=cause, wait_s=SETTLE_S)
            case "half":
                self._at_once(half)
                return _json(500, {"error": "half done"})
            case _:
                return self._status(int(weather), act)

    def _status(self, status: int, act: Callable[[], Answer]) -> Answer:
        if status in (502, 504):
            self._late(act, is_done=self._gracedb.dice.random() < 0.5)
            return _json(status, {}, busy_s=SETTLE_S)
        if status == 500 and self._gracedb.dice.random() < 0.5:
            self._at_once(act)
        after_s = 2.0 if status in (429, 503) else 0.0
        return _json(status, {"detail": "no"}, retry_after_s=after_s)

    def _at_once(self, act: Callable[[], Answer]) -> None:
        """Do what was asked before anything is said: who is told of a failure may look at once."""
        lag_s, self._gracedb.lag_s = self._gracedb.lag_s, 0.0
        act()
        self._gracedb.lag_s = lag_s

    def _late(self, act: Callable[[], Answer], *, is_done: bool) -> None:
        """Do what was asked some time, before it is settled."""
        if is_done:
            delay_s = self._gracedb.dice.uniform(0.0, _LATEST_S - self._gracedb.lag_s)
            self._gracedb.timeline.at(self._gracedb.timeline.now + delay_s, act)

    def _perhaps_later(self, act: Callable[[], Answer]) -> None:
        """Do what a process asked for that died just then, or do not."""
        self._late(act, is_done=self._gracedb.dice.random() < 0.5)

    def _sleep(self, seconds: float) -> None:
        self._gracedb.timeline.sleep(self._process, seconds)


_BODIES = {
    "page": (200, b"<html>Please log in</html>"),
    "page 201": (201, b"<html>Please log in</html>"),
    "empty 201": (201, b"{}"),
    "nothing done": (200, b'{"N": 1, "filename": "spiir.p_astro.json"}'),
}
"""Answers that look like success, with nothing done."""
_FAULTS = (
    "fair",
    "refused",
    "cut before",
    "cut after",
    "timeout before",
    "timeout after",
    "half",
    *_BODIES,
    *_STATUSES,
)
WEATHERS = (*_FAULTS, "mixed", "mixed", "mixed")
"""How GraceDB may be for a while; ``mixed`` is all of them in turn."""


def _json(status: int, body: object, *, busy_s: float = 0.0, retry_after_s: float = 0.0) -> Answer:
    return Answer(
        status=status,
        body=json.dumps(body).encode(),
        busy_s=busy_s,
        retry_after_s=retry_after_s,
    )


def _utc(time_s: float) -> str:
    return datetime.fromtimestamp(EPOCH_S + time_s, UTC).strftime("%Y-%m-%d %H:%M:%S")
