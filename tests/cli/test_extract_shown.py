"""What ``extract`` shows at a terminal."""

import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from spiir_pastro.cli.extract import _shown
from spiir_pastro.pipeline.raw_files import RawFile


def test_files_are_counted_at_a_terminal_without_a_thread_that_keeps_workers_from_forking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tuple(RawFile(path=tmp_path / name, name=name) for name in "ab")
    for file in files:
        file.path.write_bytes(b"1000 bytes" * 100)
    ours, theirs = os.openpty()
    threads = threading.active_count()
    with os.fdopen(theirs, "w") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        with _shown(files) as show:
            show("a")
            assert threading.active_count() == threads
            show("b")
    shown = b""
    with os.fdopen(ours, "rb", buffering=0) as screen, suppress(OSError):  # it ends with EIO
        while more := screen.read(2**16):  # which may be less than all
            shown += more
    assert b"1.0/2.0 kB" in shown
    assert b"2.0/2.0 kB" in shown
