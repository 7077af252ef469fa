"""Read the table of horizon distances that comes with the package."""

from functools import cache
from importlib.resources import files

from spiir_pastro.models.horizon import Horizons


@cache
def read_horizons() -> Horizons:
    """Return what ``tools/tabulate_horizons.py`` made: IMRPhenomD; O3 and O4; H1, L1, V1 and K1."""
    table = files("spiir_pastro.io") / "data" / "horizons.csv"
    return Horizons.parse(table.read_text(encoding="utf-8"))
