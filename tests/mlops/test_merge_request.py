"""The whole way of a merge request, with everything real but GitLab and CML.

Git, DVC, an S3 server on loopback, and the project's own ``.gitlab-ci.yml`` executed by
gitlab-ci-local in a throw-away clone.
"""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mlops.stand_ins import TOKEN, Notes, notes_api, write_commands

pytestmark = pytest.mark.slow

_PROJECT = Path(__file__).parents[2]
_KEY, _SECRET = "key-of-the-test", "secret-of-the-test"


@dataclass(frozen=True)
class Forge:
    """A project on a forge: a bare repository, an S3 remote, and the commands of its jobs."""

    root: Path
    environment: dict[str, str]
    notes: Notes

    def run(self, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
        environment = {**self.environment, "CLONE": str(folder)}
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900,
            check=False,
        )  # fmt: skip

    def must(self, folder: Path, *command: str) -> str:
        done = self.run(folder, *command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def clone(self, name: str, branch: str = "main") -> Path:
        self.must(self.root, "git", "clone", "-q", "-b", branch, "origin.git", name)
        return self.root / name

    def pipeline(self, folder: Path, *jobs: str) -> subprocess.CompletedProcess[str]:
        """Run the jobs of a merge request's pipeline in a clone."""
        base = self.must(folder, "git", "merge-base", "HEAD", "origin/main").strip()
        variables = {
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
            "CI_API_V4_URL": self.notes.url,
            "CI_PROJECT_ID": "1",
            "REPO_TOKEN": TOKEN,
        }
        given = [f"--variable={name}={value}" for name, value in variables.items()]
        command = ("gitlab-ci-local", "--force-shell-executor", *given, *jobs)
        return self.run(folder, *command)


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    absent = [
        name for name in ("git", "rsync", "rclone", "gitlab-ci-local")
        if shutil.which(name, path=_path()) is None
    ]  # fmt: skip
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)}")
    root = tmp_path_factory.mktemp("forge")
    write_commands(root / "bin")
    with notes_api() as notes, _s3(root / "s3") as endpoint:
        environment = {
            **os.environ,
            "PATH": f"{root / 'bin'}{os.pathsep}{_path()}",
            "HOME": str(root),
            "DVC_NO_ANALYTICS": "1",
            "DVC_SITE_CACHE_DIR": str(root / "dvc-site"),
            "OMP_NUM_THREADS": "1",
            "AWS_ACCESS_KEY_ID": _KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
            **{f"GIT_{who}_NAME": "test" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "test@localhost" for who in ("AUTHOR", "COMMITTER")},
        }
        forge = Forge(root=root, environment=environment, notes=notes)
        _start_project(forge, endpoint)
        yield forge


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


class _s3:  # noqa: N801  (a context)
    """`rclone serve s3` of a folder, on loopback."""

    def __init__(self, folder: Path) -> None:
        (folder / "models").mkdir(parents=True)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self._folder = folder

    def __enter__(self) -> str:
        program = shutil.which("rclone", path=_path())
        assert program
        address = f"127.0.0.1:{self._port}"
        command = [program, "serve", "s3", "--addr", address, "--auth-key", f"{_KEY},{_SECRET}"]
        self._server = subprocess.Popen([*command, self._folder], stderr=subprocess.DEVNULL)
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self._port)) == 0:
                    return f"http://{address}"
            time.sleep(0.1)
        raise TimeoutError(command)

    def __exit__(self, *_: object) -> None:
        self._server.terminate()
        self._server.wait(20)


