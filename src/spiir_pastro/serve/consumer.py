"""A broker's topics as the service reads them, and the Kafka client that does it.

Partitions are assigned by hand, from offsets that the caller says: a restarted service reads on at
once instead of waiting for a group to settle, and the broker's memory is a copy, not the original.
"""

import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import confluent_kafka
from confluent_kafka import KafkaError, KafkaException, TopicPartition
from hop.auth import select_matching_auth
from igwn_alert import client as igwn_client

from spiir_pastro.errors import ConfigError, PastroError
from spiir_pastro.serve.settings import KafkaSettings
from spiir_pastro.serve.spool import Place

CONNECT_TIMEOUT_S = 1.0
CHECK_TIMEOUT_S = 8.0
CLOSE_S = 0.5


class BrokerError(PastroError):
    """The broker does not do what was asked, or not in time.

    Attributes
    ----------
    name
        A word for the metrics.
    is_fatal
        Whether the connection is of no use any more.
    """

    def __init__(self, message: str, *, name: str = "", is_fatal: bool = False) -> None:
        super().__init__(message)
        self.name = name
        self.is_fatal = is_fatal


@dataclass(frozen=True, kw_only=True, slots=True)
class Message:
    """A payload and where it stood."""

    topic: str
    payload: bytes
    number: int = 0
    offset: int = 0
    published_at: float | None = None  # Unix seconds, if the broker says
    is_test: bool = False
    is_old: bool = True  # whether it may have been answered by an earlier process


class Consumer(Protocol):
    """The requests the service makes of a broker; each may raise :class:`BrokerError`."""

    def places(self, topics: Sequence[str]) -> list[Place]:
        """Return the partitions of those topics that are offered."""

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        """Return the group's offsets, where the broker knows any."""

    def bounds(self, place: Place) -> tuple[int, int]:
        """Return the first offset the broker has and the one that comes next."""

    def offset_at(self, place: Place, time_s: float) -> int | None:
        """Return the offset of the first message since a Unix time; None if there is none."""

    def assign(self, places: Mapping[Place, int]) -> None:
        """Read these from now on, each from an offset."""

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        """Wait for messages."""

    def commit(self, places: Mapping[Place, int]) -> None:
        """Tell the broker, in the background, how far the group is."""

    def close(self) -> None:
        """Leave."""


