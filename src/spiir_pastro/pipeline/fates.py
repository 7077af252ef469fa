"""What became of every staged row: each has exactly one fate."""

from collections import Counter
from enum import StrEnum

import polars as pl


class Fate(StrEnum):
    """Why a row is where it is, in the order the rules are applied."""

    REJECTED = "rejected"
    OUTSIDE_SPAN = "outside the run's span"
    TWIN_ONLY = "of a twin, used only to recognise noise"
    NEAR_KNOWN_MERGER = "near a known merger"
    HIDDEN = "hidden by a more significant one"
    NOT_COINCIDENT = "coincides with no injection"
    IN_TWIN = "stands in the twin run too"
    SECOND_BEST = "not the best of its injection"
    BACKGROUND = "kept as background"
    FOREGROUND = "kept as foreground"


Fates = Counter[tuple[str, Fate]]
"""Rows by run and fate."""


def count_fate(rows: pl.DataFrame, fate: Fate) -> Fates:
    """Give rows, which have a column ``run``, one fate."""
    return Counter({(run, fate): n for run, n in rows.group_by("run").len().iter_rows()})


def count_taken(before: pl.DataFrame, after: pl.DataFrame, fate: Fate) -> Fates:
    """Give a fate to the rows that a rule took."""
    return count_fate(before, fate) - count_fate(after, fate)
