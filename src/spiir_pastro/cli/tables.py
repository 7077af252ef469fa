"""Tables on the terminal, as plain text that pipes and greps well."""

import click
import polars as pl

__all__ = ["print_table"]


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
