"""``/metrics`` for Prometheus, ``/healthz`` for whoever watches, and the status page."""

import json
import sys
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import structlog

__all__ = ["StatusServer"]

log = structlog.get_logger(__name__)

Answer = tuple[HTTPStatus, str, bytes]


class StatusServer:
    """A small server of read-only pages, on its own thread.

    Parameters
    ----------
    host, port
        Where to listen; port 0 takes a free one.
    metrics, problems, page
        Make the three answers.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        metrics: Callable[[], bytes],
        problems: Callable[[], dict[str, str]],
        page: Callable[[], str],
    ) -> None:
        routes: dict[str, Callable[[], Answer]] = {
            "/": lambda: (HTTPStatus.OK, "text/html; charset=utf-8", page().encode()),
            "/metrics": lambda: (HTTPStatus.OK, "text/plain; version=0.0.4", metrics()),
            "/healthz": lambda: _health(problems()),
        }
        self._server = _Server((host, port), _handler(routes))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.1,), name="http", daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it listens."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
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


def _handler(routes: dict[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        server_version = "spiir-pastro"
        sys_version = ""
        timeout = 10  # a client that says nothing is let go

        def do_GET(self) -> None:
            route = routes.get(self.path.partition("?")[0])
            status, kind, body = (
                route() if route else (HTTPStatus.NOT_FOUND, "text/plain", b"not found\n")
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
