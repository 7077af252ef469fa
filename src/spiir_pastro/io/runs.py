"""The runs file: which SPIIR runs there are, where they lie and what each is for.

A campaign is described by one YAML file, ``RUNS.yaml``::

    runs:
      - name: o3-bbh
        bank: BBH
        purpose: background
        directories: [runs/bbh]
        gps_start: 1238166018
        gps_end: 1238770818

`read_runs` gives back `RunsFile`, or one `ConfigError` that lists every mistake with its key and
the remedy: structure, relations between runs, and what is missing on disk, all before any work.
"""

import itertools
import re
import reprlib
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args

import msgspec
import yaml
from msgspec import Meta

from spiir_pastro.errors import ConfigError
from spiir_pastro.io.populations import convert_population
from spiir_pastro.models.population import BinaryPopulation


class Bank(StrEnum):
    """A template bank, named by the binaries it is made for."""

    BBH = "BBH"
    BNS = "BNS"
    NSBH = "NSBH"


class Purpose(StrEnum):
    """What a run is for."""

    BACKGROUND = "background"
    FOREGROUND = "foreground"
    TWIN = "twin"


GpsSecond = Annotated[int, Meta(ge=0, le=9_000_000_000)]  # nanoseconds must fit 64 bits
S = TypeVar("S", bound=msgspec.Struct)
Glob = Annotated[str, Meta(pattern=r"^(?!/)(?!(.*/)?\.\.(/|$)).+$")]


