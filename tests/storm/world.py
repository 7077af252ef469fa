"""One schedule of faults, made of one seed: the service's real code, and a judge at the end.

Each seed switches on a few kinds of faults out of all, so that the rest cannot hide what one kind
does. After the storm everything is mended, and within a few minutes of simulated time each event
must have exactly one file of ours, with its label and the right numbers.
"""

import json
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from spiir_pastro.errors import ConfigError
from spiir_pastro.io.alerts import Event, parse_alert
from spiir_pastro.serve.backfill import BackfillPlan
from spiir_pastro.serve.config import GraceDBSettings, KafkaSettings, Settings
from spiir_pastro.serve.decide import SkipReason
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.history import recall_first_start
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.model import Model
from spiir_pastro.serve.rehearsal.alerts import sample_alert
from spiir_pastro.serve.rehearsal.model import RehearsalModel
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.source import KafkaSource
from spiir_pastro.serve.spool import Spool, SpoolDamaged
from spiir_pastro.serve.upload import GraceDBUploader
from storm.machine import Machine
from storm.stand_ins import (
    SETTLE_S,
    WEATHERS,
    SimulatedBroker,
    SimulatedConsumer,
    SimulatedGraceDB,
    SimulatedGraceDBClient,
    Topic,
)
from storm.timeline import Timeline

__all__ = ["KINDS", "Finding", "World", "play"]

GROUP = "gracedb-playground"
TOPICS = ("cbc_spiir", "cbc_spiir_allsky")
STORM_S = 70.0
CALM_S = 400.0
_STEP_S = 16.0

KINDS = (
    "crashes",
    "terminations",
    "power",
    "cut log",
    "damaged page",
    "deleted spool",
    "full disk",
    "clock",
    "weather",
    "broker",
    "forgotten",
    "renamed",
    "new topic",
    "new broker",
    "retention",
    "models",
    "late events",
    "lag",
    "silent",
    "rubbish",
)
"""The kinds of faults; every seed takes some."""

_NEEDS_SEARCH = frozenset(
    {"cut log", "damaged page", "deleted spool", "new broker", "retention", "silent"}
)
_METRICS = Metrics()
_METRICS.registry.register = lambda _: None  # type: ignore[assignment]  # nobody asks
_MODELS = tuple(
    Model(assessor=RehearsalModel(slope=slope), digest=f"{n}" * 64, version=f"{n}")
    for n, slope in enumerate((0.9, 0.8, 0.7))
)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a schedule left: all should be empty.

    Attributes
    ----------
    lost, doubled, unlabelled, mislabelled, strange
        Events without our file, with more than one, without label, with numbers of no model, and
        answered though they should not be.
    troubles
        Problems still on the board at the end, and exceptions that ended a life.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    mislabelled: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def is_hopeless(self) -> bool:
        """Whether something is wrong that no time mends."""
        return bool(self.doubled or self.mislabelled or self.strange)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not any(vars(self).values())


class _SimulatedModels(Models):
    """One model for every search of the sky, exchanged from outside."""

    def __init__(self, metrics: Metrics, health: Health) -> None:
        self.metrics, self.health = metrics, health
        self.model = _MODELS[0]

    @property
    def own(self) -> Model:
        return self.model

    def choose(self, event: Event) -> Model | SkipReason:
        return self.model if event.search == "AllSky" else SkipReason.OTHER_SEARCH

    def refresh(self, *, forced: bool = False) -> bool:
        return forced


