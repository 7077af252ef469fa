"""Deliveries are tried again with back-off, in the right order, and never twice at once."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.serve.dispatch import Backoff, Delivery, Dispatcher
from spiir_pastro.serve.gracedb import Delivered, Refused, Unreachable
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.spool import Spool

Outcome = Exception | Delivered


class Scripted:
    """An uploader that does as told for each event, and notes what it was asked."""

    def __init__(self, script: dict[str, list[Outcome]]) -> None:
        self.script = script
        self.asked: list[tuple[str, bool, float]] = []

    def deliver(
        self, event_id: str, content: bytes, *, look_first: bool, on_send: Callable[[], None]
    ) -> Delivered:
        del content
        self.asked.append((event_id, look_first, time.monotonic()))
        script = self.script.get(event_id, [])
        outcome = script.pop(0) if script else Delivered.SENT
        if isinstance(outcome, Exception):
            raise outcome
        on_send()
        return outcome

    def prepare(self) -> None:
        """Nothing is needed."""

    def close(self) -> None:
        """Nothing is held."""


@contextmanager
def dispatcher(
    uploader: Scripted, spool: Spool, *, workers: int = 1, base_s: float = 0.02
) -> Iterator[tuple[Dispatcher, Metrics, Health]]:
    metrics, health = Metrics(), Health()
    made = Dispatcher(
        lambda: uploader,
        spool=spool,
        metrics=metrics,
        health=health,
        workers=workers,
        backoff=Backoff(base_s=base_s, limit_s=1.0),
    )
    yield made, metrics, health
    made.stop(2.0)


def down(cause: str = "connection", wait_s: float = 0.0) -> Unreachable:
    return Unreachable("down", cause=cause, wait_s=wait_s)


@given(attempts=st.integers(1, 10_000), jitter=st.floats(0, 1, exclude_max=True))
def test_waiting_grows_to_its_limit_and_never_beyond(attempts: int, jitter: float) -> None:
    backoff = Backoff(base_s=1.0, limit_s=300.0)
    wait_s = backoff.wait_s(attempts, jitter=jitter)
    full = min(300.0, 2.0 ** min(attempts - 1, 30))
    assert full / 2 <= wait_s <= full
    assert backoff.wait_s(attempts + 1, jitter=jitter) >= wait_s


def test_after_an_unclear_failure_it_looks_before_sending_again(spool: Spool) -> None:
    uploader = Scripted({"G1": [down(), down("status_503")]})
    with dispatcher(uploader, spool) as (dispatch, metrics, health):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        assert dispatch.drain(5.0)
        assert [(event, look) for event, look, _ in uploader.asked] == [
            ("G1", False),
            ("G1", True),
            ("G1", True),
        ]
        assert health.problems() == {}
        assert metrics.retries.labels(cause="status_503")._value.get() == 1


def test_a_server_that_asks_for_time_gets_it(spool: Spool) -> None:
    uploader = Scripted({"G1": [down(wait_s=0.3)]})
    with dispatcher(uploader, spool) as (dispatch, _, health):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        assert not dispatch.drain(0.15)
        assert health.problems() == {"gracedb": "down"}
        assert dispatch.drain(5.0)
    (_, _, first), (_, _, second) = uploader.asked
    assert second - first >= 0.3


def test_new_events_do_not_wait_behind_failed_ones(spool: Spool) -> None:
    uploader = Scripted({"G1": [down()] * 3})
    with dispatcher(uploader, spool, base_s=0.2) as (dispatch, _, _):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        time.sleep(0.05)
        dispatch.submit([Delivery(event_id=f"G{i}", content=b"{}") for i in range(2, 6)])
        assert dispatch.drain(5.0)
    assert [event for event, _, _ in uploader.asked[:5]] == ["G1", "G2", "G3", "G4", "G5"]


def test_what_is_refused_is_not_tried_again(spool: Spool) -> None:
    uploader = Scripted({"G1": [Refused("404")]})
    with dispatcher(uploader, spool) as (dispatch, metrics, health):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        assert dispatch.drain(5.0)
        assert len(uploader.asked) == 1
        assert metrics.uploads.labels(outcome="refused")._value.get() == 1
        assert health.problems() == {"gracedb": "G1 refused: 404"}


@pytest.mark.parametrize("error", [RuntimeError("a bug"), sqlite3.OperationalError("odd")])
def test_a_worker_outlives_whatever_a_library_raises(spool: Spool, error: Exception) -> None:
    uploader = Scripted({"G1": [error]})
    with dispatcher(uploader, spool) as (dispatch, metrics, _):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        assert dispatch.drain(5.0)
        assert metrics.retries.labels(cause="unforeseen")._value.get() == 1


def test_a_spool_that_cannot_be_written_costs_no_delivery(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(event_id: str) -> None:
        raise sqlite3.OperationalError(f"disk full, {event_id}")

    monkeypatch.setattr(spool, "done", full)
    uploader = Scripted({})
    with dispatcher(uploader, spool) as (dispatch, _, health):
        dispatch.submit([Delivery(event_id="G1", content=b"{}")])
        assert dispatch.drain(5.0)
        assert health.problems() == {"spool": "cannot write to the spool: disk full, G1"}
    assert len(uploader.asked) == 1


def test_later_means_not_before(spool: Spool) -> None:
    uploader = Scripted({})
    with dispatcher(uploader, spool) as (dispatch, _, _):
        asked_at = time.monotonic()
        dispatch.submit_later([Delivery(event_id="G1", content=b"{}")], wait_s=0.2)
        assert dispatch.drain(5.0)
    assert uploader.asked[0][2] - asked_at >= 0.2


def test_stopping_starts_nothing_more(spool: Spool) -> None:
    release = threading.Event()

    class Slow(Scripted):
        def deliver(
            self, event_id: str, content: bytes, *, look_first: bool, on_send: Callable[[], None]
        ) -> Delivered:
            release.wait(5.0)
            return super().deliver(event_id, content, look_first=look_first, on_send=on_send)

    uploader = Slow({})
    with dispatcher(uploader, spool) as (dispatch, _, _):
        dispatch.submit([Delivery(event_id=f"G{i}", content=b"{}") for i in range(3)])
        time.sleep(0.05)
        threading.Timer(0.1, release.set).start()
        dispatch.stop(2.0)
    assert len(uploader.asked) == 1
