"""A broker and a GraceDB of simulated time, with every way to fail that the real ones have."""

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from spiir_pastro.serve.consumer import BrokerError, Message
from spiir_pastro.serve.gracedb import Answer, NoAnswer
from spiir_pastro.serve.spool import Place
from spiir_pastro.serve.upload import FILE_NAME
from storm.machine import Machine
from storm.timeline import EPOCH_S, Process, Timeline, Waiter

__all__ = [
    "SETTLE_S",
    "WEATHERS",
    "SimulatedBroker",
    "SimulatedConsumer",
    "SimulatedGraceDB",
    "SimulatedGraceDBClient",
    "Topic",
]

TIMEOUT_S = 1.0
SETTLE_S = 3.0
_LATEST_S = 0.9 * SETTLE_S


@dataclass
class Topic:
    """A partition's records, with their times, and the first that is kept."""

    records: list[tuple[float, bytes]] = field(default_factory=list)
    low: int = 0


class SimulatedBroker:
    """Topics of one partition each, and what groups committed."""

    def __init__(self, timeline: Timeline, dice: random.Random) -> None:
        self._timeline = timeline
        self._dice = dice
        self.topics: dict[str, Topic] = {}
        self.committed: dict[str, dict[Place, int]] = {}
        self.is_up = True
        self._waiters: list[Waiter] = []

    def publish(self, topic: str, payload: bytes) -> None:
        """Take a message, making the topic if need be."""
        found = self.topics.setdefault(topic, Topic())
        found.records.append((EPOCH_S + self._timeline.now, payload))
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.wake(value=True)

    def expire(self) -> None:
        """Drop what is kept of every topic."""
        for topic in self.topics.values():
            topic.low = len(topic.records)

    def renew(self, topic: str) -> None:
        """Make a topic anew, empty."""
        self.topics[topic] = Topic()

    def wait(self, process: Process, seconds: float) -> None:
        """Wait for news, or for so long."""
        waiter = Waiter(self._timeline, process)
        self._waiters.append(waiter)
        self._timeline.at(self._timeline.now + seconds, lambda: waiter.wake(value=False))
        self._timeline.block(waiter)

    def commit_soon(self, group: str, places: Mapping[Place, int]) -> None:
        """Take offsets in a moment, or lose them."""
        if self.is_up and self._dice.random() < 0.9:
            delay_s = self._dice.uniform(0.0, 0.5)
            offsets = dict(places)
            commit = self.committed.setdefault(group, {})
            self._timeline.at(self._timeline.now + delay_s, lambda: commit.update(offsets))


class SimulatedConsumer:
    """What the service reads from."""

    def __init__(self, broker: SimulatedBroker, machine: Machine, group: str) -> None:
        self._broker = broker
        self._machine = machine
        self._process = machine.process
        self._group = group
        self._next: dict[Place, int] = {}

    def places(self, topics: Sequence[str]) -> list[Place]:
        """Say which topics there are."""
        self._reach()
        return [(topic, 0) for topic in topics if topic in self._broker.topics]

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        """Say what the group committed."""
        self._reach()
        known = self._broker.committed.get(self._group, {})
        return {place: known[place] for place in places if place in known}

    def bounds(self, place: Place) -> tuple[int, int]:
        """Say what is kept."""
        self._reach()
        topic = self._broker.topics[place[0]]
        return topic.low, len(topic.records)

    def offset_at(self, place: Place, time_s: float) -> int | None:
        """Say where a time begins."""
        self._reach()
        topic = self._broker.topics[place[0]]
        for offset in range(topic.low, len(topic.records)):
            if topic.records[offset][0] >= time_s:
                return offset
        return None

    def assign(self, places: Mapping[Place, int]) -> None:
        """Begin there."""
        self._machine.seam("broker")
        self._next = dict(places)

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        """Give what is there, or wait for it."""
        self._machine.seam("broker")
        messages = self._gather(count)
        if not messages:
            self._broker.wait(self._process, timeout_s)
            messages = self._gather(count)
        if not self._broker.is_up:
            raise BrokerError("down", name="_TRANSPORT")
        self._machine.seam("broker")
        return messages

    def commit(self, places: Mapping[Place, int]) -> None:
        """Commit in a moment."""
        self._machine.seam("broker")
        self._broker.commit_soon(self._group, places)

    def close(self) -> None:
        """Leave."""

    def _gather(self, count: int) -> list[Message]:
        if not self._broker.is_up:
            return []
        messages: list[Message] = []
        for place, position in self._next.items():
            topic = self._broker.topics[place[0]]
            end = len(topic.records)
            begin = position if topic.low <= position <= end else topic.low
            for offset in range(begin, min(end, begin + count)):
                published_at, payload = topic.records[offset]
                messages.append(
                    Message(
                        topic=place[0], offset=offset, payload=payload, published_at=published_at
                    )
                )
        messages = messages[:count]
        for message in messages:
            self._next[message.topic, 0] = message.offset + 1
        return messages

    def _reach(self) -> None:
        self._machine.seam("broker")
        if not self._broker.is_up:
            self._broker.wait(self._process, TIMEOUT_S)
            raise BrokerError("down", name="_TRANSPORT")


