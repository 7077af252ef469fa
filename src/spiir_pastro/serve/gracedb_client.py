"""What the service asks of GraceDB, and the client that asks it over HTTP.

A :class:`GraceDB` gives the bare answer, status and bytes: what an answer means is judged in one
place, :mod:`spiir_pastro.serve.upload`, and that is also what a simulated GraceDB is tried on.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlencode

import requests
from igwn_auth_utils import IgwnAuthError
from ligo.gracedb.exceptions import HTTPError
from ligo.gracedb.rest import GraceDb

from spiir_pastro.errors import ConfigError, PastroError

RETRY_AFTER_LIMIT_S = 300.0
_GATEWAYS = frozenset({502, 504})
"""Statuses of a proxy whose server may be at work on the request yet."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a server said."""

    status: int
    body: bytes = b""
    retry_after_s: float = 0.0  # seconds it asks to be left alone
    busy_s: float = 0.0  # seconds for which it may still be busy with the request all the same


class NoAnswer(PastroError):  # noqa: N818  (an outcome, named as one)
    """The server said nothing; what was asked may be done or not.

    Attributes
    ----------
    cause
        A word for the metrics: ``timeout``, ``connection``, ``auth``, ``nonsense``.
    wait_s
        Seconds for which the server may still be busy with the request.
    """

    def __init__(self, message: str, *, cause: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.cause = cause
        self.wait_s = wait_s


class GraceDB(Protocol):
    """The requests the service makes; each may raise :class:`NoAnswer`."""

    def service(self) -> Answer:
        """``GET /api/``: who the server is, and which labels it knows."""

    def logs(self, event_id: str) -> Answer:
        """``GET`` an event's log."""

    def file(self, event_id: str, filename: str) -> Answer:
        """``GET`` the last version of an event's file."""

    def events(self, query: str, *, start: int, count: int) -> Answer:
        """``GET`` a page of the events that match a query."""

    def write_log(
        self, event_id: str, comment: str, *, filename: str, content: bytes, tag: str, label: str
    ) -> Answer:
        """``POST`` a log entry with a file, a tag and a label, which may be empty."""

    def write_label(self, event_id: str, label: str) -> Answer:
        """``PUT`` a label."""

    def close(self) -> None:
        """Close the connections."""


class GraceDBClient:
    """GraceDB over HTTP; not to be shared by threads.

    Parameters
    ----------
    url
        The service, such as ``https://gracedb-playground.ligo.org/api/``.
    timeout_s
        Seconds to wait for a connection, and again for an answer.
    settle_s
        Seconds the server may still be busy with a request that was given up.
    anonymous
        Send no credentials; otherwise they are found by the client's own rules (SciToken, X.509),
        renewed as they expire, and must exist: ConfigError if there are none.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        settle_s: float,
        anonymous: bool = False,
        credentials: str = "all",
    ) -> None:
        self._url = url
        self._timeout_s = timeout_s
        self._settle_s = settle_s
        try:
            self._client = _Client(
                url, timeout_s=timeout_s, anonymous=anonymous, credentials=credentials
            )
        except (IgwnAuthError, OSError, ValueError) as exc:
            raise ConfigError(
                f"no credentials for {url}: {exc}; get a SciToken with scope gracedb.read "
                "(htgettoken)"
            ) from exc

    def service(self) -> Answer:
        """Ask who the server is; later requests need its addresses."""
        return self._ask(lambda: self._client.get(self._url))

    def logs(self, event_id: str) -> Answer:
        """Get an event's log."""
        return self._ask(lambda: self._client.logs(event_id))

    def file(self, event_id: str, filename: str) -> Answer:
        """Get the last version of an event's file."""

        def request() -> requests.Response:  # the client's own files() leaves the body unread
            template: str = self._client.templates["files-template"]
            response: requests.Response = self._client.get(
                template.format(graceid=event_id, filename=filename)
            )
            return response

        return self._ask(request)

    def events(self, query: str, *, start: int, count: int) -> Answer:
        """Get a page of events, in the order of their creation."""
        asked = urlencode({"query": query, "start": start, "count": count, "sort": "created"})
        return self._ask(lambda: self._client.get(f"{self._client.links['events']}?{asked}"))

    def write_log(
        self, event_id: str, comment: str, *, filename: str, content: bytes, tag: str, label: str
    ) -> Answer:
        """Send a file, its tag and its label in one request."""
        fields = {"comment": comment, "tagname": tag} | ({"label": label} if label else {})
        return self._ask(lambda: self._client.send_log(event_id, fields, filename, content))

    def write_label(self, event_id: str, label: str) -> Answer:
        """Put a label."""
        return self._ask(lambda: self._client.write_label(event_id, label))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, request: Callable[[], requests.Response]) -> Answer:
        """Make a request; a status is an answer, whatever else the libraries raise is none."""
        try:
            return self._answer(request())
        except HTTPError as exc:
            return self._answer(exc.response)
        except requests.ConnectTimeout as exc:
            raise NoAnswer(f"GraceDB took no connection: {exc}", cause="connection") from exc
        except requests.Timeout as exc:
            # The server may be working on it yet; to look at once could miss the file.
            raise NoAnswer(
                f"GraceDB gave no answer in {self._timeout_s:g} s",
                cause="timeout",
                wait_s=self._settle_s,
            ) from exc
        except requests.RequestException as exc:
            # A connection cut midway may leave the server at work, too.
            raise NoAnswer(
                f"GraceDB cannot be reached: {exc}",
                cause="connection",
                wait_s=0.0 if _was_refused(exc) else self._settle_s,
            ) from exc
        except IgwnAuthError as exc:
            raise NoAnswer(f"credentials are gone or expired: {exc}", cause="auth") from exc
        except (LookupError, TypeError, ValueError, AttributeError, NameError) as exc:
            self._client.forget_service()
            raise NoAnswer(
                f"GraceDB's answer makes no sense: {type(exc).__name__} {exc}", cause="nonsense"
            ) from exc

    def _answer(self, response: requests.Response) -> Answer:
        status = response.status_code
        return Answer(
            status=status,
            body=response.content,
            retry_after_s=_retry_after_s(response.headers.get("Retry-After")),
            busy_s=self._settle_s if status in _GATEWAYS else 0.0,
        )


