r"""A table of distances as BAYESTAR would give them, but drawn from a formula.

BAYESTAR's posterior mean over the smallest effective distance falls from 0.98 near SNR 8 to 0.72
above 12 with a scatter of 0.2; its standard deviation over its mean is 0.29 at SNR 10.5 and falls
as SNR^-0.32 (312 events with H1, L1 and V1, O3-like noise curves). So here

    mean = D_eff,min (0.72 + 0.29 exp(-(snr - 8)/2)) exp(0.2 N(0,1)),
    std  = 0.29 (snr/10.5)^-0.32 mean exp(0.15 N(0,1)).

It serves to test a distance fit, and is no evidence about distances.
"""

import numpy as np
import polars as pl

from spiir_pastro.domain import Source
from spiir_pastro.simulation.bank import TemplateGroup
from spiir_pastro.simulation.campaign import Campaign
from spiir_pastro.simulation.config import stream
from spiir_pastro.simulation.detections import Detections, postcoh_frame
from spiir_pastro.simulation.triggers import recover

_LARGEST_FAR_HZ = 3e-4


def draw_distances(campaign: Campaign) -> pl.DataFrame:
    """Return one row for each injection found with a FAR below 3e-4 Hz, its best trigger's.

    Returns
    -------
    DataFrame
        ``source_class, mass1, mass2, mchirp_det, snr_net, snr_*, deff_*, true_distance,
        bayestar_distance_mean, bayestar_distance_std, event, ifos``: masses and chirp mass as
        recovered, distances in Mpc, null for a detector that took no part.
    """
    parts = [_best_triggers(campaign, bank) for bank in campaign.injections]
    table = pl.concat(parts)
    rng = stream(campaign.config.seed, "distances")
    snr = table["snr_net"].to_numpy()
    nearest = table.select(pl.min_horizontal("^deff_.*$")).to_series().to_numpy()
    ratio = 0.72 + 0.29 * np.exp(-(snr - 8) / 2)
    mean = nearest * ratio * np.exp(0.2 * rng.standard_normal(snr.size))
    std = 0.29 * (snr / 10.5) ** -0.32 * mean * np.exp(0.15 * rng.standard_normal(snr.size))
    return table.with_columns(
        bayestar_distance_mean=pl.Series(mean), bayestar_distance_std=pl.Series(std)
    )


def _best_triggers(campaign: Campaign, bank: Source) -> pl.DataFrame:
    signals, config = campaign.injections[bank], campaign.config
    rows = pl.concat(
        [
            _rows(recover(signals, group, config), group, campaign)
            for group in campaign.chain
            if group.bank is bank
        ]
    )
    best = (
        rows.filter(pl.col("rate") < _LARGEST_FAR_HZ)
        .sort("event", "rate")
        .unique("event", keep="first", maintain_order=True)
    )
    distance = signals.binaries.distance_mpc[best["event"].to_numpy()]
    return best.select(
        pl.lit(str(bank)).alias("source_class"),
        "mass1",
        "mass2",
        pl.col("mchirp").alias("mchirp_det"),
        pl.col("cohsnr").alias("snr_net"),
        *(_known(f"snglsnr_{ifo}", ifo).alias(f"snr_{ifo}") for ifo in config.network),
        *(_known(f"deff_{ifo}", ifo) for ifo in config.network),
        pl.Series("true_distance", distance),
        "event",
        "ifos",
    )


def _rows(found: Detections, group: TemplateGroup, campaign: Campaign) -> pl.DataFrame:
    return postcoh_frame(found, group, campaign.config, first_id=0).with_columns(
        event=pl.Series(found.origin_id), rate=pl.Series(found.far_hz(group))
    )


def _known(column: str, ifo: str) -> pl.Expr:
    return pl.when(pl.col("ifos").str.contains(ifo)).then(pl.col(column)).alias(column)
