"""Reading alerts from a real broker: none missed, none committed early, every fault named."""

import json
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import confluent_kafka
import igwn_alert
import pytest

from rehearsal.broker import Broker, free_port
from rehearsal.sample_alerts import sample_alert, sample_alerts
from serve.waiting import PATIENCE_S
from spiir_pastro.errors import ConfigError
from spiir_pastro.io.alerts import parse_alert
from spiir_pastro.serve.alert_source import KafkaSource
from spiir_pastro.serve.consumer import CLOSE_S, KafkaConsumer, Message, broker_settings
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.settings import KafkaSettings
from spiir_pastro.serve.spool import Place

GROUP = "gracedb-playground"


def source(broker: Broker | int, topic: str, **changes: object) -> KafkaSource:
    port = broker if isinstance(broker, int) else broker.port
    fields: dict[str, object] = {
        "consumer_group": f"group-{topic}",
        "host": "127.0.0.1",
        "port": port,
        "topics": [topic],
        "anonymous": True,
    }
    return source_of(KafkaSettings(**fields | changes))  # type: ignore[arg-type]


class Memory:
    """Places kept in memory, shared by all sources of a test unless told otherwise."""

    def __init__(self) -> None:
        self.known: dict[Place, int] = {}

    def offsets(self) -> dict[Place, int]:
        return dict(self.known)

    def place(self, places: Mapping[Place, int]) -> None:
        self.known |= places

    def done(self, kafka: KafkaSource, messages: list[Message]) -> None:
        self.place({(m.topic, m.number): m.offset + 1 for m in messages})
        kafka.done(messages)


def source_of(
    settings: KafkaSettings,
    places: Memory | None = None,
    since: float | None = None,
    *,
    shares_group: bool = False,
) -> KafkaSource:
    return KafkaSource(
        settings,
        partial(KafkaConsumer, broker_settings(settings)),
        places=places or Memory(),
        since=since,
        health=Health(),
        metrics=Metrics(),
        shares_group=shares_group,
    )


def collect(kafka: KafkaSource, count: int, timeout_s: float = PATIENCE_S) -> list[Message]:
    found: list[Message] = []
    deadline = time.monotonic() + timeout_s
    while len(found) < count and time.monotonic() < deadline:
        found += kafka.poll(0.1) or []
    return found


def wait_for(
    kafka: KafkaSource, condition: Callable[[], bool], timeout_s: float = PATIENCE_S
) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, kafka._health.problems()
        kafka.poll(0.05)


def uids(messages: list[Message]) -> list[str]:
    return [parse_alert(message.payload).uid for message in messages]


def test_alerts_come_in_order_with_their_times(broker: Broker) -> None:
    broker.make_topics([f"{GROUP}.order"])
    kafka = source(broker, "order")
    broker.publish(f"{GROUP}.order", sample_alerts(20))
    messages = collect(kafka, 20)
    assert uids(messages) == [f"G{n}" for n in range(1, 21)]
    published = messages[0].published_at
    assert published is not None
    assert abs(published - time.time()) < 60
    kafka.close()


def test_what_is_not_done_comes_again_and_what_is_done_does_not(broker: Broker) -> None:
    broker.make_topics([f"{GROUP}.again"])
    broker.publish(f"{GROUP}.again", sample_alerts(5))
    first = source(broker, "again")
    messages = collect(first, 5)
    first.done(messages[:2])
    first.close()
    second = source(broker, "again")  # its spool is lost; the broker has a copy
    assert uids(collect(second, 3)) == ["G3", "G4", "G5"]
    second.close()


def remembering(
    broker: Broker, topics: list[str], places: Memory, since: float | None = None, group: str = "g"
) -> KafkaSource:
    settings = KafkaSettings(
        consumer_group=group, host="127.0.0.1", port=broker.port, topics=topics, anonymous=True
    )
    return source_of(settings, places, since)


