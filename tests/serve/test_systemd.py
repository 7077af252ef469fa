"""systemd hears that the service is up and alive, and is no harm where it is not."""

import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from serve.waiting import PATIENCE_S
from spiir_pastro.serve.systemd import Systemd


def listener(address: str) -> socket.socket:
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.bind(address)
    found.settimeout(PATIENCE_S)
    return found


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_systemd_is_told_that_the_loop_turns_and_what_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> None:
    now = [100.0]
    clock = SimpleNamespace(monotonic=lambda: now[0])
    monkeypatch.setattr("spiir_pastro.serve.systemd.time", clock)
    name = f"@{tmp_path}" if abstract else str(tmp_path / "notify")
    problems: dict[str, str] = {}
    with listener(f"\0{tmp_path}" if abstract else name) as heard:
        systemd = Systemd(lambda: problems, {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "300000"})
        systemd.alive()
        assert heard.recv(999) == b"READY=1\nWATCHDOG=1\nSTATUS=all well"
        now[0] += 0.05
        systemd.alive()  # too soon to say it again
        problems["kafka"] = "down"
        now[0] += 0.11
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
        for _ in range(2000):  # were one of them to wait, it would be for ever
            systemd.alive()
