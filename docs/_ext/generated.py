"""Parts of the reference that are made from the code, each time the pages are built.

A page says ``<!-- generated: NAME -->`` where the part goes; NAME is a key of ``PARTS``.
"""

import dataclasses
import inspect
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import click
import msgspec
import numpy as np
import polars as pl
from numpydoc.docscrape import ClassDoc
from sphinx.application import Sphinx

from spiir_pastro.cli import COMMANDS, app
from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.domain.columns import MEANINGS, POSTCOH_TYPES, POSTCOH_UNITS
from spiir_pastro.evaluation.glossary import COMPARED
from spiir_pastro.io import artifact
from spiir_pastro.io.injections import from_sim_inspiral
from spiir_pastro.io.ligolw.layout import DTYPES
from spiir_pastro.io.predictions import as_table
from spiir_pastro.io.runs import Run, RunsFile
from spiir_pastro.models.components import FactorDensity
from spiir_pastro.models.pastro import PastroModel, Predictions
from spiir_pastro.pipeline import processing
from spiir_pastro.pipeline.analysed_time import livetime_table
from spiir_pastro.pipeline.processed import UNITS
from spiir_pastro.pipeline.store import TriggerStore
from spiir_pastro.selection import match_injections
from spiir_pastro.serve.settings import Settings

_MARK = re.compile(r"^<!-- generated: (.+) -->$", re.MULTILINE)


