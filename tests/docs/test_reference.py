"""The reference is made from the code, and leaves nothing out."""

import importlib.util
import re
from importlib import import_module
from pathlib import Path
from types import ModuleType

import click
import pytest

from spiir_pastro.cli import COMMANDS
from spiir_pastro.domain.columns import POSTCOH_TYPES, POSTCOH_UNITS
from spiir_pastro.io.trigger_tables import TRIGGER_UNITS
from spiir_pastro.pipeline.processed import UNITS

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def generated() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generated", DOCS / "_ext" / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _rows(markdown: str) -> list[list[str]]:
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]
    return [row for row in cells if set("".join(row)) != {"-"}]


def test_every_option_of_every_command_is_there_with_its_meaning(generated: ModuleType) -> None:
    sections = re.split(r"^## ", generated.commands(), flags=re.MULTILINE)[1:]
    assert [section.split("\n")[0] for section in sections] == list(COMMANDS)
    for name, section in zip(COMMANDS, sections, strict=True):
        command: click.Command = import_module(f"spiir_pastro.cli.{name}").command
        shown = {row[0].split("`")[1]: row[-1] for row in _rows(section)[1:]}
        options = [p for p in command.params if isinstance(p, click.Option)]
        assert list(shown) == [", ".join((*p.opts, *p.secondary_opts)) for p in options]
        assert all(shown.values())
    assert "| `--far-threshold-hz` FLOAT RANGE | 0.0003 |" in generated.commands()


def test_every_key_of_every_file_has_a_meaning(generated: ModuleType) -> None:
    for name, part in generated.PARTS.items():
        table = _rows(part())
        assert len(table) > 4, name
        if name != "staging":  # SPIIR's own columns: units where they are known
            assert [row for row in table if not row[-1]] == [], name


def test_every_mark_of_every_page_names_a_part(generated: ModuleType) -> None:
    pages = [page.read_text() for page in DOCS.rglob("*.md")]
    marks = [mark for page in pages for mark in re.findall(r"<!-- generated: (.+) -->", page)]
    assert set(marks) == set(generated.PARTS)


def test_columns_that_carry_a_quantity_carry_its_unit(generated: ModuleType) -> None:
    names = {name for frame in generated.empty_tables().values() for name in frame.columns}
    assert set(TRIGGER_UNITS) <= names
    for suffix, unit in {"_hz": "Hz", "_mpc": "Mpc", "_det": "Msun", "_ns": "ns"}.items():
        with_suffix = [name for name in names if name.endswith(suffix)]
        assert with_suffix
        assert {UNITS[name].split()[0] for name in with_suffix} == {unit}
    assert set(POSTCOH_UNITS) <= set(POSTCOH_TYPES)
