"""A part of the time that candidates are taken from."""

from dataclasses import dataclass

import polars as pl

from spiir_pastro.domain.times import SECOND_NS
from spiir_pastro.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class During:
    """From a GPS second on, and before another; None for no end.

    ConfigError if it ends before it begins.
    """

    since_s: float | None = None
    until_s: float | None = None

    def __post_init__(self) -> None:
        if self.since_s is not None and self.until_s is not None and self.since_s >= self.until_s:
            raise ConfigError(f"no time lies from GPS {self.since_s} on and before {self.until_s}")

    def holds(self, time: str) -> pl.Expr:
        """Tell whether a column of GPS nanoseconds lies in it."""
        inside = pl.lit(value=True)
        if self.since_s is not None:
            inside &= pl.col(time) >= round(self.since_s * SECOND_NS)
        if self.until_s is not None:
            inside &= pl.col(time) < round(self.until_s * SECOND_NS)
        return inside

    def of(self, candidates: pl.DataFrame) -> pl.DataFrame:
        """Return the candidates of that time; ConfigError if there were some, and none is left."""
        inside = candidates.filter(self.holds("gps_ns"))
        if inside.is_empty() and not candidates.is_empty():
            times = candidates["gps_ns"].to_numpy() / SECOND_NS
            raise ConfigError(
                f"no candidate lies between GPS {self.since_s} and {self.until_s}; those given lie "
                f"between {times.min():.0f} and {times.max():.0f}"
            )
        return inside


ALWAYS = During()
