"""``spiir-pastro extract``: LIGO_LW files to columnar staging."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.cli.options import NEW_FOLDER, setting
from spiir_pastro.cli.output import json_option, print_json, progress_bar
from spiir_pastro.domain.columns import POSTCOH_TYPES, canonical_column
from spiir_pastro.errors import ConfigError
from spiir_pastro.pipeline.extraction import Outcome, extract
from spiir_pastro.pipeline.raw_files import RawFile, raw_files, raw_files_of_runs
from spiir_pastro.pipeline.staging import Receipt, Status


@click.command(name="extract")
@click.argument(
    "paths",
    metavar="RUNS.yaml|PATH...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, path_type=Path),
)
@setting(
    "--staging",
    type=NEW_FOLDER,
    default="data/staging",
    help="Folder to write; files that were extracted before are skipped.",
)
@click.option(
    "--columns",
    help="Trigger columns to keep, a,b,c, and those that process needs; all if not given.",
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes; by default one a core.")
@click.option("--scheduler", help="Address of a Dask scheduler to use instead, tcp://host:port.")
@click.option("--strict", is_flag=True, help="Stop at the first file that cannot be read.")
@json_option("what was done")
def command(
    *,
    paths: tuple[Path, ...],
    staging: Path,
    columns: str | None,
    workers: int | None,
    scheduler: str | None,
    strict: bool,
    as_json: bool,
) -> None:
    """Turn LIGO_LW files, directories of them, or a runs file's runs into Parquet.

    Ends with code 3 if a file could not be read; the others are done nevertheless.
    """
    files = _files(paths)
    fresh = 0

    def count(outcome: Outcome) -> None:
        nonlocal fresh
        fresh += outcome.fresh
        show(outcome.receipt.name)

    with _shown(files) as show:
        receipts = extract(
            files,
            staging,
            columns=None if columns is None else _with_needed(columns),
            workers=workers,
            scheduler=scheduler,
            strict=strict,
            on_outcome=count,
        )
    summary = _summary(receipts, fresh)
    _report(receipts, summary, as_json=as_json)
    if summary["failed"]:
        raise click.exceptions.Exit(ExitCode.INCOMPLETE)


def _with_needed(columns: str) -> list[str]:
    """Read a list of columns, and add what `process` cannot do without; say what it will lack."""
    from spiir_pastro.io.trigger_tables import POSTCOH_COLUMNS, POSTCOH_NEEDED  # noqa: PLC0415  (loads Polars)

    names = [canonical_column(name.strip()) for name in columns.split(",")]
    added = [name for name in POSTCOH_NEEDED if name not in names]
    if added:
        click.echo(f"kept too, because process needs them: {', '.join(added)}", err=True)
    if lacking := (POSTCOH_COLUMNS & POSTCOH_TYPES.keys()).difference(names, added):
        click.echo(f"process will take for unknown: {', '.join(sorted(lacking))}", err=True)
    return [*names, *added]


def _files(paths: tuple[Path, ...]) -> tuple[RawFile, ...]:
    if any(path.suffix in (".yaml", ".yml") for path in paths):
        if len(paths) > 1:
            raise ConfigError("give one runs file, or paths of LIGO_LW files and directories")
        from spiir_pastro.io.runs import read_runs  # noqa: PLC0415  (paths need no YAML)

        return raw_files_of_runs(read_runs(paths[0]))
    return raw_files(paths)


def _summary(receipts: list[Receipt], fresh: int) -> dict[str, Any]:
    rows: Counter[str] = Counter()
    for receipt in receipts:
        rows.update(receipt.rows)
    errors = {r.name: r.error for r in receipts if r.status is Status.FAILED}
    return {
        "files": len(receipts),
        "new": fresh,
        "failed": len(errors),
        "rejects": sum(receipt.rejects for receipt in receipts),
        "rows": rows,
        "errors": errors,
    }


def _report(receipts: list[Receipt], summary: dict[str, Any], *, as_json: bool) -> None:
    """Say on stderr what failed, and on stdout what is there."""
    for receipt in receipts:
        if receipt.status is Status.FAILED:
            click.echo(f"failed: {receipt.error}", err=True)
        if receipt.rejects:
            click.echo(f"{receipt.name}: {receipt.rejects} rows rejected", err=True)
    if as_json:
        print_json(summary)
        return
    counts = ", ".join(f"{n} {table}" for table, n in summary["rows"].items()) or "none"
    click.echo("{files} files ({new} new, {failed} failed)".format(**summary) + f"; rows: {counts}")


@contextmanager
def _shown(files: tuple[RawFile, ...]) -> Iterator[Callable[[str], None]]:
    """Show progress on stderr with rate and time left; give what takes a file, by name, as done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import (  # noqa: PLC0415  (slow to load; where nobody looks, not needed)
        BarColumn,
        DownloadColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    # A link to nothing fails when it is read.
    sizes = {f.name: f.path.stat().st_size if f.path.exists() else 0 for f in files}
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    # A thread that draws would keep the workers from being forked.
    with progress_bar("extract", *columns, auto_refresh=False) as bar:
        task = bar.add_task("extract", total=sum(sizes.values()))

        def show(name: str) -> None:
            bar.advance(task, sizes[name])
            bar.refresh()

        yield show
