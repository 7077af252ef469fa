"""Putting ``spiir.p_astro.json``, and ``spiir.properties.json`` beside it, on GraceDB, once each.

A log entry is not idempotent: sent twice it makes a second version of the file. So a delivery that
may have happened before looks at the event's log first, and only adds the label if the file is
there. Success is a 201 that brings the log entry, and nothing else: a proxy's login page has status
200, and a token that is being renewed gives 401. Whatever is no success may pass.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

from spiir_pastro.errors import PastroError
from spiir_pastro.io.atomic import write_atomically
from spiir_pastro.serve.decide import LABEL
from spiir_pastro.serve.gracedb_client import Answer, GraceDB, NoAnswer

FILE_NAME = "spiir.p_astro.json"
TAG = "p_astro"

_OF_THE_SERVICE = frozenset({401, 403, 407, 408, 425, 429})
"""Statuses below 500 that say nothing about the event asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind of file: its name, what is said of it, and whether our label goes with it."""

    name: str
    comment: str
    is_labelled: bool


P_ASTRO = Kind(
    name=FILE_NAME, comment="SPIIR source probabilities, model {model}", is_labelled=True
)
PROPERTIES = Kind(
    name="spiir.properties.json",
    comment="SPIIR source properties if it is a signal, model {model}",
    is_labelled=False,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class EventFile:
    """A file of an event, and the name of the model that made it, for the comment.

    It takes the place of an earlier version that is another only if it ``replaces`` it.
    """

    event_id: str
    content: bytes
    kind: Kind = P_ASTRO
    model: str = ""
    replaces: bool = False


class Unanswered(PastroError):  # noqa: N818  (an outcome, named as one)
    """GraceDB did not say that it has the file; it may have it or not.

    Attributes
    ----------
    cause
        A word for the metrics: ``timeout``, ``connection``, ``status_503``, ...
    wait_s
        Seconds to leave the event alone: the server may be busy with it.
    pause_s
        Seconds the server asked to be left alone.
    is_of_event
        Whether the answer is about this event, so that others need not wait.
    """

    def __init__(
        self,
        message: str,
        *,
        cause: str,
        wait_s: float = 0.0,
        pause_s: float = 0.0,
        is_of_event: bool = False,
    ) -> None:
        super().__init__(message)
        self.cause = cause
        self.wait_s = wait_s
        self.pause_s = pause_s
        self.is_of_event = is_of_event


class Delivered(StrEnum):
    """How the file came to be there."""

    SENT = "sent"
    FOUND = "found"
    OTHER = "other"
    """Another writer was first, with other numbers; they are left."""


class Uploader(Protocol):
    """Where files go."""

    def prepare(self) -> None:
        """Get ready, so that the first delivery is as quick as any; failing is no harm."""

    def deliver(
        self, file: EventFile, *, look_first: bool, on_send: Callable[[], None]
    ) -> Delivered:
        """Put the file and its label there, or raise Unanswered.

        With ``look_first`` the file may be there already. ``on_send`` is called just before the
        file is sent, if it is sent; what it raises is raised here.
        """

    def close(self) -> None:
        """Give back what is held."""


class FileUploader:
    """The dry run: a folder stands for GraceDB."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def prepare(self) -> None:
        """Nothing is needed."""

    def deliver(
        self, file: EventFile, *, look_first: bool, on_send: Callable[[], None]
    ) -> Delivered:
        """Write ``<event_id>.spiir.p_astro.json``; the id's form was checked when it was read."""
        path = self._folder / f"{file.event_id}.{file.kind.name}"
        if look_first and path.exists():
            is_same = path.read_bytes() == file.content
            if is_same or not file.replaces:
                return Delivered.FOUND if is_same else Delivered.OTHER
        on_send()
        write_atomically(path, file.content)
        return Delivered.SENT

    def close(self) -> None:
        """Nothing is held."""


