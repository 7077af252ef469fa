"""What a command's exit code means: a closed set, the same for every command."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    INCOMPLETE = 3
    INTERRUPTED = 130

    @property
    def meaning(self) -> str:
        """What a script reads from it."""
        return _MEANINGS[self]


_MEANINGS = {
    ExitCode.DONE: "done",
    ExitCode.REFUSED: "an error; one line on stderr names what, where and the remedy",
    ExitCode.USAGE: "the command line is wrong; nothing was done",
    ExitCode.INCOMPLETE: "something is missing: extract or replay left something behind, process "
    "found files missing, stale or damaged and wrote nothing, or report --gate found a worse model",
    ExitCode.INTERRUPTED: "interrupted by Ctrl-C",
}
