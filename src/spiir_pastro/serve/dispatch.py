"""Delivering accepted events to GraceDB: a few workers that share one queue, nothing twice."""

import random
import sqlite3
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Protocol

import structlog

from spiir_pastro.errors import PastroError
from spiir_pastro.serve.clock import Clock, SystemClock
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.queueing import Backoff, Delivery, DeliveryQueue
from spiir_pastro.serve.spool import Spool
from spiir_pastro.serve.unexpected_errors import unforeseen
from spiir_pastro.serve.upload import P_ASTRO, PROPERTIES, EventFile, Kind, Unanswered, Uploader

log = structlog.get_logger(__name__)

SILENT_S = 4.0
"""Seconds without an answer of GraceDB that are a problem to be told."""


class Duty(Protocol):
    """Whether this host is the one that answers."""

    must_look: bool
    """Whether another host may have answered, so that GraceDB is looked at each time."""

    def is_ours(self) -> bool:
        """Whether a file may be sent at this moment."""


class Alone:
    """The duty of a host that has no other."""

    must_look = False

    def is_ours(self) -> bool:
        """Say yes."""
        return True


class _Held(PastroError):  # noqa: N818  (an outcome, named as one)
    """Another host is on duty; the file was not sent."""


class Dispatcher:
    """Workers, each with its own uploader, and the queue they share."""

    def __init__(  # noqa: PLR0913  (parts meet here)
        self,
        make_uploader: Callable[[], Uploader],
        *,
        spool: Spool,
        metrics: Metrics,
        health: Health,
        workers: int,
        backoff: Backoff,
        clock: Clock | None = None,
        duty: Duty | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._spool = spool
        self._metrics = metrics
        self._health = health
        self._clock = clock or SystemClock()
        self._duty = duty or Alone()
        self._queue = DeliveryQueue(backoff)
        self._unmarked: list[tuple[Callable[..., None], tuple[object, ...]]] = []
        self._stopping = False
        self._begun: dict[str, float] = {}  # of what is under way
        self._health.watch("gracedb", self._silence)
        self._changed = self._clock.condition()
        self._jitter = jitter
        uploaders = [make_uploader() for _ in range(workers)]
        self._workers = [
            self._clock.spawn(lambda uploader=uploader: self._work(uploader), name=f"upload-{i}")  # type: ignore[misc]
            for i, uploader in enumerate(uploaders)
        ]

    def submit(self, deliveries: Sequence[Delivery]) -> None:
        """Queue events for delivery now."""
        with self._changed:
            self._queue.add(deliveries)
            self._changed.notify_all()

    def submit_later(self, deliveries: Sequence[Delivery], *, wait_s: float) -> None:
        """Queue events for delivery after a while."""
        with self._changed:
            self._queue.add_later(deliveries, due=self._clock.monotonic_s() + wait_s)
            self._changed.notify_all()

    def wake(self) -> None:
        """Have what waits tried again: something has changed for the better."""
        with self._changed:
            self._queue.wake(self._clock.monotonic_s())
            self._changed.notify_all()

    def drain(self, timeout_s: float) -> bool:
        """Wait until nothing is queued or under way; False if that took too long."""
        deadline = self._clock.monotonic_s() + timeout_s
        with self._changed:
            while not self._queue.is_idle():
                left_s = deadline - self._clock.monotonic_s()
                if left_s <= 0.0:
                    return False
                self._changed.wait(left_s)
            return True

    def stop(self, timeout_s: float) -> None:
        """Finish what is under way, start nothing more; what is left stays in the spool."""
        deadline = self._clock.monotonic_s() + timeout_s
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for worker in self._workers:
            worker.join(max(0.0, deadline - self._clock.monotonic_s()))

    def mark_again(self) -> None:
        """Write down what could not be written when it happened; sqlite3.Error if it cannot yet."""
        while self._unmarked:
            mark, values = self._unmarked[0]
            mark(*values)
            self._unmarked.pop(0)

    def _work(self, uploader: Uploader) -> None:
        uploader.prepare()
        while (delivery := self._next()) is not None:
            # The request takes seconds, so it is made without the lock; what came of it is told
            # under it.
            self._begun[delivery.event_id] = self._clock.monotonic_s()
            settle = self._attempt(uploader, delivery)
            del self._begun[delivery.event_id]
            with self._changed:
                settle()
                self._report()
                self._changed.notify_all()
        uploader.close()

    def _silence(self) -> str | None:
        """Say that GraceDB keeps somebody waiting, before it is given up."""
        asked = min(self._begun.copy().items(), key=itemgetter(1), default=None)
        if asked is None or (waited_s := self._clock.monotonic_s() - asked[1]) < SILENT_S:
            return None
        return f"no answer about {asked[0]} for {waited_s:.0f} s"

    def _next(self) -> Delivery | None:
        """Wait for the next delivery that is due; None when stopping."""
        with self._changed:
            while not self._stopping:
                delivery = self._queue.take(self._clock.monotonic_s())
                if delivery is not None:
                    return delivery
                self._changed.wait(self._queue.wait_s(self._clock.monotonic_s()))
            return None

    def _attempt(self, uploader: Uploader, delivery: Delivery) -> Callable[[], object]:
        """Deliver once; return what to tell the queue."""
        try:
            with unforeseen(_unforeseen, but=(_Held, Unanswered)):
                if delivery.outcome is None:
                    outcome = uploader.deliver(
                        _file(delivery, delivery.content),
                        look_first=delivery.look_first or self._duty.must_look,
                        on_send=lambda: self._before_sending(delivery),
                    )
                    # Told here, so that what fails from now on is not about this file.
                    delivery = replace(delivery, outcome=outcome)
                self._put_properties(uploader, delivery)
        except _Held:
            return lambda: self._queue.held(
                delivery, self._clock.monotonic_s(), jitter=self._jitter()
            )
        except Unanswered as error:
            return self._again(delivery, error)
        self._metrics.uploads.labels(outcome=delivery.outcome).inc()
        self._mark(self._spool.done, delivery.event_id, delivery.outcome, delivery.revision)
        log.info(
            "upload.done",
            event_id=delivery.event_id,
            outcome=delivery.outcome,
            attempts=delivery.attempts + 1,
            model=delivery.model,
            revision=delivery.revision,
        )
        return lambda: self._queue.succeeded(delivery, self._clock.monotonic_s())

    def _put_properties(self, uploader: Uploader, delivery: Delivery) -> None:
        """Put the properties beside the probabilities, if there are any."""
        if delivery.properties is None:
            return
        outcome = uploader.deliver(
            _file(delivery, delivery.properties, kind=PROPERTIES),
            # Other probabilities may come with the same properties.
            look_first=delivery.look_first or self._duty.must_look or delivery.revision > 0,
            on_send=self._require_duty,
        )
        log.info("properties.done", event_id=delivery.event_id, outcome=outcome)

    def _require_duty(self) -> None:
        if not self._duty.is_ours():
            raise _Held("another host is on duty")

    def _before_sending(self, delivery: Delivery) -> None:
        self._require_duty()
        if delivery.read_tick is not None and not delivery.attempts:
            self._metrics.latency.observe(time.perf_counter() - delivery.read_tick)

    def _again(self, delivery: Delivery, error: Unanswered) -> Callable[[], object]:
        attempts = delivery.attempts + 1
        self._metrics.retries.labels(cause=error.cause).inc()
        self._mark(self._spool.postponed, delivery.event_id, attempts, str(error))

        def fail() -> None:
            now = self._clock.monotonic_s()
            wait_s = self._queue.failed(delivery, error, now, jitter=self._jitter())
            log.warning(
                "upload.postponed",
                event_id=delivery.event_id,
                attempts=attempts,
                wait_s=round(wait_s, 3),
                error=str(error),
            )

        return fail

    def _report(self) -> None:
        """Say what is wrong with deliveries, or that nothing is."""
        failing = self._queue.failing()
        if not failing:
            self._health.clear("gracedb")
            return
        event_id, error = next(reversed(failing.items()))
        others = f" and {len(failing) - 1} more" if len(failing) > 1 else ""
        self._health.report("gracedb", f"{event_id}{others} not taken: {error}")

    def _mark(self, mark: Callable[..., None], *values: object) -> None:
        """Write down what became of an event, or try so again later."""
        try:
            mark(*values)
        except sqlite3.Error as error:
            self._unmarked.append((mark, values))
            self._health.report("spool", f"cannot write to the spool: {error}")


def _file(delivery: Delivery, content: bytes, *, kind: Kind = P_ASTRO) -> EventFile:
    return EventFile(
        event_id=delivery.event_id,
        content=content,
        kind=kind,
        model=delivery.model,
        replaces=delivery.revision > 0,
    )


def _unforeseen(said: str) -> Unanswered:
    """Take whatever a library raises for a failure that may pass: a worker must outlive it."""
    return Unanswered(said, cause="unforeseen")
