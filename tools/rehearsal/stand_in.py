"""A stand-in for GraceDB's REST interface, as far as its client asks for it, with faults on demand.

It follows the client's source, not the server's: the real server cannot be installed. What it is
told is appended to a journal at once, so it may be killed and started again like the real one.
"""

import json
import random
import re
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from email.parser import BytesParser
from email.policy import HTTP
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["UNKNOWN_EVENT", "Faults", "LogEntry", "StandInGraceDB", "announce", "read_journal"]

_EVENT = re.compile(r"/api/events/([A-Z]\d+)/(log|labels|files)/(.*)")
_CREATED = re.compile(r"created: (.+) \.\. (.+)")
_TIME = "%Y-%m-%d %H:%M:%S"
LABELS = ("PASTRO_READY", "DQV", "INJ")
UNKNOWN_EVENT = "G404404404"
"""The one event that this GraceDB does not know."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Faults:
    """Probabilities of what may go wrong with a request.

    Attributes
    ----------
    error, busy, unavailable
        Answer 500, 429 or 503 (with Retry-After) and do nothing.
    unauthorized, missing
        Answer 401 or 404 and do nothing.
    login
        Answer 200 with a page for people and do nothing.
    half
        Store the file but not the label, and answer 500.
    cut_before, cut_after
        Close the connection without, or after, doing what was asked.
    stall_before, stall_after
        Wait ``stall_s``, then do what was asked; or the other way round.
    """

    error: float = 0.0
    busy: float = 0.0
    unavailable: float = 0.0
    unauthorized: float = 0.0
    missing: float = 0.0
    login: float = 0.0
    half: float = 0.0
    cut_before: float = 0.0
    cut_after: float = 0.0
    stall_before: float = 0.0
    stall_after: float = 0.0
    stall_s: float = 1.0

    def draw(self, source: random.Random) -> str:
        """Draw a fault's name, or an empty string."""
        probabilities = {k: v for k, v in asdict(self).items() if k != "stall_s"}
        nothing = 1.0 - sum(probabilities.values())
        (name,) = source.choices([*probabilities, ""], [*probabilities.values(), nothing])
        return name


@dataclass(frozen=True, kw_only=True, slots=True)
class LogEntry:
    """One thing GraceDB was told about an event; ``at`` is when it had the whole request."""

    event_id: str
    filename: str = ""
    content: str = ""
    tags: list[str] = field(default_factory=list)
    label: str = ""
    comment: str = ""
    at: float = 0.0


class StandInGraceDB:
    """The server; listens on loopback as soon as it is made.

    Parameters
    ----------
    journal
        File of what it was told; read first if it is there.
    port
        0 takes a free one.
    faults, seed
        What may go wrong, and how the dice fall.
    """

    def __init__(
        self, journal: Path, *, port: int = 0, faults: Faults | None = None, seed: int = 0
    ) -> None:
        self.faults = faults or Faults()
        self._random = random.Random(seed)  # noqa: S311  (dice, no secret)
        self._lock = threading.Lock()
        self.entries: dict[str, list[LogEntry]] = defaultdict(list)
        for entry in read_journal(journal):
            self.entries[entry.event_id].append(entry)
        self._journal = journal.open("a")
        handler = type("Handler", (_Handler,), {"gracedb": self})
        self._server = _Server(("127.0.0.1", port), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The service's URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/api/"

    def close(self) -> None:
        """Stop."""
        self._server.shutdown()
        self._server.server_close()
        self._journal.close()

    def draw_fault(self) -> str:
        """Draw what goes wrong with this request."""
        with self._lock:
            return self.faults.draw(self._random)

    def tell(self, entry: LogEntry) -> None:
        """Take an entry, so that a killed process has it too."""
        with self._lock:
            self.entries[entry.event_id].append(entry)
            self._journal.write(json.dumps(asdict(entry)) + "\n")
            self._journal.flush()

    def files(self, event_id: str) -> list[LogEntry]:
        """Return an event's entries that brought a file."""
        return [entry for entry in self.entries.get(event_id, ()) if entry.filename]

    def search(self, query: dict[str, list[str]]) -> dict[str, object]:
        """Answer a search by time of creation with a page of events."""
        match = _CREATED.search(query["query"][0])
        first, last = match.groups() if match else ("", "9999")
        start, count = int(query["start"][0]), int(query["count"][0])
        found = [
            event | {"labels": sorted(self.labels(event["graceid"]))}
            for event in self._announced()
            if first <= event["created"] <= last
        ]
        return {"numRows": len(found), "events": found[start : start + count]}

    def _announced(self) -> list[dict[str, Any]]:
        path = announced_path(Path(self._journal.name))
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def labels(self, event_id: str) -> set[str]:
        """Return an event's labels."""
        return {entry.label for entry in self.entries.get(event_id, ()) if entry.label}


def announced_path(journal: Path) -> Path:
    """Return the file of the events that were created, one a line."""
    return journal.with_suffix(".events.jsonl")


def announce(journal: Path, events: Iterable[dict[str, Any]]) -> None:
    """Create events, now, on the GraceDB that keeps a journal."""
    created = datetime.now(UTC).strftime(_TIME)
    with announced_path(journal).open("a") as file:
        for event in events:
            file.write(json.dumps(event | {"created": created}) + "\n")


def read_journal(path: Path) -> list[LogEntry]:
    """Read what a stand-in was told; a last line cut short by a kill was never answered."""
    if not path.exists():
        return []
    lines = path.read_text().splitlines(keepends=True)
    return [LogEntry(**json.loads(line)) for line in lines if line.endswith("\n")]


_REFUSALS: dict[str, tuple[HTTPStatus, object, int | None]] = {
    "error": (HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "a fault"}, None),
    "busy": (HTTPStatus.TOO_MANY_REQUESTS, {}, 1),
    "unavailable": (HTTPStatus.SERVICE_UNAVAILABLE, {}, 1),
    "unauthorized": (HTTPStatus.UNAUTHORIZED, {"detail": "token expired"}, None),
    "missing": (HTTPStatus.NOT_FOUND, {"detail": "Not found."}, None),
    "login": (HTTPStatus.OK, "<html>Please log in</html>", None),
}
"""What a request gets that is answered without being done: status, body, Retry-After."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients are killed here all the time."""


