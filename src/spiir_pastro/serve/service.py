"""The alert service: alerts in, source probabilities on GraceDB, each once.

The order of the steps is what makes it safe to be killed anywhere::

    read -> decide -> spool (synced to disk) -> deliver -> mark done
                      '-> tell the broker how far we are

Before the spool has an event, the broker gives its alert again; after, the spool does, and whatever
is found pending at a start is looked for on GraceDB before it is sent. So is an event whose alert
is older than this process: an earlier life with another spool may have answered it.
"""

import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from spiir_pastro.serve.config import Settings
from spiir_pastro.serve.decide import Decision, Skip, SkipReason, Upload, decide
from spiir_pastro.serve.dispatch import Backoff, Delivery, Dispatcher
from spiir_pastro.serve.drift import Drift, Rate, compare, expected_rates
from spiir_pastro.serve.gracedb import Uploader
from spiir_pastro.serve.page import Status, duration, utc
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.source import Message, Source
from spiir_pastro.serve.spool import DeadLetters, Record, Spool

__all__ = ["Service"]

log = structlog.get_logger(__name__)

POLL_S = 0.2
HOUSEKEEPING_S = 2.0
CLOCK_SKEW_S = 5.0
STOP_S = 1.5
SPOOL_RETRY_S = 1.0
_DAY_S = 86_400.0


