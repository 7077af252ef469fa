"""Deliveries are tried again with back-off, in the right order, and never twice at once."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.sample_alerts import sample_alert
from rehearsal.sample_model import RehearsalModel, always
from serve.waiting import PATIENCE_S, wait_until
from spiir_pastro.domain import SourceProbabilities
from spiir_pastro.serve.decide import Upload, decide
from spiir_pastro.serve.dispatch import Dispatcher
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.queueing import OUT_OF_ORDER, PROBE_S, Backoff, Delivery, DeliveryQueue
from spiir_pastro.serve.spool import Spool
from spiir_pastro.serve.upload import P_ASTRO, Delivered, EventFile, Unanswered

Outcome = Exception | Delivered
SURE = SourceProbabilities(bns=1.0, nsbh=0.0, bbh=0.0, terrestrial=0.0)


class Scripted:
    """An uploader that does as told for each event, and notes what it was asked."""

    def __init__(
        self, script: dict[str, list[Outcome]], gate: threading.Event | None = None
    ) -> None:
        self.script = script
        self.gate = gate
        self.begun = 0
        self.asked: list[tuple[str, bool, float]] = []
        self.sent: list[tuple[str, bytes, str, bool]] = []

    def deliver(
        self, file: EventFile, *, look_first: bool, on_send: Callable[[], None]
    ) -> Delivered:
        assert file.kind is P_ASTRO
        self.begun += 1
        if self.gate is not None:
            self.gate.wait(PATIENCE_S)
        self.sent.append((file.event_id, file.content, file.model, file.replaces))
        self.asked.append((file.event_id, look_first, time.monotonic()))
        script = self.script.get(file.event_id, [])
        outcome = script.pop(0) if script else Delivered.SENT
        if isinstance(outcome, Exception):
            raise outcome
        on_send()
        return outcome

    def prepare(self) -> None:
        """Nothing is needed."""

    def close(self) -> None:
        """Nothing is held."""


def upload_of(number: int) -> Upload:
    decision = decide(sample_alert(number), always(RehearsalModel()))
    assert isinstance(decision, Upload)
    return decision


@contextmanager
def dispatcher(
    uploader: Scripted,
    spool: Spool,
    *,
    workers: int = 1,
    base_s: float = 0.02,
    limit_s: float = 1.0,
) -> Iterator[tuple[Dispatcher, Metrics, Health]]:
    metrics, health = Metrics(), Health()
    made = Dispatcher(
        lambda: uploader,
        spool=spool,
        metrics=metrics,
        health=health,
        workers=workers,
        backoff=Backoff(base_s=base_s, limit_s=limit_s),
    )
    yield made, metrics, health
    made.stop(2.0)


def waits(dispatch: Dispatcher) -> bool:
    """Whether something was tried and waits, and nothing is under way."""
    with dispatch._changed:
        return bool(dispatch._queue._waiting) and not dispatch._queue._under_way


def down(cause: str = "connection", wait_s: float = 0.0, *, of_event: bool = False) -> Unanswered:
    return Unanswered("down", cause=cause, wait_s=wait_s, pause_s=wait_s, is_of_event=of_event)


@given(failing_s=st.floats(0, 1e7), jitter=st.floats(0, 1, exclude_max=True))
def test_waiting_grows_to_its_limit_and_never_beyond(failing_s: float, jitter: float) -> None:
    backoff = Backoff(base_s=1.0, limit_s=300.0)
    wait_s = backoff.wait_s(failing_s, jitter=jitter)
    full = min(300.0, max(1.0, failing_s / 10.0))
    assert full / 2 <= wait_s <= full
    assert backoff.wait_s(2.0 * failing_s, jitter=jitter) >= wait_s


def queue_of(count: int) -> DeliveryQueue:
    queue = DeliveryQueue(Backoff(base_s=1.0, limit_s=300.0))
    queue.add([Delivery(event_id=f"G{n}", content=b"{}") for n in range(count)])
    return queue


def take(queue: DeliveryQueue, now: float) -> Delivery:
    delivery = queue.take(now)
    assert delivery is not None
    return delivery


def test_one_probe_every_few_seconds_and_after_its_success_all_go() -> None:
    queue, now, asked = queue_of(100), 0.0, []
    for _ in range(OUT_OF_ORDER):
        queue.failed(take(queue, now), down(), now, jitter=0.5)
    while now < 100.0:
        delivery = queue.take(now)
        if delivery is not None:
            asked.append((now, delivery.event_id))
            assert queue.take(now) is None  # one at a time
            queue.failed(delivery, down(), now, jitter=0.5)
        now += 0.1
    assert 100.0 / PROBE_S <= len(asked) <= 2 * 100.0 / PROBE_S
    assert len({event_id for _, event_id in asked}) == len(asked)  # each in its turn
    while (probe := queue.take(now)) is None:
        now += 0.1
    assert now <= 100.0 + PROBE_S + 0.1
    queue.succeeded(probe, now)
    rest = {take(queue, now).event_id for _ in range(99)}
    assert len(rest) == 99
    assert queue.take(now) is None


def test_an_event_with_a_problem_of_its_own_holds_nobody_up() -> None:
    queue, now = queue_of(1), 0.0
    while now < 10_000.0:
        delivery = queue.take(now)
        if delivery is not None:
            wait_s = queue.failed(delivery, down("status_404", of_event=True), now, jitter=0.0)
            assert 0.5 <= wait_s <= 300.0
        queue.add([Delivery(event_id=f"H{now}", content=b"{}")])
        queue.succeeded(take(queue, now), now)
        now += 1.0
    assert set(queue.failing()) == {"G0"}


def test_failures_that_only_one_event_meets_become_its_own() -> None:
    queue, now, tries = queue_of(2), 0.0, []
    while now < 1_000.0:
        delivery = queue.take(now)
        if delivery is not None and delivery.event_id == "G0":
            tries.append(now)
            queue.failed(delivery, down("status_500"), now, jitter=0.0)
        elif delivery is not None:
            queue.succeeded(delivery, now)
        now += 0.25
        if now % 10 == 0:
            queue.add([Delivery(event_id=f"H{now}", content=b"{}")])
    assert len(tries) < 150  # and not every few seconds
    assert max(b - a for a, b in pairwise(tries)) < 150.0


def test_a_request_still_under_way_is_not_overtaken_by_the_waking() -> None:
    queue = queue_of(2)
    slow, other = take(queue, 0.0), take(queue, 0.0)
    queue.failed(slow, down("timeout", wait_s=20.0), 0.0, jitter=0.0)
    queue.succeeded(other, 1.0)
    assert queue.take(19.9) is None
    assert take(queue, 20.0).look_first


def test_after_an_unclear_failure_it_looks_before_sending_again(spool: Spool) -> None:
    uploader = Scripted({"G1": [down(), down("status_503")]})
    with dispatcher(uploader, spool) as (dispatch, metrics, health):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        assert dispatch.drain(PATIENCE_S)
        assert [(event, look) for event, look, _ in uploader.asked] == [
            ("G1", False),
            ("G1", True),
            ("G1", True),
        ]
        assert health.problems() == {}
        assert metrics.retries.labels(cause="status_503")._value.get() == 1


def test_a_server_that_asks_for_time_gets_it(
    spool: Spool, logs: list[structlog.typing.EventDict]
) -> None:
    uploader = Scripted({"G1": [down(wait_s=0.3)]})
    with dispatcher(uploader, spool) as (dispatch, _, _):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        assert dispatch.drain(PATIENCE_S)
    (_, _, first), (_, _, second) = uploader.asked
    assert second - first >= 0.3
    problems = [entry.get("problem") for entry in logs if entry["event"] == "health.problem"]
    assert problems == ["G1 not taken: down"]


def test_new_events_do_not_wait_behind_failed_ones(spool: Spool) -> None:
    uploader = Scripted({"G1": [down(of_event=True)]})
    with dispatcher(uploader, spool, base_s=1e6, limit_s=1e6) as (dispatch, _, health):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        wait_until(lambda: "gracedb" in health.problems())
        dispatch.submit([Delivery(event_id=f"G{i}", content=b"{}") for i in range(2, 6)])
        wait_until(lambda: len(uploader.asked) == 5)
        dispatch.wake()
        assert dispatch.drain(PATIENCE_S)
    assert [event for event, _, _ in uploader.asked] == ["G1", "G2", "G3", "G4", "G5", "G1"]


@pytest.mark.parametrize("cause", ["status_401", "status_403", "status_404", "status_418"])
def test_health_is_red_until_what_failed_has_gone(spool: Spool, cause: str) -> None:
    uploader = Scripted({"G1": [down(cause, of_event=cause == "status_404")] * 3})
    with dispatcher(uploader, spool, base_s=1e6, limit_s=1e6) as (dispatch, _, health):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        wait_until(lambda: waits(dispatch))
        dispatch.submit([Delivery(event_id="G2", content=b"{}")])
        for attempts in (2, 3, 4):
            wait_until(lambda n=attempts: len(uploader.asked) == n and waits(dispatch))  # type: ignore[misc]
            assert health.problems() == {"gracedb": "G1 not taken: down"}
            dispatch.wake()
        assert dispatch.drain(PATIENCE_S)
        assert health.problems() == {}
    assert len(uploader.asked) == 5


def test_another_host_on_duty_means_looking_only(spool: Spool) -> None:
    class Other:
        must_look = True

        def is_ours(self) -> bool:
            return ours.is_set()

    ours, metrics, health = threading.Event(), Metrics(), Health()
    uploader = Scripted({})
    made = Dispatcher(
        lambda: uploader,
        spool=spool,
        metrics=metrics,
        health=health,
        workers=1,
        backoff=Backoff(base_s=1e6, limit_s=1e6),
        duty=Other(),
    )
    made.submit([Delivery(event_id="G1", content=b"{}")])
    wait_until(lambda: waits(made))
    assert not made.drain(0.2)
    assert health.problems() == {}
    ours.set()
    made.wake()
    assert made.drain(PATIENCE_S)
    assert [look for _, look, _ in uploader.asked] == [True, True]
    made.stop(2.0)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), sqlite3.OperationalError("odd")])
def test_a_worker_outlives_whatever_a_library_raises(spool: Spool, error: Exception) -> None:
    uploader = Scripted({"G1": [error]})
    with dispatcher(uploader, spool) as (dispatch, metrics, _):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        assert dispatch.drain(PATIENCE_S)
        assert metrics.retries.labels(cause="unforeseen")._value.get() == 1


def test_a_spool_that_cannot_be_written_costs_no_delivery(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool.accept([upload_of(1)], read_at=1.0)
    is_full, done = [True], spool.done

    def full(event_id: str, outcome: str, revision: int) -> None:
        if is_full:
            raise sqlite3.OperationalError(f"disk full, {event_id}")
        done(event_id, outcome, revision)

    monkeypatch.setattr(spool, "done", full)
    uploader = Scripted({})
    with dispatcher(uploader, spool) as (dispatch, _, health):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        assert dispatch.drain(PATIENCE_S)
        assert health.problems() == {"spool": "cannot write to the spool: disk full, G1"}
        with pytest.raises(sqlite3.OperationalError, match="disk full"):
            dispatch.mark_again()
        is_full.clear()
        dispatch.mark_again()
        assert spool.counts() == {"pending": 0, "done": 1}
    assert len(uploader.asked) == 1


def test_later_means_not_before(spool: Spool) -> None:
    uploader = Scripted({})
    with dispatcher(uploader, spool) as (dispatch, _, _):
        asked_at = time.monotonic()
        dispatch.submit_later([Delivery(event_id="G1", content=b"{}")], wait_s=0.2)
        assert dispatch.drain(PATIENCE_S)
    assert uploader.asked[0][2] - asked_at >= 0.2


def test_stopping_starts_nothing_more(spool: Spool) -> None:
    release = threading.Event()
    uploader = Scripted({}, gate=release)
    with dispatcher(uploader, spool) as (dispatch, _, _):
        dispatch.submit([Delivery(event_id=f"G{i}", content=b"{}") for i in range(3)])
        wait_until(lambda: uploader.begun == 1)
        stopping = threading.Thread(target=dispatch.stop, args=(PATIENCE_S,))
        stopping.start()
        wait_until(lambda: dispatch._stopping)
        release.set()
        stopping.join()
    assert len(uploader.asked) == 1


REVISED = Delivery(event_id="G1", content=b"second", revision=1)
FIRST = Delivery(event_id="G1", content=b"first")


def test_a_later_answer_takes_the_place_of_one_that_waits() -> None:
    queue = queue_of(0)
    queue.add([FIRST, Delivery(event_id="G2", content=b"{}")])
    queue.add([REVISED])
    assert [take(queue, 0.0).content for _ in range(2)] == [b"{}", b"second"]
    assert queue.take(0.0) is None


def test_an_answer_that_waits_is_not_sent_after_its_successor() -> None:
    queue = queue_of(0)
    queue.add([FIRST])
    queue.failed(take(queue, 0.0), down(), 1.0, jitter=0.5)
    queue.add([REVISED])
    queue.succeeded(take(queue, 1.0), 1.1)
    assert queue.is_idle()


def test_a_later_answer_waits_though_the_earlier_one_is_off_already() -> None:
    queue = queue_of(0)
    queue.add([FIRST])
    queue.failed(take(queue, 0.0), down(wait_s=20.0), 1.0, jitter=0.5)
    queue.add([REVISED])
    queue.wake(2.0)
    assert queue.take(20.9) is None
    assert take(queue, 21.1) == replace(REVISED, look_first=True)


def test_two_answers_to_an_event_are_never_under_way_at_once() -> None:
    queue = queue_of(0)
    queue.add([FIRST])
    first = take(queue, 0.0)
    queue.add([REVISED])
    assert queue.take(0.0) is None
    queue.succeeded(first, 5.0)
    assert take(queue, 5.0) == REVISED
    queue.succeeded(REVISED, 6.0)
    assert queue.is_idle()


def test_a_later_answer_waits_for_what_may_yet_come_of_the_earlier_one() -> None:
    queue = queue_of(0)
    queue.add([FIRST])
    first = take(queue, 0.0)
    queue.add([REVISED])
    queue.failed(first, down(wait_s=20.0), 1.0, jitter=0.5)
    queue.wake(2.0)
    assert queue.take(20.9) is None
    again = take(queue, 21.1)
    assert (again.content, again.look_first) == (b"second", True)
    queue.succeeded(again, 22.0)
    assert queue.is_idle()


def test_the_mark_of_an_earlier_answer_does_not_count_for_the_later(spool: Spool) -> None:
    upload = upload_of(1)
    spool.accept([upload], read_at=1.0)
    uploader = Scripted({})
    with dispatcher(uploader, spool) as (dispatch, _, _):
        changed = replace(upload, trigger=replace(upload.trigger, far_hz=1e-20), probabilities=SURE)
        (revised,) = spool.accept([changed], read_at=2.0, updates=True)
        dispatch.submit([Delivery(event_id="G1", content=upload.content)])
        assert dispatch.drain(PATIENCE_S)
        assert spool.counts() == {"pending": 1, "done": 0}
        dispatch.submit(
            [Delivery(event_id="G1", content=revised.content, model="m", revision=revised.revision)]
        )
        assert dispatch.drain(PATIENCE_S)
    assert spool.counts() == {"pending": 0, "done": 1}
    assert uploader.sent == [
        ("G1", upload.content, "", False),
        ("G1", changed.content, "m", True),
    ]


def test_silence_of_gracedb_is_told_before_it_is_given_up(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.dispatch.SILENT_S", 0.1)
    release = threading.Event()
    with dispatcher(Scripted({}, gate=release), spool) as (dispatch, _, health):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        wait_until(lambda: "no answer about G1" in health.problems().get("gracedb", ""))
        release.set()
        assert dispatch.drain(PATIENCE_S)
        assert health.problems() == {}
