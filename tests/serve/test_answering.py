"""Lines in, lines out: in process, on a Unix socket and by HTTP, whoever misbehaves."""

import http.client
import io
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rehearsal.sample_model import RehearsalModel
from spiir_pastro.domain import SourceProbabilities, Trigger
from spiir_pastro.errors import ConfigError
from spiir_pastro.io.trigger_lines import parse_trigger_line
from spiir_pastro.serve.answering import Answerer, answer_stream
from spiir_pastro.serve.model_slot import ModelSlot
from spiir_pastro.serve.sockets import HTTPAnswers, SocketAnswers

LINE = json.dumps(
    {"far": 1e-9, "snr": 9.1, "mchirp": 1.2, "ifos": "H1,L1", "end_time": 1264316116.4}
).encode()
EXPECTED = RehearsalModel().assess(parse_trigger_line(LINE)).as_mapping()


@pytest.fixture(scope="module")
def answerer(tmp_path_factory: pytest.TempPathFactory) -> Answerer:
    path = tmp_path_factory.mktemp("model") / "model.json"
    RehearsalModel().save(path)
    return Answerer(ModelSlot(path, RehearsalModel.load))


@pytest.fixture
def address(answerer: Answerer, tmp_path: Path) -> Iterator[Path]:
    with closing(SocketAnswers(answerer, tmp_path / "answers")):
        yield tmp_path / "answers"


