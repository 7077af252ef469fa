"""The report reaches GitLab where CML is installed and where it is not."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops.stand_ins import TOKEN, Notes, notes_api, write_commands

SCRIPT = Path(__file__).parents[2] / ".ci" / "comment"
PICTURE = b"\x89PNG of the test"


@pytest.fixture(name="notes")
def _notes() -> Iterator[Notes]:
    with notes_api() as notes:
        yield notes


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Path:
    (tmp_path / "comparison").mkdir()
    (tmp_path / "comparison" / "report.md").write_text("# Said\n\n![ROC](roc.png)\n")
    (tmp_path / "comparison" / "roc.png").write_bytes(PICTURE)
    return tmp_path


def _comment(folder: Path, notes: Notes, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "CI_API_V4_URL": notes.url,
        "CI_PROJECT_ID": "1",
        "REPO_TOKEN": TOKEN,
        **variables,
    }
    return subprocess.run(
        [sys.executable, SCRIPT], cwd=folder, env=environment, capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip


def test_a_merge_request_gets_one_note_that_is_renewed(folder: Path, notes: Notes) -> None:
    notes.bodies.append("LGTM, says a person")
    for said in ("# Said", "# Said again"):
        (folder / "comparison" / "report.md").write_text(f"{said}\n\n![ROC](roc.png)\n")
        done = _comment(folder, notes, CI_MERGE_REQUEST_IID="7")
        assert (done.returncode, done.stderr) == (0, "")
    assert len(notes.bodies) == 2
    assert "# Said again\n\n![ROC](/uploads/2.png)" in notes.bodies[1]
    assert notes.images == [PICTURE, PICTURE]


def test_a_commit_gets_a_comment(folder: Path, notes: Notes) -> None:
    assert _comment(folder, notes, CI_COMMIT_SHA="abc").returncode == 0
    assert notes.comments == [("abc", "# Said\n\n![ROC](/uploads/1.png)\n")]


def test_cml_does_it_where_it_is_installed(folder: Path, notes: Notes) -> None:
    write_commands(folder / "bin")
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    assert _comment(folder, notes, CI_MERGE_REQUEST_IID="7", PATH=path).returncode == 0
    assert notes.bodies == ["# Said\n\n![ROC](/uploads/1.png)\n"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"REPO_TOKEN": "another"}, "no comment: HTTPError HTTP Error 401"),
        ({"CI_API_V4_URL": "http://127.0.0.1:9/api/v4"}, "no comment: URLError"),
        ({}, "no comment: KeyError 'CI_COMMIT_SHA'"),
    ],
)
def test_what_went_wrong_is_one_line(
    folder: Path, notes: Notes, variables: dict[str, str], said: str
) -> None:
    done = _comment(folder, notes, **variables)
    assert done.returncode == 1
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert TOKEN not in done.stderr


def test_without_a_report_it_says_why(folder: Path, notes: Notes) -> None:
    (folder / "comparison" / "report.md").unlink()
    assert "training failed" in _comment(folder, notes).stderr