def _start_project(forge: Forge, endpoint: str) -> None:
    """Do what docs/how-to/mlops.md says, once for a project: data, remote, first model."""
    forge.must(
        _PROJECT, "git", "clone", "-q", "--bare", str(_PROJECT), str(forge.root / "origin.git")
    )
    bare = forge.root / "origin.git"
    forge.must(bare, "git", "branch", "-f", "main", "HEAD")
    forge.must(bare, "git", "symbolic-ref", "HEAD", "refs/heads/main")
    work = forge.clone("work")
    params = yaml.safe_load((work / "params.yaml").read_text())
    params["data"] = {
        "campaign": "data/small", "known_events": "data/small/known_mergers.csv"
    }  # fmt: skip
    (work / "params.yaml").write_text(yaml.safe_dump(params))
    forge.must(work, "spiir-pastro", "--params", "params.yaml", "simulate", "data/small")
    forge.must(work, "dvc", "remote", "add", "--default", "store", "s3://models/dvc")
    forge.must(work, "dvc", "remote", "modify", "store", "endpointurl", endpoint)
    forge.must(work, "dvc", "add", "data/small")
    forge.must(work, "dvc", "repro", "evaluate")
    forge.must(work, "dvc", "push", "--run-cache")
    forge.must(work, "git", "add", "-A")
    forge.must(work, "git", "commit", "-qm", "Train on a small campaign")
    forge.must(work, "git", "push", "-q", "origin", "main")


def _propose(
    forge: Forge,
    branch: str,
    changes: Mapping[str, Mapping[str, object]],
    *,
    alter_runs: Callable[[str], str] | None = None,
) -> Path:
    """Push a branch with other parameters, perhaps other runs; clone it as a runner would."""
    work = forge.clone(f"{branch}-author")
    forge.must(work, "git", "checkout", "-qb", branch)
    params = yaml.safe_load((work / "params.yaml").read_text())
    for section, values in changes.items():
        params[section] |= values
    (work / "params.yaml").write_text(yaml.safe_dump(params))
    if alter_runs:
        forge.must(work, "dvc", "pull", "data/small")
        runs = work / "data" / "small" / "RUNS.yaml"
        runs.write_text(alter_runs(runs.read_text()))
        forge.must(work, "dvc", "add", "data/small")
        forge.must(work, "dvc", "push", "data/small")
    forge.must(work, "git", "commit", "-qam", "Try it otherwise")
    forge.must(work, "git", "push", "-q", "origin", branch)
    return forge.clone(branch, branch)


def test_a_harmless_change_is_told_on_the_merge_request_and_passes(forge: Forge) -> None:
    runner = _propose(forge, "uniform", {"fit": {"prior": "uniform"}})
    done = forge.pipeline(runner, "train", "comment")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Running stage 'fit'" in done.stdout
    assert "Stage 'process' didn't change, skipping" in done.stdout
    assert "is worse beyond its noise" in forge.notes.bodies[-1]
    assert "| params.yaml | fit.prior | jeffreys" in forge.notes.bodies[-1]
    assert "](/uploads/" in forge.notes.bodies[-1]
    assert forge.notes.images[-1].startswith(b"\x89PNG")
    assert TOKEN not in done.stdout + done.stderr


def test_a_worse_model_is_told_and_stopped(forge: Forge) -> None:
    """Without twins and with a wide match, an injection run's noise passes for signals."""
    told = len(forge.notes.bodies)
    anything = {"injection_window": 2000.0, "injection_mchirp_tolerance": 1e3}
    runner = _propose(
        forge,
        "contaminated",
        {"process": anything},
        alter_runs=lambda text: re.sub(r"(?m)^ +twin: .*\n", "", text),
    )
    done = forge.pipeline(runner, "train", "comment")
    assert done.returncode != 0
    assert "worse beyond noise: log_loss" in done.stdout + done.stderr
    assert len(forge.notes.bodies) == told + 1
    assert "**Worse beyond noise: log_loss" in forge.notes.bodies[-1]


def test_twice_from_scratch_gives_the_same_bytes(forge: Forge) -> None:
    first = forge.clone("again")
    forge.must(first, "dvc", "pull", "data/small")
    forge.must(first, "dvc", "repro", "evaluate", "--force")
    assert forge.must(first, "git", "status", "--porcelain") == ""


def test_the_wrong_secret_opens_nothing(forge: Forge) -> None:
    clone = forge.clone("stranger")
    wrong = {**forge.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}
    stranger = Forge(root=forge.root, environment=wrong, notes=forge.notes)
    assert stranger.run(clone, "dvc", "pull").returncode != 0
