"""A host of the simulated world: the service put together as ``run.listen`` does, life by life."""

import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

from rehearsal.sample_model import RehearsalModel
from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.errors import ConfigError, TriggerError
from spiir_pastro.serve.adjusting import Adjusted
from spiir_pastro.serve.alert_source import KafkaSource
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.history import history_path, recall_first_start
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.model_slot import Model, ModelSlot
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.settings import GraceDBSettings, KafkaSettings, Settings
from spiir_pastro.serve.spool import Spool
from spiir_pastro.serve.spool_file import SpoolDamaged
from spiir_pastro.serve.standby import Standby
from spiir_pastro.serve.sweeps import BackfillPlan
from spiir_pastro.serve.upload import GraceDBUploader
from storm.broker import Seat, SimulatedBroker, SimulatedConsumer, SimulatedMembership
from storm.gracedb import SETTLE_S, SimulatedGraceDB, SimulatedGraceDBClient
from storm.machine import Machine
from storm.timeline import Timeline

__all__ = ["GROUP", "MODELS", "SESSION_S", "TOPICS", "Host", "Surroundings"]

GROUP = "gracedb-playground"
TOPICS = ("cbc_spiir", "cbc_spiir_allsky")
SESSION_S = 8.0
_METRICS = Metrics()
_METRICS.registry.register = lambda _: None  # type: ignore[assignment]  # nobody asks


class _Describing(RehearsalModel):
    """A model that says what an event is as well."""

    def describe(
        self, trigger: Trigger, probabilities: SourceProbabilities, /
    ) -> Mapping[str, object]:
        return {"event": trigger.event_id, "HasNS": probabilities.bns}


class _Helpless(_Describing):
    """A model that has no answer to every other event."""

    def assess(self, trigger: Trigger, /) -> SourceProbabilities:
        if trigger.gps_ns % 2:
            raise TriggerError(f"trigger {trigger.event_id}: no idea")
        return super().assess(trigger)


MODELS = tuple(
    Model(assessor=assessor, digest=f"{n}" * 64, version=f"{n}")
    for n, assessor in enumerate(
        (*(_Describing(slope=slope) for slope in (0.9, 0.8, 0.7)), _Helpless(slope=0.6))
    )
)
"""What may answer; the last one is of little help."""


@dataclass(kw_only=True)
class Surroundings:
    """What a host is in.

    Attributes
    ----------
    seat
        What hosts share, if there are several.
    group
        The consumer group of its settings.
    model
        The model file in place, as a number of :data:`MODELS`.
    is_searched, updates, properties
        Whether GraceDB is searched, updates are answered, and properties sent.
    """

    timeline: Timeline
    dice: random.Random
    broker: SimulatedBroker
    gracedb: SimulatedGraceDB
    seat: Seat | None
    is_searched: bool
    updates: bool
    properties: bool
    group: str = "group"
    model: int = 0

    def settings(self) -> Settings:
        """Return the service's settings."""
        return Settings(
            schema=1,
            spool="unused",
            updates=self.updates,
            kafka=KafkaSettings(consumer_group=self.group, group=GROUP, topics=list(TOPICS)),
            gracedb=GraceDBSettings(
                url="http://127.0.0.1:1/",
                settle_s=SETTLE_S,
                retry_limit_s=20.0,
                workers=2,
                properties=self.properties,
            ),
        )


class _SimulatedModels(Models):
    """The models, of which one file is exchanged from outside."""

    def __init__(self, around: Surroundings, health: Health) -> None:
        self.metrics, self.health = _METRICS, health
        self._warned = set()
        self._adjusted = Adjusted(health=health)
        self._around = around
        self._number = around.model
        # A slot is asked for its model only.
        self._slots = {"allsky": cast("ModelSlot", self)}

    @property
    def model(self) -> Model:
        return MODELS[self._number]

    def refresh(self, *, forced: bool = False) -> bool:
        del forced
        before, self._number = self._number, self._around.model
        return before != self._number


