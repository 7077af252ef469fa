"""A million mutilated payloads through the service's own loop: no crash, no file outside the spool.

Half are alerts with bytes changed, cut or repeated, half are alerts with values replaced by absurd
ones. An audit hook watches every file the process opens for writing.
"""

import argparse
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import structlog

from rehearsal.sample_alerts import sample_alert
from rehearsal.sample_model import RehearsalModel
from spiir_pastro.serve.alert_source import Message
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.settings import GraceDBSettings, KafkaSettings, Settings
from spiir_pastro.serve.upload import Delivered, EventFile

ABSURD = [
    None, True, -1, 0, 1e308, -1e308, 10**30, "", "x" * 5000, "../../etc/passwd", "G1/../../x", [],
    [[]], {}, {"a": {"b": []}}, "\x00", "NaN", "\ud800", 1e-320, "H1H1", 2**63, -(2**63),
]  # fmt: skip
TOKENS = [b"NaN", b"Infinity", b"-", b"[" * 2000, b"{", b"}", b'"', b"\\u0000", b"\xff", b"1e999"]


def mutilated(dice: random.Random, texts: Sequence[bytes]) -> bytes:
    if dice.random() < 0.5:
        text = bytearray(dice.choice(texts))
        for _ in range(dice.randint(1, 3)):
            at = dice.randrange(len(text) + 1)
            what = dice.random()
            if what < 0.4:
                text[at : at + 1] = bytes([dice.randrange(256)])
            elif what < 0.6:
                text[at : at + dice.randrange(40)] = b""
            elif what < 0.8:
                text[at:at] = text[at : at + dice.randrange(100)]
            else:
                text[at : at + dice.randrange(8)] = dice.choice(TOKENS)
        return bytes(text)
    alert = json.loads(dice.choice(texts))
    node, key = alert, dice.choice(list(alert))
    while isinstance(node[key], dict | list) and node[key] and dice.random() < 0.9:
        node = node[key]
        key = dice.choice(list(node)) if isinstance(node, dict) else dice.randrange(len(node))
    node[key] = dice.choice(ABSURD)
    return json.dumps(alert).encode()


class FuzzSource:
    """Mutilated alerts in batches; says how far it is."""

    def __init__(self, count: int, seed: int) -> None:
        self.left, self.count = count, count
        self.dice = random.Random(seed)
        self.texts = [json.dumps(sample_alert(n)).encode() for n in range(1, 200)]

    def poll(self, timeout_s: float) -> list[Message] | None:
        del timeout_s
        size = min(100, self.left)
        self.left -= size
        payloads = [mutilated(self.dice, self.texts) for _ in range(size)]
        return [Message(topic="fuzz", payload=p, published_at=2e10) for p in payloads] or None

    def done(self, messages: Sequence[Message]) -> None: ...

    def close(self) -> None: ...


class Nowhere:
    """An uploader that takes everything, after checking what it is given."""

    def prepare(self) -> None: ...

    def deliver(self, file: EventFile, **_: object) -> Delivered:
        assert file.event_id.isalnum()
        assert sum(json.loads(file.content).values()) > 0.999
        return Delivered.SENT

    def close(self) -> None: ...


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--payloads", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        RehearsalModel().save(folder / "model.json")
        settings = Settings(
            schema=1,
            spool=str(folder / "spool"),
            kafka=KafkaSettings(consumer_group="g", topics=["t"]),
            gracedb=GraceDBSettings(url="http://127.0.0.1:1/"),
        )
        model = Models(
            folder / "model.json", RehearsalModel.load, metrics=Metrics(), health=Health()
        )
        source = FuzzSource(arguments.payloads, arguments.seed)
        service = Service(settings, model=model, source=source, make_uploader=Nowhere)
        outside: Counter[str] = Counter()

        def watch(event: str, values: tuple[object, ...]) -> None:
            if event == "open" and isinstance(values[0], str) and int(values[2] or 0) & 3:
                path = os.path.realpath(values[0])
                if not path.startswith(str(folder / "spool")):
                    outside[path] += 1

        sys.addaudithook(watch)
        begun = time.perf_counter()
        counts = service.run()
        taken_s = time.perf_counter() - begun
        for sample in model.metrics.registry.collect():
            if sample.name == "spiir_pastro_skipped":
                for row in sample.samples:
                    if row.name.endswith("_total"):
                        print(f"  {row.labels['reason']:16} {row.value:>9.0f}")
        print(f"  {'uploaded':16} {counts['done']:>9}")
        crashed = model.metrics.registry.get_sample_value(
            "spiir_pastro_dead_letters_total", {"reason": "crashed"}
        )
        print(f"fuzz        {arguments.payloads} payloads in {taken_s:.0f} s; crashes ", end="")
        print(
            f"{crashed or 0:.0f} (bar 0); files outside the spool {sum(outside.values())} (bar 0)"
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"            peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
