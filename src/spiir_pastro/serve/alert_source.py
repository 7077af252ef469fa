"""Where alerts come from: IGWN Alert's Kafka, or files recorded earlier.

The read loop is ours, because igwn-alert's own commits an alert's offset before it is handled, and
ends on an exception; its names, groups and credentials are kept. How far each topic was read is the
spool's to know. The broker is told as well, and again now and then while nothing comes, for it
forgets a group that says nothing for a week.
"""

import math
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import structlog

from spiir_pastro.serve.clock import Clock, SystemClock
from spiir_pastro.serve.consumer import BrokerError, Consumer, Message
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.settings import KafkaSettings
from spiir_pastro.serve.spool import Place

log = structlog.get_logger(__name__)

BATCH = 100
RETRY_LIMIT_S = 10.0
LOOK_AGAIN_S = 15.0
COMMIT_S = 1.0
TWIN_S = 10.0
"""Seconds within which the alert of an event is published on all its topics."""
RENEW_S = 600.0
"""Seconds after which offsets are committed again."""

_ALL_DOWN = "_ALL_BROKERS_DOWN"


class Source(Protocol):
    """Alerts in batches, each given again until it is said to be done."""

    def poll(self, timeout_s: float) -> list[Message] | None:
        """Wait for alerts; an empty list if none came, None if none will come any more."""

    def done(self, messages: Sequence[Message]) -> None:
        """Say that these are durably dealt with."""

    def close(self) -> None:
        """Leave."""


class Places(Protocol):
    """Who knows how far each partition was read: the spool."""

    def offsets(self) -> dict[Place, int]:
        """Return the first offset not dealt with, of each partition ever read from."""

    def place(self, places: Mapping[Place, int]) -> None:
        """Write down durably where the reading of partitions begins."""


