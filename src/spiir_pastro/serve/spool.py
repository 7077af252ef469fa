"""What must outlive the process: events to upload, events done, and how far each topic was read.

An event is a row under its GraceDB id, so it can be accepted once only, whatever topic or run of
the service it came through. :meth:`Spool.accept` returns after its rows, and the places in the
topics that they came from, are on disk in one transaction: the spool alone knows what is dealt
with, whatever the broker forgets. A mark of what became of an event need not be synced: should the
machine lose it, the event is found pending and GraceDB is looked at before anything is sent.
"""

import sqlite3
import threading
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import get_args

from spiir_pastro.domain import Trigger
from spiir_pastro.errors import ConfigError
from spiir_pastro.io.trigger_lines import format_trigger_line, parse_trigger_line
from spiir_pastro.serve.clock import Clock, SystemClock
from spiir_pastro.serve.decide import Upload
from spiir_pastro.serve.drift import What
from spiir_pastro.serve.spool_file import SPOOL_ERRORS, Disk, LocalDisk, SpoolFile, spool_path

KEEP_EVENTS = 10_000
"""So many events are remembered however old a stepped clock makes them look."""

Place = tuple[str, int]
"""A topic and the number of its partition."""


@dataclass(frozen=True, slots=True)
class Record:
    """One event as the spool knows it; times in Unix seconds."""

    event_id: str
    state: str
    outcome: str | None
    content: bytes
    properties: bytes | None
    model: str
    revision: int
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


_RECORDS = f"SELECT {', '.join(field.name for field in fields(Record))} FROM events"  # noqa: S608


