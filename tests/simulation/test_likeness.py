"""Simulated noise beside SPIIR's own uploads, as one who doubts it would look."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from scipy import stats
from scipy.spatial import KDTree
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from spiir_pastro.domain import Source
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.selection.clustering import cluster
from spiir_pastro.selection.uploads import select_uploads
from spiir_pastro.simulation import (
    CampaignConfig,
    build_campaign,
    draw_candidates,
    merger_frame,
)

FAR_MAX_HZ = 3e-4
VARIABLES = ["far_hz", "snr", "mchirp_det"]

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def real(real_data: Path) -> pl.DataFrame:
    """Noise candidates of O3a, without any that a catalogue knows."""
    triggers = read_triggers(real_data / "spiir" / "gracedb_triggers_o1_o3a.csv").triggers
    chosen = select_uploads(triggers, read_known_events(), far_threshold_hz=FAR_MAX_HZ)
    return chosen.candidates.filter(pl.col("known_event").is_null())


@pytest.fixture(scope="module")
def simulated() -> pl.DataFrame:
    config = CampaignConfig(
        seed=23,
        days=140,
        far_max_hz=FAR_MAX_HZ,
        mergers_per_day={},
        injection_interval_s=1e7,
        unassigned_s=0,
    )
    drawn = draw_candidates(config).with_columns(
        event_id=pl.format("{}-{}-{}", "bank", "group", "event_id"),
        far_hz="far",
        snr="cohsnr",
        mchirp_det="mchirp",
    )
    return cluster(drawn)


def auc(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    x, y = np.concatenate([one, other]), np.repeat([0, 1], [len(one), len(other)])
    folds = StratifiedKFold(4, shuffle=True, random_state=0)
    model = GradientBoostingClassifier(n_estimators=60, random_state=0)
    p = cross_val_predict(model, x, y, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(y, p))


def test_a_classifier_hardly_tells_simulated_noise_from_real(
    real: pl.DataFrame, simulated: pl.DataFrame
) -> None:
    """The two halves of O3a tell themselves apart with .52; noise twice as loud is told with .9."""
    one, other = (np.log(t.select(VARIABLES).to_numpy()) for t in (real, simulated))
    assert auc(one, other) < 0.58
    for column in range(len(VARIABLES)):
        assert auc(one[:, [column]], other[:, [column]]) < 0.57
    other[:, 1] += np.log(2)
    assert auc(one, other) > 0.9


def test_detectors_and_loud_glitches_come_as_often_as_real(
    real: pl.DataFrame, simulated: pl.DataFrame
) -> None:
    """Each test has 1 false alarm in 10^3."""
    for chosen in (
        *(pl.col("ifos") == ifos for ifos in ("H1L1", "H1L1V1", "L1V1", "H1V1")),
        pl.col("snr") > 12,
        (pl.col("snr") > 15) & (pl.col("mchirp_det") > 4),
    ):
        counts = [[t.filter(chosen).height, t.filter(~chosen).height] for t in (real, simulated)]
        assert stats.fisher_exact(np.array(counts)).pvalue > 1e-3


def test_mergers_have_fars_as_real_ones_at_their_snr_and_mass(real_data: Path) -> None:
    """Each known merger among its simulated neighbours; each test has 1 false alarm in 10^2.

    25 mergers see a shift of three decades, hardly one of two.
    """
    known = select_uploads(
        read_triggers(real_data / "spiir" / "gracedb_triggers_o1_o3a.csv").triggers,
        read_known_events(),
        far_threshold_hz=FAR_MAX_HZ,
    ).candidates.filter("is_known")
    ours = best_mergers()
    scale = (0.05, 0.35)  # in ln SNR and ln chirp mass: what counts as near
    tree = KDTree(np.log(ours.select("snr", "mchirp_det").to_numpy()) / scale)
    _, near = tree.query(np.log(known.select("snr", "mchirp_det").to_numpy()) / scale, k=100)
    far = ours["far_hz"].to_numpy()[near]
    below = (far < known["far_hz"].to_numpy()[:, None]).mean(axis=1)
    assert stats.kstest(below, "uniform").pvalue > 0.01
    for shift in (1e-3, 1e3):
        shifted = (shift * far < known["far_hz"].to_numpy()[:, None]).mean(axis=1)
        assert stats.kstest(shifted, "uniform").pvalue < 0.01
    uploads = ours["uploads"].to_numpy()
    assert stats.binomtest(2, 25, float((uploads == 1).mean())).pvalue > 0.01  # 2 of 25 in O3a
    assert stats.binomtest(10, 25, float((uploads > 3).mean())).pvalue > 0.01  # and 10 of 25


def best_mergers() -> pl.DataFrame:
    """Return the most significant trigger of each simulated BBH that a catalogue lists."""
    config = CampaignConfig(
        seed=24,
        days=200,
        far_max_hz=FAR_MAX_HZ,
        mergers_per_day={Source.BBH: 40.0},
        injection_interval_s=1e7,
        unassigned_s=0,
    )
    listed = merger_frame(build_campaign(config)).select(origin_id="merger_id")
    found = draw_candidates(config).filter(pl.col("origin") == "merger")
    return (
        found.sort("far")
        .group_by("origin_id", maintain_order=True)
        .agg(
            far_hz=pl.first("far"),
            snr=pl.first("cohsnr"),
            mchirp_det=pl.first("mchirp"),
            uploads=pl.len(),
        )
        .join(listed, on="origin_id")
    )
