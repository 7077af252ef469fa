"""The file of a spool: who has it, whether it is whole, and what to do if it is not.

A file is looked over at the start. SQLite's own check tells of a damaged structure, and of a value
that differs from its copy in an index; the definitions of the tables must be those of a new file,
for a default may be damaged as well. What fails in use is salvaged at the next start.
"""

import fcntl
import sqlite3
from collections import deque
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Protocol

from spiir_pastro.errors import ConfigError, PastroError
from spiir_pastro.io.atomic import sync_folder, write_atomically
from spiir_pastro.serve.salvage import Salvaged, finish_salvage, salvage

SCHEMA = 5
SPOOL_ERRORS = (sqlite3.Error, OSError, UnicodeDecodeError)
"""What using the spool may raise."""

TABLES = """
CREATE TABLE IF NOT EXISTS events (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order of acceptance
    event_id    TEXT NOT NULL UNIQUE,
    state       TEXT NOT NULL DEFAULT 'pending',    -- pending, done
    outcome     TEXT,                               -- how it was done: sent, found, other
    content     BLOB NOT NULL,                      -- the file to upload
    properties  BLOB,                               -- the file beside it, if there is one
    model       TEXT NOT NULL DEFAULT '',           -- the name of the model that made it
    revision    INTEGER NOT NULL DEFAULT 0,         -- how many answers went before
    triggers    TEXT NOT NULL DEFAULT '',           -- the numbers answered, a line each
    search      TEXT NOT NULL DEFAULT '',           -- as which it was answered
    candidate   TEXT,                               -- the last trigger answered, as JSON
    checksum    INTEGER,                            -- of what is uploaded, and whose it is
    gps_ns      INTEGER NOT NULL,
    far_hz      REAL,
    snr         REAL,
    mchirp_det  REAL,
    p_astro     REAL NOT NULL,
    source      TEXT NOT NULL,                      -- the most probable one
    read_at     REAL NOT NULL,                      -- Unix seconds
    done_at     REAL,
    attempts    INTEGER NOT NULL DEFAULT 0,
    error       TEXT
) STRICT;
CREATE TABLE IF NOT EXISTS offsets (
    topic       TEXT NOT NULL,
    number      INTEGER NOT NULL,                   -- of the partition
    next        INTEGER NOT NULL,                   -- the first offset not dealt with
    PRIMARY KEY (topic, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (
    name        TEXT PRIMARY KEY,
    value       REAL NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_time ON events (read_at);
CREATE INDEX IF NOT EXISTS by_state ON events (state, seq);
CREATE INDEX IF NOT EXISTS by_next ON offsets (next);  -- a second copy: damage of one shows
"""


class SpoolInUse(ConfigError):  # noqa: N818  (a state, named as one)
    """Another process has the spool."""


class SpoolDamaged(PastroError):  # noqa: N818  (a state, named as one)
    """The spool's file is damaged or gone; a new start salvages what is left of it."""


class Disk(Protocol):
    """How the spool gets at its file."""

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open a database, with no transactions but those asked for."""

    def lock(self, path: Path) -> IO[str] | None:
        """Take a lock that lasts until the file is closed; None if another has it."""

    def write(self, path: Path, content: bytes) -> None:
        """Write a file, whole or not at all, and have it on disk."""


class LocalDisk:
    """The disk of the machine."""

    def connect(self, path: Path) -> sqlite3.Connection:
        """Open a database that any thread may use."""
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False)

    def lock(self, path: Path) -> IO[str] | None:
        """Lock a file against other processes."""
        file = path.open("w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            return None
        return file

    def write(self, path: Path, content: bytes) -> None:
        """Write beside, sync, rename, sync the folder."""
        write_atomically(path, content)
        sync_folder(path.parent)


class SpoolFile:
    """A database in a folder that one process at a time may use.

    Attributes
    ----------
    path, disk
        Where it is.
    """

    def __init__(self, folder: Path, disk: Disk) -> None:
        self.path, self.disk = spool_path(folder), disk
        self._folder = folder
        self._suspicion = folder / "spool.sqlite.suspect"
        self._inode = 0

    def lock(self) -> IO[str]:
        """Take the folder, until what is returned is closed."""
        file = self.disk.lock(self._folder / "lock")
        if file is None:
            raise SpoolInUse(
                f"spool {self._folder} is in use by another service; give each its own folder"
            )
        return file

    def mend(self) -> Salvaged | None:
        """Replace a file that is damaged, or of an older version, by what can be read of it."""
        finish_salvage(self.path)
        if not self.path.exists():
            return None
        reason = self._complaint() or self._suspected()
        if reason is None:
            return None
        salvaged = salvage(self.path, TABLES, schema=SCHEMA, reason=reason)
        self._suspicion.unlink(missing_ok=True)
        return salvaged

    def connect(self, synchronous: str) -> sqlite3.Connection:
        """Open the database, and make what it lacks."""
        connection = self.disk.connect(self.path)
        try:
            # A log: a commit is one append and one sync, and who only reads holds up nobody.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version != SCHEMA:  # a full disk must not keep a spool that is there from opening
                connection.executescript(TABLES)
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
            self._inode = self.path.stat().st_ino
        except BaseException:
            connection.close()
            raise
        return connection

    def require(self) -> None:
        """Raise SpoolDamaged if the file is no longer in its place.

        One that was deleted lives on for who has it open: writing would succeed, and be lost.
        """
        if not self.path.exists() or self.path.stat().st_ino != self._inode:
            raise SpoolDamaged(f"{self.path} was taken away while in use")

    def suspect(self, reason: str) -> None:
        """Have the next start salvage the file, though it may read well: it failed in use."""
        with suppress(OSError):
            self.disk.write(self._suspicion, reason.encode(errors="replace"))

    def _suspected(self) -> str | None:
        return self._suspicion.read_text() if self._suspicion.exists() else None

    def _complaint(self) -> str | None:
        """Say what is wrong with the file as it is."""
        try:
            with closing(self.disk.connect(self.path)) as connection:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
                if is_ours := _definitions(connection) == _definitions_of_new():
                    for table in ("events", "offsets", "facts"):  # every text must be text
                        deque(connection.execute(f"SELECT * FROM {table}"), maxlen=0)  # noqa: S608
        except SPOOL_ERRORS as error:
            if not is_damage(error):
                raise
            return str(error)
        if verdict == "ok" and (is_ours or version == 0):  # 0 is not finished
            return None
        # The number alone may be damaged, as may the definitions.
        if version > SCHEMA and not is_ours:
            raise ConfigError(
                f"spool {self.path} has schema {version}; this version of spiir-pastro knows "
                f"{SCHEMA}"
            )
        return f"its tables are not those of schema {SCHEMA}" if verdict == "ok" else str(verdict)


def spool_path(folder: Path) -> Path:
    """Return the file of the spool in a folder."""
    return folder / "spool.sqlite"


def is_damage(error: BaseException) -> bool:
    """Whether an error says that the file itself is damaged, and not that writing failed."""
    if isinstance(error, UnicodeDecodeError):  # of an error's own text, when the schema is damaged
        return True
    if isinstance(error, sqlite3.OperationalError):
        # Our statements are right, so what finds fault with one means what it found in the file.
        code = getattr(error, "sqlite_errorcode", None)
        return code == sqlite3.SQLITE_ERROR or "decode" in str(error)
    return isinstance(error, sqlite3.DatabaseError) and not isinstance(
        error, sqlite3.IntegrityError | sqlite3.ProgrammingError
    )


def _definitions_of_new() -> list[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:")) as new:
        new.executescript(TABLES)
        return _definitions(new)


def _definitions(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
