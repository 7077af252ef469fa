"""What stands in a folder, to compare it with another."""

from pathlib import Path

__all__ = ["tree"]


def tree(folder: Path) -> dict[str, bytes]:
    """Everything in a folder that must be reproducible, by path below it."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("timings.jsonl", ".lock")
    }