class Host:
    """A machine and the lives of the service on it.

    Attributes
    ----------
    since
        True seconds of its first start.
    troubles
        Exceptions that ended a life.
    """

    def __init__(self, name: str, machine: Machine, around: Surroundings) -> None:
        self.name = name
        self.machine = machine
        self.around = around
        self.service: Service | None = None
        self.since: float | None = None
        self.troubles: list[str] = []
        machine.on_death, machine.on_stop = self.restart_soon, self.stop

    def start(self) -> None:
        """Start the service."""
        self.machine.tidy()
        self.machine.begin()
        self.around.timeline.spawn(self.machine.process, self._live)

    def join(self, first: "Host") -> None:
        """Start for the first time beside another, with its history, as the guide says."""
        timeline = self.around.timeline
        if first.since is None:
            timeline.at(timeline.now + 1.0, lambda: self.join(first))
            return
        known = history_path(first.machine.spool)
        if known.exists():
            shutil.copyfile(known, history_path(self.machine.spool))
        self.start()

    def stop(self) -> None:
        """Tell the service to end, as SIGTERM does."""
        if self.service is not None:
            self.service.stop()

    def restart_soon(self) -> None:
        """Start it again in a moment."""
        timeline = self.around.timeline
        self.service = None
        timeline.at(timeline.now + self.around.dice.uniform(0.2, 5.0), self.start)

    def close(self) -> None:
        """End all tasks."""
        self.machine.on_death = lambda: None
        self.machine.process.paused_until = 0.0
        self.around.timeline.kill(self.machine.process)
        self.around.timeline.run(self.around.timeline.now)
        self.machine.tidy()

    @property
    def is_on_duty(self) -> bool:
        """Whether it may send."""
        return self.service is not None and self.service._dispatcher._duty.is_ours()

    def problems(self) -> dict[str, str]:
        """Return what is wrong with it now."""
        if self.service is None:
            return {"life": "none"}
        found = self.service.health.problems()
        if not (self.machine.spool / "spool.sqlite").exists():
            return found | {"spool": "not in its place, and nothing said"}
        if waiting := self.service.spool.counts()["pending"]:
            found["pending"] = f"{waiting} events"
        return found

    def _live(self) -> None:
        """Be the process."""
        machine = self.machine
        try:
            self.service = self._assemble()
            self.service.run()
        except (ConfigError, SpoolDamaged):
            pass  # said, and started again by systemd
        except Exception as error:  # noqa: BLE001  (whatever else ends a life is a finding)
            self.troubles.append(f"{type(error).__name__}: {error}")
        if machine.process.is_alive:
            self.around.timeline.kill(machine.process)
            self.restart_soon()

    def _assemble(self) -> Service:
        around, machine = self.around, self.machine
        clock, health = machine.clock(), Health()
        spool = Spool(machine.spool, clock=clock, disk=machine)
        since = recall_first_start(spool, clock=clock, health=health)
        if self.since is None:
            self.since = around.timeline.now
        settings = around.settings()
        source = KafkaSource(
            settings.kafka,
            lambda _: SimulatedConsumer(around.broker, machine, around.group),
            places=spool,
            since=since,
            health=health,
            metrics=_METRICS,
            clock=clock,
            shares_group=around.seat is not None,
        )
        standby = self._standby(health)
        client = partial(SimulatedGraceDBClient, around.gracedb, machine)
        service = Service(
            settings,
            spool=spool,
            model=_SimulatedModels(around, health),
            source=source,
            make_uploader=lambda: GraceDBUploader(client()),
            clock=clock,
            duty=standby,
            jitter=around.dice.random,
        )
        if standby is not None:
            service.stand_by(standby)
        if around.is_searched:
            plan = BackfillPlan(
                every_s=60.0, since=since, topics=TOPICS, properties=around.properties
            )
            service.search_gracedb(client(), plan)
        return service

    def _standby(self, health: Health) -> Standby | None:
        around = self.around
        if around.seat is None:
            return None
        return Standby(
            SimulatedMembership(around.seat, around.broker, self.machine),
            session_s=SESSION_S,
            settle_s=SETTLE_S,
            clock=self.machine.clock(),
            health=health,
            metrics=_METRICS,
        )
