"""The alert service: alerts in, source probabilities on GraceDB, each once.

The order of the steps is what makes it safe to be killed anywhere::

    read -> decide -> spool (synced to disk) -> deliver -> mark done
                      '-> tell the broker how far we are

Before the spool has an event, the broker gives its alert again; after, the spool does, and whatever
is found pending at a start is looked for on GraceDB before it is sent. So is an event whose alert,
or its twin on another topic, may be older than this process: an earlier one, whose spool was lost,
may have answered it.
"""

import random
import sqlite3
import statistics
import time
from collections import Counter
from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from functools import partial

import structlog

from spiir_pastro.domain.times import DAY_S
from spiir_pastro.errors import PastroError, TriggerError
from spiir_pastro.io.alerts import ALL_SKY
from spiir_pastro.serve.alert_source import Source
from spiir_pastro.serve.clock import Clock, SystemClock
from spiir_pastro.serve.consumer import Message
from spiir_pastro.serve.dead_letters import DeadLetters
from spiir_pastro.serve.decide import Decision, Skip, SkipReason, Upload, decide
from spiir_pastro.serve.dispatch import Dispatcher, Duty
from spiir_pastro.serve.drift import Drift, Rate, compare
from spiir_pastro.serve.gauges import Gauges
from spiir_pastro.serve.gracedb_client import GraceDB
from spiir_pastro.serve.queueing import Backoff, Delivery
from spiir_pastro.serve.running_counts import SETTLED_S
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.settings import Settings
from spiir_pastro.serve.spool import Record, Spool
from spiir_pastro.serve.spool_file import SPOOL_ERRORS, SpoolDamaged, is_damage
from spiir_pastro.serve.standby import Standby
from spiir_pastro.serve.status_page import Status, duration, utc
from spiir_pastro.serve.sweeps import SWEPT, Backfiller, BackfillPlan, redelivery
from spiir_pastro.serve.unexpected_errors import unforeseen
from spiir_pastro.serve.upload import Uploader

log = structlog.get_logger(__name__)

POLL_S = 0.2
HOUSEKEEPING_S = 2.0
STOP_S = 1.5
LETTERS_S = 0.05
SPOOL_RETRY_S = 1.0
_HOUR_S = 3600.0
_COUNTED_AT = "counted_at"
"""The spool's note of when candidates were last added to the counts."""


