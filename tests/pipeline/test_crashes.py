"""A crash after any file operation, then the same command again: the same bytes, no mixture."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crash.stages import STAGES

_TESTS = Path(__file__).parents[1]


def _crashed(stage: str, folder: Path, every: int) -> int:
    """Return how many crashes a stage was given, each followed by the same command."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler to build what counts file operations")
    library = folder / "operations.so"
    source = _TESTS / "crash" / "operations.c"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    ended = subprocess.run(
        [sys.executable, "-m", "crash.stages", stage, str(folder / "work"), str(every)],
        env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": _path()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = re.search(rf"{stage}: \d+ operations, (\d+) crashes", ended.stdout)
    assert found
    return int(found[1])


def _path() -> str:
    return os.pathsep.join([str(_TESTS), *(path for path in sys.path if path)])


@pytest.mark.parametrize(("stage", "every"), [("extract", 30), ("process", 30)])
def test_some_crashes(stage: str, every: int, tmp_path: Path) -> None:
    assert _crashed(stage, tmp_path, every) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("stage", STAGES)
def test_a_crash_after_each_operation(stage: str, tmp_path: Path) -> None:
    assert _crashed(stage, tmp_path, 1) >= 10