class Service:
    """Joins the parts and turns the loop.

    Parameters
    ----------
    settings
        Checked settings.
    model
        The models in use.
    source
        Where alerts come from.
    make_uploader
        Makes one uploader for each worker.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        model: Models,
        source: Source,
        make_uploader: Callable[[], Uploader],
    ) -> None:
        self.settings = settings
        self.model = model
        self.metrics = model.metrics
        self.health = model.health
        self.started_at = time.time()
        folder = Path(settings.spool)
        self.spool = Spool(folder)
        self.letters = DeadLetters(folder / "dead-letters")
        self._source = source
        self._stop = threading.Event()
        self._reload = threading.Event()
        self._housekeeping_at = 0.0
        gracedb = settings.gracedb
        self._dispatcher = Dispatcher(
            make_uploader,
            spool=self.spool,
            metrics=self.metrics,
            health=self.health,
            workers=gracedb.workers,
            backoff=Backoff(base_s=gracedb.retry_base_s, limit_s=gracedb.retry_limit_s),
        )

    def stop(self) -> None:
        """Ask the loop to end; safe in a signal handler."""
        self._stop.set()

    def reload(self) -> None:
        """Ask for the model to be read again and refused events to be retried; signal-safe."""
        self._reload.set()

    def run(self) -> dict[str, int]:
        """Serve until told to stop, or until the source has no more.

        Returns
        -------
        dict
            How many events of the spool are pending, done and refused, and how many payloads are
            in the dead-letter folder.
        """
        self._resume()
        log.info("service.started", model=self.model.own.name)
        try:
            while not self._stop.is_set():
                self._keep_house()
                messages = self._source.poll(POLL_S)
                if messages is None:
                    self._drain()
                    break
                if messages:
                    self._take(messages)
            self._dispatcher.stop(STOP_S)
            counts = self.spool.counts() | {"dead_letters": len(self.letters)}
            log.info("service.stopped", **counts)
            return counts
        finally:
            self._source.close()
            self.spool.close()

    def _drain(self) -> None:
        """Wait for the deliveries under way, however long GraceDB takes."""
        while not (self._dispatcher.drain(POLL_S) or self._stop.is_set()):
            self._keep_house()

    def status(self) -> Status:
        """Return what the status page shows."""
        counts = self.spool.counts()
        records = self.spool.latest(25)
        kafka = self.settings.kafka
        return Status(
            problems=self.health.problems(),
            facts={
                "alerts of": f"{kafka.group}: {', '.join(kafka.topics)}",
                "to": self.settings.gracedb.api,
                "model": self.model.own.name,
                "up since": utc(self.started_at),
            },
            figures={
                "events on GraceDB": f"{counts['done']}",
                "waiting in the spool": f"{counts['pending']}",
                "refused by GraceDB": f"{counts['refused']}",
                "dead letters": f"{len(self.letters)}",
                "alert read to answered, median": _median_answer(records),
            },
            records=records,
            drift=self._drift(),
        )

    def _resume(self) -> None:
        """Take up what an earlier life left; any of it may be on GraceDB already."""
        self.spool.reopen()
        left = self.spool.pending()
        if left:
            log.info("spool.resumed", events=len(left))
        self._dispatcher.submit_later(
            [_redelivery(record) for record in left], wait_s=self._settling_s()
        )

    def _settling_s(self) -> float:
        """Seconds until GraceDB must be through with what an earlier life asked of it."""
        return max(0.0, self.started_at + self.settings.gracedb.settle_s - time.time())

    def _take(self, messages: Sequence[Message]) -> None:
        """Deal with a batch durably, then let the source know."""
        read_at, read_tick = time.time(), time.perf_counter()
        self.metrics.last_alert.set(read_at)
        uploads: dict[str, tuple[Upload, Message]] = {}
        for message in messages:
            self.metrics.alerts.labels(topic=message.topic).inc()
            if message.published_at is not None:
                self.metrics.age.observe(max(0.0, read_at - message.published_at))
            decision = self._decide(message)
            match decision:
                case Upload():
                    event_id = decision.trigger.event_id
                    if event_id in uploads:
                        self._count_duplicate(event_id)
                    uploads.setdefault(event_id, (decision, message))
                case Skip():
                    self._skip(decision, message)
            self.metrics.decision.observe(time.perf_counter() - read_tick)
        if self._durably(lambda: self._accept(uploads, read_at, read_tick)):
            self._source.done(messages)

    def _decide(self, message: Message) -> Decision:
        if message.is_test:
            return Skip(reason=SkipReason.TEST_MESSAGE)
        try:
            return decide(message.payload, self.model.choose)
        except Exception as error:
            # One alert must not end the service, whatever a model raises on it.
            log.exception("alert.crashed", topic=message.topic)
            return Skip(reason=SkipReason.CRASHED, detail=f"{type(error).__name__}: {error}")

    def _skip(self, skip: Skip, message: Message) -> None:
        reason = skip.reason
        self.metrics.skipped.labels(reason=reason).inc()
        if not reason.is_dead_letter:
            log.info("alert.skipped", uid=skip.uid, reason=reason, topic=message.topic)
            return
        self.metrics.dead_letters.labels(reason=reason).inc()
        self._durably(lambda: self.letters.keep(message.payload))
        log.warning(
            "alert.dead_letter",
            uid=skip.uid,
            reason=reason,
            detail=skip.detail[:500],
            topic=message.topic,
            file=self.letters.name(message.payload),
        )

    def _accept(
        self, uploads: dict[str, tuple[Upload, Message]], read_at: float, read_tick: float
    ) -> None:
        """Spool events and hand on those not known before."""
        if not uploads:
            return
        accepted = self.spool.accept([upload for upload, _ in uploads.values()], read_at=read_at)
        new = {upload.trigger.event_id for upload in accepted}
        for event_id in uploads:
            if event_id not in new:
                self._count_duplicate(event_id)
        deliveries = [
            Delivery(
                event_id=upload.trigger.event_id,
                content=upload.content,
                look_first=self._is_old(uploads[upload.trigger.event_id][1]),
                read_tick=read_tick,
            )
            for upload in accepted
        ]
        self._dispatcher.submit([d for d in deliveries if not d.look_first])
        self._dispatcher.submit_later(
            [d for d in deliveries if d.look_first], wait_s=self._settling_s()
        )

    def _is_old(self, message: Message) -> bool:
        """Whether an alert may have been answered by an earlier life of the service."""
        published_at = message.published_at
        return published_at is None or published_at < self.started_at + CLOCK_SKEW_S

    def _count_duplicate(self, event_id: str) -> None:
        self.metrics.duplicates.inc()
        log.info("alert.duplicate", event_id=event_id)

    def _durably(self, write: Callable[[], object]) -> bool:
        """Write until it succeeds, for what is not on disk must not be committed.

        False if the service was told to stop first; the alerts then come again.
        """
        while True:
            try:
                write()
            except (sqlite3.Error, OSError) as error:
                self.health.report("spool", f"cannot write to {self.spool.folder}: {error}")
            else:
                self.health.clear("spool")
                return True
            self.health.beat()
            if self._stop.wait(SPOOL_RETRY_S):
                return False

    def _keep_house(self) -> None:
        """Look after the model, the metrics, drift and old events, every few seconds."""
        self.health.beat()
        forced = self._reload.is_set()
        self.model.refresh(forced=forced)
        if time.monotonic() < self._housekeeping_at and not forced:
            return
        self._housekeeping_at = time.monotonic() + HOUSEKEEPING_S
        self._reload.clear()
        if forced:
            self._dispatcher.submit([_redelivery(record) for record in self.spool.reopen()])
        try:
            self._keep_count()
            self._judge_drift()
            self.spool.forget(before=time.time() - self.settings.keep_days * _DAY_S)
        except sqlite3.Error as error:
            self.health.report("spool", f"cannot read {self.spool.folder}: {error}")

    def _keep_count(self) -> None:
        """Bring the gauges up to date."""
        counts = self.spool.counts()
        for state, count in counts.items():
            self.metrics.spool.labels(state=state).set(count)
        oldest = self.spool.oldest_pending()
        self.metrics.oldest.set(0.0 if oldest is None else time.time() - oldest)
        self.metrics.letters.set(len(self.letters))
        if self.letters.is_full:
            self.health.report("dead-letters", f"{self.letters.folder} is full; nothing is kept")
        problems = self.health.problems()
        self.metrics.healthy.set(not problems)
        self.metrics.problem.clear()
        for part in problems:
            self.metrics.problem.labels(part=part).set(1)

    def _judge_drift(self) -> None:
        """Tell the metrics what was seen, what was expected, and where they part."""
        for count in self._drift():
            self.metrics.observed.labels(what=count.what).set(count.observed)
            if count.expected is not None:
                self.metrics.expected.labels(what=count.what).set(count.expected)
                self.metrics.drift.labels(what=count.what).set(count.has_parted)

    def _drift(self) -> list[Drift]:
        """Compare the events of the window with what the model expects."""
        settings = self.settings.drift
        now = time.time()
        since = max(now - settings.window_days * _DAY_S, self.spool.made_at)
        named = {what: Rate.exactly(rate) for what, rate in settings.per_day.items()}
        return compare(
            self.spool.assessed_since(since),
            expected_rates(self.model.own.assessor) | named,
            days=(now - since) / _DAY_S,
            false_alarm_probability=settings.false_alarm_probability,
        )


def _median_answer(records: Sequence[Record]) -> str:
    answers = [r.done_at - r.read_at for r in records if r.done_at is not None]
    return duration(statistics.median(answers)) if answers else "–"


def _redelivery(record: Record) -> Delivery:
    return Delivery(
        event_id=record.event_id,
        content=record.content,
        look_first=True,
        attempts=record.attempts,
    )
