"""A SPIIR campaign whose truth is known."""

from spiir_pastro.simulation.campaign import Campaign, build_campaign, draw_candidates
from spiir_pastro.simulation.catalogues import injection_frame, merger_frame
from spiir_pastro.simulation.config import (
    DETECTORS,
    NETWORK,
    SENSITIVITIES,
    SIMULATED,
    CampaignConfig,
    Sensitivity,
)
from spiir_pastro.simulation.distances import draw_distances
from spiir_pastro.simulation.population import is_detectable

__all__ = [
    "DETECTORS",
    "NETWORK",
    "SENSITIVITIES",
    "SIMULATED",
    "Campaign",
    "CampaignConfig",
    "Sensitivity",
    "build_campaign",
    "draw_candidates",
    "draw_distances",
    "injection_frame",
    "is_detectable",
    "merger_frame",
]
