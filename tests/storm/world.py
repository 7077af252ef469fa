"""One schedule of faults, made of one seed: the service's real code, and a judge at the end.

Each seed switches on a few kinds of faults out of all, so that the rest cannot hide what one kind
does. After the storm everything is mended, and within a few minutes of simulated time each event
must have exactly one file of ours, with its label and the right numbers.
"""

import json
import random
import re
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path

from rehearsal.sample_alerts import sample_alert
from spiir_pastro.errors import TriggerError
from spiir_pastro.io.alerts import parse_alert
from spiir_pastro.serve.upload import P_ASTRO
from storm.broker import Seat, SimulatedBroker, Topic
from storm.gracedb import SETTLE_S, WEATHERS, Entry, SimulatedGraceDB
from storm.host import GROUP, MODELS, SESSION_S, TOPICS, Host, Surroundings
from storm.machine import Machine
from storm.timeline import Timeline

__all__ = ["KINDS", "Finding", "World", "event_and_alert", "kinds_of", "play"]

BEGIN_S = 10.0
STORM_S = 70.0
CALM_S = 400.0
RUN_IN_S = 30.0
"""Seconds by which two hosts may start earlier."""
RETURN_S = 10.0
"""Seconds after GraceDB's return by which all is delivered, if nothing else is wrong."""
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
    "cut off",
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
    "pauses",
    "two hosts",
    "amnesia",
    "other writers",
    "helpless model",
    "updates",
    "properties",
)
"""The kinds of faults; every seed takes some."""

_NEEDS_SEARCH = frozenset(
    {
        "cut log",
        "damaged page",
        "deleted spool",
        "new broker",
        "retention",
        "silent",
        "amnesia",
    }
)
_FORGETS = _NEEDS_SEARCH | {"power"}
"""After these an alert may be read twice."""
_GENTLE = frozenset({"weather", "models", "rubbish", "forgotten", "other writers", "crashes"})
"""Among these nothing but GraceDB itself holds up a delivery."""
_PARTS_HOSTS = ("crashes", "terminations", "pauses", "cut off", "full disk", "weather")
_OURS = ("AllSky", "allsky", "ALLSKY", "")
_NOT_OURS = ("MDC", "EarlyWarning", "earlywarning", "SSM", "VTInjection", "vtinjection")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a schedule left: all should be empty.

    Attributes
    ----------
    lost, doubled, unlabelled, mislabelled, strange
        Events without a file, with more than one answer of ours, without label, with numbers of no
        model or of an older trigger, and answered though they should not be.
    incomplete
        Events without our properties, which stand beside another writer's probabilities, too.
    trampled
        Events that had another writer's file, and were answered all the same.
    late
        Events without a file ten seconds after GraceDB came back.
    repeated
        Partitions read from before where a host said it was.
    troubles
        Problems still on the board at the end, and exceptions that ended a life.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unlabelled: list[str] = field(default_factory=list)
    mislabelled: list[str] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    incomplete: list[str] = field(default_factory=list)
    trampled: list[str] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def is_hopeless(self) -> bool:
        """Whether something is wrong that no time mends."""
        return bool(self.doubled or self.strange or self.trampled or self.late or self.repeated)

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not any(vars(self).values())


