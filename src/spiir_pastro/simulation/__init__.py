"""A SPIIR campaign whose truth is known."""

from spiir_pastro.simulation.campaign import Campaign, build_campaign, draw_candidates
from spiir_pastro.simulation.catalogues import injection_frame, merger_frame
from spiir_pastro.simulation.config import NETWORK, SIMULATED, CampaignConfig
from spiir_pastro.simulation.distances import draw_distances

__all__ = [
    "NETWORK",
    "SIMULATED",
    "Campaign",
    "CampaignConfig",
    "build_campaign",
    "draw_candidates",
    "draw_distances",
    "injection_frame",
    "merger_frame",
]