class World:
    """A machine with the service, a broker and a GraceDB, and what befalls them."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.dice = random.Random(seed)  # noqa: S311  (dice, no secret)
        self.timeline = Timeline()
        self.broker = SimulatedBroker(self.timeline, self.dice)
        self.gracedb = SimulatedGraceDB(self.timeline, self.dice)
        self.kinds = frozenset(self.dice.sample(KINDS, self.dice.randint(1, 5)))
        # GraceDB is searched where nothing else can help; elsewhere it must do without.
        self.is_searched = bool(self.kinds & _NEEDS_SEARCH)
        self.machine = Machine("a", folder, self.timeline, self.dice)
        self.machine.on_death = self._restart_soon
        self.machine.crashes_left = self.dice.randint(1, 8) if "crashes" in self.kinds else 0
        self.machine.crash_probability = 10.0 ** self.dice.uniform(-3.5, -1.5)
        self.service: Service | None = None
        self.group = "group"
        self.model = 0
        self.since: float | None = None
        self.required: set[str] = set()
        self.allowed: set[str] = set()
        self.troubles: list[str] = []

    # The service's life.

    def start(self) -> None:
        """Start the service."""
        self.machine.tidy()
        self.machine.begin()
        self.timeline.spawn(self.machine.process, self._live)

    def _live(self) -> None:
        """Be the process, as run.listen puts it together."""
        machine = self.machine
        try:
            self.service = self._assemble(machine)
            self.service.run()
        except (ConfigError, SpoolDamaged):
            pass  # said, and started again by systemd
        except Exception as error:  # noqa: BLE001  (whatever else ends a life is a finding)
            self.troubles.append(f"{type(error).__name__}: {error}")
        if machine.process.is_alive:
            self.timeline.kill(machine.process)
            self._restart_soon()

    def _assemble(self, machine: Machine) -> Service:
        clock, health = machine.clock(), Health()
        spool = Spool(machine.spool, clock=clock, disk=machine)
        since = recall_first_start(spool, clock=clock, health=health)
        if self.since is None:
            self.since = self.timeline.now
        settings = _settings(self.group)
        source = KafkaSource(
            settings.kafka,
            lambda _: SimulatedConsumer(self.broker, machine, self.group),
            places=spool,
            since=since,
            health=health,
            metrics=_METRICS,
            clock=clock,
        )
        models = _SimulatedModels(_METRICS, health)
        models.model = _MODELS[self.model]
        service = Service(
            settings,
            spool=spool,
            model=models,
            source=source,
            make_uploader=lambda: GraceDBUploader(SimulatedGraceDBClient(self.gracedb, machine)),
            clock=clock,
            jitter=self.dice.random,
        )
        if self.is_searched:
            plan = BackfillPlan(every_s=60.0, since=since, topics=TOPICS)
            service.search_gracedb(SimulatedGraceDBClient(self.gracedb, machine), plan)
        return service

    def _restart_soon(self) -> None:
        self.service = None
        self.timeline.at(self.timeline.now + self.dice.uniform(0.5, 5.0), self.start)

    # What comes in.

    def announce(self, number: int) -> None:
        """Create an event and publish its alert, in some order, on both topics."""
        dice, now = self.dice, self.timeline.now
        event, payload = _alert(number)
        late_s = dice.uniform(0.0, 8.0) if "late events" in self.kinds else 0.0
        self.gracedb.create(event, late_s=late_s)
        self.allowed.add(f"G{number}")
        if self.since is not None and now > self.since + 1.0:
            self.required.add(f"G{number}")
        if "silent" in self.kinds and dice.random() < 0.2:
            return  # its alert never comes
        for topic in TOPICS:
            if topic == TOPICS[1] and "new topic" in self.kinds and now < STORM_S / 2:
                continue
            for _ in range(1 + (dice.random() < 0.1)):
                when = now + dice.choice([0.0, dice.uniform(0.0, 4.0)])
                self.timeline.at(when, partial(self.broker.publish, f"{GROUP}.{topic}", payload))

    def rubbish(self) -> None:
        """Publish what gets no answer."""
        for payload in (b"rubbish", json.dumps(sample_alert(900, search="MDC")).encode()):
            self.broker.publish(f"{GROUP}.{TOPICS[0]}", payload)

    # What befalls it.

    def storm(self) -> None:
        """Plan everything."""
        dice = self.dice
        self.broker.publish(f"{GROUP}.{TOPICS[0]}", _alert(800)[1])
        if "new topic" not in self.kinds:
            self.broker.publish(f"{GROUP}.{TOPICS[1]}", _alert(800)[1])
        self.timeline.now = 10.0  # what was there before is older than the service
        self.start()
        for number in range(1, dice.randint(2, 14)):
            when = dice.uniform(13.0, STORM_S)
            self.timeline.at(when, partial(self.announce, number))
        for kind in sorted(self.kinds & _BEFALL.keys()):
            for _ in range(dice.randint(1, 3)):
                when = dice.uniform(11.0, STORM_S)
                self.timeline.at(when, partial(_BEFALL[kind], self))
        if "lag" in self.kinds:
            self.gracedb.lag_s = 0.5 * SETTLE_S

    def mend(self) -> None:
        """End all faults that do not end by themselves."""
        self.machine.crashes_left = 0
        self.machine.is_full = False
        self.broker.is_up = True
        self.gracedb.weather = "fair"
        for topic in TOPICS:  # a topic that never came would be a problem on the board
            self.broker.topics.setdefault(f"{GROUP}.{topic}", Topic())

    def play(self) -> Finding:
        """Play the schedule to its end and judge it."""
        try:
            self.storm()
            self.timeline.run(STORM_S)
            self.mend()
            until = STORM_S
            while until < STORM_S + CALM_S:
                until += _STEP_S
                self.timeline.run(until)
                finding = self.judge()
                calm_s = 60.0 if self.is_searched else 15.0
                if finding.is_hopeless or (until > STORM_S + calm_s and finding.is_clean):
                    break
            return self.judge()
        finally:
            self.close()

    def judge(self) -> Finding:
        """Compare GraceDB with what it should have."""
        ours = {
            event_id: [entry for entry in entries if entry.writer == "a"]
            for event_id, entries in self.gracedb.files.items()
        }
        problems = self.service.health.problems() if self.service is not None else {"life": "none"}
        return Finding(
            lost=sorted(self.required - {e for e, entries in ours.items() if entries}),
            doubled=sorted(e for e, entries in ours.items() if len(entries) > 1),
            unlabelled=sorted(self.required - self.gracedb.labels.keys()),
            mislabelled=sorted(
                event_id
                for event_id, entries in ours.items()
                if not {entry.content for entry in entries} <= _right(event_id)
            ),
            strange=sorted(set(ours) - self.allowed),
            troubles=self.troubles + [f"{part}: {text}" for part, text in problems.items()],
        )

    def close(self) -> None:
        """End all tasks."""
        self.machine.on_death = lambda: None
        self.timeline.kill(self.machine.process)
        self.timeline.run(self.timeline.now)
        self.machine.tidy()


@cache
def _alert(number: int) -> tuple[dict[str, object], bytes]:
    """Return an event and its alert's payload."""
    alert = sample_alert(number)
    event = alert["data"]
    assert isinstance(event, dict)
    return event, json.dumps(alert).encode()


