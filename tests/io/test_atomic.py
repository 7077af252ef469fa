from pathlib import Path

import pytest

from spiir_pastro.io.atomic import atomic_path, write_atomically


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
