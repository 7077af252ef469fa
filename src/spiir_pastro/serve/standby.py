"""Two hosts, of which one answers: elected by the broker, which knows who is alive.

Both hosts read every alert and spool its answer. Both are members of one consumer group that has a
single partition to assign; the host that has it is on duty. It proves so once a second by a commit,
which the broker refuses from anybody who is no longer a member: for the length of a session after
the last proof nobody else can be on duty. A host that was paused and goes on finds its proof
expired, and sends nothing. A host that takes over waits until GraceDB must be through with what the
other asked of it, and looks at the event's log before each upload, always.
"""

from collections.abc import Callable
from typing import Any, Protocol

import confluent_kafka
import structlog
from confluent_kafka import KafkaException, TopicPartition

from spiir_pastro.serve.clock import Clock, Flag
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics

log = structlog.get_logger(__name__)

POLL_S = 0.5
PROVE_EVERY_S = 1.0
REBALANCE_S = 4.0
"""Seconds the broker and the clients may need to agree on who is next."""


def session_s(takeover_s: float, settle_s: float) -> float:
    """Return how long a host may be silent, for the other to answer within ``takeover_s``."""
    return takeover_s - settle_s - REBALANCE_S


class Membership(Protocol):
    """A place in a group that has one seat."""

    def poll(self, timeout_s: float) -> bool:
        """Keep the place; whether we have the seat as far as we know."""

    def prove(self) -> bool:
        """Have the broker say that we are a member at this moment."""

    def close(self) -> None:
        """Leave, so that another has the seat at once."""


class Standby:
    """The duty of a host that has another beside it.

    Parameters
    ----------
    session_s
        For so long after a proof nobody else is given the seat, seconds.
    settle_s
        For so long after taking the seat GraceDB may be busy with what the other asked, seconds.
    """

    must_look = True

    def __init__(
        self,
        membership: Membership,
        *,
        session_s: float,
        settle_s: float,
        clock: Clock,
        health: Health,
        metrics: Metrics,
    ) -> None:
        self._membership = membership
        self._session_s = session_s
        self._settle_s = settle_s
        self._clock = clock
        self._health = health
        self._metrics = metrics
        self._proven_until = float("-inf")
        self._begins_at = float("inf")

    def is_ours(self) -> bool:
        """Whether the seat is ours beyond doubt, and the other's requests are over."""
        return self._begins_at <= self._clock.monotonic_s() < self._proven_until

    def run(self, stop: Flag, on_duty: Callable[[], None]) -> None:
        """Keep the place until told to stop; ``on_duty`` is called when duty begins."""
        was_ours, prove_at = False, 0.0
        self._metrics.on_duty.set(0)
        while not stop.is_set():
            # Whether we have the seat may be out of date: a host that was paused was not told that
            # it lost it. Only the commit proves it.
            has_seat = self._membership.poll(POLL_S)
            now = self._clock.monotonic_s()
            if not has_seat:
                self.give_up()
                self._health.clear("standby")
            elif now >= prove_at:
                prove_at = now + PROVE_EVERY_S
                self._prove(now)
            if self.is_ours() != was_ours:
                was_ours = not was_ours
                self._metrics.on_duty.set(was_ours)
                log.warning("duty.begins" if was_ours else "duty.ends")
                if was_ours:
                    on_duty()
        self.give_up()
        self._membership.close()

    def give_up(self) -> None:
        """Send nothing from now on."""
        self._proven_until, self._begins_at = float("-inf"), float("inf")

    def _prove(self, now: float) -> None:
        """Renew the proof; ``now`` is before the broker was asked."""
        if not self._membership.prove():
            if now >= self._proven_until:
                self._health.report("standby", "the broker does not confirm that we are on duty")
            return
        self._health.clear("standby")
        if now >= self._proven_until:  # there may have been another in between
            self._begins_at = now + self._settle_s
        # Counted from before the question: the broker waits a session from our last
        # message, which cannot have been earlier.
        self._proven_until = now + self._session_s


class KafkaMembership:
    """A member of a consumer group, for the seat that partition 0 of any topic is.

    ``on_lost`` is called when the seat is taken, before anybody else has it.
    """

    def __init__(self, config: dict[str, Any], topic: str, *, session_s: float) -> None:
        self.on_lost: Callable[[], None] = lambda: None
        self._seat = TopicPartition(topic, 0)
        self._consumer = confluent_kafka.Consumer(
            config
            | {
                "group.id": f"{config['group.id']}-standby",
                # The seat stays where it is when the other host comes or goes.
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(1e3 * session_s),
                # Several in a session, so that one that is lost does not cost the seat.
                "heartbeat.interval.ms": int(1e3 * min(1.0, session_s / 6.0)),
                "max.poll.interval.ms": max(10_000, int(2e3 * session_s)),
                "socket.timeout.ms": 3000,
                "auto.offset.reset": "latest",
            }
        )
        self._consumer.subscribe(
            [topic],
            on_revoke=lambda *_: self.on_lost(),
            on_lost=lambda *_: self.on_lost(),
        )

    def poll(self, timeout_s: float) -> bool:
        """Serve the group; what is read is of no interest."""
        self._consumer.consume(100, timeout_s)
        return any(
            (p.topic, p.partition) == (self._seat.topic, self._seat.partition)
            for p in self._consumer.assignment()
        )

    def prove(self) -> bool:
        """Commit, which only a present member may."""
        place = TopicPartition(self._seat.topic, self._seat.partition, 0)
        try:
            self._consumer.commit(offsets=[place], asynchronous=False)
        except KafkaException:
            return False
        return True

    def close(self) -> None:
        """Leave the group."""
        self._consumer.close()
