"""Of two hosts one answers: whoever cannot prove that it is on duty sends nothing."""

import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

import confluent_kafka
import pytest

from rehearsal.broker import Broker, free_port
from rehearsal.sample_alerts import sample_alerts
from rehearsal.stage import Stage, _serve_alerts
from spiir_pastro.errors import ConfigError
from spiir_pastro.serve.clock import SystemClock
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.settings import Settings
from spiir_pastro.serve.standby import Standby


class Stepped(SystemClock):
    """A clock that stands still until it is set."""

    now = 100.0

    def monotonic_s(self) -> float:
        return self.now


class Scripted:
    """A membership that does as told at each turn: has a seat, and can prove it."""

    def __init__(self, clock: Stepped, turns: list[tuple[float, bool, bool]]) -> None:
        self.clock, self.turns = clock, turns
        self.can_prove = False

    def poll(self, timeout_s: float) -> bool:
        del timeout_s
        self.clock.now, has_seat, self.can_prove = self.turns.pop(0)
        return has_seat

    def prove(self) -> bool:
        return self.can_prove

    def close(self) -> None:
        """Nothing is held."""


def duty_after(*turns: tuple[float, bool, bool]) -> tuple[list[bool], Stepped, Standby, Health]:
    clock, health, seen = Stepped(), Health(), list[bool]()
    membership = Scripted(clock, list(turns))
    standby = Standby(
        membership, session_s=10.0, settle_s=3.0, clock=clock, health=health, metrics=Metrics()
    )

    class Stop:
        def set(self) -> None: ...
        def clear(self) -> None: ...
        def wait(self, timeout: float | None = None) -> bool:
            return timeout is None

        def is_set(self) -> bool:
            seen.append(standby.is_ours())
            return not membership.turns

    given_up = standby.give_up
    if turns[-1][1]:  # keep what it knew when it was told to stop
        standby.give_up = lambda: None  # type: ignore[method-assign]
    standby.run(Stop(), lambda: None)
    standby.give_up = given_up  # type: ignore[method-assign]
    return seen[1:], clock, standby, health


def test_duty_begins_when_what_the_other_asked_is_over() -> None:
    seen, *_ = duty_after((100.0, True, True), (102.0, True, True), (103.5, True, True))
    assert seen == [False, False, True]


def test_a_paused_host_finds_its_proof_expired() -> None:
    turns = [(100.0, True, True), (104.0, True, True)]
    seen, clock, standby, _ = duty_after(*turns)
    assert seen[-1]
    clock.now = 113.9
    assert standby.is_ours()
    clock.now = 114.1
    assert not standby.is_ours()
    # It comes back while the broker still calls the seat its own, and must settle again.
    seen, *_ = duty_after(*turns, (130.0, True, True), (134.0, True, True))
    assert seen == [False, True, False, True]


def test_a_seat_that_is_taken_ends_duty_at_once() -> None:
    seen, *_ = duty_after((100.0, True, True), (104.0, True, True), (104.5, False, False))
    assert seen == [False, True, False]


def test_a_broker_that_does_not_confirm_is_a_problem_while_the_seat_is_ours() -> None:
    unconfirmed = (100.0, True, False), (102.0, True, False)
    *_, health = duty_after(*unconfirmed)
    assert "does not confirm" in health.problems()["standby"]
    *_, health = duty_after(*unconfirmed, (104.0, True, True))
    assert health.problems() == {}
    *_, health = duty_after(*unconfirmed, (104.0, False, False))
    assert health.problems() == {}


def test_too_short_a_takeover_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "listen.toml"
    path.write_text(
        'schema = 1\nspool = "s"\n[kafka]\ntopics = ["t"]\nconsumer_group = "g"\n'
        "[standby]\ntakeover_s = 12\n"
    )
    with pytest.raises(ConfigError, match="give it 30 or more"):
        Settings.load(path)


class MockCluster(Broker):
    """librdkafka's own broker: unlike the rehearsal's, it ends the membership of who is silent."""

    def start(self) -> None:
        self._producer = confluent_kafka.Producer(
            {"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0}
        )
        (broker,) = self._producer.list_topics(timeout=10).brokers.values()
        self.port = broker.port

    def kill(self) -> None:
        """It ends with this process."""

    def make_topics(self, names: Iterable[str]) -> None:
        for name in names:
            self._producer.produce(name, b"{}")
        self._producer.flush(10)


@pytest.mark.slow
def test_two_hosts_answer_each_event_once_though_one_is_paused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rehearsal.stage.Broker", MockCluster)
    stage = Stage(tmp_path)
    stage.wait_until_up()
    stage.service.kill()
    stage.service.join()
    text = stage.config.read_text() + "[standby]\ntakeover_s = 12.0\n"
    hosts = []
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        config = folder / "listen.toml"
        config.write_text(
            text.replace(f"{tmp_path}/spool", f"{folder}/spool").replace(
                f"port = {stage.http_port}", f"port = {free_port()}"
            )
        )
        hosts.append(stage.start(_serve_alerts, stage.model, config))
        time.sleep(5.0)
    try:
        alerts = list(sample_alerts(30))
        stage.publish(alerts[:10])
        assert stage.wait_for({f"G{n}" for n in range(1, 11)}, 60.0).is_clean
        first = next(
            host
            for host, name in zip(hosts, "ab", strict=True)
            if "duty.begins" in (tmp_path / name / "service.log").read_text()
        )
        assert first.pid is not None
        os.kill(first.pid, signal.SIGSTOP)
        stage.publish(alerts[10:20])
        assert stage.wait_for({f"G{n}" for n in range(1, 21)}, 60.0).is_clean
        os.kill(first.pid, signal.SIGCONT)
        stage.publish(alerts[20:])
        assert stage.wait_for({f"G{n}" for n in range(1, 31)}, 60.0).is_clean
        time.sleep(5.0)
        assert stage.wait_for({f"G{n}" for n in range(1, 31)}, 1.0).is_clean
        (second,) = (host for host in hosts if host is not first)
        second.terminate()  # work on the one on duty
        second.join()
        stage.publish(list(sample_alerts(10, first=31)))
        assert stage.wait_for({f"G{n}" for n in range(1, 41)}, 60.0).is_clean
    finally:
        for host in hosts:
            host.kill()
            host.join()
        stage.close()
