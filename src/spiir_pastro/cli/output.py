"""What commands print: plain text tables that pipe and grep well, or one JSON document."""

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from spiir_pastro.io.atomic import atomic_path

if TYPE_CHECKING:
    import polars as pl
    from rich.progress import Progress, ProgressColumn

FIRST_COLUMNS = ("event_id", "p_astro", "p_astro_low", "p_astro_high")
"""With which a table of predictions begins."""

TRIGGER_COLUMNS = ("far_hz", "snr", "mchirp_det", "mtotal_det", "ifos")
"""What a candidate was judged by, as far as a table has it."""


def json_option(what: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """Give a command the flag ``--json``, for scripts; it arrives as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help=f"Print {what} as JSON.")


def print_json(document: object) -> None:
    """Print one JSON document; a number that is not known is null."""
    click.echo(json.dumps(_plain(document), indent=1, allow_nan=False))


def print_table(table: "pl.DataFrame", *, title: str | None = None) -> None:
    """Print a table as `print_columns` does."""
    print_columns(table.to_dict(as_series=False), title=title)


def print_columns(columns: Mapping[str, Sequence[object]], *, title: str | None = None) -> None:
    """Print columns: text to the left, numbers to the right with four digits, a dash for null."""
    padded = []
    for name, values in columns.items():
        cells = [name, *map(_cell, values)]
        width = max(map(len, cells))
        is_text = any(isinstance(value, str | bool) for value in values)
        padded.append([c.ljust(width) if is_text else c.rjust(width) for c in cells])
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


def progress_bar(
    *columns: "str | ProgressColumn", transient: bool = False, auto_refresh: bool = True
) -> "Progress":
    """Make a bar on stderr; it shows nothing where stderr is no terminal."""
    from rich.console import Console  # noqa: PLC0415  (slow to load; where nobody looks, not needed)
    from rich.progress import Progress  # noqa: PLC0415

    return Progress(
        *columns,
        console=Console(stderr=True),
        transient=transient,
        auto_refresh=auto_refresh,
        redirect_stdout=False,  # results are for stdout, whatever is shown beside them
        disable=not sys.stderr.isatty(),
    )


@contextmanager
def opened(output: Path | None) -> Iterator[BinaryIO]:
    """Give where to write: a file that appears whole, or stdout."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with atomic_path(output) as draft, draft.open("wb") as out:
        yield out
