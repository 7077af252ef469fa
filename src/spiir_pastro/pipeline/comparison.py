"""Find what an earlier revision's evaluation said, and compare today's with it.

An evaluation is a folder with ``metrics.json``, ``candidates.csv`` and ``known_mergers.csv``. That
of another revision comes out of the DVC cache or remote, as its ``dvc.lock`` says, so nothing is
computed anew and nothing of the working tree is touched.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import polars as pl

from spiir_pastro.errors import ConfigError, TableError
from spiir_pastro.evaluation.comparison import Evaluated
from spiir_pastro.evaluation.result import SCORED

__all__ = ["evaluation_of_revision", "read_evaluation"]

_CANDIDATES = ("event_id", "p_astro", "is_signal")
_KNOWN_MERGERS = ("name", "source_class", "p_astro", "BNS", "NSBH", "BBH", "Terrestrial")
_TYPES = {"event_id": pl.String, "is_signal": pl.Boolean, "name": pl.String,
          "source_class": pl.String}  # fmt: skip


def read_evaluation(folder: Path) -> Evaluated:
    """Read what ``spiir-pastro evaluate`` wrote.

    Raises
    ------
    TableError
        If a file is absent or lacks a column.
    """
    try:
        metrics = json.loads((folder / "metrics.json").read_text())
        numbers = {k: v for k, v in metrics.items() if isinstance(v, int | float)}
    except (OSError, ValueError, AttributeError) as exc:
        raise TableError(
            f"{folder / 'metrics.json'}: no metrics: {exc}; run spiir-pastro evaluate"
        ) from exc
    return Evaluated(
        metrics=numbers,
        candidates=_read(folder / "candidates.csv", _CANDIDATES, instead=SCORED),
        known_mergers=_read(folder / "known_mergers.csv", _KNOWN_MERGERS),
    )


@contextmanager
def evaluation_of_revision(folder: Path, revision: str) -> Iterator[Path]:
    """Bring the folder as it was at a revision into a temporary one.

    Raises
    ------
    ConfigError
        If DVC has none: no such revision, no dvc.lock in it, or its outputs were never pushed.
    """
    with tempfile.TemporaryDirectory() as scratch:
        found = Path(scratch) / "evaluation"
        command = [sys.executable, "-m", "dvc", "get", ".", folder.as_posix(), "--rev", revision]
        done = subprocess.run(  # noqa: S603  (no shell; our own program)
            [*command, "--out", str(found)], capture_output=True, text=True, check=False
        )
        if done.returncode or not found.is_dir():
            said = next(
                (line for line in reversed(done.stderr.splitlines()) if line.startswith("ERROR")),
                done.stderr.strip().rpartition("\n")[2],
            )
            raise ConfigError(
                f"no {folder} at revision {revision!r}: {said}; commit that revision's dvc.lock "
                "and dvc push its outputs, or name a folder with --against-dir"
            )
        yield found


def _read(
    path: Path, columns: tuple[str, ...], *, instead: Mapping[str, str] = MappingProxyType({})
) -> pl.DataFrame:
    """Read columns of text; ``instead`` names another to take for one, where the table has it."""
    try:
        table = pl.read_csv(path, infer_schema=False)
        other = {name: there for name, there in instead.items() if there in table.columns}
        table = table.with_columns(pl.col(there).alias(name) for name, there in other.items())
        return table.select(
            pl.col(name) == "true" if _TYPES.get(name) == pl.Boolean
            else pl.col(name).cast(_TYPES.get(name, pl.Float64))
            for name in columns
        )  # fmt: skip
    except (OSError, pl.exceptions.PolarsError) as exc:
        raise TableError(f"{path}: no table of an evaluation: {exc}; evaluate again") from exc