class Run(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One run of the search over a span of data."""

    name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$",
            description="a name unique in this file, of letters, digits, '.', '_' and '-'",
        ),
    ]
    bank: Annotated[Bank, Meta(description="the template bank: BBH, BNS or NSBH")]
    purpose: Annotated[
        Purpose,
        Meta(
            description="background (no injections, its triggers are noise), foreground (has "
            "injections) or twin (no injections, only says what noise a foreground run holds)"
        ),
    ]
    directories: Annotated[
        tuple[Path, ...],
        Meta(
            min_length=1,
            description="a list of directories of the run's files, relative to this file",
        ),
    ]
    gps_start: Annotated[GpsSecond, Meta(description="the span's first GPS second, a whole number")]
    gps_end: Annotated[
        GpsSecond, Meta(description="the GPS second after the span's last, a whole number")
    ]
    triggers: Annotated[
        tuple[Glob, ...],
        Meta(
            min_length=1,
            description="a list of globs of trigger files, relative to the directories and "
            "without '..'",
        ),
    ] = ("**/*_zerolag_*.xml.gz", "**/*_zerolag_*.xml")
    segments: Annotated[
        tuple[Glob, ...],
        Meta(
            description="a list of globs of segment files, relative to the directories and "
            "without '..'"
        ),
    ] = ("**/*_SEGMENTS_*.xml.gz", "**/*_SEGMENTS_*.xml")
    injections: Annotated[
        Path | None,
        Meta(description="the sim_inspiral file of a foreground run, relative to this file"),
    ] = None
    injected: Annotated[
        BinaryPopulation | None,
        Meta(
            description="the population the injections were drawn from: primary, secondary, and "
            "redshift or distance"
        ),
    ] = None
    kept_fraction: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="the fraction of the binaries drawn that was injected, 1 if none was "
            "left out because they cannot be detected",
        ),
    ] = 1.0
    early_warning_s: Annotated[
        float,
        Meta(
            ge=0,
            le=300,
            description="how many seconds before the merger an early-warning search ends signals, "
            "0 if it takes them whole",
        ),
    ] = 0.0
    twin: Annotated[
        str | None,
        Meta(description="the name of the run over the same data without injections"),
    ] = None
    note: Annotated[str, Meta(description="free text for people")] = ""

    def trigger_files(self) -> tuple[Path, ...]:
        """Find the run's trigger files, sorted."""
        return self._find(self.triggers)

    def segment_files(self) -> tuple[Path, ...]:
        """Find the run's segment files, sorted."""
        return self._find(self.segments)

    def _find(self, globs: tuple[str, ...]) -> tuple[Path, ...]:
        pairs = itertools.product(self.directories, globs)
        found = {path for folder, glob in pairs for path in folder.glob(glob)}
        # A link to nothing, or a pipe, is kept: who reads it says what is wrong with it.
        return tuple(sorted(path for path in found if not path.is_dir()))


class RunsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All runs of a campaign, in the file's order."""

    runs: Annotated[tuple[Run, ...], Meta(min_length=1, description="a list of runs")]
    description: Annotated[
        str, Meta(description="what the data are, for people; reports say it")
    ] = ""
    schema_version: Annotated[
        int, Meta(ge=1, le=1, description="the version of this format, 1")
    ] = 1

    def having(self, purpose: Purpose, bank: Bank | None = None) -> list[Run]:
        """Return the runs for a purpose, of a bank or all, in the file's order."""
        return [r for r in self.runs if r.purpose is purpose and bank in (None, r.bank)]


def read_runs(path: str | Path, *, staged: bool = False) -> RunsFile:
    """Read a runs file; relative paths in it start from its own directory.

    If what it names was extracted, ``staged``, the files themselves need not be there. ConfigError
    if it is no YAML, or with every mistake in it, one a line: its key (``runs[2].bank``), the value
    and the remedy.
    """
    path = Path(path).absolute()
    content = _load_yaml(path)
    mistakes: list[str] = []
    entries = content.get("runs") if isinstance(content, dict) else None
    if isinstance(entries, list) and entries:
        read = {
            f"runs[{i}]": _read_struct(Run, entry, f"runs[{i}]", path.parent, mistakes)
            for i, entry in enumerate(entries)
        }
        runs = {where: run for where, run in read.items() if run is not None}
        names = [entry.get("name") for entry in entries if isinstance(entry, dict)]
        mistakes += _mistakes_between(runs, names)
        mistakes += () if staged else _mistakes_on_disk(runs)
        content = {**content, "runs": list(runs.values())}
    is_unreadable = mistakes and not content["runs"]
    whole = None if is_unreadable else _read_struct(RunsFile, content, "", path.parent, mistakes)
    if whole is None or mistakes:
        raise ConfigError("\n  ".join([f"{path} cannot be used:", *mistakes]))
    return whole


class _Loader(yaml.SafeLoader):
    """Plain YAML without tags, in which a key given twice is a mistake."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002  (PyYAML's signature)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                problem = f"the key {key.value!r} stands there twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else None)
        return super().construct_mapping(node, deep)


def _load_yaml(path: Path) -> Any:  # noqa: ANN401  (checked by the caller)
    try:
        return yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506  (a SafeLoader)
    except OSError as exc:
        raise ConfigError(f"{path} cannot be read: {exc.strerror}; name a runs file") from exc
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        line = f" line {mark.line + 1}:" if mark else ""
        raise ConfigError(f"{path}:{line} {exc.problem}; correct the YAML") from exc
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as exc:
        raise ConfigError(f"{path} is no YAML text: {exc}; write it as YAML in UTF-8") from exc


def _read_struct(
    kind: type[S], entry: object, where: str, folder: Path, mistakes: list[str]
) -> S | None:
    """Convert an entry's fields one by one, so that one mistake does not hide the next."""
    known = {field.name: field for field in msgspec.structs.fields(kind)}
    if not isinstance(entry, dict):
        keys = ", ".join(field.name for field in known.values() if field.required)
        mistakes.append(f"{where or 'the file'}: {reprlib.repr(entry)} is no mapping; give {keys}")
        return None
    prefix = f"{where}." if where else ""
    found = [
        f"{prefix}{key}: unknown key; keep to {', '.join(known)}"
        for key in entry
        if key not in known
    ]
    values = {}
    for name, field in known.items():
        if name in entry:
            try:
                values[name] = _convert(entry[name], field.type, folder)
            except msgspec.ValidationError as exc:
                inside, value = _innermost(exc, entry[name])
                remedy = f"give {_description(field.type)}"
                found.append(f"{prefix}{name}{inside}: {reprlib.repr(value)} will not do; {remedy}")
            except ConfigError as exc:
                found.append(f"{prefix}{name}: {exc}")
        elif field.required:
            found.append(f"{prefix}{name}: missing; give {_description(field.type)}")
    mistakes += found
    return None if found else kind(**values)


def _convert(value: object, kind: Any, folder: Path) -> Any:  # noqa: ANN401  (msgspec's types)
    def to_path(kind: type, text: object) -> Path:
        if kind is Path and isinstance(text, str) and text and "\0" not in text:
            return folder / Path(text)
        raise ValueError(text)

    if BinaryPopulation in get_args(get_args(kind)[0]) and value is not None:
        return convert_population(value)
    return msgspec.convert(value, kind, dec_hook=to_path)


def _innermost(error: msgspec.ValidationError, value: Any) -> tuple[str, object]:  # noqa: ANN401
    """Return where inside a value msgspec stumbled, as ``[2]``, and over what."""
    places = re.search(r" - at `\$((\[\d+\])+)`$", str(error))
    if places is None:
        return "", value
    for index in re.findall(r"\d+", places[1]):
        value = value[int(index)]
    return places[1], value


def _description(annotation: Any) -> str:  # noqa: ANN401  (typing has no type for annotations)
    return next(str(meta.description) for meta in annotation.__metadata__ if meta.description)


def _mistakes_between(runs: Mapping[str, Run], names: list[object]) -> Iterator[str]:
    """Find what single runs cannot know: names, purposes, twins and doubled background."""
    by_name = {run.name: run for run in runs.values()}
    for where, run in runs.items():
        if names.count(run.name) > 1:
            yield f"{where}.name: {run.name!r} stands there twice; give each run its own name"
        if run.gps_end <= run.gps_start:
            yield f"{where}.gps_end: {run.gps_end} is not after gps_start; swap them"
        yield from _mistakes_of_injections(where, run)
        if run.twin is not None:
            yield from _mistakes_of_twin(f"{where}.twin", run, by_name, names)
    background = {w: r for w, r in runs.items() if r.purpose is Purpose.BACKGROUND}
    for (_, first), (where, run) in itertools.combinations(background.items(), 2):
        overlap = first.gps_start < run.gps_end and run.gps_start < first.gps_end
        if overlap and first.bank is run.bank:
            yield (
                f"{where}.gps_start: the background of bank {run.bank} overlaps that of run "
                f"{first.name!r}, so noise would count twice; split the spans, or make one a twin"
            )


def _mistakes_of_injections(where: str, run: Run) -> Iterator[str]:
    foreground = run.purpose is Purpose.FOREGROUND
    if run.injections is not None and not foreground:
        yield (
            f"{where}.injections: a {run.purpose} run has none; "
            "leave it out or make the purpose foreground"
        )
    if run.injections is None and foreground:
        yield f"{where}.injections: missing; give the sim_inspiral file of this foreground run"
    if run.injected is not None and not foreground:
        yield f"{where}.injected: a {run.purpose} run has no injections; leave it out"
    if run.injected and run.injected.redshift and run.injected.redshift.high is None:
        yield f"{where}.injected.redshift.high: missing; give the largest redshift drawn"


def _mistakes_of_twin(
    where: str, run: Run, by_name: Mapping[str, Run], names: list[object]
) -> Iterator[str]:
    if run.purpose is not Purpose.FOREGROUND:
        yield f"{where}: a {run.purpose} run needs no twin; name it in the foreground run instead"
        return
    twin = by_name.get(str(run.twin))
    if twin is None:
        if run.twin not in names:
            yield f"{where}: there is no run {run.twin!r}; name one of this file's runs"
    elif twin.purpose is Purpose.FOREGROUND:
        yield f"{where}: {run.twin!r} has injections too; name a background or twin run"
    elif twin.bank is not run.bank:
        yield f"{where}: {run.twin!r} has bank {twin.bank}; name a run with bank {run.bank}"
    elif not twin.gps_start <= run.gps_start < run.gps_end <= twin.gps_end:
        yield (
            f"{where}: {run.twin!r} spans GPS {twin.gps_start} to {twin.gps_end}, which does not "
            f"cover {run.gps_start} to {run.gps_end}; name a run over the same data"
        )


def _mistakes_on_disk(runs: Mapping[str, Run]) -> Iterator[str]:
    """Find missing files, and files two runs claim."""
    owners: dict[Path, str] = {}
    for where, run in runs.items():
        absent = [i for i, folder in enumerate(run.directories) if not folder.is_dir()]
        for i in absent:
            yield f"{where}.directories[{i}]: no directory {run.directories[i]}; correct the path"
        found = run.trigger_files()
        if not found and not absent:
            globs = ", ".join(run.triggers)
            yield f"{where}.triggers: no file matches {globs}; correct the globs or directories"
        if run.injections is not None and not run.injections.is_file():
            yield f"{where}.injections: no file {run.injections}; correct the path"
        shared = next((file for file in found if file in owners), None)
        if shared is not None:
            yield (
                f"{where}.directories: {shared} belongs to run {owners[shared]!r} already; "
                "narrow the directories or globs"
            )
        owners |= dict.fromkeys(found, run.name)
