"""The whole way of a merge request, with everything real but GitLab and CML.

Git, DVC, an S3 server on loopback, and the project's own ``.gitlab-ci.yml`` executed by
gitlab-ci-local in a throw-away clone.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mlops.forge import Forge, need, new_forge, search_path
from mlops.servers import serve_s3
from mlops.stand_ins import TOKEN, notes_api

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forge]:
    need("git", "rsync", "rclone", "gitlab-ci-local")
    root = tmp_path_factory.mktemp("forge")
    (root / "s3" / "models").mkdir(parents=True)
    with notes_api() as notes, serve_s3(root / "s3", path=search_path()) as endpoint:
        forge = new_forge(root, notes)
        _start_project(forge, endpoint)
        yield forge


def _start_project(forge: Forge, endpoint: str) -> None:
    """Do what docs/how-to/mlops.md says, once for a project: data, remote, first model."""
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
    assert "worse beyond noise: " in done.stdout + done.stderr
    assert len(forge.notes.bodies) == told + 1
    assert "**Worse beyond noise: " in forge.notes.bodies[-1]


def test_a_pushed_commit_is_trained_before_there_is_a_model(tmp_path: Path, forge: Forge) -> None:
    """In a project as it is cloned: no dvc.lock, no DVC remote, no merge request, no CML."""
    fresh = new_forge(tmp_path, forge.notes)
    (tmp_path / "bin" / "cml").unlink()
    branch = fresh.clone("branch")
    fresh.must(branch, "git", "switch", "-qc", "try")
    fresh.must(branch, "git", "commit", "-q", "--allow-empty", "-m", "Try")
    done = fresh.jobs(branch, "train", "comment", CI_PIPELINE_SOURCE="push")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "no DVC remote" in done.stdout
    assert (branch / "dvc.lock").exists()
    commit, comment = forge.notes.comments[-1]
    assert commit == fresh.must(branch, "git", "rev-parse", "HEAD").strip()
    assert "# How the model does" in comment
    assert "| held_out | 1 |" in comment
    assert "](/uploads/" in comment


def test_twice_from_scratch_gives_the_same_bytes(forge: Forge) -> None:
    first = forge.clone("again")
    forge.must(first, "dvc", "pull", "data/small")
    forge.must(first, "dvc", "repro", "evaluate", "--force")
    assert forge.must(first, "git", "status", "--porcelain") == ""


def test_the_wrong_secret_opens_nothing(forge: Forge) -> None:
    clone = forge.clone("stranger")
    wrong = {**forge.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}
    assert replace(forge, environment=wrong).run(clone, "dvc", "pull").returncode != 0
