"""Telling systemd that the service is up, that its loop turns, and how it is.

The protocol of ``sd_notify(3)``: datagrams to the socket that systemd names in the environment. As
``Type=notify`` with ``WatchdogSec=`` asks for it, systemd restarts a service whose loop hangs.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

_LONGEST_SILENCE_S = 5.0


class Systemd:
    """systemd, if it started this process; otherwise messages go nowhere.

    ``problems``, by part, are shown by ``systemctl status``.
    """

    def __init__(
        self,
        problems: Callable[[], Mapping[str, str]],
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        self._problems = problems
        name = environment.get("NOTIFY_SOCKET", "")
        # An address that begins with @ is in the abstract namespace.
        self._address = f"\0{name[1:]}" if name.startswith("@") else name
        watchdog_s = _seconds(environment.get("WATCHDOG_USEC"))
        self._every_s = min(_LONGEST_SILENCE_S, watchdog_s / 3 or _LONGEST_SILENCE_S)
        self._next = 0.0

    def alive(self) -> None:
        """Say that the loop turns; at most every few seconds, so it may be called at each turn."""
        now = time.monotonic()
        if not self._address or now < self._next:
            return
        self._next = now + self._every_s
        problems = self._problems()
        status = f"problems with {', '.join(problems)}" if problems else "all well"
        self._send(f"READY=1\nWATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """Say that the service is about to end."""
        if self._address:
            self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.sendto(message.encode(), self._address)


def _seconds(microseconds: str | None) -> float:
    return int(microseconds) * 1e-6 if microseconds and microseconds.isdigit() else 0.0