def connect(address: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(30)
    connection.connect(str(address))
    return connection


def ask(address: Path, line: bytes) -> dict[str, object]:
    with connect(address) as connection, connection.makefile("rwb") as stream:
        stream.write(line + b"\n")
        stream.flush()
        answer: dict[str, object] = json.loads(stream.readline())
        return answer


def test_a_line_is_answered_by_p_astro_json(answerer: Answerer) -> None:
    answer = answerer.answer(LINE)
    assert json.loads(answer) == EXPECTED
    assert list(EXPECTED) == ["BNS", "NSBH", "BBH", "Terrestrial"]
    assert answer.count(b"\n") == 1


def test_the_model_in_use_is_told_and_taken_up_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.model_slot._LOOK_S", 0.0)
    path = tmp_path / "model.json"
    RehearsalModel().save(path)
    answerer = Answerer(ModelSlot(path, RehearsalModel.load))
    before = json.loads(answerer.answer(b"?"))
    assert before["model"].endswith(before["sha256"][:12])

    path.write_text("{")
    while "stays" not in capsys.readouterr().err:
        assert json.loads(answerer.answer(b"?\n")) == before
    RehearsalModel(slope=0.5).save(path)
    while json.loads(answerer.answer(b"?")) == before:
        pass
    assert "from now on" in capsys.readouterr().err
    assert json.loads(answerer.answer(LINE)) != EXPECTED


@given(st.lists(st.one_of(st.binary(max_size=40), st.just(LINE), st.just(b"?")), max_size=8))
def test_a_stream_gets_a_line_for_each_that_says_something(
    answerer: Answerer, lines: list[bytes]
) -> None:
    asked = b"\n".join(lines)
    answers = io.BytesIO()
    answer_stream(answerer, io.BytesIO(asked), answers)
    said = [json.loads(line) for line in answers.getvalue().splitlines()]
    given = [line for line in asked.split(b"\n") if line.strip()]
    assert len(said) == len(given)
    for line, answer in zip(given, said, strict=True):
        assert (answer == EXPECTED) if line == LINE else set(answer) & {"error", "model", "BNS"}


def test_a_line_that_does_not_end_is_refused_and_the_next_is_answered(answerer: Answerer) -> None:
    answers = io.BytesIO()
    answer_stream(answerer, io.BytesIO(b"x" * 500_000 + b"\n" + LINE + b"\n"), answers)
    refused, answered = map(json.loads, answers.getvalue().splitlines())
    assert set(refused) == {"error"}
    assert len(refused["error"]) < 1000
    assert answered == EXPECTED


def test_a_model_that_crashes_costs_one_answer(tmp_path: Path) -> None:
    class Fragile(RehearsalModel):
        def assess(self, trigger: Trigger, /) -> SourceProbabilities:
            if trigger.event_id == "G2":
                raise ZeroDivisionError("a bug")
            return super().assess(trigger)

    RehearsalModel().save(tmp_path / "model.json")
    answerer = Answerer(ModelSlot(tmp_path / "model.json", lambda _: Fragile()))
    bad = LINE.replace(b"{", b'{"graceid": "G2", ')
    assert json.loads(answerer.answer(bad)) == {"error": "ZeroDivisionError: a bug"}
    assert json.loads(answerer.answer(LINE)) == EXPECTED


def test_three_hundred_clients_at_once_get_their_own_answers(
    answerer: Answerer, address: Path
) -> None:
    lines = [LINE.replace(b"1e-09", f"{n}e-10".encode()) for n in range(1, 301)]
    assert len(set(lines)) == 300
    with ExitStack() as stack:
        clients = [stack.enter_context(connect(address)) for _ in lines]
        streams = [stack.enter_context(client.makefile("rwb")) for client in clients]
        for stream, line in zip(streams, lines, strict=True):
            stream.write(line + b"\n")
            stream.flush()
        for stream, line in zip(streams, lines, strict=True):
            assert stream.readline() == answerer.answer(line)


def test_clients_that_are_silent_gone_or_do_not_listen_hold_up_nobody(address: Path) -> None:
    with connect(address), connect(address) as rude:
        rude.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                rude.send(LINE + b"\n")
        connect(address).close()
        half = connect(address)
        half.send(LINE[:10])
        half.close()
        assert ask(address, LINE) == EXPECTED


def test_a_socket_is_for_owner_and_group_and_goes_with_its_process(
    answerer: Answerer, tmp_path: Path
) -> None:
    path = tmp_path / "answers"
    with closing(SocketAnswers(answerer, path)):
        assert path.stat().st_mode & 0o777 == 0o660
        with pytest.raises(ConfigError, match="in use by another process"):
            SocketAnswers(answerer, path)
        assert ask(path, LINE) == EXPECTED
    assert not path.exists()


def test_a_socket_left_by_a_dead_process_is_replaced_but_no_other_file(
    answerer: Answerer, tmp_path: Path
) -> None:
    path = tmp_path / "answers"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    with closing(SocketAnswers(answerer, path)):
        assert ask(path, LINE) == EXPECTED
    path.write_text("precious")
    with pytest.raises(ConfigError, match="is no socket"):
        SocketAnswers(answerer, path)
    assert path.read_text() == "precious"
    with pytest.raises(ConfigError, match="cannot be made"):
        SocketAnswers(answerer, tmp_path / "none" / "answers")


def test_http_answers_what_is_posted_on_loopback(answerer: Answerer, tmp_path: Path) -> None:
    file = tmp_path / "a.xml"
    file.write_text("<secret/>")
    with closing(HTTPAnswers(answerer, 0)) as server:
        assert server.url.startswith("http://127.0.0.1:")
        host = server.url.split("/")[2]
        with closing(http.client.HTTPConnection(host, timeout=30)) as client:
            for _ in range(2):  # on one connection
                client.request("POST", "/", body=LINE + b"\n\n" + str(file).encode() + b"\n")
                answers = client.getresponse().read().splitlines()
                assert json.loads(answers[0]) == EXPECTED
                assert "no JSON object" in json.loads(answers[1])["error"]
            client.request("GET", "/")
            assert set(json.loads(client.getresponse().read())) == {"model", "sha256"}
            client.request("POST", "/", body=b"", headers={"Content-Length": "9" * 30})
            assert client.getresponse().status == 413
        with closing(http.client.HTTPConnection(host, timeout=30)) as client:
            client.request("POST", "/", body=LINE)
            assert json.loads(client.getresponse().read()) == EXPECTED
        with pytest.raises(ConfigError, match="cannot be had"):
            HTTPAnswers(answerer, int(host.split(":")[1]))


def test_answers_in_many_threads_are_those_of_one(answerer: Answerer) -> None:
    found: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: found.append(answerer.answer(LINE))) for _ in range(40)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {answerer.answer(LINE)}