class World:
    """Hosts with the service, a broker and a GraceDB, and what befalls them."""

    def __init__(self, seed: int, folder: Path, kinds: frozenset[str] | None = None) -> None:
        self.dice = dice = random.Random(seed)  # noqa: S311  (dice, no secret)
        # Drawn from where a draw of the others would make another schedule of every seed.
        self.dice_aside = random.Random(f"aside {seed}")  # noqa: S311
        self.kinds = _kinds(dice) if kinds is None else kinds
        self.timeline = Timeline()
        self.broker = SimulatedBroker(self.timeline, dice)
        self.gracedb = SimulatedGraceDB(self.timeline, dice)
        names = "ab" if "two hosts" in self.kinds else "a"
        self.around = Surroundings(
            timeline=self.timeline,
            dice=dice,
            broker=self.broker,
            gracedb=self.gracedb,
            seat=Seat(self.timeline, dice, SESSION_S) if len(names) > 1 else None,
            # GraceDB is searched where nothing else can help; elsewhere it must do without.
            is_searched=bool(self.kinds & _NEEDS_SEARCH),
            updates="updates" in self.kinds,
            properties="properties" in self.kinds,
        )
        self.hosts = [self._host(name, folder / name) for name in names]
        self.required: set[str] = set()
        self.allowed: set[str] = set()
        self.answered: set[str] = set()  # by another writer, as the alert says
        self.versions: Counter[str] = Counter()  # of triggers of an event, after the first
        self.late: list[str] = []
        self.restorations = 0  # of GraceDB, under way

    def is_searched_for(self, event_id: str) -> bool:
        """Whether each host's search goes back to an event: no earlier than its first start."""
        created = self.gracedb.created[event_id][0]
        return all(host.since is not None and host.since <= created for host in self.hosts)

    def any_host(self) -> Host:
        """Draw one."""
        return self.dice.choice(self.hosts)

    def _host(self, name: str, folder: Path) -> Host:
        machine = Machine(name, folder, self.timeline, self.dice)
        machine.crashes_left = self.dice.randint(1, 8) if "crashes" in self.kinds else 0
        machine.pauses_left = self.dice.randint(1, 3) if "pauses" in self.kinds else 0
        machine.stops_left = self.dice.randint(1, 3) if "terminations" in self.kinds else 0
        machine.crash_probability = 10.0 ** self.dice.uniform(-3.5, -1.5)
        if {"two hosts", "cut off"} <= self.kinds:
            machine.delaying = random.Random(f"{name} {self.dice_aside.random()}")  # noqa: S311
        return Host(name, machine, self.around)

    # What comes in.

    def announce(self, number: int) -> None:
        """Create an event and publish its alert, in some order, on both topics or on one."""
        dice, event_id = self.dice, f"G{number}"
        is_answered = "other writers" in self.kinds and dice.random() < 0.3
        event, payload = event_and_alert(number, search=dice.choice(_OURS), is_answered=is_answered)
        self.gracedb.create(event, late_s=self._late_s())
        self.allowed.add(event_id)
        if any(h.since is not None and self.timeline.now > h.since + 1.0 for h in self.hosts):
            self.required.add(event_id)
        if is_answered:
            self.answered.add(event_id)
            self._write_as_another(event_id)
        elif "other writers" in self.kinds and dice.random() < 0.3:
            self._later(dice.uniform(0.0, 20.0), self._write_as_another, event_id)
        if "silent" in self.kinds and dice.random() < 0.2:
            return  # its alert never comes
        self._publish(payload)
        if self.around.updates and dice.random() < 0.7:
            self._later(dice.uniform(1.0, 8.0), self._update, number)

    def _update(self, number: int) -> None:
        """Publish another trigger of an event, and perhaps one more."""
        self.versions[f"G{number}"] += 1
        self._publish(event_and_alert(number, version=self.versions[f"G{number}"])[1])
        if self.dice.random() < 0.3:
            self._later(self.dice.uniform(1.0, 8.0), self._update, number)

    def _publish(self, payload: bytes) -> None:
        dice, topics = self.dice, list(TOPICS)
        if "new topic" in self.kinds and self.timeline.now < STORM_S / 2:
            topics = topics[:1]
        elif dice.random() < 0.3 and not self.around.updates:  # in order on the first topic
            topics = [dice.choice(topics)]
        for topic in topics:
            for _ in range(1 + (dice.random() < 0.1)):
                at_once = self.around.updates and topic == TOPICS[0]
                delay_s = 0.0 if at_once else dice.choice([0.0, dice.uniform(0.0, 4.0)])
                self._later(delay_s, self.broker.publish, f"{GROUP}.{topic}", payload)

    def _write_as_another(self, event_id: str) -> None:
        self.gracedb.write(event_id, b'{"BNS": 1.0}', "pipeline", "the pipeline's")
        self.gracedb.files[event_id][-1].seen_from = self.timeline.now

    def _late_s(self) -> float:
        return self.dice.uniform(0.0, 8.0) if "late events" in self.kinds else 0.0

    def _later(self, delay_s: float, act: Callable[..., object], *values: object) -> None:
        self.timeline.at(self.timeline.now + delay_s, partial(act, *values))

    def rubbish(self) -> None:
        """Publish what gets no answer."""
        event, payload = event_and_alert(900, search=self.dice.choice(_NOT_OURS))
        self.gracedb.create(event)
        for text in (b"rubbish", payload):
            self.broker.publish(f"{GROUP}.{TOPICS[0]}", text)

    # What befalls it.

    def storm(self) -> None:
        """Plan everything."""
        dice = self.dice
        self.begin()
        for number in range(1, dice.randint(2, 14)):
            self.timeline.at(dice.uniform(13.0, STORM_S), partial(self.announce, number))
        for kind in sorted(self.kinds & _BEFALL.keys()):
            for _ in range(dice.randint(1, 3)):
                self.timeline.at(dice.uniform(11.0, STORM_S), partial(_BEFALL[kind], self))
        if "lag" in self.kinds:
            self.gracedb.lag_s = 0.5 * SETTLE_S

    def begin(self) -> None:
        """Have an event of before, and start the hosts."""
        if {"two hosts", "cut off"} <= self.kinds:
            # What is announced soon after a start is looked for by any host, alone or not.
            self.timeline.now = -RUN_IN_S
        event, payload = event_and_alert(800)
        self.gracedb.create(event)
        self.broker.publish(f"{GROUP}.{TOPICS[0]}", payload)
        if "new topic" not in self.kinds:
            self.broker.publish(f"{GROUP}.{TOPICS[1]}", payload)
        self.timeline.now += BEGIN_S  # what was there before is older than the service
        first, *others = self.hosts
        first.start()
        for host in others:
            self._later(self.dice.uniform(1.0, 6.0), host.join, first)

    def mend(self) -> None:
        """End all faults that do not end by themselves."""
        for host in self.hosts:
            host.machine.crashes_left = host.machine.pauses_left = host.machine.stops_left = 0
            host.machine.is_full = False
            host.machine.wall_offset = 0.0
        for missing in (self.broker.cut_off, self.broker.without_alerts, self.broker.without_seat):
            missing.clear()
        if not self.broker.is_up:
            _start_broker(self)
        self.clear_up()
        self.around.model %= len(MODELS) - 1
        for topic in TOPICS:  # a topic that never came would be a problem on the board
            self.broker.topics.setdefault(f"{GROUP}.{topic}", Topic())

    def clear_up(self) -> None:
        """Have GraceDB answer again, unless it is being restored."""
        self.gracedb.weather = "refused" if self.restorations else "fair"

    def play(self) -> Finding:
        """Play the schedule to its end and judge it."""
        try:
            self.storm()
            self.timeline.run(STORM_S - RETURN_S / 2)
            prompt = set(self.required)
            self.timeline.run(STORM_S)
            self.mend()
            until = STORM_S + RETURN_S
            self.timeline.run(until)
            if self.kinds <= _GENTLE:
                self.late = sorted(prompt - self.gracedb.files.keys())
            calm_s = 60.0 if self._is_slow else RETURN_S
            finding = self.judge()
            while until < STORM_S + CALM_S and not finding.is_hopeless:
                if until >= STORM_S + calm_s and finding.is_clean:
                    break
                until += _STEP_S
                self.timeline.run(until)
                finding = self.judge()
            return finding
        finally:
            for host in self.hosts:
                host.close()

    @property
    def _is_slow(self) -> bool:
        """Whether something may still come to light when all seems well."""
        return self.around.is_searched or bool(self.kinds & {"pauses", "two hosts", "forgotten"})

    def judge(self) -> Finding:
        """Compare GraceDB with what it should have."""
        files = self.gracedb.files
        ours = {
            event_id: found
            for event_id, entries in files.items()
            if (found := [entry for entry in entries if entry.writer in {"a", "b"}])
        }
        return Finding(
            lost=sorted(self.required - files.keys()),
            doubled=sorted(
                event_id
                for event_id, entries in (*ours.items(), *self.gracedb.properties.items())
                if self._is_doubled(event_id, entries)
            ),
            incomplete=sorted(self.required - self.gracedb.properties.keys())
            if self.around.properties
            else [],
            unlabelled=sorted(self.required - self.gracedb.labels.keys()),
            mislabelled=sorted(e for e, entries in ours.items() if self._is_wrong(e, entries)),
            strange=sorted(set(ours) - self.allowed),
            trampled=sorted(self.answered & ours.keys()),
            late=self.late,
            repeated=[] if self.kinds & _FORGETS else self.broker.repeated,
            troubles=self._troubles(),
        )

    def _is_doubled(self, event_id: str, entries: list[Entry]) -> bool:
        contents = {entry.content for entry in entries}
        return len(entries) > min(len(contents), 1 + self.versions[event_id])

    def _is_wrong(self, event_id: str, entries: list[Entry]) -> bool:
        """Whether a file is no model's, or the last not of the last trigger."""
        number, last = int(event_id[1:]), self.versions[event_id]
        right = {answer for version in range(last + 1) for answer in _right(number, version)}
        answers = [(entry.content, entry.comment) for entry in entries]
        is_stale = event_id in self.required and answers[-1] not in _right(number, last)
        return is_stale or not set(answers) <= right

    def _troubles(self) -> list[str]:
        found = [trouble for host in self.hosts for trouble in host.troubles]
        for host in self.hosts:
            found += [f"{host.name} {part}: {text}" for part, text in host.problems().items()]
        if "forgotten" in self.kinds and not self.broker.remembers(self.around.group):
            found.append("the broker was not told again how far the group is")
        return found


