"""DVC runs a stage again whenever a module changes that its command imports, directly or not."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

_PROJECT = Path(__file__).parents[2]
_PACKAGE = _PROJECT / "src" / "spiir_pastro"
_STAGES = yaml.safe_load((_PROJECT / "dvc.yaml").read_text())["stages"]


def _file(module: str) -> Path | None:
    """The source of one of the package's modules."""
    path = _PACKAGE.parent.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file()), None)


def _imports(source: Path) -> Iterator[str]:
    """Every module that a source may import, at its top or inside a function."""
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def _closure(module: str) -> set[Path]:
    seen: set[Path] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        file = _file(name)
        if file is not None and file not in seen:
            seen.add(file)
            todo += [*_imports(file), name.rpartition(".")[0]]
    return seen


@pytest.mark.parametrize("stage", _STAGES)
def test_a_stage_depends_on_all_code_it_runs(stage: str) -> None:
    command = re.search(rf"spiir-pastro (?:--params \S+ )?({stage}) ", _STAGES[stage]["cmd"])
    assert command
    code = _closure(f"spiir_pastro.cli.{command[1]}")
    assert len(code) > 10
    deps = [_PROJECT / dep for dep in _STAGES[stage]["deps"] if "$" not in dep]
    missed = [file for file in code if not any(file.is_relative_to(dep) for dep in deps)]
    assert missed == []


def test_the_closure_finds_modules_behind_modules() -> None:
    fit = _closure("spiir_pastro.cli.fit")
    assert {_PACKAGE / "models" / "pastro.py", _PACKAGE / "io" / "documents.py"} <= fit
    assert _PACKAGE / "serve" / "spool.py" not in fit
