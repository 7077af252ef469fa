"""A SPIIR campaign whose truth is known."""

from spiir_pastro.simulation.campaign import Campaign, build_campaign, draw_candidates
from spiir_pastro.simulation.catalogues import injection_frame, merger_frame
from spiir_pastro.simulation.config import NETWORK, CampaignConfig
from spiir_pastro.simulation.distances import draw_distances
from spiir_pastro.simulation.population import comoving_volume_gpc3

__all__ = [
    "NETWORK",
    "Campaign",
    "CampaignConfig",
    "build_campaign",
    "comoving_volume_gpc3",
    "draw_candidates",
    "draw_distances",
    "injection_frame",
    "merger_frame",
]
