"""A SPIIR campaign whose truth is known."""

from spiir_pastro.simulation.binaries import is_detectable
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
from spiir_pastro.simulation.localised import draw_distances

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
