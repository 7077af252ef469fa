"""The four things a trigger can be, and how probable each is.

The names are those of GraceDB's ``p_astro.json`` and of the public alerts.
"""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

from spiir_pastro.errors import TriggerError

__all__ = ["ASTROPHYSICAL", "Source", "SourceProbabilities"]

_SUM_TOLERANCE = 1e-9


class Source(StrEnum):
    """What made a trigger: one of three kinds of binary, or noise."""

    BNS = "BNS"
    NSBH = "NSBH"
    BBH = "BBH"
    TERRESTRIAL = "Terrestrial"


ASTROPHYSICAL = (Source.BNS, Source.NSBH, Source.BBH)
"""The signal classes, in the order of every array's class axis; Terrestrial comes last."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceProbabilities:
    """Probabilities of the four sources, which sum to one.

    Raises
    ------
    TriggerError
        If one is outside [0, 1] or they do not sum to one.

    Examples
    --------
    >>> p = SourceProbabilities(bns=0.9, nsbh=0.05, bbh=0.0, terrestrial=0.05)
    >>> round(p.p_astro, 12)
    0.95
    >>> p.most_probable
    <Source.BNS: 'BNS'>
    """

    bns: float
    nsbh: float
    bbh: float
    terrestrial: float

    def __post_init__(self) -> None:
        values = self._in_order()
        for source, value in zip(Source, values, strict=True):
            if not 0.0 <= value <= 1.0:
                raise TriggerError(f"the probability of {source} is {value}, outside [0, 1]")
        total = math.fsum(values)
        if abs(total - 1.0) > _SUM_TOLERANCE:
            raise TriggerError(f"the four source probabilities sum to {total!r}, not to 1")

    @classmethod
    def from_mapping(cls, probabilities: dict[str, float]) -> Self:
        """Read GraceDB's form ``{"BNS": ..., "NSBH": ..., "BBH": ..., "Terrestrial": ...}``."""
        if set(probabilities) != set(Source):
            raise TriggerError(
                f"source probabilities are named {sorted(probabilities)}, "
                f"where {sorted(Source)} belong"
            )
        return cls(**{source.name.lower(): probabilities[source] for source in Source})

    @property
    def p_astro(self) -> float:
        """Probability of a signal of any class."""
        return min(math.fsum((self.bns, self.nsbh, self.bbh)), 1.0)

    @property
    def most_probable(self) -> Source:
        """The source with the largest probability; the first of equals."""
        return max(Source, key=dict(zip(Source, self._in_order(), strict=True)).__getitem__)

    def as_mapping(self) -> dict[str, float]:
        """Return GraceDB's form, the content of ``p_astro.json``."""
        return {str(source): p for source, p in zip(Source, self._in_order(), strict=True)}

    def _in_order(self) -> tuple[float, float, float, float]:
        return (self.bns, self.nsbh, self.bbh, self.terrestrial)