def _kinds(dice: random.Random) -> frozenset[str]:
    kinds = set(dice.sample(KINDS, dice.randint(1, 5)))
    if "two hosts" in kinds:  # which shows with what one of them meets
        kinds |= set(dice.sample(_PARTS_HOSTS, 3))
    if "amnesia" in kinds:  # a host might label what was there before it stood still
        kinds.discard("pauses")
    if "updates" in kinds:  # what forgets an answer forgets that it replaced another
        kinds -= _FORGETS | {"two hosts", "other writers", "helpless model"}
        if "properties" in kinds:  # unchanged ones are left only if they are seen
            kinds.discard("lag")
    return frozenset(kinds)


def kinds_of(seed: int) -> frozenset[str]:
    """Return the kinds of faults of a seed's schedule."""
    return _kinds(random.Random(seed))  # noqa: S311  (dice, no secret)


@cache
def event_and_alert(
    number: int, *, search: str = "AllSky", version: int = 0, is_answered: bool = False
) -> tuple[dict[str, object], bytes]:
    """Return an event and its alert's payload; later versions have another FAR."""
    alert = sample_alert(number, search=search)
    event = alert["data"]
    assert isinstance(event, dict)
    event["labels"] = ["PASTRO_READY"] * is_answered
    if version:
        alert["alert_type"] = "update"
        far_hz = event["far"] * 0.01**version
        event["far"] = event["extra_attributes"]["CoincInspiral"]["combined_far"] = far_hz
    return event, json.dumps(alert).encode()


