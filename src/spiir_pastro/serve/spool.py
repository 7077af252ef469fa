"""What must outlive the process: events to upload, events done, and payloads nobody understood.

An event is a row under its GraceDB id, so it can be accepted once only, whatever topic or life of
the service it came through. :meth:`Spool.accept` returns after the row is on disk; only then may
the alert's offset be committed. A mark of what became of it need not be synced: should the machine
lose it, the event is found pending and GraceDB is looked at before anything is sent.
"""

import fcntl
import hashlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, get_args

from spiir_pastro.errors import ConfigError
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.serve.decide import Upload
from spiir_pastro.serve.drift import What

__all__ = ["DeadLetters", "Record", "Spool"]

SCHEMA = 1
_TABLE = """
CREATE TABLE IF NOT EXISTS events (
    event_id    TEXT PRIMARY KEY,
    state       TEXT NOT NULL DEFAULT 'pending',  -- pending, done, refused
    content     BLOB NOT NULL,                    -- the file to upload
    gps_ns      INTEGER NOT NULL,
    far_hz      REAL,
    snr         REAL,
    mchirp_det  REAL,
    p_astro     REAL NOT NULL,
    source      TEXT NOT NULL,                    -- the most probable one
    read_at     REAL NOT NULL,                    -- Unix seconds
    done_at     REAL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    error       TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spool (made_at REAL NOT NULL);
INSERT INTO spool SELECT strftime('%s', 'now') WHERE NOT EXISTS (SELECT * FROM spool);
CREATE INDEX IF NOT EXISTS by_time ON events (read_at);
CREATE INDEX IF NOT EXISTS by_state ON events (state, read_at);
"""
_COLUMNS = (
    "event_id, state, content, gps_ns, far_hz, snr, mchirp_det, p_astro, source, "
    "read_at, done_at, attempts, error"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One event as the spool knows it; times in Unix seconds."""

    event_id: str
    state: str
    content: bytes
    gps_ns: int
    far_hz: float | None
    snr: float | None
    mchirp_det: float | None
    p_astro: float
    source: str
    read_at: float
    done_at: float | None
    attempts: int
    error: str | None


class Spool:
    """A folder that holds what must not be lost, for one service at a time.

    Raises
    ------
    ConfigError
        If another service uses the folder, or a version of this software wrote it that this one
        does not know.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        with ExitStack() as opened:
            opened.enter_context(_lock(folder / "lock"))
            # Two connections: what is accepted is synced to disk, a mark made afterwards is not.
            path = folder / "spool.sqlite"
            self._durable = opened.enter_context(closing(_connect(path, synchronous="FULL")))
            self._marks = opened.enter_context(closing(_connect(path, synchronous="NORMAL")))
            self._opened = opened.pop_all()
        self._mutex = threading.Lock()
        self.made_at: float = self._marks.execute("SELECT made_at FROM spool").fetchone()[0]

    def close(self) -> None:
        """Let another service use the folder."""
        with self._mutex:
            self._opened.close()

    def accept(self, uploads: Sequence[Upload], *, read_at: float) -> list[Upload]:
        """Write events down durably; return those that were not known before, in order."""
        with self._mutex, _transaction(self._durable):
            return [upload for upload in uploads if self._insert(upload, read_at)]

    def _insert(self, upload: Upload, read_at: float) -> bool:
        trigger, probabilities = upload.trigger, upload.probabilities
        cursor = self._durable.execute(
            "INSERT OR IGNORE INTO events (event_id, content, gps_ns, far_hz, snr, mchirp_det, "
            "p_astro, source, read_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                trigger.event_id,
                upload.content,
                trigger.gps_ns,
                trigger.far_hz,
                trigger.snr,
                trigger.mchirp_det,
                probabilities.p_astro,
                str(probabilities.most_probable),
                read_at,
            ),
        )
        return cursor.rowcount == 1

    def done(self, event_id: str) -> None:
        """Mark an event as on GraceDB."""
        self._mark(
            "UPDATE events SET state = 'done', done_at = ?, error = NULL WHERE event_id = ?",
            (time.time(), event_id),
        )

    def postponed(self, event_id: str, attempts: int, error: str) -> None:
        """Mark an event as tried without success, to be tried again."""
        self._mark(
            "UPDATE events SET attempts = ?, error = ? WHERE event_id = ?",
            (attempts, error, event_id),
        )

    def refused(self, event_id: str, error: str) -> None:
        """Mark an event as refused by GraceDB; :meth:`reopen` gives it another chance."""
        self._mark(
            "UPDATE events SET state = 'refused', error = ? WHERE event_id = ?", (error, event_id)
        )

    def reopen(self) -> list[Record]:
        """Make refused events pending again and return them, the oldest first."""
        refused = self._select("WHERE state = 'refused' ORDER BY read_at")
        self._mark("UPDATE events SET state = 'pending' WHERE state = 'refused'", ())
        return refused

    def pending(self) -> list[Record]:
        """Return the events still to upload, the oldest first."""
        return self._select("WHERE state = 'pending' ORDER BY read_at")

    def latest(self, count: int) -> list[Record]:
        """Return the events read last, the newest first."""
        return self._select(f"ORDER BY read_at DESC LIMIT {count:d}")

    def counts(self) -> dict[str, int]:
        """Return how many events are in each state."""
        with self._mutex:
            rows = self._marks.execute("SELECT state, COUNT(*) FROM events GROUP BY state")
            return {"pending": 0, "refused": 0, "done": 0} | dict(rows.fetchall())

    def oldest_pending(self) -> float | None:
        """When the event waiting longest was read, in Unix seconds."""
        with self._mutex:
            row = self._marks.execute("SELECT MIN(read_at) FROM events WHERE state = 'pending'")
            oldest: float | None = row.fetchone()[0]
            return oldest

    def assessed_since(self, since: float) -> dict[What, int]:
        """Count the events read since a Unix time: all, p_astro > 0.5, and each class of those."""
        with self._mutex:
            rows = self._marks.execute(
                "SELECT p_astro > 0.5, source, COUNT(*) FROM events WHERE read_at >= ? "
                "GROUP BY 1, 2",
                (since,),
            ).fetchall()
        counts: dict[What, int] = dict.fromkeys(get_args(What), 0)
        for is_signal, source, count in rows:
            counts["alerts"] += count
            counts["signals"] += count * is_signal
            counts[source] += count
        return counts

    def forget(self, *, before: float) -> int:
        """Drop events done that were read before a Unix time; return how many."""
        with self._mutex:
            cursor = self._marks.execute(
                "DELETE FROM events WHERE state = 'done' AND read_at < ?", (before,)
            )
            return cursor.rowcount

    def _mark(self, statement: str, values: tuple[object, ...]) -> None:
        with self._mutex:
            self._marks.execute(statement, values)

    def _select(self, tail: str) -> list[Record]:
        with self._mutex:
            rows = self._marks.execute(f"SELECT {_COLUMNS} FROM events {tail}").fetchall()  # noqa: S608  (the tails are the constants above)
        names = _COLUMNS.split(", ")
        return [Record(**dict(zip(names, row, strict=True))) for row in rows]


