"""Read LIGO_LW tables into Polars."""

from collections import defaultdict
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import polars as pl

from spiir_pastro.errors import TableError
from spiir_pastro.io.ligolw.declarations import Wanted
from spiir_pastro.io.ligolw.inflate import MAX_BYTES, Fingerprint, blocks
from spiir_pastro.io.ligolw.layout import Batch
from spiir_pastro.io.ligolw.markup import NotOrdinaryError
from spiir_pastro.io.ligolw.ordinary import ordinary_batches
from spiir_pastro.io.ligolw.reference import reference_batches

T = TypeVar("T")


class Sifted(NamedTuple):
    """A table's good rows, and the rejects with the rules they broke."""

    rows: pl.DataFrame
    rejects: pl.DataFrame


def read_table(
    path: str | Path,
    table: str,
    *,
    columns: Sequence[str] | None = None,
    max_bytes: int = MAX_BYTES,
) -> pl.DataFrame:
    """Read one table of a LIGO_LW file, ``.xml`` or ``.xml.gz``.

    Parameters
    ----------
    path
        The file.
    table
        The table's name, like ``"postcoh"``.
    columns
        Canonical names of the columns to read, in the order wanted; a ``postcoh`` column that the
        file lacks comes as nulls. All the file has if not given.
    max_bytes
        Refuse a file that inflates to more than this.

    Returns
    -------
    DataFrame
        Rows in the file's order, names and detector sets canonical, empty cells null.

    Raises
    ------
    TableError
        If the file is damaged or hostile, has no such table or column, or a row breaks a rule
        (``sift_tables`` sets such rows aside instead).
    """
    sifted = sift_tables(path, {table: columns}, max_bytes=max_bytes)
    if table not in sifted:
        held = ", ".join(sift_tables(path, None, max_bytes=max_bytes)) or "none"
        raise TableError(f"{path}: no table {table}; the file's tables: {held}")
    return _all_good(path, sifted)[table]


def read_tables(path: str | Path, *, max_bytes: int = MAX_BYTES) -> dict[str, pl.DataFrame]:
    """Read every table of a LIGO_LW file, by name; see ``read_table``."""
    return _all_good(path, sift_tables(path, None, max_bytes=max_bytes))


def sift_tables(
    path: str | Path, wanted: Wanted | None = None, *, max_bytes: int = MAX_BYTES
) -> dict[str, Sifted]:
    """Read tables, with the rows that break a rule set aside.

    ``wanted`` has the columns by table, None for all of a table's; None for every table. A table
    the file does not have is not in the answer. TableError if the file is damaged beyond single
    rows, hostile, or inflates to more than ``max_bytes``.
    """
    return consume(path, gathered, wanted, max_bytes=max_bytes)


def consume(
    path: str | Path,
    consumer: Callable[[Iterator[Batch]], T],
    wanted: Wanted | None = None,
    *,
    max_bytes: int = MAX_BYTES,
    fingerprint: Fingerprint | None = None,
) -> T:
    """Hand a file's rows to a function as a stream of batches, in bounded memory.

    Parameters
    ----------
    consumer
        Called with the batches of the fast lane; called afresh with those of the slow lane if the
        file proves not to be ordinary on the way.
    wanted, max_bytes
        As for ``sift_tables``.
    fingerprint
        Is left with what the bytes were that the rows came from, all of the file.
    """
    source = partial(blocks, path, max_bytes=max_bytes, fingerprint=fingerprint)
    try:
        try:
            return _consumed(ordinary_batches, source(), consumer, wanted)
        except NotOrdinaryError:
            # From the beginning: what the fast lane gave before it met the unusual may be wrong.
            return _consumed(reference_batches, source(), consumer, wanted)
    except TableError as error:
        raise TableError(f"{path}: {error}") from error


def _consumed(
    lane: Callable[[Generator[bytes], Wanted | None], Generator[Batch]],
    source: Generator[bytes],
    consumer: Callable[[Iterator[Batch]], T],
    wanted: Wanted | None,
) -> T:
    """Consume one lane's batches, and stop its threads here and now, whatever happens.

    Left to the garbage collector they would be joined by whichever thread it interrupts, which may
    hold the very lock that joining needs.
    """
    with closing(source), closing(lane(source, wanted)) as batches:
        result = consumer(batches)
        for _ in source:  # to the end, where the file's own checksum stands
            pass
        return result


def gathered(batches: Iterator[Batch]) -> dict[str, Sifted]:
    """Collect batches into tables."""
    tables: defaultdict[str, list[Batch]] = defaultdict(list)
    for batch in batches:
        tables[batch.table].append(batch)
    return {
        table: Sifted(
            rows=pl.concat([part.frame for part in parts]),
            rejects=pl.concat([part.rejects for part in parts]),
        )
        for table, parts in tables.items()
    }


def _all_good(path: str | Path, tables: dict[str, Sifted]) -> dict[str, pl.DataFrame]:
    """Return the rows if no row was rejected."""
    for table, sifted in tables.items():
        for reject in sifted.rejects.head(1).iter_rows(named=True):
            raise TableError(
                f"{path}: line {reject['line']}, row {reject['row']} of table {table}: "
                f"{reject['rule']}; {sifted.rejects.height} bad in all; mend the file, or read it "
                "with sift_tables, which sets bad rows aside"
            )
    return {table: sifted.rows for table, sifted in tables.items()}