class GraceDBUploader:
    """Judges what GraceDB answers; each worker has its own."""

    def __init__(self, gracedb: GraceDB) -> None:
        self._gracedb = gracedb

    def prepare(self) -> None:
        """Connect, and have the client learn the server's addresses and labels."""
        try:
            self._gracedb.service()
        except NoAnswer:
            return

    def deliver(
        self, file: EventFile, *, look_first: bool, on_send: Callable[[], None]
    ) -> Delivered:
        """Upload the file with its label, or find it there and see to the label."""
        event_id, kind = file.event_id, file.kind
        if look_first and self.is_there(event_id, kind):
            is_same = self._is_same(event_id, file.content, kind)
            if is_same or not file.replaces:
                if kind.is_labelled:
                    self._label(event_id)
                return Delivered.FOUND if is_same else Delivered.OTHER
        on_send()
        comment = kind.comment.format(model=file.model)
        label = LABEL if kind.is_labelled else ""
        answer = _asked(
            lambda: self._gracedb.write_log(
                event_id, comment, filename=kind.name, content=file.content, tag=TAG, label=label
            )
        )
        entry = _document(answer, {201})
        if not isinstance(entry.get("N"), int) or entry.get("filename") != kind.name:
            raise _unclear(answer, "names no log entry of the file")
        return Delivered.SENT

    def is_there(self, event_id: str, kind: Kind) -> bool:
        """Whether the event has the file, by its log."""
        return has_file(self._gracedb, event_id, kind)

    def check(self) -> str:
        """Return the server's version; PastroError if it does not answer or know the label."""
        known = read_document(self._gracedb.service)
        if LABEL not in (known.get("labels") or ()):
            raise PastroError(f"this GraceDB knows no label {LABEL}")
        return str(known.get("server-version"))

    def close(self) -> None:
        """Close the connections."""
        self._gracedb.close()

    def _label(self, event_id: str) -> None:
        """Put the label; one that is there already is as good."""
        _document(_asked(lambda: self._gracedb.write_label(event_id, LABEL)), {200, 201})

    def _is_same(self, event_id: str, content: bytes, kind: Kind) -> bool:
        theirs = read_document(lambda: self._gracedb.file(event_id, kind.name))
        return bool(theirs == json.loads(content))


def has_file(gracedb: GraceDB, event_id: str, kind: Kind) -> bool:
    """Whether an event has a file of a kind, by its log; or raise Unanswered."""
    document = read_document(lambda: gracedb.logs(event_id))
    entries = document.get("log")
    if not isinstance(entries, list) or document.get("numRows", len(entries)) != len(entries):
        raise Unanswered("GraceDB's answer is no whole log", cause="nonsense")
    return any(isinstance(e, dict) and e.get("filename") == kind.name for e in entries)


def read_document(request: Callable[[], Answer]) -> dict[str, Any]:
    """Make a request for a JSON object, and return it or raise Unanswered."""
    return _document(_asked(request), {200})


def is_own_problem(status: int) -> bool:
    """Whether a status is about the event asked for, and not about the service."""
    return 400 <= status < 500 and status not in _OF_THE_SERVICE


def _asked(request: Callable[[], Answer]) -> Answer:
    try:
        return request()
    except NoAnswer as exc:
        raise Unanswered(str(exc), cause=exc.cause, wait_s=exc.wait_s) from exc


def _document(answer: Answer, statuses: set[int]) -> dict[str, Any]:
    """Return the JSON object of an answer that has the right status, or raise Unanswered."""
    if answer.status not in statuses:
        text = answer.body[:200].decode(errors="replace")
        raise Unanswered(
            f"GraceDB answered {answer.status}: {text!r}",
            cause=f"status_{answer.status}",
            wait_s=max(answer.retry_after_s, answer.busy_s),
            pause_s=answer.retry_after_s,
            is_of_event=is_own_problem(answer.status),
        )
    try:
        document = json.loads(answer.body)
    except ValueError as exc:
        raise _unclear(answer, "is no JSON") from exc
    if not isinstance(document, dict):
        raise _unclear(answer, "is no JSON object")
    return document


def _unclear(answer: Answer, what: str) -> Unanswered:
    text = answer.body[:200].decode(errors="replace")
    return Unanswered(f"GraceDB's {answer.status} {what}: {text!r}", cause="nonsense")
