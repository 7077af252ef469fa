"""What a script relies on: exit codes, JSON, and options that say what they are."""

import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import polars as pl
import pytest
from click.testing import CliRunner

from spiir_pastro.cli import COMMANDS, app
from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.cli.output import print_json

COMMAND = [sys.executable, "-m", "spiir_pastro"]


def _run(
    *arguments: str | Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: PLW1510
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, env=environment
    )


@pytest.fixture(scope="module")
def model(
    uploads: tuple[Path, Path], distances: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    path = tmp_path_factory.mktemp("model") / "pastro.json"
    triggers, known = uploads
    arguments: list[str | Path] = ["--triggers", triggers, "--known-events", known]
    told = _document("fit", *arguments, "--distances", distances, "--model", path)
    assert (told["model"], told["candidates"], told["signals"]) == (str(path), 1540, 40)
    assert told["expected"].keys() == {"BNS", "NSBH", "BBH"}
    return path


def _document(*arguments: str | Path) -> Any:  # noqa: ANN401  (JSON)
    done = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert done.exit_code == ExitCode.DONE, done.output
    return json.loads(done.stdout)


def test_help_lists_every_exit_code() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    section = said[said.index("Exit codes:") :].split()
    assert [int(word) for word in section if word.isdigit()] == list(ExitCode)


def test_a_damaged_file_leaves_extract_incomplete_and_the_others_done(tmp_path: Path) -> None:
    (tmp_path / "x_zerolag_1_10.xml.gz").write_bytes(gzip.compress(b"<LIGO_LW><Table")[:-9])
    staging = tmp_path / "staging"
    done = _run("extract", tmp_path / "x_zerolag_1_10.xml.gz", "--staging", staging, "--json")
    assert done.returncode == ExitCode.INCOMPLETE
    told = json.loads(done.stdout)
    assert (told["files"], told["failed"], len(told["errors"])) == (1, 1, 1)
    assert (staging / "manifest.json").exists()


def test_the_last_digits_do_not_depend_on_how_many_cores_there_are(
    model: Path, uploads: tuple[Path, Path]
) -> None:
    """Linear algebra in two threads adds up in another order."""
    as_it_is = {key: os.environ[key] for key in os.environ if not key.endswith("NUM_THREADS")}
    said = [
        _run("predict", uploads[0], "--model", model, "--format", "csv", environment=environment)
        for environment in (as_it_is, as_it_is | {"OMP_NUM_THREADS": "1"})
    ]
    assert said[0].stdout.count("\n") == 1541
    assert said[0].stdout == said[1].stdout


def test_usage_and_environment(tmp_path: Path) -> None:
    assert _run("fit").returncode == ExitCode.USAGE
    (tmp_path / "file").write_text("")
    done = _run("simulate", tmp_path / "file" / "below", "--days", "0.01")
    assert done.returncode == ExitCode.REFUSED
    assert done.stderr.startswith(f"spiir-pastro: error: {tmp_path}/file/below")
    assert done.stderr.endswith(": Not a directory\n")
    assert done.stderr.count("\n") == 1


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    silent = tmp_path / "silent.json"
    os.mkfifo(silent)
    started = subprocess.Popen([*COMMAND, "compare", silent, silent], stderr=subprocess.PIPE)
    with silent.open("wb"):  # opens once the command reads, and is never written to
        started.send_signal(signal.SIGINT)
    _, complaint = started.communicate(timeout=60)
    assert (started.returncode, b"Traceback" in complaint) == (ExitCode.INTERRUPTED, False)


def test_ctrl_c_ends_all_workers_at_once(tmp_path: Path) -> None:
    arguments = ["--days", "20", "--file-seconds", "3600", "--injection-interval", "5000"]
    started = subprocess.Popen(
        [*COMMAND, "simulate", tmp_path / "campaign", *arguments, "--processes", "2"],
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    while started.poll() is None and not list(tmp_path.glob("campaign/*_inj/*/*_zerolag_*.gz")):
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGINT)  # as a terminal does
    _, complaint = started.communicate(timeout=60)  # what is left to do takes many minutes
    assert (started.returncode, complaint.strip()) == (ExitCode.INTERRUPTED, b"")


def test_json_of_every_command_that_has_it(
    model: Path, uploads: tuple[Path, Path], tmp_path: Path
) -> None:
    triggers, known = uploads
    one = tmp_path / "one.csv"
    pl.read_csv(triggers).head(1).write_csv(one)
    predicted = _document("predict", one, "--model", model)
    assert isinstance(predicted, dict)
    assert sum(predicted.values()) == pytest.approx(1)

    why = _document("explain", one, "--model", model)
    assert why["probabilities"] == predicted
    assert set(why["densities"]) == {"far", "mchirp", "w", "snr"}

    report = tmp_path / "report"
    arguments: list[str | Path] = [
        "--model",
        model,
        "--triggers",
        triggers,
        "--known-events",
        known,
    ]
    judged = _document("evaluate", *arguments, "--report", report)
    assert judged["metrics"] == json.loads((report / "metrics.json").read_text())
    reference = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text()
    page = reference.partition("## metrics.json")[2].partition("## ")[0]
    listed = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    missing = [n for n in judged["metrics"] if not any(fnmatchcase(n, one) for one in listed)]
    assert missing == []
    assert judged["report"] == str(report / "report.html")

    other = tmp_path / "other.json"
    document = json.loads(model.read_text())
    document["model"]["far_threshold_hz"] = 1e-4
    other.write_text(json.dumps(document))
    assert _document("compare", model, model) == []
    assert _document("compare", model, other) == [
        {"parameter": "model.far_threshold_hz", "first": "0.0003", "second": "0.0001"}
    ]


def test_what_is_not_known_is_null(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": float("nan"), "b": [float("inf"), 1.5], 3: ("x", None)})
    assert json.loads(capsys.readouterr().out) == {"a": None, "b": [None, 1.5], "3": ["x", None]}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is(name: str) -> None:
    command: click.Command = import_module(f"spiir_pastro.cli.{name}").command
    silent = [p.name for p in command.params if isinstance(p, click.Option) and not p.help]
    assert silent == []
