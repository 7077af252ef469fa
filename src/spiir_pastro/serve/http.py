"""``/metrics`` for Prometheus, ``/healthz`` for monitoring, and the status page."""

import json
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

import structlog

from spiir_pastro.serve.health import Health

log = structlog.get_logger(__name__)

Answer = tuple[HTTPStatus, str, bytes]
Route = Callable[[Mapping[str, str]], Answer]
"""Makes an answer of what the address asks for after its question mark."""


_RETRY_S = 5.0


class StatusServer:
    """A small server of read-only pages, on its own thread; port 0 takes a free one.

    A port that is taken is a problem of the status page and not of the alerts, so it is told, and
    tried again until it is free. ``page`` makes the status page of what is asked for by name.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        health: Health,
        metrics: Callable[[], bytes],
        page: Callable[[Mapping[str, str]], str],
    ) -> None:
        routes: dict[str, Route] = {
            "/": lambda asked: (HTTPStatus.OK, "text/html; charset=utf-8", page(asked).encode()),
            "/metrics": lambda _: (HTTPStatus.OK, "text/plain; version=0.0.4", metrics()),
            "/healthz": lambda _: _health(health.problems()),
        }
        self._host, self._port = host, port
        self._health = health
        self._handler = _handler(routes)
        self._closing = threading.Event()
        self._server = self._bind()
        self._thread = threading.Thread(target=self._serve, name="http", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str | None:
        """Where it listens; None while it cannot."""
        if self._server is None:
            return None
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Stop listening."""
        self._closing.set()
        self._thread.join()

    def _bind(self) -> "_Server | None":
        try:
            server = _Server((self._host, self._port), self._handler)
        except OSError as error:
            where = f"port {self._port} of {self._host}"
            self._health.report(
                "status", f"{where} cannot be had: {error.strerror}; free it, or set http.port"
            )
            return None
        self._health.clear("status")
        log.info("status.serving", url=f"http://{self._host}:{server.server_address[1]}")
        return server

    def _serve(self) -> None:
        while self._server is None and not self._closing.wait(_RETRY_S):
            self._server = self._bind()
        if self._server is not None:
            with self._server as server:
                while not self._closing.is_set():
                    server.handle_request()


class _Server(ThreadingHTTPServer):
    timeout = 0.1  # how long a close may wait, seconds

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a page that failed, but not a client that hung up."""
        del request, client_address
        error = sys.exception()
        if not isinstance(error, OSError):
            log.error("status.failed", exc_info=error)


def _health(problems: dict[str, str]) -> Answer:
    status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
    body = {"status": "problems" if problems else "ok", "problems": problems}
    return status, "application/json", json.dumps(body, indent=1).encode()


def _handler(routes: dict[str, Route]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "spiir-pastro"
        sys_version = ""
        timeout = 10  # a client that says nothing is let go

        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            route = routes.get(path)
            status, kind, body = (
                route(dict(parse_qsl(query)))
                if route
                else (HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
            )
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.send_header(
                "Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"
            )
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Scrapes are not worth a line each."""

    return Handler
