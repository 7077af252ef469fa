"""A broker of simulated time: topics, groups, and the seat that says which host is on duty."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spiir_pastro.serve.consumer import BrokerError, Message
from spiir_pastro.serve.spool import Place
from spiir_pastro.serve.standby import REBALANCE_S
from storm.machine import Machine
from storm.timeline import EPOCH_S, Process, Timeline, Waiter

__all__ = ["Seat", "SimulatedBroker", "SimulatedConsumer", "SimulatedMembership", "Topic"]

TIMEOUT_S = 1.0


@dataclass
class Topic:
    """A partition's records, with their times, and the first that is kept."""

    records: list[tuple[float, bytes]] = field(default_factory=list)
    low: int = 0


class SimulatedBroker:
    """Topics of one partition each, and what groups committed.

    Attributes
    ----------
    cut_off, without_alerts, without_seat
        Names of hosts that do not reach it, or not what serves the alerts, or not what gives the
        seat: each is another broker's task, with a connection of its own.
    told
        How far each host said it is, which it never has to read again.
    repeated
        Where one began before that all the same.
    """

    def __init__(self, timeline: Timeline, dice: random.Random) -> None:
        self._timeline = timeline
        self._dice = dice
        self.topics: dict[str, Topic] = {}
        self.committed: dict[str, dict[Place, int]] = {}
        self.is_up = True
        self.cut_off: set[str] = set()
        self.without_alerts: set[str] = set()
        self.without_seat: set[str] = set()
        self.told: dict[tuple[str, Place], int] = {}
        self.repeated: list[str] = []
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

    def remembers(self, group: str) -> bool:
        """Whether it knows where a group is, in every topic that ever had anything."""
        known = self.committed.get(group, {})
        return all((name, 0) in known for name, topic in self.topics.items() if topic.records)

    def wait(self, process: Process, seconds: float) -> None:
        """Wait for news, or for so long."""
        waiter = Waiter(self._timeline, process)
        self._waiters.append(waiter)
        self._timeline.at(self._timeline.now + seconds, lambda: waiter.wake(value=False))
        self._timeline.block(waiter)

    def hears(self, machine: Machine) -> bool:
        """Whether a host is heard."""
        return self.is_up and machine.name not in self.cut_off

    def gives_alerts(self, machine: Machine) -> bool:
        """Whether a host can read."""
        return self.hears(machine) and machine.name not in self.without_alerts

    def gives_seat(self, machine: Machine) -> bool:
        """Whether a host can keep its place."""
        return self.hears(machine) and machine.name not in self.without_seat

    def sleep(self, process: Process, seconds: float) -> None:
        """Let a task wait."""
        self._timeline.sleep(process, seconds)

    def transit_s(self) -> float:
        """Draw how long a request is on its way."""
        return self._dice.uniform(0.001, 0.2)

    def commit_soon(self, group: str, places: Mapping[Place, int]) -> None:
        """Take offsets in a moment, or lose them."""
        if self._dice.random() < 0.9:
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
        for place, offset in places.items():
            told = self._broker.told.get((self._machine.name, place), 0)
            if offset < told:
                self._broker.repeated.append(f"{place[0]} from {offset}, done to {told}")

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        """Give what is there, or wait for it."""
        self._machine.seam("broker")
        messages = self._gather(count)
        if not messages:
            self._broker.wait(self._process, timeout_s)
            messages = self._gather(count)
        if not self._broker.gives_alerts(self._machine):
            raise BrokerError("down", name="_TRANSPORT")
        self._machine.seam("broker")
        return messages

    def commit(self, places: Mapping[Place, int]) -> None:
        """Commit in a moment."""
        self._machine.seam("broker")
        self._broker.told |= {(self._machine.name, place): to for place, to in places.items()}
        if self._broker.gives_alerts(self._machine):
            self._broker.commit_soon(self._group, places)

    def close(self) -> None:
        """Leave."""

    def _gather(self, count: int) -> list[Message]:
        if not self._broker.gives_alerts(self._machine):
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
        if not self._broker.gives_alerts(self._machine):
            self._broker.wait(self._process, TIMEOUT_S)
            raise BrokerError("down", name="_TRANSPORT")


class Seat:
    """The one partition that a consumer group has to give.

    A member that is silent for the length of a session is one no longer; some seconds later another
    that asks has the seat.
    """

    def __init__(self, timeline: Timeline, dice: random.Random, session_s: float) -> None:
        self._timeline = timeline
        self._dice = dice
        self._session_s = session_s
        self._seen: dict[SimulatedMembership, float] = {}
        self._holder: SimulatedMembership | None = None
        self._free_at = 0.0

    def hear(self, member: "SimulatedMembership") -> bool:
        """Take a member's sign of life; whether the seat is its."""
        self._expire()
        self._seen[member] = self._timeline.now
        if self._holder is None and self._timeline.now >= self._free_at:
            self._holder = member
        return self._holder is member

    def knows(self, member: "SimulatedMembership") -> bool:
        """Whether it is a member."""
        self._expire()
        return member in self._seen

    def leave(self, member: "SimulatedMembership") -> None:
        """Strike a member off."""
        self._seen.pop(member, None)
        if self._holder is member:
            self._vacate(self._timeline.now)

    def start_anew(self) -> None:
        """Give everybody the length of a session: the broker was down itself."""
        self._seen = dict.fromkeys(self._seen, self._timeline.now)

    def _expire(self) -> None:
        for member, seen in list(self._seen.items()):
            if self._timeline.now > seen + self._session_s:
                del self._seen[member]
                if self._holder is member:
                    self._vacate(seen + self._session_s)

    def _vacate(self, when: float) -> None:
        self._holder = None
        self._free_at = when + self._dice.uniform(0.0, 0.5 * REBALANCE_S)


class SimulatedMembership:
    """What a host knows of the seat: what it last heard."""

    def __init__(self, seat: Seat, broker: SimulatedBroker, machine: Machine) -> None:
        self._seat = seat
        self._broker = broker
        self._machine = machine
        self._process = machine.process
        self._has_seat = False

    def poll(self, timeout_s: float) -> bool:
        """Show signs of life."""
        self._broker.sleep(self._process, timeout_s)
        self._machine.seam("broker")
        if self._broker.gives_seat(self._machine):
            self._has_seat = self._seat.hear(self)
        return self._has_seat

    def prove(self) -> bool:
        """Commit."""
        self._broker.sleep(self._process, self._broker.transit_s())
        self._machine.seam("broker")
        is_member = self._broker.gives_seat(self._machine) and self._seat.knows(self)
        self._broker.sleep(self._process, self._broker.transit_s())
        return is_member

    def close(self) -> None:
        """Leave."""
        self._machine.seam("broker")
        if self._broker.gives_seat(self._machine):
            self._seat.leave(self)