class _Act(Protocol):
    def __call__(self, *, keep_label: bool = True) -> tuple[HTTPStatus, object]: ...


class _Handler(BaseHTTPRequestHandler):
    gracedb: StandInGraceDB
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # one packet an answer
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path == "/api/":
            self._answer(HTTPStatus.OK, self._service())
            return
        self._with_faults(self._get)

    def do_POST(self) -> None:
        self._body = self.rfile.read(int(self.headers["Content-Length"]))
        self._read_at = time.time()
        self._with_faults(self._post)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._read_at = time.time()
        self._with_faults(self._put)

    def _with_faults(self, act: _Act) -> None:
        fault = self.gracedb.draw_fault()
        if fault in _REFUSALS:
            status, body, retry_after = _REFUSALS[fault]
            self._answer(status, body, retry_after=retry_after)
            return
        match fault:
            case "half":
                act(keep_label=False)
                self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "half done"})
            case "cut_before":
                self.close_connection = True
            case "cut_after":
                act()
                self.close_connection = True
            case "stall_before":
                time.sleep(self.gracedb.faults.stall_s)
                self._answer(*act())
            case "stall_after":
                status, body = act()
                time.sleep(self.gracedb.faults.stall_s)
                self._answer(status, body)
            case _:
                self._answer(*act())

    def _get(self, *, keep_label: bool = True) -> tuple[HTTPStatus, object]:
        del keep_label
        if self.path.startswith("/api/events/?"):
            return HTTPStatus.OK, self.gracedb.search(parse_qs(urlsplit(self.path).query))
        event_id, what, name = self._event()
        entries = self.gracedb.entries.get(event_id, [])
        if what == "files" and name:
            versions = [e for e in entries if e.filename == name]
            if not versions:
                return HTTPStatus.NOT_FOUND, {"error": "no such file"}
            return HTTPStatus.OK, json.loads(versions[-1].content)
        if what == "log":
            rows = [{"filename": e.filename, "tag_names": e.tags} for e in entries]
            return HTTPStatus.OK, {"numRows": len(rows), "log": rows}
        if what == "labels":
            return HTTPStatus.OK, {"labels": sorted(self.gracedb.labels(event_id))}
        return HTTPStatus.OK, {e.filename: f"{self.path}{e.filename}" for e in entries}

    def _post(self, *, keep_label: bool = True) -> tuple[HTTPStatus, object]:
        event_id, what, _ = self._event()
        if event_id == UNKNOWN_EVENT or what != "log":
            return HTTPStatus.NOT_FOUND, {"error": "no such event"}
        fields = _form(self.headers["Content-Type"], self._body)
        filename, content = fields.get("upload", ("", ""))
        label = fields.get("label", ("", ""))[1] if keep_label else ""
        tags = [fields["tagname"][1]] if "tagname" in fields else []
        self.gracedb.tell(
            LogEntry(
                event_id=event_id,
                filename=filename,
                content=content,
                tags=tags,
                label=label,
                comment=fields.get("comment", ("", ""))[1],
                at=self._read_at,
            )
        )
        number = len(self.gracedb.entries[event_id])
        return HTTPStatus.CREATED, {"N": number, "filename": filename, "tag_names": tags}

    def _put(self, *, keep_label: bool = True) -> tuple[HTTPStatus, object]:
        event_id, _, label = self._event()
        if label in self.gracedb.labels(event_id):
            return HTTPStatus.OK, {}
        if keep_label:
            self.gracedb.tell(LogEntry(event_id=event_id, label=label, at=self._read_at))
        return HTTPStatus.CREATED, {}

    def _event(self) -> tuple[str, str, str]:
        match = _EVENT.fullmatch(unquote(self.path))
        return match.groups() if match else (UNKNOWN_EVENT, "", "")  # type: ignore[return-value]

    def _service(self) -> dict[str, object]:
        root = self.gracedb.url
        event = f"{root}events/{{graceid}}"
        return {
            "links": {"self": root, "events": f"{root}events/"},
            "templates": {
                "event-log-template": f"{event}/log/",
                "event-label-template": f"{event}/labels/{{label}}",
                "files-template": f"{event}/files/{{filename}}",
            },
            "groups": ["CBC", "Test"],
            "pipelines": ["spiir"],
            "searches": ["AllSky"],
            "labels": list(LABELS),
            "server-version": "stand-in",
            "API_VERSIONS": ["default"],
        }

    def _answer(self, status: HTTPStatus, body: object, *, retry_after: int | None = None) -> None:
        text = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if retry_after is not None:
            self.send_header("Retry-After", str(retry_after))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


def _form(content_type: str, body: bytes) -> dict[str, tuple[str, str]]:
    """Read a multipart form: field name to (file name, text)."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + body)
    fields = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        content = part.get_content()
        text = content.decode() if isinstance(content, bytes) else str(content)
        fields[str(name)] = (part.get_filename() or "", text)
    return fields