@dataclass
class _Entry:
    content: bytes
    writer: str
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
        self.files: dict[str, list[_Entry]] = {}
        self.labels: dict[str, float] = {}
        self.weather = "fair"
        self.share = 1.0
        self.lag_s = 0.0

    def create(self, event: dict[str, Any], *, late_s: float = 0.0) -> None:
        """Create an event, which is found a little later."""
        event_id = event["graceid"]
        texts = (json.dumps(event), json.dumps(event | {"labels": ["PASTRO_READY"]}))
        self.created[event_id] = self.timeline.now, texts
        self.visible_from[event_id] = self.timeline.now + late_s

    def write(self, event_id: str, content: bytes, writer: str, *, label: bool = True) -> int:
        """Take a file, and its label."""
        seen_from = self.timeline.now + self.dice.uniform(0.0, self.lag_s)
        self.files.setdefault(event_id, []).append(_Entry(content, writer, seen_from))
        if label:
            self.labels.setdefault(event_id, seen_from)
        return len(self.files[event_id])

    def seen(self, event_id: str) -> list[_Entry]:
        """Return the files that a reader sees now."""
        return [e for e in self.files.get(event_id, ()) if e.seen_from <= self.timeline.now]

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
            rows += [{"N": 2, "filename": FILE_NAME} for _ in self._gracedb.seen(event_id)]
            return _json(200, {"numRows": len(rows), "log": rows})

        return self._ask(act)

    def file(self, event_id: str, filename: str) -> Answer:
        """Give an event's file."""
        del filename

        def act() -> Answer:
            entries = self._gracedb.seen(event_id)
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
        del comment, tag, label

        def act(*, label: bool = True) -> Answer:
            if not self._gracedb.knows(event_id):
                return _json(404, {"detail": "Not found."})
            number = self._gracedb.write(event_id, content, self._machine.name, label=label)
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
        """Make a request in today's weather."""
        gracedb, dice = self._gracedb, self._gracedb.dice
        self._machine.seam("request", lambda: self._perhaps_later(act))
        weather = gracedb.weather if dice.random() < gracedb.share else "fair"
        if weather == "mixed":
            weather = dice.choice(_FAULTS)
        self._sleep(dice.uniform(0.001, 0.05))
        answer = self._meet(weather, act, half or act)
        self._machine.seam("answer")
        self._sleep(dice.uniform(0.001, 0.05))
        return answer

    def _meet(self, weather: str, act: Callable[[], Answer], half: Callable[[], Answer]) -> Answer:
        """Answer, or not, with the request done or not."""
        if weather in _BODIES:
            return Answer(status=_BODIES[weather][0], body=_BODIES[weather][1])
        match weather:
            case "fair":
                return act()
            case "refused":
                raise NoAnswer("refused", cause="connection")
            case "cut before" | "cut after":
                self._late(act, is_done=weather == "cut after")
                raise NoAnswer("cut", cause="connection", wait_s=SETTLE_S)
            case "timeout before" | "timeout after":
                self._late(act, is_done=weather == "timeout after")
                self._sleep(TIMEOUT_S)
                raise NoAnswer("timeout", cause="timeout", wait_s=SETTLE_S)
            case "half":
                half()
                return _json(500, {"error": "half done"})
            case _:
                return self._status(int(weather), act)

    def _status(self, status: int, act: Callable[[], Answer]) -> Answer:
        if status in (502, 504):
            self._late(act, is_done=self._gracedb.dice.random() < 0.5)
            return _json(status, {}, busy_s=SETTLE_S)
        if status == 500 and self._gracedb.dice.random() < 0.5:
            act()
        after_s = 2.0 if status in (429, 503) else 0.0
        return _json(status, {"detail": "no"}, retry_after_s=after_s)

    def _late(self, act: Callable[[], Answer], *, is_done: bool) -> None:
        """Do what was asked some time, before it is settled."""
        if is_done:
            delay_s = self._gracedb.dice.uniform(0.0, _LATEST_S)
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
