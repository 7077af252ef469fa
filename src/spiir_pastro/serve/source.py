"""Where alerts come from: IGWN Alert's Kafka, or files recorded earlier.

The read loop is ours, because igwn-alert's own commits an alert's offset before it is handled, and
ends on an exception; its names, groups and credentials are kept. Partitions are assigned by hand,
as hop does, so a restarted service reads on at once instead of waiting for the group to settle.
"""

import threading
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import confluent_kafka
import structlog
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hop.auth import select_matching_auth
from igwn_alert import client as igwn_client

from spiir_pastro.errors import ConfigError
from spiir_pastro.serve.config import KafkaSettings
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics

__all__ = ["FileSource", "KafkaSource", "Message", "Source"]

log = structlog.get_logger(__name__)

BATCH = 100
CONNECT_TIMEOUT_S = 1.0
CHECK_TIMEOUT_S = 8.0
RETRY_LIMIT_S = 10.0
LOOK_AGAIN_S = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A payload and where it stood; ``published_at`` in Unix seconds if the broker says."""

    topic: str
    payload: bytes
    published_at: float | None = None
    is_test: bool = False
    origin: object = None


class Source(Protocol):
    """Alerts in batches, each given again until it is said to be done."""

    def poll(self, timeout_s: float) -> list[Message] | None:
        """Wait for alerts; an empty list if none came, None if none will come any more."""

    def done(self, messages: Sequence[Message]) -> None:
        """Say that these are durably dealt with."""

    def close(self) -> None:
        """Leave."""


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

    Raises
    ------
    ConfigError
        If no credentials are found. A broker that cannot be reached is no error: it is tried
        again, with back-off, and reported to ``health``.
    """

    def __init__(self, settings: KafkaSettings, *, health: Health, metrics: Metrics) -> None:
        self._settings = settings
        self._health = health
        self._metrics = metrics
        self._wanted = [f"{settings.group}.{topic}" for topic in settings.topics]
        self._config = _consumer_config(settings) | {"error_cb": self._on_error}
        self._consumer: Any = None
        self._assigned: set[tuple[str, int]] = set()
        self._is_broken = False
        self._failures = 0
        self._look_at = 0.0

    def poll(self, timeout_s: float) -> list[Message] | None:
        """Wait for alerts, connecting first where need be."""
        if self._is_broken:
            self.close()
            self._consumer, self._assigned, self._is_broken = None, set(), False
        if self._consumer is None or time.monotonic() >= self._look_at:
            self._look_around()
        raw = self._consumer.consume(1, timeout_s)
        if raw:
            raw += self._consumer.consume(BATCH - 1, 0)
        return [self._message(item) for item in raw if not self._is_error(item)]

    def done(self, messages: Sequence[Message]) -> None:
        """Let the broker know, in the background, how far the work is durable."""
        furthest = {(m.topic, m.origin.partition()): m.origin for m in messages if m.origin}  # type: ignore[attr-defined]
        try:
            for message in furthest.values():
                self._consumer.store_offsets(message)
        except KafkaException as error:
            # They will be read again and found to be known.
            log.warning("kafka.offset_not_stored", error=str(error))

    def close(self) -> None:
        """Commit what is done and leave; half a second must do, the broker may be gone."""
        if self._consumer is not None:
            closing = threading.Thread(target=self._consumer.close, daemon=True)
            closing.start()
            closing.join(0.5)

    def check(self) -> list[str]:
        """Return the wanted topics that the broker does not offer.

        Raises
        ------
        ConfigError
            If the broker cannot be reached or refuses the credentials.
        """
        consumer = confluent_kafka.Consumer(self._config)
        try:
            offered = consumer.list_topics(timeout=CHECK_TIMEOUT_S).topics
        except KafkaException as exc:
            consumer.poll(0)  # lets the client say what is wrong
            problem = self._health.problems().get("kafka", f"{self._broker}: {exc}")
            raise ConfigError(problem) from exc
        finally:
            consumer.close()
        return [topic for topic in self._wanted if topic not in offered]

    def _look_around(self) -> None:
        """Find the topics and their partitions, and read them all if any is new."""
        if self._consumer is None:
            self._consumer = confluent_kafka.Consumer(self._config)
        try:
            offered = self._consumer.list_topics(timeout=CONNECT_TIMEOUT_S).topics
            self._assign(
                [
                    TopicPartition(topic, number)
                    for topic in self._wanted
                    if topic in offered and offered[topic].error is None
                    for number in offered[topic].partitions
                ]
            )
        except KafkaException as error:
            self._failures += 1
            wait_s = min(0.5 * 2.0 ** min(self._failures, 10), RETRY_LIMIT_S)
            self._consumer.poll(0)  # lets the client say what is wrong
            self._look_at = time.monotonic() + wait_s
            if "kafka" not in self._health.problems():
                self._health.report("kafka", f"{self._broker} cannot be reached: {error}")
            return
        self._failures = 0
        self._look_at = time.monotonic() + LOOK_AGAIN_S
        self._health.clear("kafka")
        missing = sorted(set(self._wanted) - {topic for topic, _ in self._assigned})
        if missing:
            self._health.report("topics", f"{self._broker} does not offer {', '.join(missing)}")
        else:
            self._health.clear("topics")

    def _assign(self, partitions: list[TopicPartition]) -> None:
        names = {(p.topic, p.partition) for p in partitions}
        if names <= self._assigned:
            return
        if self._settings.first_start == "latest":
            self._begin_at_end(partitions)
        self._consumer.assign(partitions)
        self._assigned = names
        log.info("kafka.reading", topics=sorted({topic for topic, _ in names}), broker=self._broker)

    def _begin_at_end(self, partitions: list[TopicPartition]) -> None:
        """Commit the end of partitions never read, so that a restart misses nothing after it."""
        ends = []
        for known in self._consumer.committed(partitions, timeout=CONNECT_TIMEOUT_S):
            if known.offset < 0:
                _, end = self._consumer.get_watermark_offsets(known, timeout=CONNECT_TIMEOUT_S)
                ends.append(TopicPartition(known.topic, known.partition, end))
        if ends:
            self._consumer.commit(offsets=ends, asynchronous=False)

    def _message(self, raw: Any) -> Message:  # noqa: ANN401  (the library ships no types)
        kind, milliseconds = raw.timestamp()
        known = kind != confluent_kafka.TIMESTAMP_NOT_AVAILABLE
        return Message(
            topic=raw.topic(),
            payload=raw.value() or b"",
            published_at=milliseconds / 1e3 if known else None,
            is_test=any(key == "_test" for key, _ in raw.headers() or ()),
            origin=raw,
        )

    def _is_error(self, raw: Any) -> bool:  # noqa: ANN401  (the library ships no types)
        error = raw.error()
        if error is not None:
            self._on_error(error)
        elif self._failures or "kafka" in self._health.problems():
            self._failures = 0
            self._health.clear("kafka")
        return error is not None

    def _on_error(self, error: KafkaError) -> None:
        """Take an error of the client; it goes on by itself unless the error is fatal."""
        self._metrics.kafka_errors.labels(name=error.name()).inc()
        known = self._health.problems().get("kafka")
        # "All brokers down" follows the error that says why, and must not hide it.
        if known is None or error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
            self._health.report("kafka", f"{self._broker}: {error.name()} {error.str()}")
        # Look soon whether it is over.
        self._look_at = min(self._look_at, time.monotonic() + 1.0)
        self._is_broken |= error.fatal()

    @property
    def _broker(self) -> str:
        return f"broker {self._config['bootstrap.servers']}"


