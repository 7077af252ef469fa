"""Putting ``spiir.p_astro.json`` on GraceDB, once.

A log entry is not idempotent: sent twice it makes a second version of the file. So a delivery that
may have happened before looks at the event's log first, and only adds the label if the file is
there. Failures are sorted into those that may pass (:class:`Unreachable`) and those that will not
(:class:`Refused`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol

import requests
from igwn_auth_utils import IgwnAuthError
from ligo.gracedb.exceptions import HTTPError
from ligo.gracedb.rest import GraceDb

from spiir_pastro.errors import ConfigError, PastroError
from spiir_pastro.io.atomic import write_atomically

__all__ = [
    "FILE_NAME",
    "LABEL",
    "Delivered",
    "FileUploader",
    "GraceDBUploader",
    "Refused",
    "Unreachable",
    "Uploader",
]

FILE_NAME = "spiir.p_astro.json"
LABEL = "PASTRO_READY"
TAG = "p_astro"
COMMENT = "SPIIR source probabilities"
PASSING = frozenset({408, 409, 425, 429})
"""Statuses besides 5xx after which a request may well succeed later."""


class Refused(PastroError):  # noqa: N818  (an outcome, named as one)
    """GraceDB will not take the file, and asking again will not change that."""


class Unreachable(PastroError):  # noqa: N818  (an outcome, named as one)
    """GraceDB did not answer, or not clearly; the file may be there or not.

    Attributes
    ----------
    cause
        A word for the metrics: ``timeout``, ``connection``, ``status_503``, ...
    wait_s
        Seconds the server asked to be left alone, or may still be busy with the request.
    """

    def __init__(self, message: str, *, cause: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.cause = cause
        self.wait_s = wait_s


class Delivered(StrEnum):
    """How the file came to be there."""

    SENT = "sent"
    FOUND = "found"


class Uploader(Protocol):
    """Where files go."""

    def prepare(self) -> None:
        """Get ready, so that the first delivery is as quick as any; failing is no harm."""

    def deliver(
        self, event_id: str, content: bytes, *, look_first: bool, on_send: Callable[[], None]
    ) -> Delivered:
        """Put the file and its label there, or raise Refused or Unreachable.

        ``on_send`` is called just before the file is sent, if it is.
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
        self, event_id: str, content: bytes, *, look_first: bool, on_send: Callable[[], None]
    ) -> Delivered:
        """Write ``<event_id>.spiir.p_astro.json``; the id's form was checked when it was read."""
        path = self._folder / f"{event_id}.{FILE_NAME}"
        if look_first and path.exists():
            return Delivered.FOUND
        on_send()
        write_atomically(path, content)
        return Delivered.SENT

    def close(self) -> None:
        """Nothing is held."""


class GraceDBUploader:
    """One client of GraceDB; each worker has its own.

    Parameters
    ----------
    url
        The service, such as ``https://gracedb-playground.ligo.org/api/``.
    timeout_s
        Seconds to wait for a connection, and again for an answer.
    settle_s
        Seconds the server may still be busy with a request that was given up.
    anonymous
        Send no credentials; otherwise they are found by the client's own rules (SciToken,
        X.509), renewed as they expire, and must exist.

    Raises
    ------
    ConfigError
        If no credentials are found.
    """

    def __init__(
        self, url: str, *, timeout_s: float, settle_s: float, anonymous: bool = False
    ) -> None:
        self._timeout_s = timeout_s
        self._settle_s = settle_s
        try:
            self._client = _Client(url, timeout_s=timeout_s, anonymous=anonymous)
        except (IgwnAuthError, OSError, ValueError) as exc:
            raise ConfigError(
                f"no credentials for {url}: {exc}; get a SciToken with scope gracedb.read "
                "(htgettoken)"
            ) from exc

    def prepare(self) -> None:
        """Connect, and ask the server for its addresses and labels."""
        with suppress(Refused, Unreachable), self._sorted_failures():
            _ = self._client.service_info

    def deliver(
        self, event_id: str, content: bytes, *, look_first: bool, on_send: Callable[[], None]
    ) -> Delivered:
        """Upload the file with its label, or find it there and see to the label."""
        with self._sorted_failures():
            if look_first and self._is_there(event_id):
                self._client.write_label(event_id, LABEL)
                return Delivered.FOUND
            on_send()
            self._client.write_log(
                event_id,
                COMMENT,
                filename=FILE_NAME,
                filecontents=content,
                tag_name=TAG,
                label=LABEL,
            )
            return Delivered.SENT

    def check(self) -> str:
        """Ask the server who it is and whether it knows the label; return its version."""
        with self._sorted_failures():
            if LABEL not in self._client.allowed_labels:
                raise Refused(f"this GraceDB knows no label {LABEL}")
            return str(self._client.server_version)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _is_there(self, event_id: str) -> bool:
        entries = self._client.logs(event_id).json()["log"]
        return any(entry.get("filename") == FILE_NAME for entry in entries)

    @contextmanager
    def _sorted_failures(self) -> Iterator[None]:
        """Sort whatever the client raises into what may pass and what will not."""
        try:
            yield
        except HTTPError as exc:
            status = exc.status_code
            text = f"GraceDB answered {status}: {exc.message[:200]!r}"
            if status in PASSING or status >= 500:
                wait_s = _retry_after_s(exc.response.headers.get("Retry-After"))
                raise Unreachable(text, cause=f"status_{status}", wait_s=wait_s) from exc
            raise Refused(text) from exc
        except requests.ConnectTimeout as exc:
            raise Unreachable(f"GraceDB took no connection: {exc}", cause="connection") from exc
        except requests.Timeout as exc:
            # The server may be working on it yet; to look at once could miss the file.
            raise Unreachable(
                f"GraceDB gave no answer in {self._timeout_s:g} s",
                cause="timeout",
                wait_s=self._settle_s,
            ) from exc
        except requests.RequestException as exc:
            raise Unreachable(f"GraceDB cannot be reached: {exc}", cause="connection") from exc
        except IgwnAuthError as exc:
            raise Unreachable(f"credentials are gone or expired: {exc}", cause="auth") from exc
        except (LookupError, TypeError, ValueError, AttributeError, NameError) as exc:
            raise Unreachable(
                f"GraceDB's answer makes no sense: {type(exc).__name__} {exc}", cause="nonsense"
            ) from exc


class _Client(GraceDb):  # type: ignore[misc]  # the library ships no types
    """GraceDB's client with a timeout on every request and no retries of its own."""

    def __init__(self, url: str, *, timeout_s: float, anonymous: bool) -> None:
        self._timeout_s = timeout_s
        self._environment: dict[str, Any] | None = None
        super().__init__(
            service_url=url,
            force_noauth=anonymous,
            fail_if_noauth=not anonymous,
            reload_cred=not anonymous,
            retries=0,
        )

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Send a request; the base class waits for ever unless told otherwise."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (self._timeout_s, self._timeout_s)
        response: requests.Response = super().request(*args, **kwargs)
        return response

    def merge_environment_settings(self, *args: Any) -> dict[str, Any]:  # noqa: ANN401
        """Look proxies and certificates up once: it takes a fifth of a request's time."""
        if self._environment is None:
            self._environment = super().merge_environment_settings(*args)
        return dict(self._environment)


def _retry_after_s(header: str | None) -> float:
    """Seconds of a Retry-After header, at most five minutes; its date form is not used here."""
    return min(float(header), 300.0) if header is not None and header.isdigit() else 0.0