def setup(sphinx: Sphinx) -> dict[str, bool]:
    """Register with Sphinx."""
    sphinx.connect("source-read", _fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _fill(_: Sphinx, __: str, source: list[str]) -> None:
    source[0] = _MARK.sub(lambda mark: PARTS[mark[1]](), source[0])


def commands() -> str:
    """List every command with its options, as click knows them."""
    return "\n\n".join(["\n".join(_options(app)), *map(_command, COMMANDS)])


def _command(name: str) -> str:
    command: click.Command = import_module(f"spiir_pastro.cli.{name}").command
    context = click.Context(command, info_name=f"spiir-pastro {name}")
    usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
    said = inspect.cleandoc(command.help or "")
    return "\n".join([f"## {name}", "", f"```text\n{usage}\n```", "", said, "", *_options(command)])


def _options(command: click.Command) -> list[str]:
    context = click.Context(command)
    rows = []
    for option in command.params:
        if isinstance(option, click.Option):
            told = option.get_help_extra(context)
            default = "required" if option.required else str(told.get("default", ""))
            name = f"`{', '.join((*option.opts, *option.secondary_opts))}`"
            if not (option.is_flag or option.count):
                name += f" {_cell(option.make_metavar(context))}"
            bounds = f" {told['range']}" if "range" in told else ""
            rows.append((name, _cell(default), _cell(f"{option.help}{bounds}")))
    return _table(("option", "default", "meaning"), rows)


def exit_codes() -> str:
    """List what each exit code means."""
    return _lines(("code", "meaning"), [(str(int(c)), _cell(c.meaning)) for c in ExitCode])


def runs_file() -> str:
    """List the keys of RUNS.yaml and of a run in it."""
    described = {
        kind: {f.name: _description(f.type) for f in msgspec.structs.fields(kind)}
        for kind in (RunsFile, Run)
    }
    return _struct(RunsFile, described[RunsFile]) + "\n\nA run:\n\n" + _struct(Run, described[Run])


def listen_file() -> str:
    """List the keys of listen.toml."""
    parts = []
    for name, kind in {"": Settings, **_sections(Settings)}.items():
        said = _attributes(kind)
        parts.append(_struct(kind, said, prefix=name))
    header, rule, *_ = parts[0].splitlines()
    return "\n".join([header, rule, *(row for part in parts for row in part.splitlines()[2:])])


def _sections(kind: type[msgspec.Struct]) -> dict[str, type[msgspec.Struct]]:
    """Give a structure's sections, those that may be left out among them."""
    return {
        f"{field.name}.": part
        for field in msgspec.structs.fields(kind)
        for part in (get_args(field.type) or (field.type,))
        if inspect.isclass(part) and issubclass(part, msgspec.Struct)
    }


def _struct(kind: type[msgspec.Struct], meanings: Mapping[str, str], *, prefix: str = "") -> str:
    sections = _sections(kind)
    rows = [
        (f"`{prefix}{f.name}`", _type(f.type), _default(f), _cell(meanings[f.name]))
        for f in msgspec.structs.fields(kind)
        if f"{f.name}." not in sections
    ]
    return _lines(("key", "type", "default", "meaning"), rows)


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    value = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    if value is None or value in ({}, ""):
        return ""
    return ", ".join(f"`{v}`" for v in (value if isinstance(value, tuple) else (value,)))


def model_file() -> str:
    """Describe every kind of object in a model file."""
    parts = []
    for name, kind in sorted(_kinds(PastroModel).items()):
        said, types = _attributes(kind), get_type_hints(kind)
        fields = [f.name for f in dataclasses.fields(kind) if f.init]
        rows = [(f"`{f}`", _type(types[f]), _cell(said.get(f, ""))) for f in fields]
        summary = (inspect.getdoc(kind) or "").split("\n\n", maxsplit=1)[0].replace("\n", " ")
        parts.append(f"### {name}\n\n{_cell(summary)}\n\n")
        parts[-1] += _lines(("field", "type", "meaning"), rows)
    return "\n\n".join(parts)


def _kinds(kind: object) -> dict[str, type]:
    """Find the dataclasses that a value of a type is made of, itself included."""
    found: dict[str, type] = {}
    waiting: list[object] = [kind]
    while waiting:
        part = waiting.pop()
        waiting += get_args(part)
        if part is FactorDensity:
            waiting += artifact.DENSITIES.values()
        if inspect.isclass(part) and dataclasses.is_dataclass(part) and part.__name__ not in found:
            found[part.__name__] = part
            waiting += get_type_hints(part).values()
    return found


def compared() -> str:
    """List the metrics of a comparison."""
    way = {1: "more", -1: "less", 0: ""}
    rows = [(f"`{name}`", way[m.better], _cell(m.meaning)) for name, m in COMPARED.items()]
    return _lines(("name", "better", "meaning"), rows)


def predictions() -> str:
    """List the columns of a table of predictions."""
    none = Predictions(
        probabilities=np.empty((0, 4)),
        p_astro_interval=np.empty((0, 2)),
        extrapolated=np.empty(0, str),
        notes=np.empty(0, str),
    )
    return _columns({"event_id": pl.String(), **as_table(none).schema})


def staging() -> str:
    """List the columns of a staged postcoh table."""
    rows = [
        (f"`{name}`", kind, str(DTYPES[kind]), POSTCOH_UNITS.get(name, ""))
        for name, kind in sorted(POSTCOH_TYPES.items())
    ]
    return _lines(("column", "LIGO_LW", "Parquet", "unit"), rows)


def processed() -> str:
    """List the columns of the processed tables, as the code makes them of no rows."""
    parts = [f"### {place}\n\n{_columns(frame.schema)}" for place, frame in empty_tables().items()]
    return "\n\n".join(parts)


def empty_tables() -> dict[str, pl.DataFrame]:
    """Return the processed tables of a campaign without rows."""
    with tempfile.TemporaryDirectory() as folder:
        store = TriggerStore(Path(folder))
    triggers = store.read([], 0, 0)
    times = dict.fromkeys(("geocent_end_time", "geocent_end_time_ns"), pl.Int64)
    floats = dict.fromkeys(("mchirp", "mass1", "mass2", "distance"), pl.Float64)
    injections = from_sim_inspiral(pl.DataFrame(schema=times | floats))
    matches = match_injections(triggers, injections.with_columns(analysed=pl.lit(value=False)))
    missed = processing._with_off_mass(matches.missed, triggers, 0)  # noqa: SLF001  (its columns)
    return {
        "background/BANK": triggers,
        "known_mergers/BANK": triggers,
        "foreground/BANK": matches.found,
        "missed/BANK": missed,
        "rejects": store.rejects(),
        "livetime": livetime_table(RunsFile(runs=()), {}),
    }


def _columns(schema: Mapping[str, pl.DataType]) -> str:
    rows = [
        (f"`{name}`", str(dtype), UNITS.get(name, ""), _cell(meaning_of_column(name)))
        for name, dtype in schema.items()
    ]
    return _lines(("column", "type", "unit", "meaning"), rows)


def meaning_of_column(name: str) -> str:
    """Return what a column holds; an undescribed column stops the build."""
    if name in MEANINGS:
        return MEANINGS[name]
    whose, _, own = name.partition("_")
    of = {"injection": "the injection's", "recovered": "of the best trigger near in time"}
    return f"{of[whose]}: {MEANINGS[own]}"


def _attributes(kind: type) -> dict[str, str]:
    """Read a class's numpydoc ``Attributes``."""
    return {
        name.split(" : ", maxsplit=1)[0].strip(): " ".join(parameter.desc)
        for parameter in ClassDoc(kind, config={"show_class_members": False})["Attributes"]
        for name in parameter.name.split(",")
    }


def _description(annotation: Any) -> str:  # noqa: ANN401  (typing has no type for annotations)
    return next(str(meta.description) for meta in annotation.__metadata__ if meta.description)


def _type(kind: Any) -> str:  # noqa: ANN401  (as above)
    """Write a type as a person who fills in a file would."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(inner[0])
    if origin is Literal:
        return " or ".join(f"`{value}`" for value in inner)
    if inspect.isclass(kind) and issubclass(kind, Enum):
        return " or ".join(f"`{value}`" for value in kind)
    if origin in (Union, UnionType):
        return " or ".join(_type(part) for part in inner if part is not NoneType)
    if origin in (list, tuple):
        return f"list of {_type(inner[0])}"
    plain = {
        "str": "text", "int": "integer", "float": "number", "bool": "true or false",
        "dict": "mapping", "Mapping": "mapping", "Path": "path",
    }  # fmt: skip
    return plain.get(kind.__name__, kind.__name__)


def _cell(text: str) -> str:
    """Make text fit a Markdown table."""
    without_roles = re.sub(r":\w+:`", "`", text)
    return without_roles.replace("``", "`").replace("|", "\\|").replace("\n", " ")


def _lines(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    return "\n".join(_table(tuple(header), rows))


def _table(header: tuple[str, ...], rows: Iterable[Iterable[str]]) -> list[str]:
    rule = "|".join("---" for _ in header)
    return [f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {' | '.join(row)} |" for row in rows)]


PARTS: Mapping[str, Callable[[], str]] = {
    "commands": commands,
    "exit codes": exit_codes,
    "RUNS.yaml": runs_file,
    "listen.toml": listen_file,
    "model.json": model_file,
    "comparison": compared,
    "predictions": predictions,
    "staging": staging,
    "processed": processed,
}
