"""Which triggers count: clustering, injection matching, decontamination; columnar and pure."""

from spiir_pastro.selection.clustering import cluster
from spiir_pastro.selection.decontamination import TwinTolerance, remove_twin_noise, split_near
from spiir_pastro.selection.matching import Matches, coincident_injection, match_injections

__all__ = [
    "Matches",
    "TwinTolerance",
    "cluster",
    "coincident_injection",
    "match_injections",
    "remove_twin_noise",
    "split_near",
]