class Spool:
    """A folder that holds what must not be lost, for one service at a time.

    Attributes
    ----------
    folder, file
        Where it is.
    salvaged
        What was saved, if the file was found damaged or of an older version.
    spoiled
        Events dropped because their bytes are not those that were written; the backfill brings
        them again.
    made_at
        When the spool was made, Unix seconds.

    Raises
    ------
    ConfigError
        If another service uses the folder, a newer version of this software wrote it, or it cannot
        be written.
    """

    def __init__(
        self, folder: Path, *, clock: Clock | None = None, disk: Disk | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self.folder = folder
        self.file = SpoolFile(folder, disk or LocalDisk())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with ExitStack() as opened:
                opened.enter_context(self.file.lock())
                self.salvaged = self.file.mend()
                # Two connections: what is accepted is synced to disk, a mark is not.
                self._durable = opened.enter_context(closing(self.file.connect("FULL")))
                self._marks = opened.enter_context(closing(self.file.connect("NORMAL")))
                self._mutex = threading.Lock()
                self.spoiled = self._drop_spoiled()
                self.made_at = self._made_at()
                self._opened = opened.pop_all()
        except SPOOL_ERRORS as exc:
            raise ConfigError(f"spool {folder} cannot be used: {exc}") from exc

    def close(self) -> None:
        """Let another service use the folder."""
        with self._mutex:
            self._opened.close()

    def accept(
        self,
        uploads: Sequence[Upload],
        *,
        read_at: float,
        places: Mapping[Place, int] | None = None,
        updates: bool = False,
    ) -> list[Upload]:
        """Write down events, and how far the topics are dealt with, in one durable transaction.

        Parameters
        ----------
        uploads
            What was decided.
        read_at
            When the alerts were read, Unix seconds.
        places
            The first offset not dealt with, of each partition read from.
        updates
            Whether an event known before is answered anew if its numbers are others, of which no
            answer was ever made.

        Returns
        -------
        list of Upload
            Those that are to be delivered, in order, with their revisions.
        """
        with self._mutex:
            # Offsets alone need no syncing: if they are lost, alerts that said nothing new, like
            # the second topic's copies, are read again.
            is_news = updates or not all(map(self._knows, uploads))
            connection = self._durable if uploads and is_news else self._marks
            with _transaction(connection):
                _set_places(connection, places or {})
                return [
                    accepted
                    for upload in uploads
                    if (accepted := self._insert(connection, upload, read_at))
                    or (updates and (accepted := self._revise(upload)))
                ]

    def _knows(self, upload: Upload) -> bool:
        found = self._marks.execute(
            "SELECT 1 FROM events WHERE event_id = ?", (upload.trigger.event_id,)
        )
        return found.fetchone() is not None

    def _insert(
        self, connection: sqlite3.Connection, upload: Upload, read_at: float
    ) -> Upload | None:
        trigger = upload.trigger
        row = _answer(upload, revision=0) | {
            "triggers": _numbers(trigger.far_hz, trigger.snr, trigger.mchirp_det),
            "search": upload.search,
            "candidate": format_trigger_line(trigger),
            "read_at": read_at,
        }
        names, values = ", ".join(row), ", ".join(f":{name}" for name in row)
        # The key decides who is first: a copy of an alert, from wherever, changes nothing.
        insert = f"INSERT OR IGNORE INTO events ({names}) VALUES ({values})"  # noqa: S608
        return upload if connection.execute(insert, row).rowcount == 1 else None

    def _revise(self, upload: Upload) -> Upload | None:
        """Write down another answer to a known event; None if there is nothing new to say.

        An event that another writer answered is left to it.
        """
        trigger = upload.trigger
        columns = "triggers, far_hz, snr, mchirp_det, content, outcome, revision"
        known = self._durable.execute(
            f"SELECT {columns} FROM events WHERE event_id = ?",  # noqa: S608  (constants)
            (trigger.event_id,),
        ).fetchone()
        *_, content, outcome, revision = known
        answered = {*known[0].split("\n"), _numbers(*known[1:4])}
        numbers = _numbers(trigger.far_hz, trigger.snr, trigger.mchirp_det)
        if numbers in answered or outcome == "other":
            return None
        self._durable.execute(
            "UPDATE events SET triggers = triggers || char(10) || ?, candidate = ? "
            "WHERE event_id = ?",
            (numbers, format_trigger_line(trigger), trigger.event_id),
        )
        if upload.content == content:
            return None
        row = _answer(upload, revision=revision + 1)
        self._durable.execute(
            "UPDATE events SET state = 'pending', outcome = NULL, done_at = NULL, attempts = 0, "  # noqa: S608
            f"error = NULL, {', '.join(f'{name} = :{name}' for name in row)} "
            "WHERE event_id = :event_id",
            row,
        )
        return replace(upload, revision=revision + 1)

    def offsets(self) -> dict[Place, int]:
        """Return the first offset not dealt with, of each partition ever read from."""
        with self._mutex:
            rows = self._marks.execute("SELECT topic, number, next FROM offsets").fetchall()
        return {(topic, number): offset for topic, number, offset in rows}

    def place(self, places: Mapping[Place, int]) -> None:
        """Write down durably where the reading of partitions begins."""
        with self._mutex, _transaction(self._durable):
            _set_places(self._durable, places)

    def done(self, event_id: str, outcome: str, revision: int = 0) -> None:
        """Mark an event as on GraceDB, unless there is another answer by now."""
        self._mark(
            "UPDATE events SET state = 'done', outcome = ?, done_at = ?, error = NULL "
            "WHERE event_id = ? AND revision = ?",
            (outcome, self._clock.wall_s(), event_id, revision),
        )

    def postponed(self, event_id: str, attempts: int, error: str) -> None:
        """Mark an event as tried without success, to be tried again."""
        self._mark(
            "UPDATE events SET attempts = ?, error = ? WHERE event_id = ? AND state = 'pending'",
            (attempts, error, event_id),
        )

    def reopen(self, event_id: str) -> Record | None:
        """Make a done event pending again, as GraceDB lacks its file; None if it was not done."""
        with self._mutex:
            cursor = self._durable.execute(
                "UPDATE events SET state = 'pending', outcome = NULL, done_at = NULL "
                "WHERE event_id = ? AND state = 'done'",
                (event_id,),
            )
        return self.find(event_id) if cursor.rowcount else None

    def find(self, event_id: str) -> Record | None:
        """Return an event, None if it is not known."""
        found = self._select("WHERE event_id = ?", event_id)
        return found[0] if found else None

    def pending(self) -> list[Record]:
        """Return the events still to upload, the oldest first."""
        return self._select("WHERE state = 'pending' ORDER BY seq")

    def latest(self, count: int, *, model: str = "") -> list[Record]:
        """Return the events read last, the newest first; of one model if it is named."""
        return self._select("WHERE ? IN ('', model) ORDER BY seq DESC LIMIT ?", model, count)

    def counts(self) -> dict[str, int]:
        """Return how many events are in each state."""
        with self._mutex:
            rows = self._marks.execute("SELECT state, COUNT(*) FROM events GROUP BY state")
            return {"pending": 0, "done": 0} | dict(rows.fetchall())

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

    def candidates(self, search: str, *, read_before: float) -> list[Trigger]:
        """Return the triggers that were answered as of a search, each as it was answered last.

        Those of events read before a Unix time, the oldest first.
        """
        with self._mutex:
            rows = self._marks.execute(
                "SELECT candidate FROM events WHERE search = ? AND read_at < ? "
                "AND candidate IS NOT NULL ORDER BY seq",
                (search, read_before),
            ).fetchall()
        return [parse_trigger_line(text.encode()) for (text,) in rows]

    def forget(self, *, before: float) -> int:
        """Drop events done that were read before a Unix time, but for the newest; return how many.

        A clock that steps months ahead and back must not make yesterday's events unknown.
        """
        with self._mutex:
            cursor = self._marks.execute(
                "DELETE FROM events WHERE state = 'done' AND read_at < ? "
                "AND seq <= (SELECT MAX(seq) FROM events) - ?",
                (before, KEEP_EVENTS),
            )
            return cursor.rowcount

    def fact(self, name: str) -> float | None:
        """Return a number noted earlier, None if there is none."""
        with self._mutex:
            row = self._marks.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if row is None else float(row[0])

    def note(self, name: str, value: float) -> None:
        """Note a number durably."""
        with self._mutex:
            self._durable.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def forget_fact(self, name: str) -> None:
        """Forget a number durably."""
        with self._mutex:
            self._durable.execute("DELETE FROM facts WHERE name = ?", (name,))

    def check(self) -> None:
        """Write a little, as :meth:`accept` does.

        Raises
        ------
        sqlite3.Error
            If nothing can be written.
        SpoolDamaged
            If the file is no longer in its place.
        """
        self.file.require()
        self.note("checked_at", self._clock.wall_s())

    def _drop_spoiled(self) -> list[str]:
        """Drop events whose bytes are not those that were written.

        Those done as well, for GraceDB may lose a file, which is then sent again.
        """
        query = "SELECT event_id, checksum, model, revision, content, properties FROM events"
        spoiled = [
            event_id
            for event_id, checksum, *written in self._marks.execute(query)
            if checksum is not None and checksum != _checksum(event_id, *written)
        ]
        for event_id in spoiled:
            self._durable.execute("DELETE FROM events WHERE event_id = ?", (event_id,))
        return spoiled

    def _made_at(self) -> float:
        known = self.fact("made_at")
        if known is None:
            known = self._clock.wall_s()
            self.note("made_at", known)
        return known

    def _mark(self, statement: str, values: tuple[object, ...]) -> None:
        with self._mutex:
            self._marks.execute(statement, values)

    def _select(self, tail: str, *values: object) -> list[Record]:
        with self._mutex:
            rows = self._marks.execute(f"{_RECORDS} {tail}", values).fetchall()
        return [Record(*row) for row in rows]


def browse(folder: Path) -> Iterator[Record]:
    """Give a spool's events, the newest first, without disturbing the service that uses it.

    Raises
    ------
    ConfigError
        If the folder holds no spool that this version can read.
    """
    path = spool_path(folder)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as spool:
            for row in spool.execute(f"{_RECORDS} ORDER BY seq DESC"):
                yield Record(*row)
    except sqlite3.Error as exc:
        raise ConfigError(f"spool {path} cannot be read: {exc}; name the folder of one") from exc


def _numbers(far_hz: float | None, snr: float | None, mchirp_det: float | None) -> str:
    """Write what tells one answer's trigger from another's."""
    return f"{far_hz!r} {snr!r} {mchirp_det!r}"


def _answer(upload: Upload, *, revision: int) -> dict[str, object]:
    """Return the columns that another answer to the event changes, and its id."""
    trigger, probabilities = upload.trigger, upload.probabilities
    content, properties = upload.content, upload.properties
    return {
        "event_id": trigger.event_id,
        "content": content,
        "properties": properties,
        "model": upload.model,
        "revision": revision,
        "checksum": _checksum(trigger.event_id, upload.model, revision, content, properties),
        "gps_ns": trigger.gps_ns,
        "far_hz": trigger.far_hz,
        "snr": trigger.snr,
        "mchirp_det": trigger.mchirp_det,
        "p_astro": probabilities.p_astro,
        "source": str(probabilities.most_probable),
    }


def _checksum(
    event_id: str, model: str, revision: int, content: bytes, properties: bytes | None
) -> int:
    whose = f"{event_id}\0{model}\0{revision}\0".encode()
    return zlib.crc32(whose + content + b"\0" + (properties or b""))


def _set_places(connection: sqlite3.Connection, places: Mapping[Place, int]) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO offsets VALUES (?, ?, ?)",
        [(topic, number, offset) for (topic, number), offset in places.items()],
    )


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