@cache
def _right(event_id: str) -> set[bytes]:
    """Return the files that the models make of an event."""
    trigger = parse_alert(sample_alert(int(event_id[1:]))).trigger()
    assessed = (model.assessor.assess(trigger) for model in _MODELS)
    return {json.dumps(probabilities.as_mapping()).encode() for probabilities in assessed}


def _settings(group: str) -> Settings:
    return Settings(
        schema=1,
        spool="unused",
        kafka=KafkaSettings(consumer_group=group, group=GROUP, topics=list(TOPICS)),
        gracedb=GraceDBSettings(
            url="http://127.0.0.1:1/", settle_s=SETTLE_S, retry_limit_s=20.0, workers=2
        ),
    )


def _terminate(world: World) -> None:
    if world.service is not None:
        world.service.stop()


def _power(world: World) -> None:
    if world.machine.process.is_alive:
        world.machine.crash("power")


def _after_crash(world: World, harm: Callable[[Path], None]) -> None:
    """Kill the service, and harm its files before it starts again."""
    if world.machine.process.is_alive:
        world.machine.crash("to be harmed")
    if world.machine.spool.exists():
        harm(world.machine.spool)


def _cut_log(world: World) -> None:
    def harm(spool: Path) -> None:
        log = spool / "spool.sqlite-wal"
        if log.exists():
            content = log.read_bytes()
            log.write_bytes(content[: world.dice.randint(0, len(content))])

    _after_crash(world, harm)


