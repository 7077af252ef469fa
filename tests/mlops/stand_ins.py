"""What stands in for GitLab and for CML, which cannot be installed here.

The `cml` written by `write_commands` takes the arguments the pipeline gives it and does with them
what CML does with ``--publish-native``: uploads the report's images and posts it as a note. It is
no CML; it holds the pipeline to what the GitLab API is documented to take.
"""

import json
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TOKEN = "secret-of-the-bot"  # noqa: S105  (for the stand-in alone)

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
    """A GitLab that takes uploads and notes of merge request 7 of project 1."""

    url: str = ""
    bodies: list[str] = field(default_factory=list)
    images: list[bytes] = field(default_factory=list)


@contextmanager
def notes_api() -> Iterator[Notes]:
    """Serve the two calls on loopback; 401 without the token, 404 elsewhere."""
    notes = Notes()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            project = "/api/v4/projects/1"
            if self.headers["PRIVATE-TOKEN"] != TOKEN:
                self._answer(401, {"message": "401 Unauthorized"})
            elif self.path == f"{project}/uploads":
                notes.images.append(body)
                self._answer(201, {"url": f"/uploads/{len(notes.images)}.png"})
            elif self.path == f"{project}/merge_requests/7/notes":
                notes.bodies.append(json.loads(body)["body"])
                self._answer(201, {"id": len(notes.bodies)})
            else:
                self._answer(404, {"message": "404 Not Found"})

        def _answer(self, status: int, content: object) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        notes.url = f"http://127.0.0.1:{server.server_port}/api/v4"
        try:
            yield notes
        finally:
            server.shutdown()
            thread.join()


def write_commands(folder: Path) -> None:
    """Write `cml`, a `spiir-pastro` of the clone's own code, and a `pip` with nothing to do."""
    folder.mkdir()
    programs = {
        "cml": f"#!{sys.executable}\n{_CML}",
        "spiir-pastro": f'#!/bin/sh\nPYTHONPATH="$CLONE/src" exec {sys.executable} '
        '-m spiir_pastro "$@"\n',
        "pip": "#!/bin/sh\necho 'the environment of this test has all it needs'\n",
    }
    for name, text in programs.items():
        path = folder / name
        path.write_text(text)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
