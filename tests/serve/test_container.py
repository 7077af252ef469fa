"""The Containerfile's own steps, carried out where no container can be built.

What needs a Debian root (``apt-get``, ``useradd``) is left to it; the rest runs as written, with
``/opt`` in a folder of the test's, and what it leaves there is what an image would run.
"""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.sample_model import RehearsalModel

PROJECT = Path(__file__).parents[2]
_OF_THE_ROOT = ("apt-get ", "useradd ")


def instructions() -> Iterator[tuple[str, str]]:
    """Yield the Containerfile's instructions and their arguments."""
    text = (PROJECT / "deploy" / "Containerfile").read_text().replace("\\\n", " ")
    for line in text.splitlines():
        if line and not line.startswith("#"):
            name, _, rest = line.partition(" ")
            yield name, " ".join(rest.split())


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the steps of the build left ``opt/spiir-pastro``."""
    root = tmp_path_factory.mktemp("image").resolve()
    work = root
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    for name, rest in instructions():
        if name == "WORKDIR":
            work = root / rest.lstrip("/")
            work.mkdir()
        elif name == "COPY" and not rest.startswith("--from"):
            *given, target = rest.split()
            for source in given:
                copy(PROJECT / source, work / target)
        elif name == "RUN" and not rest.startswith(_OF_THE_ROOT):
            command = rest.replace("/opt/", f"{root}/opt/")
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", command],  # noqa: S607  (whichever bash)
                cwd=work, env=environment, capture_output=True, text=True, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return root


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)


def entry(image: Path) -> list[str]:
    """Return the command of the image, where the test has it."""
    (given,) = [rest for name, rest in instructions() if name == "ENTRYPOINT"]
    return [f"{image}{part}" for part in json.loads(given)]


def run(*command: str | Path, input: bytes = b"") -> "subprocess.CompletedProcess[bytes]":  # noqa: A002
    environment = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [*map(str, command)], capture_output=True, check=False, env=environment, input=input
    )


@pytest.mark.slow
def test_the_image_has_every_command_and_no_more_than_the_service_needs(image: Path) -> None:
    done = run(*entry(image), "--help")
    assert (done.returncode, b"listen" in done.stdout) == (0, True), done.stderr
    packages = image / "opt/spiir-pastro/lib"
    names = {path.name.partition("-")[0].lower() for path in packages.rglob("*.dist-info")}
    assert {"spiir_pastro", "numpy", "igwn_alert", "ligo_gracedb", "structlog"} <= names
    assert not {"pytest", "mypy", "dvc", "lalsuite", "pip"} & names


@pytest.mark.slow
def test_the_image_is_not_bound_to_the_tree_it_was_built_from(image: Path) -> None:
    shutil.rmtree(image / "build")
    python = image / "opt/spiir-pastro/bin/python"
    done = run(python, "-c", "import spiir_pastro.serve.startup as m; print(m.__file__)")
    assert done.stdout.decode().startswith(f"{image}/opt/"), done.stderr


@pytest.mark.slow
def test_the_image_listens_as_its_command_says(image: Path, tmp_path: Path) -> None:
    """With the sample settings: it gets as far as this machine has a network and credentials."""
    (given,) = [rest for name, rest in instructions() if name == "CMD"]
    command, *options = json.loads(given)
    assert command == "listen"
    RehearsalModel().save(tmp_path / "pastro.json")
    text = (PROJECT / "deploy" / "listen.toml").read_text()
    text = text.replace("/var/lib/spiir-pastro", f"{tmp_path}/spool").replace("9092", "1")
    (tmp_path / "listen.toml").write_text(text.replace("kafka.scimma.org", "127.0.0.1"))
    there = [option.replace("/etc/spiir-pastro", str(tmp_path)) for option in options]
    done = run(*entry(image), "listen", *there, "--check")
    assert done.returncode == 1
    assert b"no model file" in done.stderr  # the rehearsal's is none of fit's


def test_the_image_runs_as_nobody_who_owns_anything_else() -> None:
    found = list(instructions())
    assert ("USER", "spiir-pastro") in found
    exposed = next(rest for name, rest in found if name == "EXPOSE")
    assert f"port = {exposed}" in (PROJECT / "deploy" / "listen.toml").read_text()
    (volume,) = [rest for name, rest in found if name == "VOLUME"]
    assert f'spool = "{volume}/' in (PROJECT / "deploy" / "listen.toml").read_text()
    home = next(shlex.split(rest) for name, rest in found if "useradd" in rest)
    assert volume in home