def test_a_first_start_at_the_latest_misses_nothing_after_it(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.alert_source.LOOK_AGAIN_S", 0.1)
    broker.make_topics([f"{GROUP}.late"])
    broker.publish(f"{GROUP}.late", sample_alerts(3))
    time.sleep(0.02)
    started_at = time.time()
    time.sleep(0.02)
    broker.publish(f"{GROUP}.late", sample_alerts(2, first=4))
    # Whatever was remembered is lost: the spool, and the broker's copy.
    kafka = remembering(broker, ["late"], Memory(), since=started_at, group="late")
    found = collect(kafka, 2)
    assert uids(found) == ["G4", "G5"]
    assert all(message.is_old for message in found)
    broker.publish(f"{GROUP}.late", sample_alerts(1, first=6))
    (twin,) = collect(kafka, 1)
    assert twin.is_old
    monkeypatch.setattr("spiir_pastro.serve.alert_source.TWIN_S", 0.0)
    time.sleep(0.2)
    assert kafka.poll(0.1) == []
    broker.publish(f"{GROUP}.late", sample_alerts(1, first=7))
    (new,) = collect(kafka, 1)
    assert not new.is_old
    kafka.close()


def test_a_topic_that_appears_is_read_from_its_beginning(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.alert_source.LOOK_AGAIN_S", 0.1)
    broker.make_topics([f"{GROUP}.before"])
    places = Memory()
    kafka = remembering(broker, ["before", "after"], places, since=time.time())
    assert collect(kafka, 1, timeout_s=0.5) == []
    broker.make_topics([f"{GROUP}.after"])
    broker.publish(f"{GROUP}.after", sample_alerts(3))
    assert uids(collect(kafka, 3)) == ["G1", "G2", "G3"]
    kafka.close()


@pytest.mark.parametrize("change", ["forgotten", "renamed"])
def test_a_group_the_broker_does_not_know_goes_on_from_the_spool(
    broker: Broker, change: str
) -> None:
    topic = f"{GROUP}.{change}"
    broker.make_topics([topic])
    broker.publish(topic, sample_alerts(3))
    places = Memory()
    first = remembering(broker, [change], places)
    places.done(first, collect(first, 3)[:2])
    first.close()
    broker.publish(topic, sample_alerts(1, first=4))
    second = remembering(broker, [change], places, since=time.time(), group=f"another-{change}")
    assert uids(collect(second, 2)) == ["G3", "G4"]
    second.close()


def test_a_lost_spool_goes_on_from_the_brokers_copy(broker: Broker) -> None:
    topic = f"{GROUP}.copy"
    broker.make_topics([topic])
    broker.publish(topic, sample_alerts(3))
    first = remembering(broker, ["copy"], Memory(), group="copy")
    first.done(collect(first, 3)[:2])
    first.close()
    second = remembering(broker, ["copy"], Memory(), group="copy")
    assert uids(collect(second, 1)) == ["G3"]
    second.close()


def test_what_another_host_of_the_group_has_read_is_read_here_too(broker: Broker) -> None:
    topic = f"{GROUP}.shared"
    broker.make_topics([topic])
    broker.publish(topic, sample_alerts(3))
    settings = KafkaSettings(
        consumer_group="shared",
        host="127.0.0.1",
        port=broker.port,
        topics=["shared"],
        anonymous=True,
    )
    first = source_of(settings, shares_group=True)
    first.done(collect(first, 3))
    first.close()
    second = source_of(settings, shares_group=True)
    assert uids(collect(second, 3)) == ["G1", "G2", "G3"]
    second.close()


def test_a_topic_made_anew_is_read_from_its_beginning(broker: Broker) -> None:
    broker.make_topics([f"{GROUP}.anew"])
    broker.publish(f"{GROUP}.anew", sample_alerts(2))
    places = Memory()
    places.place({(f"{GROUP}.anew", 0): 500})
    kafka = remembering(broker, ["anew"], places)
    assert uids(collect(kafka, 2)) == ["G1", "G2"]
    kafka.close()


def test_the_brokers_copy_is_renewed_while_nothing_comes(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.alert_source.RENEW_S", 0.1)
    broker.make_topics([f"{GROUP}.quiet"])
    places = Memory()
    kafka = remembering(broker, ["quiet"], places, group="quiet")
    reader = KafkaConsumer(
        {"bootstrap.servers": broker.address, "group.id": "quiet"}, lambda _: None
    )
    place = (f"{GROUP}.quiet", 0)
    wait_for(kafka, lambda: reader.committed([place]) == {place: 0})
    places.place({place: 7})  # as if the broker had forgotten
    wait_for(kafka, lambda: reader.committed([place]) == {place: 7})
    reader.close()
    kafka.close()


def test_the_clients_own_publisher_is_understood(broker: Broker) -> None:
    broker.make_topics([f"{GROUP}.client"])
    client = igwn_alert.client(
        noauth=True, group=GROUP, server=f"kafka://127.0.0.1:{broker.port}/", port=broker.port
    )
    client.connect("client")
    client.publish_to_topic("client", json.dumps(sample_alert(1)))
    client.disconnect()
    kafka = source(broker, "client")
    (message,) = collect(kafka, 1)
    assert parse_alert(message.payload).trigger() == parse_alert(sample_alert(1)).trigger()
    assert not message.is_test
    kafka.close()


def test_test_messages_are_told_from_real_ones(broker: Broker) -> None:
    broker.make_topics([f"{GROUP}.tests"])
    producer = confluent_kafka.Producer({"bootstrap.servers": broker.address})
    producer.produce(f"{GROUP}.tests", b"{}", headers=[("_test", b"true")])
    producer.flush(10)
    kafka = source(broker, "tests")
    (message,) = collect(kafka, 1)
    assert message.is_test
    kafka.close()


def test_it_starts_while_the_broker_is_down_and_survives_its_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.alert_source.LOOK_AGAIN_S", 0.5)
    port = free_port()
    kafka = source(port, "t")
    wait_for(kafka, lambda: "kafka" in kafka._health.problems())
    broker = Broker(tmp_path, port=port)
    try:
        broker.make_topics([f"{GROUP}.t"])
        broker.publish(f"{GROUP}.t", sample_alerts(2))
        assert uids(collect(kafka, 2)) == ["G1", "G2"]
        assert "kafka" not in kafka._health.problems()
        broker.kill()
        wait_for(kafka, lambda: "kafka" in kafka._health.problems())
        broker.start()
        broker.publish(f"{GROUP}.t", sample_alerts(1, first=3))
        assert "G3" in uids(collect(kafka, 1))
        wait_for(kafka, lambda: "kafka" not in kafka._health.problems())
    finally:
        kafka.close()
        broker.kill()


def test_leaving_a_dead_broker_takes_no_more_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half a second is waited for the client, which may hang for as long as the broker is gone."""
    kafka = source(free_port(), "t")
    kafka.poll(0.05)
    consumer, is_back = kafka._consumer, threading.Event()
    assert isinstance(consumer, KafkaConsumer)
    hanging = SimpleNamespace(close=is_back.wait, commit=lambda **_: None)
    monkeypatch.setattr(consumer, "_consumer", hanging)
    kafka.close()
    assert not is_back.is_set()
    assert CLOSE_S <= 0.5
    is_back.set()


def test_a_topic_the_broker_lacks_is_a_problem_until_it_is_there(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.alert_source.LOOK_AGAIN_S", 0.1)
    broker.make_topics([f"{GROUP}.here"])
    kafka = source(broker, "here", topics=["here", "not_yet"])
    wait_for(kafka, lambda: "topics" in kafka._health.problems())
    assert f"does not offer {GROUP}.not_yet" in kafka._health.problems()["topics"]
    broker.make_topics([f"{GROUP}.not_yet"])
    wait_for(kafka, lambda: not kafka._health.problems())
    broker.publish(f"{GROUP}.not_yet", sample_alerts(1))
    assert uids(collect(kafka, 1)) == ["G1"]
    kafka.close()


def test_credentials_must_be_found_unless_none_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def settings(authfile: str | None = None) -> KafkaSettings:
        return KafkaSettings(consumer_group="g", port=1, topics=["t"], authfile=authfile)

    with pytest.raises(ConfigError, match="hop auth add"):
        broker_settings(settings())
    authfile = tmp_path / "auth.toml"
    authfile.write_text('[[auth]]\nusername = "me"\npassword = "secret word"\n')
    authfile.chmod(0o644)
    with pytest.raises(ConfigError, match="unsafe permissions") as caught:
        broker_settings(settings(authfile=str(authfile)))
    assert "secret word" not in str(caught.value)
    authfile.chmod(0o600)
    kafka = broker_settings(settings(authfile=str(authfile)))
    assert kafka["sasl.mechanism"] == "SCRAM-SHA-512"
