"""Where neutron stars end and black holes begin, in source-frame solar masses."""

import itertools
import math
from dataclasses import dataclass
from enum import StrEnum

from spiir_pastro.errors import ConfigError


class Body(StrEnum):
    """What a component is, by its mass."""

    STAR = "N"
    GAP = "G"
    HOLE = "B"


class Region(StrEnum):
    """A part of the mass plane: what the components are, of neutron star, gap and black hole."""

    BNS = "BNS"
    GNS = "GNS"
    NSBH = "NSBH"
    GG = "GG"
    BHG = "BHG"
    BBH = "BBH"

    @property
    def secondary(self) -> Body:
        """The lighter component."""
        return _COMPONENTS[self][0]

    @property
    def primary(self) -> Body:
        """The heavier component."""
        return _COMPONENTS[self][1]


_COMPONENTS = {  # secondary and primary
    Region.BNS: (Body.STAR, Body.STAR),
    Region.GNS: (Body.STAR, Body.GAP),
    Region.NSBH: (Body.STAR, Body.HOLE),
    Region.GG: (Body.GAP, Body.GAP),
    Region.BHG: (Body.GAP, Body.HOLE),
    Region.BBH: (Body.HOLE, Body.HOLE),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class MassBoundaries:
    """Cuts of the (m1 >= m2) plane into BNS, NSBH, BBH and, if wanted, a mass gap.

    Attributes
    ----------
    m_min, m_max
        Smallest secondary and largest primary mass considered, in solar masses.
    ns_max
        A component up to this mass is a neutron star.
    gap_max
        Components between ``ns_max`` and this are in the mass gap; None for no gap.

    Raises
    ------
    ConfigError
        If the masses are not finite, positive and increasing.
    """

    m_min: float = 1.0
    ns_max: float = 3.0
    gap_max: float | None = None
    m_max: float = 45.0

    def __post_init__(self) -> None:
        gap = () if self.gap_max is None else (self.gap_max,)
        edges = (self.m_min, self.ns_max, *gap, self.m_max)
        increasing = all(a < b for a, b in itertools.pairwise(edges))
        if not (all(math.isfinite(edge) for edge in edges) and edges[0] > 0 and increasing):
            raise ConfigError(
                "mass boundaries must satisfy 0 < m_min < ns_max [< gap_max] < m_max, "
                f"not m_min={self.m_min}, ns_max={self.ns_max}, gap_max={self.gap_max}, "
                f"m_max={self.m_max} (solar masses)"
            )