class FileSource:
    """Recorded alerts, a file each."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = list(paths)

    def poll(self, timeout_s: float) -> list[Message] | None:  # noqa: ARG002  (files do not wait)
        """Read the next files."""
        batch, self._paths = self._paths[:BATCH], self._paths[BATCH:]
        return [Message(topic="replay", payload=p.read_bytes()) for p in batch] or None

    def done(self, messages: Sequence[Message]) -> None:
        """Files need not be told."""

    def close(self) -> None:
        """Nothing is held."""


class KafkaSource:
    """The topics of one group of IGWN Alert.

    A broker that cannot be reached is no error: it is tried again, with back-off, and reported to
    ``health``.

    Parameters
    ----------
    connect
        Makes a consumer; it is given the function to report errors to.
    places
        How far each partition was read.
    since
        Unix time before which nothing is answered; None answers all the broker has. It counts for
        partitions that neither ``places`` nor the broker knows.
    shares_group
        Whether another host reads in the same consumer group: what it told the broker is not ours.
    """

    def __init__(  # noqa: PLR0913  (parts meet here)
        self,
        settings: KafkaSettings,
        connect: Callable[[Callable[[BrokerError], None]], Consumer],
        *,
        places: Places,
        since: float | None,
        health: Health,
        metrics: Metrics,
        clock: Clock | None = None,
        shares_group: bool = False,
    ) -> None:
        self._shares_group = shares_group
        self._broker = f"broker {settings.host}:{settings.port}"
        self._connect = connect
        self._places = places
        self._since = since
        self._health = health
        self._metrics = metrics
        self._clock = clock or SystemClock()
        self._wanted = [f"{settings.group}.{topic}" for topic in settings.topics]
        self._consumer: Consumer | None = None
        self._next: dict[Place, int] = {}
        self._new_from: dict[Place, int] = {}
        self._done: dict[Place, int] = {}
        self._is_broken = False
        self._failures = 0
        self._look_at = self._commit_at = self._began_at = 0.0

    def poll(self, timeout_s: float) -> list[Message] | None:
        """Wait for alerts, connecting first where need be."""
        now = self._clock.monotonic_s()
        if self._is_broken:
            self.close()
        try:
            if self._consumer is None:
                self._consumer = self._connect(self._on_error)
            if now >= self._look_at:
                self._look_around(self._consumer)
            if now >= self._commit_at:
                self._commit(self._consumer)
            messages = self._consumer.consume(BATCH, timeout_s)
        except BrokerError as error:
            self._on_error(error)
            return []
        if messages:
            self._failures = 0
            self._health.clear("kafka")
        return [self._placed(message) for message in messages]

    def done(self, messages: Sequence[Message]) -> None:
        """Have the offsets committed within a second."""
        # One commit a second at most: the broker's copy matters only if the spool is lost.
        self._done |= {(m.topic, m.number): m.offset + 1 for m in messages}
        self._commit_at = min(self._commit_at, self._clock.monotonic_s() + COMMIT_S)

    def close(self) -> None:
        """Leave; what is not done is read again later."""
        if self._consumer is not None:
            self._commit(self._consumer)
            self._consumer.close()
        self._consumer, self._next, self._new_from, self._is_broken = None, {}, {}, False
        self._look_at = 0.0

    def _placed(self, message: Message) -> Message:
        """Note where we are, and whether an earlier process may have answered this."""
        place = message.topic, message.number
        self._next[place] = message.offset + 1
        return replace(message, is_old=message.offset < self._new_from.get(place, math.inf))

    def _look_around(self, consumer: Consumer) -> None:
        """Find the topics and their partitions, and read them all if any is new."""
        try:
            offered = consumer.places(self._wanted)
            # Nobody tells a consumer with assigned partitions of new ones.
            if not set(offered) <= set(self._next):
                self._read(consumer, offered)
            self._note_where_the_new_begins(consumer)
        except BrokerError as error:
            self._failures += 1
            self._look_again(min(0.5 * 2.0 ** min(self._failures, 10), RETRY_LIMIT_S))
            if "kafka" not in self._health.problems():
                self._health.report("kafka", f"{self._broker} cannot be reached: {error}")
        except sqlite3.OperationalError as error:
            self._look_again(1.0)
            self._health.report("spool", f"cannot write to the spool: {error}")
        else:
            self._failures = 0
            self._look_again(LOOK_AGAIN_S)
            self._health.clear("kafka")
            self._report_missing({topic for topic, _ in offered})

    def _note_where_the_new_begins(self, consumer: Consumer) -> None:
        """Tell alerts that no earlier process can have answered, once their twins are all there.

        By offsets and not as they are read: that may be late, after an outage or a pause.
        """
        if self._clock.monotonic_s() >= self._began_at + TWIN_S:
            for place in self._next:
                if place not in self._new_from:
                    self._new_from[place] = consumer.bounds(place)[1]

    def _look_again(self, wait_s: float) -> None:
        self._look_at = self._clock.monotonic_s() + wait_s

    def _report_missing(self, offered: set[str]) -> None:
        missing = sorted(set(self._wanted) - offered)
        if missing:
            self._health.report("topics", f"{self._broker} does not offer {', '.join(missing)}")
        else:
            self._health.clear("topics")

    def _read(self, consumer: Consumer, offered: Sequence[Place]) -> None:
        """Begin with the partitions that are new, and go on with the others."""
        known = self._places.offsets()
        new = [place for place in offered if place not in self._next]
        committed = {} if self._shares_group else consumer.committed(new)
        starts = {}
        for place in new:
            low, high = consumer.bounds(place)
            start = known.get(place, committed.get(place))
            if start is None and self._since is not None:
                start = consumer.offset_at(place, self._since)
                start = high if start is None else start
            # Past the end: the topic was made anew. Before the beginning: it is no longer kept.
            starts[place] = start if start is not None and low <= start <= high else low
        self._began_at = self._clock.monotonic_s()
        self._places.place(starts)
        consumer.assign(self._next | starts)
        self._next |= starts
        log.info(
            "kafka.reading",
            offsets={f"{topic}/{number}": start for (topic, number), start in starts.items()},
            broker=self._broker,
        )

    def _commit(self, consumer: Consumer) -> None:
        """Tell the broker how far we are, news or not: it forgets who says nothing for days."""
        self._commit_at = self._clock.monotonic_s() + RENEW_S
        try:
            consumer.commit(self._done or self._places.offsets())
        except BrokerError as error:
            log.warning("kafka.offset_not_stored", error=str(error))
        self._done = {}

    def _on_error(self, error: BrokerError) -> None:
        """Take an error of the client; it goes on by itself unless the error is fatal."""
        self._metrics.kafka_errors.labels(name=error.name).inc()
        known = self._health.problems().get("kafka")
        # "All brokers down" follows the error that says why, and must not hide it.
        if known is None or error.name != _ALL_DOWN:
            self._health.report("kafka", f"{self._broker}: {error}")
        # Look soon whether it is over.
        self._look_at = min(self._look_at, self._clock.monotonic_s() + 1.0)
        self._is_broken |= error.is_fatal
