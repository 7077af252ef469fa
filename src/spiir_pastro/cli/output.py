"""What commands print: plain text tables that pipe and grep well, or one JSON document."""

import json
import math
from collections.abc import Callable
from typing import Any

import click
import polars as pl

__all__ = ["json_option", "print_json", "print_table"]


def json_option(what: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """Give a command the flag ``--json``, for scripts; it arrives as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


def print_json(document: object) -> None:
    """Print one JSON document; a number that is not known is null."""
    click.echo(json.dumps(_plain(document), indent=1, allow_nan=False))


def print_table(table: pl.DataFrame, *, title: str | None = None) -> None:
    """Print a table: text to the left, numbers to the right with four digits, a dash for null."""
    columns = [[name, *(_cell(value) for value in table[name].to_list())] for name in table.columns]
    padded = []
    for cells, kind in zip(columns, table.dtypes, strict=True):
        width = max(map(len, cells))
        padded.append([c.rjust(width) if kind.is_numeric() else c.ljust(width) for c in cells])
    if title is not None:
        click.secho(title, bold=True)
    for line in zip(*padded, strict=True):
        click.echo("  ".join(line).rstrip())


def _cell(value: object) -> str:
    match value:
        case None:
            return "-"
        case float() if value != 0 and not 1e-3 <= abs(value) < 1e5:
            return f"{value:.2e}"
        case float():
            return f"{value:.4f}"
        case _:
            return str(value)


def _plain(value: Any) -> Any:  # noqa: ANN401  (anything JSON can hold, and NaN)
    match value:
        case dict():
            return {str(key): _plain(part) for key, part in value.items()}
        case list() | tuple():
            return [_plain(part) for part in value]
        case float() if not math.isfinite(value):
            return None
        case _:
            return value
