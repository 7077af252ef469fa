"""Sides that take turns on the same input, and how much longer one takes than another."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

__all__ = ["Times", "race"]


@dataclass(frozen=True)
class Times:
    """Wall and processor seconds of one side, an entry a round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @property
    def best_wall(self) -> float:
        """Least wall seconds: what the work takes where nothing else is in the way."""
        return min(self.wall)

    @property
    def best_cpu(self) -> float:
        """Least processor seconds."""
        return min(self.cpu)

    def over(self, other: "Times") -> str:
        """Say how many times as long as the other this took: median and range over the rounds."""
        ratios = np.divide(self.wall, other.wall)
        return f"{_brief(np.median(ratios))} ({_brief(ratios.min())} to {_brief(ratios.max())})"


def race(sides: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Times]:
    """Call each side once a round, after a round that does not count."""
    times = {name: Times() for name in sides}
    for number in range(rounds + 1):
        for name, side in sides.items():
            wall, cpu = time.perf_counter(), time.process_time()
            side()
            if number:
                times[name].wall.append(time.perf_counter() - wall)
                times[name].cpu.append(time.process_time() - cpu)
    return times


def _brief(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 100 else f"{ratio:,.0f}"
