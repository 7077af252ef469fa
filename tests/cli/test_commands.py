"""The command line keeps its promises without loading more than it needs."""

import csv
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from spiir_pastro.cli import COMMANDS, app


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_in_the_list_what_it_says_itself(name: str) -> None:
    command = import_module(f"spiir_pastro.cli.{name}").command
    assert isinstance(command, click.Command)
    assert command.name == name
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[name]


def test_help_lists_the_commands_in_pipeline_order() -> None:
    said = CliRunner().invoke(app, ["--help"]).output
    places = [said.index(f"\n  {name} ") for name in COMMANDS]
    assert places == sorted(places)


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(app, ["frobnicate"])
    assert (result.exit_code, "No such command 'frobnicate'" in result.output) == (2, True)


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "spiir_pastro", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_from_uploads_to_p_astro_json(
    uploads: tuple[Path, Path], distances: Path, tmp_path: Path
) -> None:
    model, report = tmp_path / "models" / "pastro.json", tmp_path / "report"
    triggers, known = uploads
    fit = _run(
        "fit", "--triggers", triggers, "--known-events", known, "--distances", distances,
        "--model", model,
    )  # fmt: skip
    assert (fit.returncode, fit.stderr) == (0, "")
    assert "1540 candidates, 40 of them signals" in fit.stdout

    header, *rows = triggers.read_text().splitlines()
    one = tmp_path / "one.csv"
    one.write_text(f"{header}\n{rows[0]}\n")
    as_json = _run("predict", one, "--model", model, "--format", "json")
    assert sum(json.loads(as_json.stdout).values()) == pytest.approx(1)
    as_csv = _run("predict", triggers, one, "--model", model, "--format", "csv")
    assert as_csv.stdout.count("\n") == 1 + 1540 + 1
    assert rows[0].split(",")[0] in _run("predict", one, "--model", model).stdout

    evaluate = _run(
        "evaluate", "--model", model, "--triggers", triggers, "--known-events", known,
        "--report", report,
    )  # fmt: skip
    assert evaluate.returncode == 0, evaluate.stderr
    assert json.loads((report / "metrics.json").read_text())["auc"] > 0.99
    assert (report / "known_mergers.png").stat().st_size > 10_000
    assert (report / "report.html").stat().st_size > 100_000

    page = tmp_path / "why.html"
    told = _run("explain", "G1510", "--model", model, "--triggers", triggers, "--html", page)
    assert (told.returncode, told.stderr) == (0, "")
    lines = {line[:24].strip(): line.split() for line in told.stdout.splitlines()}
    predicted = next(line for line in as_csv.stdout.splitlines() if line.startswith("G1510,"))
    assert [float(p) for p in lines["probability"][-4:]] == pytest.approx(
        [float(p) for p in predicted.split(",")[2:6]], rel=0.01, abs=5e-5
    )
    assert "G1510" in page.read_text()
    properties = _run("predict", triggers, "--model", model, "--properties", "--format", "csv")
    by_id = {row["event_id"]: row for row in csv.DictReader(properties.stdout.splitlines())}
    as_document = _run("explain", "G1510", "--model", model, "--triggers", triggers, "--json")
    said = json.loads(as_document.stdout)["properties"]
    for name, column in (("HasNS", "has_ns"), ("HasRemnant", "has_remnant")):
        assert said[name] == pytest.approx(float(by_id["G1510"][column]), abs=1e-6)
    assert said["source_mchirp"]["p50"] == pytest.approx(
        float(by_id["G1510"]["source_mchirp"]), abs=1e-6
    )
    assert "If it is a signal, and p_astro is" in told.stdout
    assert told.stdout.index("For a signal, in decibans") < told.stdout.index("density at FAR")
    by_name = _run("explain", "GW10", "--model", model, "--triggers", triggers, "--known-events",
                   known)  # fmt: skip
    assert by_name.stdout.partition("probability")[0] == told.stdout.partition("probability")[0]
    nowhere = _run("explain", "nobody", "--model", model)
    assert nowhere.stderr.startswith("spiir-pastro: error: no file nobody; correct its name, or")
    nobody = _run("explain", "nobody", "--model", model, "--triggers", triggers)
    assert "holds 0 candidates called nobody, where one belongs" in nobody.stderr


def test_an_error_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    model = tmp_path / "model.json"
    model.write_text("{}")
    result = _run("predict", model, "--model", model)
    assert result.returncode == 1
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(
        f"spiir-pastro: error: {model}: no model file: it names no schema"
    )