class Service:
    """Joins the parts and turns the loop.

    Parameters
    ----------
    spool
        What must not be lost; closed at the end.
    make_uploader
        Makes one uploader for each worker.
    duty
        Whether this host is the one that answers; None if there is no other.
    jitter
        Draws from [0, 1), to spread what is tried again.
    """

    def __init__(  # noqa: PLR0913  (parts meet here)
        self,
        settings: Settings,
        *,
        spool: Spool,
        model: Models,
        source: Source,
        make_uploader: Callable[[], Uploader],
        clock: Clock | None = None,
        duty: Duty | None = None,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.model = model
        self.metrics = model.metrics
        self.health = model.health
        self.clock = clock or SystemClock()
        self.started_at = self.clock.wall_s()
        self._started = self.clock.monotonic_s()
        self.spool = spool
        self.letters = DeadLetters(spool.folder / "dead-letters", disk=spool.file.disk)
        self._unanswered = self.letters.names()
        self.health.watch("dead-letters", self.letters.problem)
        self.metrics.registry.register(
            Gauges(
                spool=spool,
                letters=self.letters,
                health=self.health,
                drift=self._drift,
                wall_s=self.clock.wall_s,
            )
        )
        self._source = source
        self._stop = self.clock.flag()
        self._reload = self.clock.flag()
        self._counting = self.clock.flag()
        self._is_count_due = False
        self._housekeeping_at = 0.0
        gracedb = settings.gracedb
        self._dispatcher = Dispatcher(
            make_uploader,
            spool=self.spool,
            metrics=self.metrics,
            health=self.health,
            workers=gracedb.workers,
            backoff=Backoff(base_s=gracedb.retry_base_s, limit_s=gracedb.retry_limit_s),
            clock=self.clock,
            duty=duty,
            jitter=jitter,
        )

    def search_gracedb(self, gracedb: GraceDB, plan: BackfillPlan) -> None:
        """Have GraceDB searched for events without an answer, beside everything else."""
        backfiller = self.backfiller(gracedb, plan)
        self.clock.spawn(lambda: backfiller.run(self._stop), name="backfill")

    def stand_by(self, standby: Standby) -> None:
        """Keep the place beside another host, beside everything else."""
        self.clock.spawn(lambda: standby.run(self._stop, self._dispatcher.wake), name="standby")

    def backfiller(self, gracedb: GraceDB, plan: BackfillPlan) -> Backfiller:
        """Make what searches GraceDB for events without an answer."""
        return Backfiller(
            gracedb,
            plan,
            spool=self.spool,
            decide=self._decided,
            # What a reader of GraceDB does not see yet may have been written a moment ago.
            submit=partial(self._dispatcher.submit_later, wait_s=self.settings.gracedb.settle_s),
            health=self.health,
            metrics=self.metrics,
            clock=self.clock,
        )

    def stop(self) -> None:
        """Ask the loop to end; safe in a signal handler."""
        self._stop.set()

    def reload(self) -> None:
        """Ask for the model to be read again and what waits to be tried again; signal-safe."""
        self._reload.set()

    def run(self) -> dict[str, int]:
        """Serve until told to stop, or until the source has no more.

        Returns how many events of the spool are pending and done, and how many ``dead_letters``
        there are.
        """
        log.info("service.started", model=self.model.own.name)
        try:
            self._resume()
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
        except SPOOL_ERRORS as error:
            self._report_spool(error)  # of damage that only a read came upon
            raise
        else:
            return counts
        finally:
            self._dispatcher.stop(0.0)
            self._source.close()
            with suppress(sqlite3.Error):
                self.spool.close()

    def _drain(self) -> None:
        """Wait for the deliveries under way, however long GraceDB takes."""
        while not (self._dispatcher.drain(POLL_S) or self._stop.is_set()):
            self._keep_house()

    def status(self, *, model: str = "") -> Status:
        """Return what the status page shows; of events, those one model answered if it is named."""
        counts = self.spool.counts()
        records = self.spool.latest(25, model=model)
        kafka = self.settings.kafka
        return Status(
            problems=self.health.problems(),
            facts={
                "alerts of": f"{kafka.group}: {', '.join(kafka.topics)}",
                "to": self.settings.gracedb.api,
                "up since": utc(self.started_at),
            },
            figures={
                "events on GraceDB": f"{counts['done']}",
                "waiting in the spool": f"{counts['pending']}",
                "dead letters": f"{len(self.letters)}",
                "alert read to answered, median": _median_answer(records),
            },
            models=self.model.in_use,
            records=records,
            drift=self._drift(),
        )

    def _resume(self) -> None:
        """Take up what an earlier process left; any of it may be on GraceDB already."""
        if self.spool.salvaged is not None or self.spool.spoiled:
            self._tell_of_damage()
        left = self.spool.pending()
        if left:
            log.info("spool.resumed", events=len(left))
        self._dispatcher.submit_later(
            [redelivery(record) for record in left], wait_s=self._settling_s()
        )

    def _tell_of_damage(self) -> None:
        """Say what a damaged spool has lost, and have GraceDB searched for it."""
        salvaged = self.spool.salvaged
        log.error(
            "spool.salvaged",
            reason=None if salvaged is None else salvaged.reason,
            events=None if salvaged is None else salvaged.events,
            kept=None if salvaged is None else str(salvaged.kept),
            spoiled=self.spool.spoiled,
        )
        self._durably(lambda: self.spool.forget_fact(SWEPT))

    def _settling_s(self) -> float:
        """Seconds until GraceDB must have finished what an earlier process requested."""
        running_s = self.clock.monotonic_s() - self._started
        return max(0.0, self.settings.gracedb.settle_s - running_s)

    def _take(self, messages: Sequence[Message]) -> None:
        """Deal with a batch durably, then let the source know."""
        read_at, read_tick = self.clock.wall_s(), time.perf_counter()
        self.metrics.last_alert.set(read_at)
        uploads: list[Upload] = []
        old: set[str] = set()
        letters: list[bytes] = []
        for message in messages:
            self.metrics.alerts.labels(topic=message.topic).inc()
            if message.published_at is not None:
                self.metrics.age.observe(max(0.0, read_at - message.published_at))
            decision = self._decide(message)
            match decision:
                case Upload():
                    uploads.append(decision)
                    if message.is_old or decision.is_answered:
                        old.add(decision.trigger.event_id)
                case Skip():
                    self._skip(decision, message)
                    if decision.reason.is_dead_letter:
                        letters.append(message.payload)
            self.metrics.decision.observe(time.perf_counter() - read_tick)
        places = {(m.topic, m.number): m.offset + 1 for m in messages}
        accepted: list[Upload] = []

        def write() -> None:
            # Before the offsets: once those are on disk the broker does not give the alert again.
            for letter in letters:
                self.letters.keep(letter)
            accepted[:] = self.spool.accept(
                uploads, read_at=read_at, places=places, updates=self.settings.updates
            )

        if self._durably(write):
            self._count_duplicates(uploads, accepted)
            self._deliver(accepted, old, read_tick)
            self._source.done(messages)

    def _decide(self, message: Message) -> Decision:
        if message.is_test:
            return Skip(reason=SkipReason.TEST_MESSAGE)
        return self._decided(message.payload)

    def _decided(self, payload: bytes | dict[str, object]) -> Decision:
        try:
            with unforeseen(PastroError, but=()):
                return decide(
                    payload,
                    self.model.choose,
                    updates=self.settings.updates,
                    properties=self.settings.gracedb.properties,
                )
        except PastroError as error:
            # One alert must not end the service, whatever a model raises on it.
            log.exception("alert.crashed")
            return Skip(reason=SkipReason.CRASHED, detail=str(error))

    def _skip(self, skip: Skip, message: Message) -> None:
        reason = skip.reason
        self.metrics.skipped.labels(reason=reason).inc()
        if not reason.is_dead_letter:
            log.info("alert.skipped", uid=skip.uid, reason=reason, topic=message.topic)
            return
        self.metrics.dead_letters.labels(reason=reason).inc()
        log.warning(
            "alert.dead_letter",
            uid=skip.uid,
            reason=reason,
            detail=skip.detail[:500],
            topic=message.topic,
            file=self.letters.name(message.payload),
        )

    def _deliver(
        self,
        accepted: Sequence[Upload],
        old: Container[str],
        read_tick: float | None,
    ) -> None:
        """Hand on what was accepted; what may have been answered before is looked for first."""
        deliveries = [
            Delivery(
                event_id=upload.trigger.event_id,
                content=upload.content,
                model=upload.model,
                properties=upload.properties,
                revision=upload.revision,
                look_first=upload.trigger.event_id in old,
                read_tick=read_tick,
            )
            for upload in accepted
        ]
        self._dispatcher.submit([d for d in deliveries if not d.look_first])
        self._dispatcher.submit_later(
            [d for d in deliveries if d.look_first], wait_s=self._settling_s()
        )

    def _count_duplicates(self, uploads: Sequence[Upload], accepted: Sequence[Upload]) -> None:
        """Tell of alerts that said nothing new of their events."""
        told = Counter(upload.trigger.event_id for upload in uploads)
        told.subtract(upload.trigger.event_id for upload in accepted)
        for event_id in told.elements():
            self.metrics.duplicates.inc()
            log.info("alert.duplicate", event_id=event_id)

    def _durably(self, write: Callable[[], object]) -> bool:
        """Write until it succeeds, for what is not on disk must not be committed.

        False if the service was told to stop first; the alerts then come again.
        """
        while True:
            try:
                write()
            except SPOOL_ERRORS as error:
                self._report_spool(error)
            else:
                self.health.clear("spool")
                return True
            self.health.beat()
            if self._stop.wait(SPOOL_RETRY_S):
                return False

    def _report_spool(self, error: Exception) -> None:
        """Say that the spool cannot be written; a damaged one ends the service.

        The next start salvages what is left of it.
        """
        if is_damage(error):
            self.spool.file.suspect(str(error))
            raise SpoolDamaged(f"{self.spool.file.path}: {error}") from error
        self.health.report("spool", f"cannot write to {self.spool.folder}: {error}")

    def _keep_house(self) -> None:
        """Look after the model, the metrics, drift and old events, every few seconds."""
        self.health.beat()
        forced = self._reload.is_set()
        if self.model.refresh(forced=forced):
            self._unanswered = self.letters.names()
            self._is_count_due = True
        self._answer_letters()
        now = self.clock.monotonic_s()
        if now < self._housekeeping_at and not forced:
            return
        self._housekeeping_at = now + HOUSEKEEPING_S
        self._reload.clear()
        if forced:
            self._dispatcher.wake()
        try:
            self.spool.check()
            self._dispatcher.mark_again()
            self.spool.forget(before=self.clock.wall_s() - self.settings.keep_days * DAY_S)
            self._count_when_due()
        except SPOOL_ERRORS as error:
            self._report_spool(error)
        else:
            self.health.clear("spool")

    def _count_when_due(self) -> None:
        """Have the counts go on beside the loop, as often as the settings say.

        However the clock steps: nothing is counted twice.
        """
        every_s = _HOUR_S * self.settings.counts.update_hours
        if not every_s or self._counting.is_set():
            return
        last, now = self.spool.fact(_COUNTED_AT), self.clock.wall_s()
        if last is not None and abs(now - last) < every_s and not self._is_count_due:
            return
        self._is_count_due = False
        self._counting.set()
        self.clock.spawn(self._count, name="counts")

    def _count(self) -> None:
        now = self.clock.wall_s()
        try:
            settled = self.spool.candidates(ALL_SKY, read_before=now - SETTLED_S)
            self.model.count(settled)
            self.spool.note(_COUNTED_AT, now)
        except (*SPOOL_ERRORS, TriggerError) as error:  # a damaged row reads as no trigger
            log.warning("counts.postponed", error=str(error))
        finally:
            self._counting.clear()

    def _answer_letters(self) -> None:
        """Try a few dead letters again, with the models that are in use by now."""
        until = time.perf_counter() + LETTERS_S
        while self._unanswered and time.perf_counter() < until:
            name = self._unanswered.pop()
            payload = self.letters.read(name)
            if payload is not None and isinstance(upload := self._decided(payload), Upload):
                self._answer_letter(name, upload)

    def _answer_letter(self, name: str, upload: Upload) -> None:
        event_id = upload.trigger.event_id
        accepted: list[Upload] = []

        def write() -> None:
            accepted[:] = self.spool.accept(
                [upload], read_at=self.clock.wall_s(), updates=self.settings.updates
            )

        if self._durably(write):
            self._deliver(accepted, {event_id}, None)
            self.letters.remove(name)
            log.info("letter.answered", event_id=event_id, file=name, model=upload.model)

    def _drift(self) -> list[Drift]:
        """Compare the events of the window with what the model expects."""
        settings = self.settings.drift
        now = self.clock.wall_s()
        since = max(now - settings.window_days * DAY_S, self.spool.made_at)
        named = {what: Rate.exactly(rate) for what, rate in settings.per_day.items()}
        return compare(
            self.spool.assessed_since(since),
            dict(self.model.own.expected) | named,
            days=(now - since) / DAY_S,
            false_alarm_probability=settings.false_alarm_probability,
        )


def _median_answer(records: Sequence[Record]) -> str:
    answers = [r.done_at - r.read_at for r in records if r.done_at is not None]
    return duration(statistics.median(answers)) if answers else "–"
