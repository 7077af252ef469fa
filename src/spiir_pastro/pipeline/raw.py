"""The raw LIGO_LW files of a campaign, and the names they keep all through it.

A raw file's name is its mirrored path without ``.xml`` or ``.xml.gz``:

- of a run of the runs file, ``<run>/<path below the run's directories' common parent>``, and
  ``<run>/injections/<file>`` for the injections;
- found in a directory given on the command line, ``<directory's own name>/<path below it>``;
- given itself on the command line, ``<file>``.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from spiir_pastro.errors import ConfigError
from spiir_pastro.io.runs import Run, RunsFile

__all__ = ["RawFile", "raw_files", "raw_files_of_runs", "raw_triggers"]

_ENDINGS = (".xml.gz", ".xml")


@dataclass(frozen=True, kw_only=True, slots=True)
class RawFile:
    """A LIGO_LW file, and its name in the campaign."""

    path: Path
    name: str


def raw_files(paths: Iterable[Path]) -> tuple[RawFile, ...]:
    """Find the LIGO_LW files among paths, and below those that are directories.

    Raises
    ------
    ConfigError
        If a path does not exist, or two files would have one name.
    """
    return _distinct(raw for path in paths for raw in _below(path))


def raw_files_of_runs(runs: RunsFile) -> tuple[RawFile, ...]:
    """Find the trigger, segment and injection files of all runs."""
    return _distinct(raw for run in runs.runs for raw in _of_run(run))


def raw_triggers(run: Run) -> tuple[RawFile, ...]:
    """Find the trigger files of a run."""
    return tuple(_named(run, path) for path in run.trigger_files())


def _below(path: Path) -> Iterator[RawFile]:
    if path.is_dir():
        folder = path.resolve()
        for file in sorted(folder.rglob("*")):
            if file.name.endswith(_ENDINGS) and file.is_file():
                yield RawFile(path=file, name=_name(folder.name, file.relative_to(folder)))
    elif path.is_file():
        yield RawFile(path=path.absolute(), name=_name("", Path(path.name)))
    else:
        raise ConfigError(f"no file or directory {path}; correct the path")


def _of_run(run: Run) -> Iterator[RawFile]:
    for path in (*run.trigger_files(), *run.segment_files()):
        yield _named(run, path)
    if run.injections is not None:
        name = _name(f"{run.name}/injections", Path(run.injections.name))
        yield RawFile(path=run.injections, name=name)


def _named(run: Run, path: Path) -> RawFile:
    parent = os.path.commonpath(run.directories)
    return RawFile(path=path, name=_name(run.name, path.relative_to(parent)))


def _name(prefix: str, path: Path) -> str:
    name = str(PurePosixPath(prefix, *path.parts))
    return next((name.removesuffix(end) for end in _ENDINGS if name.endswith(end)), name)


def _distinct(files: Iterable[RawFile]) -> tuple[RawFile, ...]:
    """Sort by name, and refuse two files of one name."""
    by_name: dict[str, RawFile] = {}
    for file in files:
        other = by_name.setdefault(file.name, file)
        if other.path.resolve() != file.path.resolve():
            raise ConfigError(
                f"{other.path} and {file.path} would both be called {file.name}; "
                "give a directory that holds both, or a runs file"
            )
    return tuple(by_name[name] for name in sorted(by_name))