class KafkaConsumer:
    """A consumer of the real client; an answer may take ``timeout_s``.

    ``on_error`` is called with errors that the client meets in the background.
    """

    def __init__(
        self,
        config: dict[str, Any],
        on_error: Callable[[BrokerError], None],
        *,
        timeout_s: float = CONNECT_TIMEOUT_S,
    ) -> None:
        self._on_error = on_error
        self._timeout_s = timeout_s
        self._consumer = confluent_kafka.Consumer(
            config | {"error_cb": lambda error: on_error(_translated(error))}
        )

    def places(self, topics: Sequence[str]) -> list[Place]:
        """Ask for the topics there are."""
        try:
            with _broker_errors():
                offered = self._consumer.list_topics(timeout=self._timeout_s).topics
        except BrokerError:
            self._consumer.poll(0)  # lets the client say what is wrong
            raise
        return [
            (topic, number)
            for topic in topics
            if topic in offered and offered[topic].error is None
            for number in offered[topic].partitions
        ]

    def committed(self, places: Sequence[Place]) -> dict[Place, int]:
        """Ask for the group's offsets."""
        asked = [TopicPartition(*place) for place in places]
        with _broker_errors():
            found = self._consumer.committed(asked, timeout=self._timeout_s)
        return {(p.topic, p.partition): p.offset for p in found if p.offset >= 0}

    def bounds(self, place: Place) -> tuple[int, int]:
        """Ask for the first and the next offset."""
        partition = TopicPartition(*place)
        with _broker_errors():
            found = self._consumer.get_watermark_offsets(partition, timeout=self._timeout_s)
        if found is None:
            raise BrokerError(f"no offsets of {place[0]} in {self._timeout_s:g} s")
        low, high = found
        return low, high

    def offset_at(self, place: Place, time_s: float) -> int | None:
        """Ask where a time begins."""
        asked = [TopicPartition(*place, int(1e3 * time_s))]
        with _broker_errors():
            (found,) = self._consumer.offsets_for_times(asked, timeout=self._timeout_s)
        return found.offset if found.offset >= 0 else None

    def assign(self, places: Mapping[Place, int]) -> None:
        """Assign partitions."""
        self._consumer.assign([TopicPartition(*place, offset) for place, offset in places.items()])

    def consume(self, count: int, timeout_s: float) -> list[Message]:
        """Wait for one message, and take what else is there."""
        # Asked for more, librdkafka would wait until there are so many, or the time is up.
        raw = self._consumer.consume(1, timeout_s)
        if raw and count > 1:
            raw += self._consumer.consume(count - 1, 0)
        return [_message(item) for item in raw if not self._is_error(item)]

    def commit(self, places: Mapping[Place, int]) -> None:
        """Commit in the background; the spool has the offsets anyway."""
        offsets = [TopicPartition(*place, offset) for place, offset in places.items()]
        with _broker_errors():
            self._consumer.commit(offsets=offsets, asynchronous=True)

    def close(self) -> None:
        """Leave; half a second must do, the broker may be gone."""
        closing = threading.Thread(target=self._consumer.close, daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def _is_error(self, raw: Any) -> bool:  # noqa: ANN401  (the library ships no types)
        error = raw.error()
        if error is not None:
            self._on_error(_translated(error))
        return error is not None


@contextmanager
def _broker_errors() -> Iterator[None]:
    """Raise the client's errors as ours."""
    try:
        yield
    except KafkaException as exc:
        raise _translated(exc.args[0]) from exc


def _translated(error: KafkaError) -> BrokerError:
    return BrokerError(
        f"{error.name()} {error.str()}", name=error.name(), is_fatal=bool(error.fatal())
    )


def _message(raw: Any) -> Message:  # noqa: ANN401  (the library ships no types)
    kind, milliseconds = raw.timestamp()
    known = kind != confluent_kafka.TIMESTAMP_NOT_AVAILABLE
    return Message(
        topic=raw.topic(),
        number=raw.partition(),
        offset=raw.offset(),
        payload=raw.value() or b"",
        published_at=milliseconds / 1e3 if known else None,
        is_test=any(key == "_test" for key, _ in raw.headers() or ()),
    )


def broker_settings(settings: KafkaSettings) -> dict[str, Any]:
    """Return librdkafka's settings, with the credentials found by the clients' own rules.

    ConfigError if no credentials are found.
    """
    address = f"{settings.host}:{settings.port}"
    return {
        **_credentials(settings, address),
        "bootstrap.servers": address,
        "group.id": settings.consumer_group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",  # what the broker no longer has is skipped, nothing else
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 10_000,
        "queued.max.messages.kbytes": 16_384,
        "log_level": 0,  # errors come through error_cb, once each
    }


def require_topics(kafka: KafkaSettings) -> None:
    """Ask a broker for all topics.

    ConfigError if it cannot be reached, refuses the credentials, or does not offer one of them.
    """
    errors: list[BrokerError] = []
    consumer = KafkaConsumer(broker_settings(kafka), errors.append, timeout_s=CHECK_TIMEOUT_S)
    wanted = [f"{kafka.group}.{topic}" for topic in kafka.topics]
    try:
        offered = {topic for topic, _ in consumer.places(wanted)}
    except BrokerError as exc:
        said = errors[0] if errors else exc
        raise ConfigError(f"broker {kafka.host}:{kafka.port}: {said}") from exc
    finally:
        consumer.close()
    missing = [topic for topic in wanted if topic not in offered]
    if missing:
        raise ConfigError(f"the broker does not offer {', '.join(missing)}; see kafka.topics")


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
        return dict(select_matching_auth(found or [], address, settings.username)())
    except (UserWarning, OSError, RuntimeError, KeyError, ValueError) as exc:
        raise ConfigError(
            f"no credentials for the broker {address}: {exc}; run 'hop auth add', name a file "
            "with kafka.authfile, choose one of several with kafka.username, or set "
            "kafka.anonymous = true"
        ) from exc
