"""Which delivery is tried next, and when.

While GraceDB answers, what is new goes at once and what failed waits: a tenth of the time it has
been failing, so that after any outage it goes within a tenth of that. When GraceDB itself is out of
order, which three failures in a row show, everything waits, and one delivery is tried every few
seconds: its success sends all of them on their way. Whether a failure is GraceDB's or the event's
own is told by the answer, and by others having succeeded since the event last failed.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import filterfalse

from spiir_pastro.serve.upload import Delivered, Unanswered

PROBE_S = 3.0
"""Seconds between attempts while GraceDB is out of order."""
HOLD_S = 0.2
"""Seconds between looks whether an event's earlier answer is through."""
OUT_OF_ORDER = 3
"""So many failures without a success between them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How long to wait before the next attempt, in seconds."""

    base_s: float = 1.0
    limit_s: float = 300.0

    def wait_s(self, failing_s: float, *, jitter: float) -> float:
        """Seconds to wait after failing for so long; ``jitter`` in [0, 1).

        A tenth of it, within base and limit, times a factor in [1/2, 1], so that a returning
        server does not get all requests at once.
        """
        return min(max(failing_s / 10.0, self.base_s), self.limit_s) * (1.0 + jitter) / 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An event on its way; times by the monotonic clock, seconds.

    Attributes
    ----------
    model
        The name of the model that made the content.
    properties
        What goes beside the content, None if nothing does.
    outcome
        How the content came to be there; None until it is.
    revision
        How many answers to the event went before; those still queued are dropped.
    look_first
        Whether it may be on GraceDB already.
    failing_since, failed_at
        When it first and last failed in this process.
    read_tick
        When its alert was read, by ``time.perf_counter``; None if by an earlier process.
    """

    event_id: str
    content: bytes
    model: str = ""
    properties: bytes | None = None
    outcome: Delivered | None = None
    revision: int = 0
    look_first: bool = False
    attempts: int = 0
    failing_since: float | None = None
    failed_at: float = 0.0
    read_tick: float | None = None


@dataclass(order=True, slots=True)
class _Waiting:
    due: float
    order: int
    not_before: float = field(compare=False)
    delivery: Delivery = field(compare=False)


class DeliveryQueue:
    """New and waiting deliveries, and whether GraceDB is out of order; not locked.

    Times ``now`` are of the monotonic clock, seconds.
    """

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._fresh: deque[Delivery] = deque()
        self._waiting: list[_Waiting] = []
        self._order = itertools.count()
        self._under_way: set[str] = set()
        self._revisions: dict[str, int] = {}  # of events with more than one answer, the last
        self._failing: dict[str, str] = {}
        self._succeeded_at = float("-inf")
        self._in_a_row = 0
        self._probe_at: float | None = None  # when to try next; None while GraceDB is in order
        self._probe: str | None = None  # the event being tried

    def add(self, deliveries: Iterable[Delivery]) -> None:
        """Queue deliveries for now."""
        for delivery in filterfalse(self._is_superseded, deliveries):
            not_before = self._replace_others(delivery)
            if not_before is None:
                self._fresh.append(delivery)
            else:
                self._wait(replace(delivery, look_first=True), not_before, not_before)

    def add_later(self, deliveries: Iterable[Delivery], *, due: float) -> None:
        """Queue deliveries for a later moment."""
        for delivery in filterfalse(self._is_superseded, deliveries):
            not_before = max(due, self._replace_others(delivery) or due)
            self._wait(delivery, not_before, not_before)

    def is_idle(self) -> bool:
        """Whether nothing is queued or under way."""
        return not (self._fresh or self._waiting or self._under_way)

    def failing(self) -> dict[str, str]:
        """Return what is wrong with each event that failed last time."""
        return self._failing

    def wait_s(self, now: float) -> float | None:
        """Seconds until :meth:`take` may give something; None if only a change can help."""
        if self._probe is not None:
            return None
        earliest = 0.0 if self._fresh else self._waiting[0].due if self._waiting else None
        if earliest is None:
            return None
        return max(0.0, max(earliest, self._probe_at or 0.0) - now)

    def take(self, now: float) -> Delivery | None:
        """Give the next delivery that is due; it is under way until told of."""
        if self._probe is not None or (self._probe_at is not None and now < self._probe_at):
            return None
        delivery = self._next(now)
        while delivery is not None and delivery.event_id in self._under_way:
            # Two answers to an event at once could arrive in the wrong order.
            self._wait(delivery, now + HOLD_S, now)
            delivery = self._next(now)
        if delivery is None:
            return None
        self._under_way.add(delivery.event_id)
        if self._probe_at is not None:
            self._probe = delivery.event_id
        return delivery

    def succeeded(self, delivery: Delivery, now: float) -> None:
        """Take off a delivery; GraceDB is in order, and all that its disorder held up may go."""
        self._settle(delivery)
        if self._revisions.get(delivery.event_id) == delivery.revision:
            del self._revisions[delivery.event_id]
        self._failing.pop(delivery.event_id, None)
        self._succeeded_at, self._probe_at, self._in_a_row = now, None, 0

    def held(self, delivery: Delivery, now: float, *, jitter: float) -> None:
        """Put back a delivery that another host answers for; it is looked for now and then."""
        self._settle(delivery)
        self._failing.pop(delivery.event_id, None)
        if self._is_superseded(delivery):
            return
        since = now if delivery.failing_since is None else delivery.failing_since
        wait_s = max(PROBE_S, self._backoff.wait_s(now - since, jitter=jitter))
        self._wait(replace(delivery, look_first=True, failing_since=since), now + wait_s, now)

    def failed(self, delivery: Delivery, error: Unanswered, now: float, *, jitter: float) -> float:
        """Put back a delivery that failed; return the seconds it waits if nothing changes."""
        self._settle(delivery)
        # Failing again although others went through since: the trouble is this event's own.
        is_of_event = error.is_of_event or (
            delivery.attempts > 0 and self._succeeded_at > delivery.failed_at
        )
        since = now if delivery.failing_since is None else delivery.failing_since
        wait_s = self._backoff.wait_s(now - since, jitter=jitter)
        if not is_of_event:
            self._in_a_row += 1
        if self._in_a_row >= OUT_OF_ORDER and not is_of_event:
            self._begin_probing(error, now, jitter)
            wait_s = 0.0  # it is the queue that waits
        wait_s = max(wait_s, error.wait_s)
        self._failing[delivery.event_id] = str(error)
        if self._is_superseded(delivery):
            self._hold_successor(delivery, now + error.wait_s)
            return max(wait_s, (self._probe_at or 0.0) - now)
        again = replace(
            delivery,
            look_first=True,
            attempts=delivery.attempts + 1,
            failing_since=since,
            failed_at=now,
        )
        self._wait(again, now + wait_s, now + error.wait_s)
        return max(wait_s, (self._probe_at or 0.0) - now)

    def wake(self, now: float) -> None:
        """Have all that wait try again, as soon as they may."""
        for waiting in self._waiting:
            waiting.due = max(now, waiting.not_before)
        heapq.heapify(self._waiting)

    def _begin_probing(self, error: Unanswered, now: float, jitter: float) -> None:
        """Hold everything; the server's word on when to come again counts, within the limit."""
        pause_s = min(PROBE_S, self._backoff.limit_s)
        if self._probe_at is None:  # the first look is soon: most failures are short
            pause_s = min(self._backoff.base_s, pause_s)
        pause_s *= (1.0 + jitter) / 2.0
        pause_s = max(pause_s, min(error.pause_s, self._backoff.limit_s))
        self._probe_at = max(self._probe_at or 0.0, now + pause_s)

    def _next(self, now: float) -> Delivery | None:
        """Give the next delivery that is due."""
        if self._fresh:
            return self._fresh.popleft()
        if self._waiting and self._waiting[0].due <= now:
            return heapq.heappop(self._waiting).delivery
        return None

    def _replace_others(self, delivery: Delivery) -> float | None:
        """Take an event's earlier answers off; return when GraceDB is through with one tried."""
        if delivery.revision == 0:
            return None
        self._revisions[delivery.event_id] = delivery.revision
        _, waiting = self._drop(delivery.event_id)
        return max((earlier.not_before for earlier in waiting), default=None)

    def _drop(self, event_id: str) -> tuple[list[Delivery], list[_Waiting]]:
        """Take an event's deliveries off; return those that were new and those that waited."""
        fresh = [d for d in self._fresh if d.event_id == event_id]
        waiting = [w for w in self._waiting if w.delivery.event_id == event_id]
        self._fresh = deque(d for d in self._fresh if d.event_id != event_id)
        self._waiting = [w for w in self._waiting if w.delivery.event_id != event_id]
        heapq.heapify(self._waiting)
        return fresh, waiting

    def _is_superseded(self, delivery: Delivery) -> bool:
        return delivery.revision < self._revisions.get(delivery.event_id, 0)

    def _hold_successor(self, delivery: Delivery, not_before: float) -> None:
        """Have an answer's successor wait while the server may be busy with the answer."""
        fresh, waiting = self._drop(delivery.event_id)
        for successor in (*fresh, *(waited.delivery for waited in waiting)):
            self._wait(replace(successor, look_first=True), not_before, not_before)

    def _settle(self, delivery: Delivery) -> None:
        self._under_way.discard(delivery.event_id)
        if self._probe == delivery.event_id:
            self._probe = None

    def _wait(self, delivery: Delivery, due: float, not_before: float) -> None:
        heapq.heappush(self._waiting, _Waiting(due, next(self._order), not_before, delivery))
