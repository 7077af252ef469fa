"""Find the evaluation of an earlier revision.

It comes out of the DVC cache or remote, as the revision's ``dvc.lock`` says, so nothing is computed
anew and nothing of the working tree is touched.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from spiir_pastro.errors import ConfigError


@contextmanager
def evaluation_of_revision(folder: Path, revision: str) -> Iterator[Path]:
    """Bring the folder as it was at a revision into a temporary one.

    Raises
    ------
    ConfigError
        If DVC has none: no such revision, no dvc.lock in it, or its outputs were never pushed.
    """
    if find_spec("dvc") is None:
        raise ConfigError("an earlier revision needs DVC: pip install 'spiir-pastro[mlops]'")
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "evaluation"
        command = [sys.executable, "-m", "dvc", "get", ".", folder.as_posix(), "--rev", revision]
        done = subprocess.run(  # noqa: S603  (no shell; our own program)
            [*command, "--out", str(found)], capture_output=True, text=True, check=False
        )
        if done.returncode or not found.is_dir():
            reason = next(
                (line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")),
                done.stderr.strip().rpartition("\n")[2],
            )
            raise ConfigError(
                f"no {folder} at revision {revision!r}: {reason}; commit that revision's dvc.lock "
                "and dvc push its outputs, or name a folder with --against-dir"
            )
        yield found