class DeadLetters:
    """A folder of payloads kept whole, under the hash of what they hold.

    Nothing of a payload becomes part of a path. The folder is bounded, so that a flood of rubbish
    cannot fill the disk.
    """

    def __init__(self, folder: Path, *, limit: int = 10_000) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.limit = limit
        self._known = {path.name for path in folder.iterdir() if path.suffix == ".alert"}

    def __len__(self) -> int:
        return len(self._known)

    @property
    def is_full(self) -> bool:
        """Whether the folder takes no more payloads."""
        return len(self._known) >= self.limit

    def keep(self, payload: bytes) -> Path | None:
        """Write a payload to disk durably; None if the folder is full."""
        name = self.name(payload)
        path = self.folder / name
        if name in self._known:
            return path
        if self.is_full:
            return None
        write_atomically(path, payload)
        _sync(self.folder)
        self._known.add(name)
        return path

    @staticmethod
    def name(payload: bytes) -> str:
        """Return the name of a payload's file."""
        return f"{hashlib.sha256(payload).hexdigest()[:32]}.alert"


def _sync(folder: Path) -> None:
    """Have a folder's entries on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(path: Path) -> IO[str]:
    file = path.open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        file.close()
        raise ConfigError(
            f"spool {path.parent} is in use by another service; give each its own folder"
        ) from exc
    return file


def _connect(path: Path, *, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, SCHEMA):
            connection.close()
            raise ConfigError(
                f"spool {path} has schema {version}; this version of spiir-pastro knows {SCHEMA}"
            )
        connection.executescript(_TABLE)
        connection.execute(f"PRAGMA user_version = {SCHEMA}")
    except sqlite3.Error as exc:
        connection.close()
        raise ConfigError(
            f"spool {path} cannot be used: {exc}; move it away to start with an empty one"
        ) from exc
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
