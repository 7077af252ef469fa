"""A Kafka-compatible broker on loopback, with its data in a folder so that it can be killed."""

import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path

import confluent_kafka
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from spiir_pastro.errors import ConfigError

__all__ = ["Broker", "free_port", "is_open"]

START_S = 20.0


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    """Whether somebody listens on a port."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Broker:
    """A ``noida-db`` server; started when made, and again by :meth:`start` after :meth:`kill`.

    It is reached through a relay that has fetches wait, as Kafka does.
    """

    def __init__(self, folder: Path, *, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self._processes: list[subprocess.Popen[bytes]] = []
        self.start()

    @property
    def address(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        package = find_spec("noida_db")
        if package is None or package.origin is None:
            raise ConfigError("the rehearsal needs a broker: pip install noida-db")
        # The program itself: the package's command starts it as a child that outlives a signal.
        program, port = Path(package.origin).with_name("noida-db"), str(free_port())
        arguments = ["start", "--data-dir", str(self.folder), "--host", "127.0.0.1"]
        arguments += ["--only", "kafka", "--kafka-port", port]
        relay = Path(__file__).with_name("long_poll.py")
        self._processes = [
            subprocess.Popen(  # noqa: S603  (our own arguments)
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            for command in (
                [str(program), *arguments],
                [sys.executable, "-ISs", str(relay), str(self.port), port],
            )
        ]
        _wait_for(int(port))
        _wait_for(self.port)

    def kill(self) -> None:
        """End the server; its data stay."""
        for process in self._processes:
            process.terminate()
            process.communicate(timeout=10)
        self._processes = []

    def make_topics(self, names: Iterable[str]) -> None:
        """Make topics of one partition, those that are not there yet."""
        admin = AdminClient({"bootstrap.servers": self.address})
        known = admin.list_topics(timeout=10).topics
        new = [NewTopic(name, 1, 1) for name in names if name not in known]
        for future in admin.create_topics(new).values() if new else ():
            future.result(10)

    def publish(self, topic: str, payloads: Iterable[object]) -> None:
        """Publish as GraceDB does, a JSON string of JSON; bytes go as they are."""
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": self.address, "linger.ms": 0, "log_level": 0}
        )
        for payload in payloads:
            value = (
                payload if isinstance(payload, bytes) else json.dumps(json.dumps(payload)).encode()
            )
            producer.produce(topic, value)
            producer.poll(0)
        if producer.flush(30):
            raise ConfigError(f"the broker at {self.address} did not take the alerts")


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_S
    while not is_open(port):
        if time.monotonic() > deadline:
            raise ConfigError(f"the broker did not start within {START_S:.0f} s")
        time.sleep(0.02)
