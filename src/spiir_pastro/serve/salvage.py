"""Saving what can be read of a damaged spool, row by row, into a new one.

But for the places in the topics: no place is better than a wrong one, for the broker has a copy.
The damaged file stays beside it under another name. Killed at any step, the next start does the
rest: the new file counts only once it has the name ``.salvaged``.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from spiir_pastro.io.atomic import sync_folder

_KEYS = {"events": "read_at", "facts": "name"}
_DAMAGE = (sqlite3.DatabaseError, UnicodeDecodeError)
_STATES = ("pending", "done")
_LAST = (
    "SELECT MAX(seq) FROM sqlite_sequence",
    "SELECT MAX(seq) FROM events",
    "SELECT COUNT(*) FROM events",
)
_BYTES_OF_A_ROW = 100  # an event needs more


@dataclass(frozen=True, kw_only=True, slots=True)
class Salvaged:
    """What was wrong with a spool, how many events were saved, and where the old file is."""

    reason: str
    events: int
    kept: Path


def salvage(path: Path, tables: str, *, schema: int, reason: str) -> Salvaged:
    """Replace a damaged database by a new one with every row that can be read of it.

    The write-ahead log is read as well. ``tables`` makes the new one, of version ``schema``; of the
    old one's columns those that the new one has too are taken. OSError or sqlite3.Error if there is
    no room for the new one; then nothing has changed.
    """
    kept = _set_aside(path)
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with closing(sqlite3.connect(draft, isolation_level=None)) as new:
        new.executescript(tables)
        new.execute(f"PRAGMA user_version = {schema:d}")
        with suppress(*_DAMAGE), closing(sqlite3.connect(kept)) as old:
            for table, rows in _readable(old, new):
                _insert(new, table, rows)
        (events,) = new.execute("SELECT COUNT(*) FROM events").fetchone()
    draft.replace(_ready(path))
    finish_salvage(path)
    return Salvaged(reason=reason, events=events, kept=kept)


def finish_salvage(path: Path) -> None:
    """Put a complete new file in the old one's place, if there is one."""
    ready = _ready(path)
    if not ready.exists():
        return
    # The old log must not be taken for the new file's.
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    ready.replace(path)
    sync_folder(path.parent)


def _ready(path: Path) -> Path:
    return path.with_name(f"{path.name}.salvaged")


def _set_aside(path: Path) -> Path:
    """Copy the database and its log to a name not yet taken."""
    number = 1
    while (kept := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    log = path.with_name(f"{path.name}-wal")
    if log.exists():
        shutil.copyfile(log, kept.with_name(f"{kept.name}-wal"))
    shutil.copyfile(path, kept)
    return kept


def _readable(
    old: sqlite3.Connection, new: sqlite3.Connection
) -> Iterator[tuple[str, Iterator[dict[str, object]]]]:
    """Give each table of the new database and the rows of the old one that can be read."""
    for table, key in _KEYS.items():
        wanted = [row[1] for row in new.execute(f"PRAGMA table_info({table})")]
        try:
            known = {row[1] for row in old.execute(f"PRAGMA table_info({table})")}
        except _DAMAGE:
            continue
        # Events are numbered anew: a damaged number could be the last that there is.
        columns = [name for name in wanted if name in known and name != "seq"]
        if columns:
            order = "seq" if "seq" in known else key
            yield table, _rows(old, table, columns, order)


def _rows(
    connection: sqlite3.Connection, table: str, columns: list[str], order: str
) -> Iterator[dict[str, object]]:
    """Read a table from both ends, and row by row where there is a number to ask by."""
    listed = ", ".join(columns)
    # A scan ends at a damaged page. From the other end it reaches what lies behind the page, and a
    # query by number needs only the pages on the way to its row.
    for tail in ("", f"ORDER BY {order}", f"ORDER BY {order} DESC"):
        yield from _until_broken(connection, f"SELECT {listed} FROM {table} {tail}", columns)  # noqa: S608
    if order == "seq":
        for seq in _numbers(connection):
            query = f"SELECT {listed} FROM {table} WHERE seq = {seq:d}"  # noqa: S608
            yield from _until_broken(connection, query, columns)


def _until_broken(
    connection: sqlite3.Connection, query: str, columns: list[str]
) -> Iterator[dict[str, object]]:
    with suppress(*_DAMAGE):
        for row in connection.execute(query):
            yield dict(zip(columns, row, strict=True))


def _numbers(connection: sqlite3.Connection) -> Iterator[int]:
    """Give the numbers that rows may have.

    Of what says which is the last, any may be damaged, and say billions; no file holds more rows
    than bytes allow.
    """
    _, _, file = connection.execute("PRAGMA database_list").fetchone()
    most = 1 + Path(file).stat().st_size // _BYTES_OF_A_ROW
    for query in _LAST:
        with suppress(*_DAMAGE):
            (last,) = connection.execute(query).fetchone()
            if isinstance(last, int):
                yield from range(max(1, last - most), last + 1)


def _insert(new: sqlite3.Connection, table: str, rows: Iterator[dict[str, object]]) -> None:
    """Insert rows not there yet; one whose bytes make no sense is left out."""
    new.execute("BEGIN")
    for row in rows:
        if row.get("state", "done") not in _STATES:  # another version's, or a damaged word
            row["state"] = "pending"
        names, marks = ", ".join(row), ", ".join("?" * len(row))
        with suppress(sqlite3.IntegrityError):
            insert = f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})"  # noqa: S608
            new.execute(insert, [*row.values()])
    new.execute("COMMIT")
