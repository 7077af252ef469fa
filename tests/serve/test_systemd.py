"""systemd hears that the service is up and alive, and is no harm where it is not."""

import socket
import time
from pathlib import Path

import pytest

from spiir_pastro.serve.systemd import Systemd


def listener(address: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.bind(address)
    found.settimeout(5)
    return found


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_systemd_is_told_that_the_loop_turns_and_what_is_wrong(
    tmp_path: Path, *, abstract: bool
) -> None:
    name = f"@{tmp_path}" if abstract else str(tmp_path / "notify")
    problems: dict[str, str] = {}
    with listener(f"\0{tmp_path}" if abstract else name) as heard:
        systemd = Systemd(lambda: problems, {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "300000"})
        systemd.alive()
        assert heard.recv(999) == b"READY=1\nWATCHDOG=1\nSTATUS=all well"
        systemd.alive()  # too soon to say it again
        problems["kafka"] = "down"
        time.sleep(0.11)
        systemd.alive()
        assert heard.recv(999) == b"READY=1\nWATCHDOG=1\nSTATUS=problems with kafka"
        systemd.stopping()
        assert heard.recv(999) == b"STOPPING=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": "/nonexistent/socket"}])
def test_without_systemd_nothing_happens(environment: dict[str, str]) -> None:
    systemd = Systemd(dict, environment | {"WATCHDOG_USEC": "soon"})
    systemd.alive()
    systemd.stopping()


def test_a_socket_that_is_full_holds_up_nothing(tmp_path: Path) -> None:
    with listener(str(tmp_path / "notify")):
        systemd = Systemd(dict, {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3"})
        begun = time.monotonic()
        for _ in range(2000):
            systemd.alive()
        assert time.monotonic() - begun < 30
