"""The broker that tests use has a client wait when there is nothing to fetch, as Kafka does."""

import json
import time

import confluent_kafka

from rehearsal.broker import Broker


def test_a_client_with_nothing_to_fetch_asks_a_few_times_a_second(broker: Broker) -> None:
    broker.make_topics(["quiet", "quiet-too"])
    asked: list[int] = []

    def count(statistics: str) -> None:
        of_brokers = json.loads(statistics)["brokers"].values()
        asked.append(sum(known["req"]["Fetch"] for known in of_brokers))

    settings = {"bootstrap.servers": broker.address, "group.id": "patient"}
    consumer = confluent_kafka.Consumer(
        settings | {"statistics.interval.ms": 500, "stats_cb": count, "log_level": 0}
    )
    try:
        consumer.assign([confluent_kafka.TopicPartition(t, 0, 0) for t in ("quiet", "quiet-too")])
        while not asked or asked[-1] == 0:
            assert consumer.poll(0.1) is None
        before, begun = asked[-1], time.monotonic()
        assert consumer.poll(2.0) is None
        assert asked[-1] - before < 10 * (time.monotonic() - begun)

        broker.publish("quiet", [b"news"])
        message = consumer.poll(2.0)
        assert message is not None
        assert message.value() == b"news"
    finally:
        consumer.close()