def _damage_page(world: World) -> None:
    def harm(spool: Path) -> None:
        path = spool / "spool.sqlite"
        if not path.exists():
            return
        with (
            closing(sqlite3.connect(path)) as connection,
            suppress(sqlite3.DatabaseError, UnicodeDecodeError),
        ):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        content = bytearray(path.read_bytes())
        pages = len(content) // 4096
        if pages:
            begin = 4096 * world.dice.randrange(pages) + world.dice.choice([0, 100, 2048, 4000])
            size = world.dice.choice([1, 8, 96, 4096])
            content[begin : begin + size] = world.dice.randbytes(len(content[begin : begin + size]))
            path.write_bytes(content)

    _after_crash(world, harm)


def _delete_spool(world: World) -> None:
    """Delete the folder, of a dead service or of a running one."""
    if world.dice.random() < 0.5:
        _after_crash(world, shutil.rmtree)
    elif world.machine.spool.exists():
        shutil.rmtree(world.machine.spool)


def _fill_disk(world: World) -> None:
    world.machine.is_full = True

    def empty() -> None:
        world.machine.is_full = False

    world.timeline.at(world.timeline.now + world.dice.uniform(0.5, 30.0), empty)
    if world.dice.random() < 0.5:
        world.timeline.at(
            world.timeline.now + world.dice.uniform(0.0, 5.0), partial(_terminate, world)
        )


def _step_clock(world: World) -> None:
    step_s = world.dice.choice([1.0, 60.0, 3600.0, 8_640_000.0])
    world.machine.wall_offset = world.dice.choice([-step_s, step_s, 0.0])


def _change_weather(world: World) -> None:
    world.gracedb.weather = world.dice.choice(WEATHERS)
    world.gracedb.share = world.dice.choice([0.1, 0.5, 1.0])

    def clear() -> None:
        world.gracedb.weather = "fair"

    world.timeline.at(world.timeline.now + world.dice.uniform(1.0, 40.0), clear)


def _stop_broker(world: World) -> None:
    world.broker.is_up = False

    def start() -> None:
        world.broker.is_up = True

    world.timeline.at(world.timeline.now + world.dice.uniform(1.0, 40.0), start)


def _forget(world: World) -> None:
    world.broker.committed.clear()
    if world.dice.random() < 0.5:
        _terminate(world)


def _rename(world: World) -> None:
    world.group += "x"
    _terminate(world)


def _renew_topics(world: World) -> None:
    """Have the broker set up anew, with nothing in it."""
    for topic in world.broker.topics:
        world.broker.renew(topic)
    if world.dice.random() < 0.5:
        world.broker.committed.clear()


def _swap_model(world: World) -> None:
    world.model = world.dice.randrange(len(_MODELS))
    if world.service is not None:
        world.service.model.model = _MODELS[world.model]  # type: ignore[attr-defined]


_BEFALL: dict[str, Callable[[World], None]] = {
    "terminations": _terminate,
    "power": _power,
    "cut log": _cut_log,
    "damaged page": _damage_page,
    "deleted spool": _delete_spool,
    "full disk": _fill_disk,
    "clock": _step_clock,
    "weather": _change_weather,
    "broker": _stop_broker,
    "forgotten": _forget,
    "renamed": _rename,
    "new broker": _renew_topics,
    "retention": lambda world: world.broker.expire(),
    "models": _swap_model,
    "rubbish": World.rubbish,
}


def play(seed: int, folder: Path) -> Finding:
    """Play a seed's schedule in an empty folder."""
    return World(seed, folder).play()