@cache
def _right(number: int, version: int) -> set[tuple[bytes, str]]:
    """Return the files that the models make of an event, with their comments."""
    trigger = parse_alert(event_and_alert(number, version=version)[1]).trigger()
    found = set()
    for model in MODELS:
        with suppress(TriggerError):
            content = json.dumps(model.assessor.assess(trigger).as_mapping()).encode()
            found.add((content, P_ASTRO.comment.format(model=model.name)))
    return found


def _terminate(world: World) -> None:
    world.any_host().stop()


def _power(world: World) -> None:
    machine = world.any_host().machine
    if machine.process.is_alive:
        machine.crash("power")


def _after_crash(world: World, harm: Callable[[Path], None]) -> None:
    """Kill the service, and harm its files before it starts again."""
    machine = world.any_host().machine
    if machine.process.is_alive:
        machine.crash("to be harmed")
    if machine.spool.exists():
        harm(machine.spool)


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
        begin, size = _where_to_damage(content, world.dice)
        content[begin : begin + size] = world.dice.randbytes(len(content[begin : begin + size]))
        path.write_bytes(content)

    _after_crash(world, harm)


_VALUES = re.compile(
    rb'\{"BNS".*?\}|pending|done|cbc_spiir(_allsky)?.|(first_start|swept_until).{8}', re.DOTALL
)


