"""What is not installed is named in one line, with the extra that has it."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from spiir_pastro.cli import COMMANDS
from spiir_pastro.cli.extras import EXTRAS, remedy_for

_PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


@pytest.mark.parametrize(
    "module", ["structlog", "prometheus_client", "confluent_kafka", "igwn_alert", "ligo.gracedb"]
)
def test_a_command_without_its_extra_says_which(module: str) -> None:
    code = (
        f"import importlib, sys\nsys.modules[{module!r}] = None\nsys.argv[1:] = ['listen']\n"
        "from spiir_pastro.cli import app, main\n"
        f"app.get_command = lambda *_: importlib.import_module({module!r})\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    expected = f"{module} is not installed: pip install 'spiir-pastro[serve]'"
    assert done.stderr == f"spiir-pastro: error: {expected}\n"


def test_the_extras_are_those_of_the_distribution() -> None:
    extras = tomllib.loads(_PYPROJECT.read_text())["project"]["optional-dependencies"]
    for extra, modules in EXTRAS.items():
        offered = {re.split("[>=<;@ ]", one)[0].replace("-", "_") for one in extras[extra]}
        offered |= {name.replace("ligo_", "ligo.") for name in offered} | {"ligo"}
        assert set(modules) <= offered | {"lal", "lalsimulation"}  # lalsuite comes with ligo.skymap


def test_only_the_service_imports_an_extra_before_it_is_used() -> None:
    blocked = [name for extra in ("cluster", "bayestar", "mlops") for name in EXTRAS[extra]]
    loaded = [f"spiir_pastro.cli.{name}" for name in COMMANDS]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({blocked!r}))\n"
        f"import importlib\nfor name in {loaded!r}: importlib.import_module(name)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_no_extra_has_is_a_mistake_of_ours() -> None:
    assert remedy_for("spiir_pastro.nothing") is None
    assert remedy_for("ligo.skymap.io") == (
        "ligo.skymap.io is not installed: pip install 'spiir-pastro[bayestar]'"
    )
