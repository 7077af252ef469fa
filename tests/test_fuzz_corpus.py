"""What the fuzzers found worth keeping holds still; see fuzz/README.md."""

import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import oracles

CORPUS = Path(__file__).parents[1] / "fuzz" / "corpus"
LONGEST_S = 5.0
"""Processor time for one input of a few kilobytes; it takes some milliseconds."""


def kept(target: str) -> Iterator[tuple[str, bytes]]:
    """Yield each input the corpus keeps for a target."""
    with zipfile.ZipFile(CORPUS / f"{target}.zip") as archive:
        for name in archive.namelist():
            yield name, archive.read(name)


@pytest.mark.parametrize(
    ("target", "check"), [("ligolw", oracles.check_file), ("alerts", oracles.check_alert)]
)
def test_the_kept_corpus_passes(
    target: str, check: Callable[[bytes, Path], object], tmp_path: Path
) -> None:
    failed, count = {}, 0
    for name, content in kept(target):
        count += 1
        start = time.process_time()
        try:
            check(content, tmp_path)
        except Exception as error:  # noqa: BLE001  (all that fail are named)
            failed[name] = repr(error)
        if time.process_time() - start > LONGEST_S:
            failed[name] = "takes too long"
    assert not failed
    assert count >= 10
