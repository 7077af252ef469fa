"""A hundred schedules of faults, replayed exactly; and with each safeguard taken out, one shows it.

``make storm`` plays a hundred thousand.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from spiir_pastro.serve import alert_source, service, sweeps
from storm.host import GROUP, TOPICS
from storm.mutations import MUTATIONS, Mutation, first_seed
from storm.run import findings, quicken
from storm.world import World, event_and_alert


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    before = service.POLL_S, service.HOUSEKEEPING_S, sweeps.LOOK_S, alert_source.RENEW_S
    quicken()
    yield
    service.POLL_S, service.HOUSEKEEPING_S, sweeps.LOOK_S, alert_source.RENEW_S = before
    structlog.reset_defaults()


def test_no_schedule_loses_doubles_or_mislabels_anything() -> None:
    assert findings(range(100)) == []


def test_a_seed_replays_exactly(tmp_path: Path) -> None:
    def trace(folder: Path) -> tuple[object, ...]:
        world = World(7, folder)
        finding = world.play()
        files = {e: [(x.content, x.seen_from) for x in f] for e, f in world.gracedb.files.items()}
        return (
            finding,
            files,
            world.gracedb.labels,
            world.hosts[0].machine.lives,
            world.timeline.now,
        )

    assert trace(tmp_path / "first") == trace(tmp_path / "second")


def _stop_broker(world: World) -> None:
    world.broker.is_up = False
    world.timeline.at(80.0, lambda: setattr(world.broker, "is_up", True))


def _pause(world: World) -> None:
    world.hosts[0].machine.pause(30.0)


@pytest.mark.parametrize("hold_up", [_stop_broker, _pause])
def test_a_twin_read_long_after_the_spool_was_lost_is_looked_for(
    tmp_path: Path, hold_up: Callable[[World], None]
) -> None:
    """Found in seeds 21423 and 24004: sent again without a look."""
    world = World(0, tmp_path, frozenset())
    (host,) = world.hosts
    event, payload = event_and_alert(1)
    world.begin()
    world.timeline.run(40.0)
    world.gracedb.create(event)
    world.broker.publish(f"{GROUP}.{TOPICS[0]}", payload)
    world.timeline.run(41.0)
    shutil.rmtree(host.machine.spool)
    world.timeline.run(50.0)
    assert host.machine.lives == 2
    hold_up(world)
    world.broker.publish(f"{GROUP}.{TOPICS[1]}", payload)
    world.timeline.run(120.0)
    assert host.problems() == {}
    assert host.service is not None
    (record,) = host.service.spool.latest(1)
    host.close()
    assert (record.event_id, record.outcome) == ("G1", "found")
    assert len(world.gracedb.files["G1"]) == 1


def test_a_host_looks_for_what_the_other_sent_while_its_own_disk_was_full(tmp_path: Path) -> None:
    world = World(0, tmp_path, frozenset({"two hosts"}))
    world.begin()
    world.timeline.run(45.0)
    first, second = sorted(world.hosts, key=lambda host: not host.is_on_duty)
    second.machine.is_full = True
    world.announce(1)
    world.timeline.run(50.0)
    assert [entry.writer for entry in world.gracedb.files["G1"]] == [first.name]
    first.machine.pause(1e6)
    while not second.is_on_duty:
        world.timeline.run(world.timeline.now + 0.1)
    second.machine.is_full = False
    world.timeline.run(world.timeline.now + 10.0)
    assert second.service is not None
    (record,) = second.service.spool.latest(1)
    for host in world.hosts:
        host.close()
    assert (record.event_id, record.outcome) == ("G1", "found")
    assert len(world.gracedb.files["G1"]) == 1


QUICK = [mutation for mutation in MUTATIONS if mutation.is_quick]
THOROUGH = [mutation for mutation in MUTATIONS if not mutation.is_quick]


@pytest.mark.parametrize("mutation", QUICK, ids=lambda mutation: mutation.name)
def test_a_safeguard_taken_out_is_missed(mutation: Mutation) -> None:
    assert first_seed(mutation) is not None


@pytest.mark.slow
@pytest.mark.parametrize("mutation", THOROUGH, ids=lambda mutation: mutation.name)
def test_a_subtle_safeguard_taken_out_is_missed(mutation: Mutation) -> None:
    assert first_seed(mutation) is not None