def _consumer_config(settings: KafkaSettings) -> dict[str, Any]:
    """Return librdkafka's settings, with the credentials found by the clients' own rules."""
    address = f"{settings.host}:{settings.port}"
    return {
        **_credentials(settings, address),
        "bootstrap.servers": address,
        "group.id": settings.consumer_group,
        "enable.auto.commit": True,  # commits what done() stored, and nothing else
        "enable.auto.offset.store": False,
        "auto.commit.interval.ms": 1000,
        "auto.offset.reset": "earliest",  # should the broker lose our place: read again, never skip
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 10_000,
        "queued.max.messages.kbytes": 16_384,
        "log_level": 0,  # errors come through error_cb, once each
    }


def _credentials(settings: KafkaSettings, address: str) -> dict[str, Any]:
    if settings.anonymous:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)  # igwn-alert warns and goes on without
            found = igwn_client(
                group=settings.group,
                server=f"kafka://{settings.host}/",
                port=settings.port,
                authfile=settings.authfile,
            ).auth
        return dict(select_matching_auth(found or [], address)())
    except (UserWarning, OSError, RuntimeError, KeyError, ValueError) as exc:
        raise ConfigError(
            f"no credentials for the broker {address}: {exc}; run 'hop auth add', name a file "
            "with kafka.authfile, or set kafka.anonymous = true"
        ) from exc
