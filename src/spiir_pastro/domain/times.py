"""Lengths of time, by unit: GPS times are integer nanoseconds, livetimes seconds or years."""

SECOND_NS = 1_000_000_000

DAY_S = 86_400.0

YEAR_S = 365.25 * DAY_S
"""The Julian year."""