class _Client(GraceDb):  # type: ignore[misc]  # the library ships no types
    """GraceDB's client with a timeout on every request and no retries of its own."""

    def __init__(self, url: str, *, timeout_s: float, anonymous: bool, credentials: str) -> None:
        self._timeout_s = timeout_s
        self._environment: dict[str, Any] | None = None
        self._prepared: requests.PreparedRequest | None = None
        super().__init__(
            service_url=url,
            use_auth=credentials,
            force_noauth=anonymous,
            fail_if_noauth=not anonymous,
            reload_cred=not anonymous,
            # The client would repeat a request that was perhaps fulfilled; the queue looks first.
            retries=0,
        )

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Send a request; the base class waits for ever unless told otherwise."""
        if kwargs.get("timeout") is None:
            # For the connection, and for each wait for bytes.
            kwargs["timeout"] = (self._timeout_s, self._timeout_s)
        response: requests.Response = super().request(*args, **kwargs)
        return response

    def send_log(
        self, event_id: str, fields: Mapping[str, str], filename: str, content: bytes
    ) -> requests.Response:
        """Send a log entry as :meth:`write_log` does, in half of its processor time.

        What is alike in all of them is prepared once: headers, cookies, hooks. Credentials are put
        in each time, for they are renewed.
        """
        label = fields.get("label")
        if label is not None and label not in self.allowed_labels:
            raise ValueError(f"label {label!r} is none of this GraceDB's")
        url: str = self.templates["event-log-template"].format(graceid=event_id)
        if self._prepared is None:
            self._prepared = self.prepare_request(requests.Request("POST", url))
        prepared = self._prepared.copy()
        prepared.url = url
        kind, prepared.body = _form(fields, filename, content)
        length = str(len(prepared.body))
        prepared.headers.update({"Content-Type": kind, "Content-Length": length})
        if self.auth is not None:
            prepared.prepare_auth(self.auth)
        settings = self.merge_environment_settings(url, {}, None, None, None)
        timeouts = (self._timeout_s, self._timeout_s)
        response: requests.Response = self.send(prepared, timeout=timeouts, **settings)
        return response

    def forget_service(self) -> None:
        """Ask for addresses and labels anew; the base class would keep a wrong answer for ever."""
        self._service_info = None
        self._prepared = None

    def merge_environment_settings(self, *args: Any) -> dict[str, Any]:  # noqa: ANN401
        """Look proxies and certificates up once: it takes a fifth of a request's time."""
        if self._environment is None:
            self._environment = super().merge_environment_settings(*args)
        return dict(self._environment)


def _form(fields: Mapping[str, str], filename: str, content: bytes) -> tuple[str, bytes]:
    """Return the type and the body of a form with a file of JSON, ``multipart/form-data``."""
    boundary = secrets.token_hex(16)
    head = f"--{boundary}\r\nContent-Disposition: form-data; name="
    texts = "".join(f'{head}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    of_file = f'{head}"upload"; filename="{filename}"\r\nContent-Type: application/json\r\n\r\n'
    body = b"".join([(texts + of_file).encode(), content, f"\r\n--{boundary}--\r\n".encode()])
    return f"multipart/form-data; boundary={boundary}", body


def _retry_after_s(header: str | None) -> float:
    """Seconds of a Retry-After header, within bounds; its date form is not used here."""
    if header is None or not header.isdigit():
        return 0.0
    return min(float(header), RETRY_AFTER_LIMIT_S)


def _was_refused(error: requests.RequestException) -> bool:
    """Whether nothing listened, so that the request cannot have been read."""
    return "NewConnectionError" in str(error)
