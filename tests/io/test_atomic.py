import os
import resource
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from spiir_pastro.io.atomic import atomic_path, remove_drafts, system_errors, write_atomically


def _write_half(path: Path) -> None:
    with atomic_path(path) as draft:
        draft.write_bytes(b"half of the n")
        raise KeyboardInterrupt("in the middle")


def test_a_failed_write_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_atomically(path, b"old")
    with pytest.raises(KeyboardInterrupt, match="in the middle"):
        _write_half(path)
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_write_replaces_the_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"a longer text")
    write_atomically(path, b"short")
    assert path.read_bytes() == b"short"


def test_drafts_of_dead_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    zombie = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    host = os.uname().nodename
    ended = [f".file.{host}.{process.pid}.part" for process in (dead, zombie)]
    lost = [*ended, ".file.elsewhere.1.part", ".file.7.part"]
    kept = [f".file.{host}.{os.getppid()}.part", "file", "other.part"]
    for name in (*lost, *kept):
        (tmp_path / name).write_bytes(b"half")
    remove_drafts(tmp_path / "other")
    assert all((tmp_path / name).exists() for name in lost)
    remove_drafts(tmp_path)
    zombie.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(kept)


def test_an_error_names_the_file_and_no_draft(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(OSError, match="there") as failed:
        write_atomically(tmp_path / "there", b"x")
    assert ".part" not in str(failed.value)
    with pytest.raises(FileNotFoundError) as failed, atomic_path(tmp_path / "mine.csv") as draft:
        draft.open("rb")
    assert failed.value.filename == str(tmp_path / "mine.csv")


def test_a_full_disk_is_an_error_about_the_file(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table = pl.DataFrame({"a": range(100_000)})
    with pytest.raises(OSError, match="No space left on device") as caught, system_errors(path):
        table.write_parquet("/dev/full", compression="uncompressed")
    assert caught.value.filename == str(path)
    with pytest.raises(ZeroDivisionError), system_errors(path):
        1 / 0  # noqa: B018


def test_a_file_cut_anywhere_is_an_error_about_it(tmp_path: Path) -> None:
    path = tmp_path / "table.parquet"
    table = pl.DataFrame({f"column_{k}": range(9) for k in range(80)})
    table.write_parquet(path)
    rooms = range(2, path.stat().st_size, 2000)  # in the midst of the rows, and of the footer
    path.unlink()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for room in rooms:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            with pytest.raises(OSError, match=r"too large|to its end") as caught:
                _write_table(table, path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def _write_table(table: pl.DataFrame, path: Path) -> None:
    with atomic_path(path) as draft:
        table.write_parquet(draft)
