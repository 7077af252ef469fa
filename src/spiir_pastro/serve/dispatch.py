"""Delivering accepted events to GraceDB: a few workers, retries with back-off, nothing twice.

Waiting grows as ``base * 2**n`` up to a limit, times a random factor in [1/2, 1], so that a
returning server is not met by everybody at once. Events never tried go before those that failed.
"""

import heapq
import itertools
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import structlog

from spiir_pastro.serve.gracedb import Refused, Unreachable, Uploader
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.spool import Spool

__all__ = ["Backoff", "Delivery", "Dispatcher"]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """How long to wait before the next attempt, in seconds."""

    base_s: float = 1.0
    limit_s: float = 300.0

    def wait_s(self, attempts: int, *, jitter: float) -> float:
        """Seconds to wait after this many failures; ``jitter`` in [0, 1)."""
        grown = self.base_s * 2.0 ** min(attempts - 1, 30)
        return min(grown, self.limit_s) * (1.0 + jitter) / 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Delivery:
    """An event on its way.

    Attributes
    ----------
    look_first
        Whether it may be on GraceDB already.
    read_tick
        When its alert was read, by ``time.perf_counter``; None if in an earlier life.
    """

    event_id: str
    content: bytes
    look_first: bool = False
    attempts: int = 0
    read_tick: float | None = None


@dataclass(order=True, slots=True)
class _Waiting:
    due: float
    order: int
    delivery: Delivery = field(compare=False)


class Dispatcher:
    """Workers, each with its own uploader, and the two queues they share."""

    def __init__(
        self,
        make_uploader: Callable[[], Uploader],
        *,
        spool: Spool,
        metrics: Metrics,
        health: Health,
        workers: int,
        backoff: Backoff,
    ) -> None:
        self._spool = spool
        self._metrics = metrics
        self._health = health
        self._backoff = backoff
        self._fresh: deque[Delivery] = deque()
        self._waiting: list[_Waiting] = []
        self._order = itertools.count()
        self._busy = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._random = random.Random()  # noqa: S311  (jitter, no secret)
        uploaders = [make_uploader() for _ in range(workers)]
        self._threads = [
            threading.Thread(target=self._work, args=(u,), name=f"upload-{i}", daemon=True)
            for i, u in enumerate(uploaders)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        """Queue events for delivery now."""
        with self._changed:
            self._fresh.extend(deliveries)
            self._changed.notify(len(deliveries))

    def submit_later(self, deliveries: Sequence[Delivery], *, wait_s: float) -> None:
        """Queue events for delivery after a while."""
        due = time.monotonic() + wait_s
        with self._changed:
            for delivery in deliveries:
                heapq.heappush(self._waiting, _Waiting(due, next(self._order), delivery))
            self._changed.notify_all()

    def drain(self, timeout_s: float | None = None) -> bool:
        """Wait until nothing is queued or under way; False if that took too long."""
        with self._changed:
            return self._changed.wait_for(self._is_idle, timeout_s)

    def stop(self, timeout_s: float) -> None:
        """Finish what is under way, start nothing more; what is left stays in the spool."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _is_idle(self) -> bool:
        return not (self._fresh or self._waiting or self._busy)

    def _work(self, uploader: Uploader) -> None:
        uploader.prepare()
        while (delivery := self._next()) is not None:
            again = self._attempt(uploader, delivery)
            with self._changed:
                self._busy -= 1
                if again is not None:
                    heapq.heappush(self._waiting, again)
                self._changed.notify_all()
        uploader.close()

    def _next(self) -> Delivery | None:
        """Wait for the next delivery that is due; None when stopping."""
        with self._changed:
            while not self._stopping:
                wait_s = self._waiting[0].due - time.monotonic() if self._waiting else None
                if self._fresh:
                    delivery = self._fresh.popleft()
                elif wait_s is not None and wait_s <= 0:
                    delivery = heapq.heappop(self._waiting).delivery
                else:
                    self._changed.wait(wait_s)
                    continue
                self._busy += 1
                return delivery
            return None

    def _attempt(self, uploader: Uploader, delivery: Delivery) -> _Waiting | None:
        """Deliver once; return what to try again, and when."""
        event_id = delivery.event_id
        try:
            outcome = uploader.deliver(
                event_id,
                delivery.content,
                look_first=delivery.look_first,
                on_send=lambda: self._measure(delivery),
            )
        except Refused as error:
            self._metrics.uploads.labels(outcome="refused").inc()
            self._mark(self._spool.refused, event_id, str(error))
            self._health.report("gracedb", f"{event_id} refused: {error}")
            log.error("upload.refused", event_id=event_id, error=str(error))  # noqa: TRY400  (no trace: the server spoke)
            return None
        except Unreachable as error:
            return self._again(delivery, error)
        except Exception as error:  # noqa: BLE001  (a worker outlives whatever a library raises)
            unforeseen = Unreachable(f"{type(error).__name__}: {error}", cause="unforeseen")
            return self._again(delivery, unforeseen)
        self._metrics.uploads.labels(outcome=outcome).inc()
        self._mark(self._spool.done, event_id)
        self._health.clear("gracedb")
        log.info("upload.done", event_id=event_id, outcome=outcome, attempts=delivery.attempts + 1)
        return None

    def _measure(self, delivery: Delivery) -> None:
        if delivery.read_tick is not None and not delivery.attempts:
            self._metrics.latency.observe(time.perf_counter() - delivery.read_tick)

    def _again(self, delivery: Delivery, error: Unreachable) -> _Waiting:
        attempts = delivery.attempts + 1
        grown_s = self._backoff.wait_s(attempts, jitter=self._random.random())
        wait_s = max(grown_s, error.wait_s)
        self._metrics.retries.labels(cause=error.cause).inc()
        self._mark(self._spool.postponed, delivery.event_id, attempts, str(error))
        self._health.report("gracedb", str(error))
        log.warning(
            "upload.postponed",
            event_id=delivery.event_id,
            attempts=attempts,
            wait_s=round(wait_s, 3),
            error=str(error),
        )
        return _Waiting(
            due=time.monotonic() + wait_s,
            order=next(self._order),
            delivery=replace(delivery, attempts=attempts, look_first=True),
        )

    def _mark(self, mark: Callable[..., None], *values: object) -> None:
        """Write down what became of an event; a mark lost only costs a look at GraceDB later."""
        try:
            mark(*values)
        except sqlite3.Error as error:
            self._health.report("spool", f"cannot write to the spool: {error}")
