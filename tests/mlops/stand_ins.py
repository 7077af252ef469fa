"""What stands in for GitLab and for CML, which cannot be installed here.

The `cml` written by `write_commands` takes the arguments the pipeline gives it and does with them
what CML does with ``--publish-native``: uploads the report's images and posts it as a note. It is
no CML; it holds the pipeline to what the GitLab API is documented to take.
"""

import json
import re
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "secret-of-the-bot"  # noqa: S105  (for the stand-in alone)

_PROJECT = "/api/v4/projects/1"
_CML = """
import json, os, pathlib, re, sys, urllib.request
expected = ["comment", "update", "--driver=gitlab", "--publish-native", "report.md"]
if sys.argv[1:] != expected:
    sys.exit(f"cml stand-in: {sys.argv[1:]} is not {expected}")
api = f"{os.environ['CI_API_V4_URL']}/projects/{os.environ['CI_PROJECT_ID']}"
def post(where, body, kind):
    head = {"PRIVATE-TOKEN": os.environ["REPO_TOKEN"], "Content-Type": kind}
    request = urllib.request.Request(f"{api}/{where}", body, head)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)
def upload(match):
    image = pathlib.Path(match[2]).read_bytes()
    return f"![{match[1]}]({post('uploads', image, 'application/octet-stream')['url']})"
text = re.sub(r"!\\[([^]]*)\\]\\(([^)]+)\\)", upload, pathlib.Path("report.md").read_text())
note = json.dumps({"body": text}).encode()
post(f"merge_requests/{os.environ['CI_MERGE_REQUEST_IID']}/notes", note, "application/json")
"""


@dataclass
class Notes:
    """A GitLab that takes uploads, notes of merge request 7 and comments on commits of project 1.

    ``comments`` are pairs of a commit and the comment on it.
    """

    url: str = ""
    bodies: list[str] = field(default_factory=list)
    comments: list[tuple[str, str]] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    """Takes the calls; 401 without the token, 404 elsewhere."""

    notes: Notes

    def do_GET(self) -> None:
        if self._may() and self.path.startswith(f"{_PROJECT}/merge_requests/7/notes?"):
            self._answer(200, [{"id": k, "body": body} for k, body in enumerate(self.notes.bodies)])

    def do_PUT(self) -> None:
        note = re.fullmatch(f"{_PROJECT}/merge_requests/7/notes/([0-9]+)", self.path)
        if self._may() and note:
            self.notes.bodies[int(note[1])] = self._body("body")
            self._answer(200, {"id": int(note[1])})

    def do_POST(self) -> None:
        if not self._may():
            return
        commit = re.fullmatch(f"{_PROJECT}/repository/commits/(.+)/comments", self.path)
        if self.path == f"{_PROJECT}/uploads":
            length = int(self.headers["Content-Length"])
            self.notes.images.append(_content(self.rfile.read(length)))
            self._answer(201, {"url": f"/uploads/{len(self.notes.images)}.png"})
        elif self.path == f"{_PROJECT}/merge_requests/7/notes":
            self.notes.bodies.append(self._body("body"))
            self._answer(201, {"id": len(self.notes.bodies) - 1})
        elif commit:
            self.notes.comments.append((commit[1], self._body("note")))
            self._answer(201, {})
        else:
            self._answer(404, {"message": "404 Not Found"})

    def _may(self) -> bool:
        if self.headers["PRIVATE-TOKEN"] == TOKEN:
            return True
        self._answer(401, {"message": "401 Unauthorized"})
        return False

    def _body(self, name: str) -> str:
        said: str = json.loads(self.rfile.read(int(self.headers["Content-Length"])))[name]
        return said

    def _answer(self, status: int, content: object) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None: ...


@contextmanager
def notes_api() -> Iterator[Notes]:
    """Serve the calls on loopback."""
    notes = Notes()
    with ThreadingHTTPServer(
        ("127.0.0.1", 0), type("Handler", (_Handler,), {"notes": notes})
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        notes.url = f"http://127.0.0.1:{server.server_port}/api/v4"
        try:
            yield notes
        finally:
            server.shutdown()
            thread.join()


def _content(upload: bytes) -> bytes:
    """Return a picture, sent as it is or as a form."""
    if not upload.startswith(b"--"):
        return upload
    edge = upload.partition(b"\r\n")[0]
    return upload.partition(b"\r\n\r\n")[2].partition(b"\r\n" + edge)[0]


def write_commands(folder: Path) -> None:
    """Write `cml`, a `spiir-pastro` of the clone's own code, and what has nothing to do here.

    That is `pip` and `npm`, which would install.
    """
    folder.mkdir()
    programs = {
        "cml": f"#!{sys.executable}\n{_CML}",
        "spiir-pastro": f'#!/bin/sh\nPYTHONPATH="$CLONE/src" exec {sys.executable} '
        '-m spiir_pastro "$@"\n',
        **dict.fromkeys(
            ("pip", "npm"), "#!/bin/sh\necho 'the environment of this test has all it needs'\n"
        ),
    }
    for name, text in programs.items():
        path = folder / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
