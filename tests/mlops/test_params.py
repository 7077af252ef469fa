"""What a person may choose: params.yaml, the commands' options and the settings say the same."""

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import CliRunner

from spiir_pastro.cli import app
from spiir_pastro.evaluation.change import Tolerance
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.provenance import plain_settings
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.summary import ProcessSettings

_PARAMS = Path(__file__).parents[2] / "params.yaml"
_CHOSEN: dict[str, dict[str, Any]] = yaml.safe_load(_PARAMS.read_text())

# Options that say where things are, in which format, or how the work is done.
_NO_CHOICE = {
    "simulate": {"directory", "legacy", "processes", "early_warning"},
    "process": {"runs_file", "staging", "processed", "known_events", "file_format", "as_json"},
    "fit": {
        "triggers",
        "processed",
        "distances",
        "known_events",
        "counted",
        "model",
        "noise_statistics",
        "since",
        "until",
        "as_json",
    },
    "report": {"report", "against", "against_dir", "markdown", "gate"},
}


def _defaults(command: str) -> dict[str, Any]:
    loaded = app.get_command(None, command)  # type: ignore[arg-type]
    assert loaded
    options = {p.name: p.default for p in loaded.params if p.name}
    # An option without default is one that may be left open.
    return {
        name: value if isinstance(value, int | float | str) else None
        for name, value in options.items()
        if name not in _NO_CHOICE[command]
    }


@pytest.mark.parametrize("command", sorted(_NO_CHOICE))
def test_a_section_holds_the_choices_its_command_has(command: str) -> None:
    assert set(_CHOSEN[command]) == set(_defaults(command))


@pytest.mark.parametrize("command", ["process", "fit", "report"])
def test_the_values_are_the_defaults(command: str) -> None:
    """But for the simulated campaign, which has to be long enough to fit."""
    assert _CHOSEN[command] == _defaults(command)


def test_each_value_has_its_unit_or_source_beside_it() -> None:
    lines = re.findall(r"(?m)^  \w+: .*$", _PARAMS.read_text())
    bare = [
        line for line in lines if "#" not in line and not re.match("  (seed|campaign|kn)", line)
    ]
    assert not bare
    assert len(lines) == sum(len(section) for section in _CHOSEN.values())


def test_the_settings_are_what_the_parameters_say(
    uploads: tuple[Path, Path], distances: Path, tmp_path: Path
) -> None:
    """A model records how it was fitted: with params.yaml, and by the library without it."""
    model = tmp_path / "model.json"
    result = CliRunner().invoke(
        app,
        [
            "--params", str(_PARAMS), "fit", "--triggers", str(uploads[0]),
            "--known-events", str(uploads[1]), "--distances", str(distances), "--model", str(model),
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    expected = json.dumps(asdict(FitSettings()), default=np.ndarray.tolist)
    assert plain_settings(load_model(model).provenance.settings) == json.loads(expected)
    seconds = {n: v for n, v in _CHOSEN["process"].items() if n.endswith("_window")}
    settings = ProcessSettings()
    assert {name: round(value * 1e9) for name, value in seconds.items()} == {
        "cluster_window": settings.cluster_window_ns,
        "known_window": settings.known_window_ns,
        "injection_window": settings.injection_window_ns,
        "twin_window": settings.twin.window_ns,
    }
    assert Tolerance(**{n: _CHOSEN["report"][n] for n in asdict(Tolerance())}) == Tolerance()
