"""Answers for other processes: on a Unix socket, and on loopback by HTTP.

Each client has a thread, so one that is slow, silent or gone holds up no other.
"""

import os
import socket
import socketserver
import stat
import threading
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from spiir_pastro.errors import ConfigError
from spiir_pastro.io.trigger_lines import MAX_LINE_BYTES
from spiir_pastro.serve.answering import Answerer, answer_stream

_SILENT_S = 60.0  # an HTTP client that says nothing is let go; one of the socket may stay


class SocketAnswers:
    """Answers on a Unix socket: lines in, lines out, for as long as a client stays.

    The socket is for its owner and group; one left by a dead process is replaced. ConfigError if
    the path is in use, or cannot be a socket.
    """

    def __init__(self, answerer: Answerer, path: Path) -> None:
        _require_free(path)
        self._path = path
        try:
            self._server = _UnixServer(str(path), _line_handler(answerer))
            path.chmod(0o660)
        except OSError as exc:
            raise ConfigError(f"socket {path} cannot be made: {exc}; give another path") from exc
        _start(self._server)

    def close(self) -> None:
        """Stop answering and remove the socket."""
        self._server.shutdown()
        self._server.server_close()
        with suppress(OSError):
            self._path.unlink()


class HTTPAnswers:
    """Answers on loopback: lines posted to ``/`` are answered line by line; no paths.

    Anyone on the machine may ask, so what is asked cannot make it read files.
    """

    def __init__(self, answerer: Answerer, port: int) -> None:
        try:
            self._server = _LoopbackServer(("127.0.0.1", port), _post_handler(answerer))
        except OSError as exc:
            raise ConfigError(f"port {port} cannot be had: {exc.strerror}; give another") from exc
        _start(self._server)

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/"

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


class _ManyClients:
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients come and go."""


class _UnixServer(_ManyClients, socketserver.ThreadingUnixStreamServer): ...


class _LoopbackServer(_ManyClients, ThreadingHTTPServer): ...


def _start(server: socketserver.BaseServer) -> None:
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()


def _require_free(path: Path) -> None:
    """Remove a socket that nobody listens on any more; refuse anything else that is there."""
    try:
        is_socket = stat.S_ISSOCK(path.stat().st_mode)
    except OSError:
        return
    if not is_socket:
        raise ConfigError(f"{path} is no socket; give another path, or move the file away")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            # The file of a socket outlives its process; only a connection shows whether anybody
            # listens.
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except OSError as exc:
            raise ConfigError(f"socket {path} cannot be tried: {exc}; give another path") from exc
    raise ConfigError(f"socket {path} is in use by another process; give another path")


def _line_handler(answerer: Answerer) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            answer_stream(answerer, self.rfile, self.wfile)

    return Handler


def _post_handler(answerer: Answerer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "spiir-pastro"
        sys_version = ""
        timeout = _SILENT_S
        wbufsize = -1  # head and body in one packet
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > 2**10 * MAX_LINE_BYTES:
                self.close_connection = True
                self._reply(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE, b'{"error":"no length, or long"}\n'
                )
                return
            lines = [line for line in self.rfile.read(int(length)).splitlines() if line.strip()]
            answers = [answerer.answer(line, may_read_files=False) for line in lines]
            self._reply(HTTPStatus.OK, b"".join(answers))

        def do_GET(self) -> None:
            self._reply(HTTPStatus.OK, answerer.answer(b"?"))

        def _reply(self, status: HTTPStatus, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Answers are not worth a line each."""

    return Handler
