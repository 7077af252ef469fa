"""``spiir-pastro answer`` as a process: what it imports, how fast it is, and who may ask it."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.trigger_lines import parse_trigger_line

DEPLOY = Path(__file__).parents[2] / "deploy"
ROW = {
    "graceid": "G1",
    "far": 1e-9,
    "snr": 9.1,
    "mchirp": 1.2,
    "ifos": "H1,L1",
    "end_time": 1264316116,
    "end_time_ns": 4,
}

HEAVY = {
    "astropy",
    "confluent_kafka",
    "h5py",
    "hop",
    "igwn_alert",
    "igwn_ligolw",
    "isal",
    "matplotlib",
    "polars",
    "prometheus_client",
    "requests",
    "rich",
    "structlog",
    "yaml",
}
"""What an answer needs nothing of."""


@contextmanager
def answering(*options: str | Path) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "spiir_pastro", "answer", *map(str, options)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stderr is not None
        try:
            while not (line := process.stderr.readline()).startswith(b"ready"):
                assert line, "it ended before it was ready"
            yield process
        finally:
            process.terminate()


def test_lines_on_stdin_are_answered_on_stdout_until_it_ends(model: Path) -> None:
    line = json.dumps(ROW).encode()
    with answering("--model", model) as process:
        answers, _ = process.communicate(line + b"\n{bad\n" + line)
    assert process.returncode == 0
    first, bad, last = map(json.loads, answers.splitlines())
    assert first == last == load_model(model).assess(parse_trigger_line(line)).as_mapping()
    assert set(bad) == {"error"}


def test_nothing_heavy_is_imported_on_the_way_to_an_answer(model: Path) -> None:
    script = (
        "import io, sys; from spiir_pastro.cli.answer import command\n"
        f"sys.stdin = io.TextIOWrapper(io.BytesIO({json.dumps(ROW).encode()!r}))\n"
        f"command(['--model', {str(model)!r}], standalone_mode=False)\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert set(json.loads(done.stdout)) == {"BNS", "NSBH", "BBH", "Terrestrial"}
    assert not HEAVY & {name.partition(".")[0] for name in done.stderr.decode().split()}


def test_it_is_ready_in_half_a_second_and_answers_in_two_milliseconds(model: Path) -> None:
    """Of processor time, which other work on the machine does not lengthen."""
    line = json.dumps(ROW).encode() + b"\n"

    def processor_s(count: int) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with answering("--model", model) as process:
            process.communicate(line * count)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    ready_s = min(processor_s(1) for _ in range(3))
    assert ready_s < 0.5
    assert processor_s(501) - ready_s < 500 * 2e-3


def pythons() -> list[str]:
    """Find the interpreters the pipeline may have."""
    installed = sorted(Path.home().glob(".pyenv/versions/2.7*/bin/python2.7"))
    names = [shutil.which("python2.7"), *map(str, installed)]
    works = [
        name for name in names if name and subprocess.run([name, "-V"], check=False).returncode == 0
    ]
    return [sys.executable, *works[:1]]


@pytest.mark.parametrize("python", pythons())
def test_the_pipelines_client_asks_on_the_socket(python: str, model: Path, tmp_path: Path) -> None:
    address = tmp_path / "answers"
    candidate = Path(os.path.relpath(tmp_path / "none.xml"))
    script = (
        "import json, sys; from spiir_pastro_client import ask\n"
        f"print(json.dumps(ask({str(address)!r}, json.loads({json.dumps(ROW)!r}))))\n"
        "try:\n"
        f"    ask({str(address)!r}, {str(candidate)!r})\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    with answering("--model", model, "--socket", address):
        environment = {"PYTHONPATH": str(DEPLOY), "PYTHONDONTWRITEBYTECODE": "1"}
        said = subprocess.run(
            [python, "-c", script], capture_output=True, text=True, env=environment, check=False
        )
    assert said.returncode == 0, said.stderr
    answer, refusal = said.stdout.splitlines()
    line = json.dumps(ROW).encode()
    assert json.loads(answer) == load_model(model).assess(parse_trigger_line(line)).as_mapping()
    assert "there is no such file" in refusal
    assert not address.exists()


def test_the_pipelines_client_is_short_and_runs_on_python_2() -> None:
    client = DEPLOY / "spiir_pastro_client.py"
    text = client.read_text()
    code = [line for line in text.split('"""')[-1].splitlines() if line.strip()]
    assert len(code) <= 20
    vermin = Path(sys.executable).parent / "vermin"
    command: list[str | Path] = [vermin, "-t=2.7", "--violations", client]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_a_used_socket_is_refused_in_one_line(model: Path, tmp_path: Path) -> None:
    address = tmp_path / "answers"
    with answering("--model", model, "--socket", address, "--http", "0"):
        command = ["answer", "--model", str(model), "--socket", str(address)]
        done = subprocess.run(
            [sys.executable, "-m", "spiir_pastro", *command],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "is in use by another process; give another path" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_killed_process_leaves_a_socket_that_the_next_one_takes(
    model: Path, tmp_path: Path
) -> None:
    address = tmp_path / "answers"
    with answering("--model", model, "--socket", address) as process:
        process.kill()
        process.wait()
    assert address.exists()
    begun = time.monotonic()
    with answering("--model", model, "--socket", address):
        assert time.monotonic() - begun < 60
