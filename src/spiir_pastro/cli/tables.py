"""Tables on the terminal."""

import polars as pl
from rich.console import Console
from rich.table import Table

__all__ = ["print_table"]


def print_table(table: pl.DataFrame, *, title: str | None = None) -> None:
    """Print a table: text to the left, numbers to the right with four digits, a dash for null."""
    shown = Table(title=title, box=None, header_style="bold", pad_edge=False)
    for name, kind in table.schema.items():
        shown.add_column(name, justify="right" if kind.is_numeric() else "left")
    for row in table.iter_rows():
        shown.add_row(*(_cell(value) for value in row))
    console = Console()
    # A pipe has no width: let lines be as long as they are.
    console.print(shown, width=None if console.is_terminal else 10_000, overflow="ignore")


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
