"""Where neutron stars end and black holes begin, in source-frame solar masses."""

import itertools
import math
from dataclasses import dataclass

from spiir_pastro.errors import ConfigError

__all__ = ["MassBoundaries"]


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