def _where_to_damage(content: bytearray, dice: random.Random) -> tuple[int, int]:
    """Choose bytes of a page, or one of a value, of which SQLite does not tell."""
    values = [found.span() for found in _VALUES.finditer(content)]
    if values and dice.random() < 0.5:
        return dice.randrange(*dice.choice(values)), 1
    within = dice.choice([0, 100, *(dice.randrange(4096) for _ in range(3))])
    return 4096 * dice.randrange(max(1, len(content) // 4096)) + within, dice.choice(
        [1, 8, 96, 4096]
    )


def _delete_spool(world: World) -> None:
    """Delete the folder, of a dead service or of a running one."""
    spool = world.any_host().machine.spool
    if world.dice.random() < 0.5:
        _after_crash(world, shutil.rmtree)
    elif spool.exists():
        shutil.rmtree(spool)


def _fill_disk(world: World) -> None:
    machine = world.any_host().machine
    machine.is_full = True

    def empty() -> None:
        machine.is_full = False

    world.timeline.at(world.timeline.now + world.dice.uniform(0.5, 30.0), empty)
    if world.dice.random() < 0.5:
        world.timeline.at(
            world.timeline.now + world.dice.uniform(0.0, 5.0), partial(_terminate, world)
        )


def _step_clock(world: World) -> None:
    step_s = world.dice.choice([1.0, 60.0, 3600.0, 8_640_000.0])
    host, offset = world.any_host(), world.dice.choice([-step_s, step_s, 0.0])
    if host.since is not None:  # which is taken from this clock
        host.machine.wall_offset = offset


def _change_weather(world: World) -> None:
    if world.restorations:
        return
    world.gracedb.weather = world.dice.choice(WEATHERS)
    world.gracedb.share = world.dice.choice([0.1, 0.5, 1.0])

    world.timeline.at(world.timeline.now + world.dice.uniform(1.0, 40.0), world.clear_up)
    for _ in range(world.dice.randrange(3)):  # a person has what waits tried again
        world.timeline.at(
            world.timeline.now + world.dice.uniform(1.0, 20.0), partial(_reload, world)
        )


def _reload(world: World) -> None:
    service = world.any_host().service
    if service is not None:
        service.reload()


def _stop_broker(world: World) -> None:
    world.broker.is_up = False
    world.timeline.at(
        world.timeline.now + world.dice.uniform(1.0, 40.0), partial(_start_broker, world)
    )


def _cut_off(world: World) -> None:
    """Have a host not reach the broker, or a part of it, for a while; it reaches GraceDB."""
    broker, name = world.broker, world.any_host().name
    parts = broker.cut_off, broker.without_alerts, broker.without_seat
    missing = world.dice_aside.choice(parts) if len(world.hosts) > 1 else broker.cut_off
    missing.add(name)
    world.timeline.at(
        world.timeline.now + world.dice.uniform(1.0, 40.0), partial(missing.discard, name)
    )


def _start_broker(world: World) -> None:
    world.broker.is_up = True
    if world.around.seat is not None:
        world.around.seat.start_anew()


def _forget(world: World) -> None:
    world.broker.committed.clear()
    if world.dice.random() < 0.5:
        _terminate(world)


def _rename(world: World) -> None:
    world.around.group += "x"
    _terminate(world)


def _renew_topics(world: World) -> None:
    """Have the broker set up anew, with nothing in it."""
    for topic in world.broker.topics:
        world.broker.renew(topic)
    if world.dice.random() < 0.5:
        world.broker.committed.clear()


def _swap_model(world: World) -> None:
    world.around.model = world.dice.randrange(len(MODELS) - 1)


def _spoil_model(world: World) -> None:
    world.around.model = len(MODELS) - 1


def _pause(world: World) -> None:
    world.any_host().machine.pause(world.dice.uniform(1.0, 40.0))


def _lose_files(world: World) -> None:
    """Have GraceDB set up from a copy that lacks some of what it was given."""
    world.gracedb.weather, world.gracedb.share = "refused", 1.0
    world.restorations += 1

    def return_without() -> None:
        world.restorations -= 1
        world.clear_up()
        for event_id in sorted(world.gracedb.files):
            if world.dice.random() < 0.5 and world.is_searched_for(event_id):
                properties_alone = world.around.properties and world.dice_aside.random() < 0.5
                world.gracedb.forget(event_id, properties_alone=properties_alone)
                if not properties_alone:
                    world.answered.discard(event_id)

    # By then all is through that was asked before.
    world.timeline.at(world.timeline.now + SETTLE_S, return_without)


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
    "cut off": _cut_off,
    "forgotten": _forget,
    "renamed": _rename,
    "new broker": _renew_topics,
    "retention": lambda world: world.broker.expire(),
    "models": _swap_model,
    "helpless model": _spoil_model,
    "rubbish": World.rubbish,
    "pauses": _pause,
    "amnesia": _lose_files,
}


def play(seed: int, folder: Path) -> Finding:
    """Play a seed's schedule in an empty folder."""
    return World(seed, folder).play()
