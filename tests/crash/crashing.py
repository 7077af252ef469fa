"""Crash a command after each of its file operations, and give it again.

The command runs once unbroken; then, for each operation, once to a crash after it and, of a write,
once more to a crash in its middle; each crash is followed by the same command. What stands in its
folder must then be the same, to the byte, and between the two a reader must have refused what the
crash left, or read all of the earlier result or all of the new. Each run is a forked process, so
that what takes long, the imports, is done once; ``operations.so`` must be preloaded.
"""

import ctypes
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tree import tree

__all__ = ["Tally", "crashes", "run"]

_CRASHED, _CRASHED_WRITING = 99, 98


@dataclass
class Tally:
    """What was done: crashes in the middle of a write among all, and what was then read."""

    operations: int = 0
    crashes: int = 0
    torn: int = 0
    read: dict[str, int] = field(default_factory=lambda: {"earlier": 0, "new": 0, "refused": 0})

    def __str__(self) -> str:
        """One line."""
        read = ", ".join(f"{count} {what}" for what, count in self.read.items())
        return (
            f"{self.operations} operations, {self.crashes} crashes ({self.torn} of them in the "
            f"middle of a write); what they left was read as: {read}"
        )


def crashes(
    folder: Path,
    command: Callable[[], object],
    *,
    every: int = 1,
    reading: Callable[[], str | None],
) -> Tally:
    """Crash a command after each operation.

    Parameters
    ----------
    folder
        What it works in, absolute.
    command
        What to do.
    every
        Which of the operations.
    reading
        Says all that the next stage reads of the folder, None where it refuses.
    """
    sys.stdout.flush()
    tally, kept = Tally(), folder.with_name(f"{folder.name}.kept")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(folder, kept)
    earlier = _read(reading)
    assert run(command) == 0, "the command fails unbroken"
    whole, new = tree(folder), _read(reading)
    assert new not in {None, earlier}, "no other result than what stood there"
    at, code, in_the_middle = 1, _CRASHED, False
    while True:
        shutil.rmtree(folder)
        shutil.copytree(kept, folder)
        code = run(command, folder=folder, at=at, in_the_middle=in_the_middle)
        if code == 0:
            break
        assert code in {_CRASHED, _CRASHED_WRITING}, f"operation {at}: ended with {code}"
        left = _read(reading)
        assert left in {None, earlier, new}, f"operation {at}: a mixture is read"
        tally.read["refused" if left is None else "new" if left == new else "earlier"] += 1
        assert run(command) == 0, f"operation {at}: cannot be given again"
        _compare(tree(folder), whole, at)
        tally.crashes += 1
        tally.torn += in_the_middle
        in_the_middle = code == _CRASHED_WRITING and not in_the_middle
        if not in_the_middle:
            tally.operations = at
            at += every
    shutil.rmtree(kept)
    return tally


def _compare(found: dict[str, bytes], whole: dict[str, bytes], at: int) -> None:
    other = sorted(name for name in {*found, *whole} if found.get(name) != whole.get(name))
    assert not other, f"operation {at}: {other[:5]} differ"


def _read(reading: Callable[[], str | None]) -> str | None:
    """Read in a process of its own: Polars must not have worked in one that forks."""
    with tempfile.NamedTemporaryFile() as said:

        def say() -> None:
            found = reading()
            Path(said.name).write_bytes(b"" if found is None else found.encode())

        assert run(say) == 0, "what the crash left is neither read nor refused"
        return said.read().decode() or None


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
