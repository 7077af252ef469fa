"""Crash a command after each of its file operations, and give it again.

The command runs once unbroken; then, for each operation, once to a crash after it and once to a
crash in its middle, and again. What stands in its folder must then be the same, to the byte. Each
run is a forked process, so that what takes long, the imports, is done once; ``operations.so`` must
be preloaded.
"""

import ctypes
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from tree import tree

__all__ = ["CRASHED", "crashes", "run"]

CRASHED = 99


def crashes(
    folder: Path,
    command: Callable[[], object],
    *,
    every: int = 1,
    check: Callable[[], object] | None = None,
) -> int:
    """Crash a command after each operation; return how many crashes there were.

    Parameters
    ----------
    folder
        What it works in, absolute.
    command
        What to do.
    every
        Which of the operations.
    check
        Must not raise on what a crash left.
    """
    sys.stdout.flush()
    kept = folder.with_name(f"{folder.name}.kept")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept)
    assert run(command) == 0, "the command fails unbroken"
    whole = tree(folder)
    number = 0
    for at in range(1, sys.maxsize, every):
        codes = set()
        for in_the_middle in (False, True):
            shutil.rmtree(folder)
            shutil.copytree(kept, folder)
            code = run(command, folder=folder, at=at, in_the_middle=in_the_middle)
            assert code in (0, CRASHED), f"operation {at}: ended with {code}"
            codes.add(code)
            if check is not None:
                assert run(check) == 0, f"operation {at}: what the crash left is not refused"
            assert run(command) == 0, f"operation {at}: cannot be given again"
            _compare(tree(folder), whole, at)
            number += code == CRASHED
        if codes == {0}:
            break
    shutil.rmtree(kept)
    return number


def _compare(found: dict[str, bytes], whole: dict[str, bytes], at: int) -> None:
    other = sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))
    assert not other, f"operation {at}: {other[:5]} differ"


def run(
    command: Callable[[], object],
    *,
    folder: Path | None = None,
    at: int = 0,
    in_the_middle: bool = False,
) -> int:
    """Run in a process of its own; return its exit code."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code = 1
    try:
        if folder is not None:
            library = ctypes.CDLL(os.environ["LD_PRELOAD"])
            library.crash_begin(f"{folder}/".encode(), ctypes.c_long(at), int(in_the_middle))
        command()
        code = 0
    except BaseException as error:  # noqa: BLE001  (whatever it is, this process ends here)
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    finally:
        sys.stdout.flush()
        os._exit(code)
