"""The raw LIGO_LW files of a campaign, and the names they keep all through it.

A raw file's name is its mirrored path without ``.xml`` or ``.xml.gz``:

- of a run of the runs file, ``<run>/<path below the run's directories' common parent>``, and
  ``<run>/injections/<file>`` for the injections;
- found in a directory given on the command line, ``<directory's own name>/<path below it>``;
- given itself on the command line, ``<file>``.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from spiir_pastro.errors import ConfigError

if TYPE_CHECKING:
    from spiir_pastro.io.runs import Run, RunsFile

ENDINGS = (".xml.gz", ".xml")
"""What a raw file's name ends in."""


class RawKind(Enum):
    """What a raw file of a run is for; the value is the tables that it must have."""

    TRIGGERS = ("postcoh",)
    SEGMENTS = ("segment_definer", "segment")
    INJECTIONS = ("sim_inspiral",)

    @property
    def tables(self) -> tuple[str, ...]:
        """The tables that a file of this kind must have."""
        return tuple(self.value)


@dataclass(frozen=True, kw_only=True, slots=True)
class RawFile:
    """A LIGO_LW file, and its name in the campaign."""

    path: Path
    name: str

    @property
    def ending(self) -> str:
        """What the path has beyond the name, ``.xml.gz`` or ``.xml``."""
        return next((end for end in ENDINGS if self.path.name.endswith(end)), "")


def raw_files(paths: Iterable[Path]) -> tuple[RawFile, ...]:
    """Find the LIGO_LW files among paths, and below those that are directories.

    Raises
    ------
    ConfigError
        If a path does not exist, a directory holds none, or two files would have one name.
    """
    return _distinct(raw for path in paths for raw in _below(path))


def raw_files_of_runs(runs: "RunsFile") -> tuple[RawFile, ...]:
    """Find the trigger, segment and injection files of all runs."""
    return _distinct(raw for run in runs.runs for raw in raw_files_of_run(run))


def raw_files_of_run(run: "Run") -> Iterator[RawFile]:
    """Find those trigger, segment and injection files of a run that are there.

    Raises
    ------
    OSError
        If a folder among them cannot be listed.
    """
    for folder in run.directories:
        files_below(folder)  # a glob would pass over what cannot be listed
    for path in (*run.trigger_files(), *run.segment_files()):
        yield RawFile(path=path, name=_name(run.name, path.relative_to(_parent(run))))
    if run.injections is not None and run.injections.is_file():
        yield RawFile(path=run.injections, name=_name("", Path(_injections(run))))


def files_below(folder: Path) -> list[Path]:
    """List all files below a folder; OSError if it, or one below it, cannot be listed."""

    def refuse(error: OSError) -> None:
        raise error

    walk = os.walk(folder, onerror=refuse) if folder.is_dir() else ()
    return [Path(parent, name) for parent, _, names in walk for name in names]


def kind_of(run: "Run", file: str) -> RawKind | None:
    """Say what a file is for in a run, by its path in the campaign; None if for nothing."""
    if run.injections is not None and file == _injections(run):
        return RawKind.INJECTIONS
    globs = {RawKind.TRIGGERS: run.triggers, RawKind.SEGMENTS: run.segments}
    parts = PurePosixPath(file).relative_to(run.name).parts
    for kind, patterns in globs.items():
        for folder in run.directories:
            below = PurePosixPath(folder.relative_to(_parent(run)))
            if any(_fits(parts, (below / pattern).parts) for pattern in patterns):
                return kind
    return None


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path's parts fit a glob's, as for `pathlib.Path.glob`."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[i:], pattern[1:]) for i in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


def _parent(run: "Run") -> str:
    return os.path.commonpath(run.directories)


def _injections(run: "Run") -> str:
    """Return the path of a run's injection file in the campaign."""
    return f"{run.name}/injections/{run.injections.name}" if run.injections else ""


def _below(path: Path) -> Iterator[RawFile]:
    if path.is_dir():
        folder = path.resolve()
        found = sorted(file for file in files_below(folder) if file.name.endswith(ENDINGS))
        if not found:
            raise ConfigError(
                f"{path} holds no file that ends in {' or '.join(ENDINGS)}; correct the path"
            )
        for file in found:
            yield RawFile(path=file, name=_name(folder.name, file.relative_to(folder)))
    elif path.is_file():
        yield RawFile(path=path.absolute(), name=_name("", Path(path.name)))
    elif path.exists():
        raise ConfigError(f"{path} is a device or a pipe; name a file or a directory")
    else:
        raise ConfigError(f"no file or directory {path}; correct the path")


def _name(prefix: str, path: Path) -> str:
    name = str(PurePosixPath(prefix, *path.parts))
    if not name.isprintable():
        raise ConfigError(f"{name!a} has characters that cannot be printed; rename the file")
    return next((name.removesuffix(end) for end in ENDINGS if name.endswith(end)), name)


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
