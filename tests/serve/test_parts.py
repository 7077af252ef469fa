"""Health, drift, the status page and its server."""

import json
import socket
import urllib.error
import urllib.request

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import poisson

from rehearsal.sample_model import RehearsalModel
from serve.waiting import PATIENCE_S, wait_until
from spiir_pastro.domain import SOURCE_COLOURS, Source
from spiir_pastro.serve.drift import Rate, compare, expected_rates, poisson_p_value
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.http import StatusServer
from spiir_pastro.serve.model_slot import Model
from spiir_pastro.serve.spool import Record
from spiir_pastro.serve.status_page import Status, duration, render


def test_a_problem_is_logged_when_it_comes_and_when_it_goes(
    logs: list[structlog.typing.EventDict],
) -> None:
    health = Health()
    for _ in range(3):
        health.report("kafka", "down")
    assert health.problems() == {"kafka": "down"}
    health.clear("kafka")
    health.clear("kafka")
    assert health.problems() == {}
    assert [entry["event"] for entry in logs] == ["health.problem", "health.recovered"]


def test_a_watched_part_is_judged_when_problems_are_asked_for() -> None:
    health = Health()
    found = ["full"]
    health.watch("dead-letters", lambda: found[-1] if found else None)
    assert health.problems() == {"dead-letters": "full"}
    found.clear()
    assert health.problems() == {}


def test_a_loop_that_hangs_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spiir_pastro.serve.health.STALLED_AFTER_S", -1.0)
    assert "not turned" in Health().problems()["loop"]


@given(count=st.integers(0, 300), mean=st.floats(0.01, 200))
def test_the_p_value_is_scipys_two_sided_poisson(count: int, mean: float) -> None:
    expected = 2 * min(poisson.cdf(count, mean), poisson.sf(count - 1, mean))
    assert poisson_p_value(count, mean) == pytest.approx(min(1.0, expected), rel=1e-9)


def test_the_drift_warning_keeps_its_false_alarm_probability() -> None:
    mean, alpha = 30.0, 0.01
    wrong = sum(
        poisson.pmf(count, mean)
        for count in range(200)
        if compare(
            {"BNS": count}, {"BNS": Rate.exactly(mean)}, days=1.0, false_alarm_probability=alpha
        )[0].has_drifted
    )
    assert 0.0 < wrong <= alpha
    (unjudged,) = compare({"alerts": 99}, {}, days=1.0, false_alarm_probability=alpha)
    assert (unjudged.expected, unjudged.has_drifted) == (None, False)


def test_a_rate_that_is_not_well_known_is_judged_by_its_interval() -> None:
    rate = Rate(10.0, 2.0, 30.0)

    def drifted(count: int) -> bool:
        (judged,) = compare({"BNS": count}, {"BNS": rate}, days=1, false_alarm_probability=1e-3)
        assert judged.expected == 10.0
        return judged.has_drifted

    assert [drifted(count) for count in (0, 2, 20, 45, 60)] == [False, False, False, False, True]
    assert expected_rates(RehearsalModel()) == {}


def record(**changes: object) -> Record:
    fields: dict[str, object] = {
        "event_id": "G1",
        "state": "pending",
        "outcome": None,
        "content": b"{}",
        "model": "2026-11-27+0123456789ab",
        "revision": 0,
        "gps_ns": 0,
        "far_hz": 1e-9,
        "snr": None,
        "mchirp_det": 1.2,
        "p_astro": 0.5,
        "source": "BNS",
        "read_at": 0.0,
        "done_at": None,
        "properties": None,
        "attempts": 3,
        "error": None,
    }
    return Record(**fields | changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("state", ["pending", "done"])
def test_the_page_escapes_whatever_came_in(state: str) -> None:
    evil = '"><script>alert(1)</script>'
    page = render(
        Status(
            problems={"kafka": evil},
            facts={"model": evil},
            figures={"events": evil},
            models={evil: Model(assessor=RehearsalModel(), digest="0" * 64, version=evil)},
            records=[record(event_id=evil, source=evil, error=evil, state=state, model=evil)],
            drift=compare(
                {"BNS": 9}, {"BNS": Rate.exactly(0.0)}, days=1, false_alarm_probability=0.1
            ),
        )
    )
    assert "<script" not in page
    assert page.count("&lt;script") == 9
    assert "drifted" in page


def test_the_page_shows_the_classes_in_the_colours_of_every_figure() -> None:
    said = {"BNS": 0.25, "NSBH": 0.125, "BBH": 0.5, "Terrestrial": 0.125}
    page = render(
        Status(
            problems={}, facts={}, figures={}, models={}, drift=[],
            records=[record(content=json.dumps(said).encode())],
        )
    )  # fmt: skip
    for source, p in said.items():
        colour = SOURCE_COLOURS[Source(source)]
        assert f'<i style="width:{100 * p:.2f}%;background:{colour}"></i>' in page


def test_durations_read_well() -> None:
    assert [duration(s) for s in (0.0123, 3.21, 600)] == ["12 ms", "3.2 s", "10 min"]


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:  # noqa: S310  (loopback)
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def status_server(health: Health, port: int = 0) -> StatusServer:
    return StatusServer(
        "127.0.0.1", port, health=health, metrics=lambda: b"m 1\n", page=lambda asked: f"<p>{asked}"
    )


def test_a_port_in_use_is_a_problem_that_ends_when_it_is_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.http._RETRY_S", 0.02)
    health = Health()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        server = status_server(health, other.getsockname()[1])
        assert "Address already in use; free it, or set http.port" in health.problems()["status"]
    wait_until(lambda: server.url is not None)
    assert get(f"{server.url}/healthz")[0] == 200
    server.close()
    assert health.problems() == {}


def test_a_server_that_never_got_its_port_ends_too() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        status_server(Health(), other.getsockname()[1]).close()


def test_the_server_answers_its_three_pages_and_no_other() -> None:
    health = Health()
    server = status_server(health)
    try:
        assert get(f"{server.url}/metrics") == (200, "m 1\n")
        assert get(f"{server.url}/") == (200, "<p>{}")
        assert get(f"{server.url}/?model=v1%2Bab")[1] == "<p>{'model': 'v1+ab'}"
        assert get(f"{server.url}/healthz?x") == (200, '{\n "status": "ok",\n "problems": {}\n}')
        health.report("kafka", "down")
        status, body = get(f"{server.url}/healthz")
        assert (status, json.loads(body)["problems"]) == (503, {"kafka": "down"})
        assert get(f"{server.url}/../etc/passwd")[0] == 404
    finally:
        server.close()
