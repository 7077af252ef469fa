"""What is wrong is told within five seconds, and no longer said thirty seconds after it is over.

In simulated time, with the waits that the service really has: nothing here is quickened.
"""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from spiir_pastro.serve.standby import REBALANCE_S
from storm.gracedb import SETTLE_S
from storm.host import GROUP, SESSION_S, TOPICS, Host
from storm.world import World

TOLD_S, OVER_S = 5.0, 30.0
BEGIN_S = 40.0
STEP_S = 0.1
TAKEOVER_S = SESSION_S + REBALANCE_S + SETTLE_S


@dataclass(frozen=True, kw_only=True)
class Corner:
    """Something that goes wrong for a while.

    Attributes
    ----------
    part
        Whose problem it is to be.
    """

    name: str
    part: str
    begin: Callable[[World], None]
    end: Callable[[World], None]


def _weather(name: str) -> Corner:
    def begin(world: World) -> None:
        world.gracedb.weather, world.gracedb.share = name, 1.0

    def end(world: World) -> None:
        world.gracedb.weather = "fair"

    return Corner(name=f"GraceDB: {name}", part="gracedb", begin=begin, end=end)


def _disk(world: World, *, is_full: bool) -> None:
    world.hosts[0].machine.is_full = is_full


def _broker(world: World, *, is_up: bool) -> None:
    world.broker.is_up = is_up


def _cut_off(world: World, *, is_cut: bool) -> None:
    world.broker.cut_off = {"a"} if is_cut else set()


CORNERS = (
    *map(
        _weather,
        (
            *("refused", "cut before", "cut after", "timeout before", "timeout after", "half"),
            *("page", "page 201", "empty 201", "nothing done", "401", "403", "404", "418"),
            *("429", "500", "502", "503", "504", "mixed"),
        ),
    ),
    Corner(
        name="full disk",
        part="spool",
        begin=partial(_disk, is_full=True),
        end=partial(_disk, is_full=False),
    ),
    Corner(
        name="broker down",
        part="kafka",
        begin=partial(_broker, is_up=False),
        end=partial(_broker, is_up=True),
    ),
    Corner(
        name="cut off from the broker",
        part="kafka",
        begin=partial(_cut_off, is_cut=True),
        end=partial(_cut_off, is_cut=False),
    ),
)


@pytest.fixture(autouse=True)
def slow_gracedb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storm.gracedb.TIMEOUT_S", 10.0)  # as the settings have it


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(0, tmp_path, frozenset())
    made.begin()
    made.timeline.run(BEGIN_S)
    assert made.hosts[0].problems() == {}
    yield made
    for host in made.hosts:
        host.close()


def seconds_until(world: World, condition: Callable[[], bool], *, most_s: float) -> float:
    begun = world.timeline.now
    while not condition():
        assert world.timeline.now < begun + most_s, world.hosts[0].problems()
        world.timeline.run(world.timeline.now + STEP_S)
    return world.timeline.now - begun


def said(host: Host) -> dict[str, str]:
    return {part: text for part, text in host.problems().items() if part != "pending"}


@pytest.mark.parametrize("lasting_s", [6.0, 100.0])
@pytest.mark.parametrize("corner", CORNERS, ids=lambda corner: corner.name)
def test_a_fault_is_told_and_its_end_as_well(
    world: World, corner: Corner, lasting_s: float
) -> None:
    (host,) = world.hosts
    corner.begin(world)
    world.announce(1)
    told_s = seconds_until(world, lambda: corner.part in said(host), most_s=TOLD_S)
    for number in range(2, 7):
        world.timeline.at(BEGIN_S + number * lasting_s / 7.0, partial(world.announce, number))
    world.timeline.run(world.timeline.now + lasting_s - told_s)
    assert corner.part in said(host) or corner.name == "GraceDB: mixed"
    corner.end(world)
    seconds_until(world, lambda: host.problems() == {}, most_s=OVER_S)
    world.timeline.run(world.timeline.now + 10.0)  # the last alert may still be on its way
    finding = world.judge()
    assert finding.is_clean, finding


@pytest.mark.parametrize("lasting_s", [6.0, 100.0])
@pytest.mark.parametrize("weather", ["refused", "404", "503", "mixed"])
def test_after_any_absence_all_is_delivered_in_ten_seconds(
    world: World, weather: str, lasting_s: float
) -> None:
    world.gracedb.weather, world.gracedb.share = weather, 1.0
    for number in range(1, 14):
        world.timeline.at(BEGIN_S + number * lasting_s / 14.0, partial(world.announce, number))
    world.timeline.run(BEGIN_S + lasting_s)
    assert (len(world.gracedb.files) == 0) == (weather != "mixed")
    world.gracedb.weather = "fair"
    seconds_until(world, lambda: len(world.gracedb.files) == 13, most_s=10.0)


def test_a_topic_that_is_missing_is_told_at_the_start_and_its_coming_too(tmp_path: Path) -> None:
    world = World(0, tmp_path, frozenset({"new topic"}))
    world.begin()
    (host,) = world.hosts
    seconds_until(world, lambda: "topics" in said(host), most_s=TOLD_S)
    world.timeline.run(BEGIN_S)
    world.broker.publish(f"{GROUP}.{TOPICS[1]}", b"rubbish")
    seconds_until(world, lambda: host.problems() == {}, most_s=OVER_S)
    host.close()


def test_a_search_of_gracedb_that_failed_is_over_soon_after(tmp_path: Path) -> None:
    world = World(0, tmp_path, frozenset({"silent"}))
    world.gracedb.weather = "refused"
    world.begin()
    (host,) = world.hosts
    seconds_until(world, lambda: "backfill" in said(host), most_s=TOLD_S)
    world.timeline.run(BEGIN_S)
    world.gracedb.weather = "fair"
    seconds_until(world, lambda: host.problems() == {}, most_s=OVER_S)
    host.close()


def test_a_spool_taken_away_ends_the_life_and_the_next_is_well(world: World) -> None:
    (host,) = world.hosts
    before = host.machine.lives
    shutil.rmtree(host.machine.spool)
    seconds_until(world, lambda: host.service is None, most_s=TOLD_S)
    seconds_until(world, lambda: host.problems() == {}, most_s=OVER_S)
    assert host.machine.lives == before + 1


def test_the_other_host_answers_in_time_and_nobody_twice(tmp_path: Path) -> None:
    """Within session, election and settling: what ``takeover_s`` is made of."""
    world = World(0, tmp_path, frozenset({"two hosts"}))
    world.begin()
    world.timeline.run(BEGIN_S)
    on_duty = next(host for host in world.hosts if host.is_on_duty)
    on_duty.machine.pause(1e6)
    world.announce(1)
    seconds_until(world, lambda: "G1" in world.gracedb.files, most_s=TAKEOVER_S)
    for host in world.hosts:
        host.close()
