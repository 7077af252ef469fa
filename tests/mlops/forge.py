"""A project on a forge: a bare repository, clones of it, and pipelines run in them."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mlops.servers import KEY, SECRET
from mlops.stand_ins import TOKEN, Notes, write_commands

PROJECT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Forge:
    """A bare repository ``origin.git`` and the commands of its jobs, under one folder."""

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

    def pipeline(
        self, folder: Path, *jobs: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the jobs of a merge request's pipeline in a clone."""
        base = self.must(folder, "git", "merge-base", "HEAD", "origin/main").strip()
        request = {
            "CI_PIPELINE_SOURCE": "merge_request_event",
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
            "CI_MERGE_REQUEST_DIFF_BASE_SHA": base,
        }
        return self.jobs(folder, *jobs, **request, **variables)

    def jobs(self, folder: Path, *jobs: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run jobs of a pipeline in a clone."""
        variables = {
            "CI_API_V4_URL": self.notes.url,
            "CI_PROJECT_ID": "1",
            "REPO_TOKEN": TOKEN,
            **variables,
        }
        given = [f"--variable={name}={value}" for name, value in variables.items()]
        command = ("gitlab-ci-local", "--force-shell-executor", *given, *jobs)
        return self.run(folder, *command)


def search_path() -> str:
    """Where programs are looked for: beside this Python first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def need(*programs: str) -> None:
    """Skip the test if a program is not installed, or the sources are in no repository."""
    absent = [name for name in programs if shutil.which(name, path=search_path()) is None]
    if absent or not (PROJECT / ".git").exists():
        pytest.skip(f"not installed: {', '.join(absent) or 'from a Git repository'}")


def new_forge(root: Path, notes: Notes) -> Forge:
    """Put the project, as it is committed, on a forge of its own."""
    write_commands(root / "bin")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "PATH": f"{root / 'bin'}{os.pathsep}{search_path()}",
        "HOME": str(root),
        "DVC_NO_ANALYTICS": "1",
        "DVC_SITE_CACHE_DIR": str(root / "dvc-site"),
        "OMP_NUM_THREADS": "1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        **{f"GIT_{who}_NAME": "test" for who in ("AUTHOR", "COMMITTER")},
        **{f"GIT_{who}_EMAIL": "test@localhost" for who in ("AUTHOR", "COMMITTER")},
    }
    forge = Forge(root=root, environment=environment, notes=notes)
    bare = root / "origin.git"
    forge.must(PROJECT, "git", "clone", "-q", "--bare", str(PROJECT), str(bare))
    forge.must(bare, "git", "branch", "-f", "main", "HEAD")
    forge.must(bare, "git", "symbolic-ref", "HEAD", "refs/heads/main")
    return forge
