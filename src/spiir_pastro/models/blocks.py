"""Rows block after block, on every core.

Threads do: NumPy and Polars leave the interpreter to others while they work on a block.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

Given = TypeVar("Given")
Made = TypeVar("Made")

BLOCK_ROWS = 32_768
"""Rows at once of a long table: a few tens of MB with all that is worked out for them."""

_BLOCKS_AHEAD = 2
"""Taken for each worker before they are needed: none waits for the disk, and no more is held."""


def row_blocks(rows: int) -> Iterator[slice]:
    """Cut rows into blocks; of no rows there is one, which is empty."""
    return (slice(start, start + BLOCK_ROWS) for start in range(0, max(rows, 1), BLOCK_ROWS))


def in_order(
    work: Callable[[Given], Made], items: Iterable[Given], *, workers: int | None = None
) -> Iterator[tuple[Given, Made]]:
    """Yield items with what is made of them, in their order, whatever the number of workers.

    Parameters
    ----------
    work
        Makes it.
    items
        Taken as they are needed.
    workers
        Threads; one for each core if not given.
    """
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415  (slow to load)

    count = workers or len(os.sched_getaffinity(0))
    waiting: deque[tuple[Given, Future[Made]]] = deque()

    def first() -> tuple[Given, Made]:
        item, made = waiting.popleft()
        return item, made.result()

    with ThreadPoolExecutor(count) as pool:
        try:
            for item in items:
                waiting.append((item, pool.submit(work, item)))
                if len(waiting) >= _BLOCKS_AHEAD * count:
                    yield first()
            while waiting:
                yield first()
        finally:
            pool.shutdown(cancel_futures=True)
