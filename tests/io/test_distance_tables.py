"""Tables of localised events, ours and SPIIR's."""

from pathlib import Path

import numpy as np
import pytest

from spiir_pastro.errors import TableError
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.models.distance_fit import fit_distance


def test_our_campaign_has_every_class_and_determines_the_richest_model() -> None:
    events = read_distances(CAMPAIGN)
    names, counts = np.unique(events.source_class[:306], return_counts=True)
    assert names.tolist() == ["BBH", "BNS", "NSBH"]
    assert np.ptp(counts) <= 1  # they take turns, before the rest of the plane
    rest = events.mchirp_det[306:]
    assert rest.size == 60
    assert rest.min() < 1.0
    assert rest.max() > 90.0
    model = fit_distance(*events.columns, estimator="best")
    plain = fit_distance(*events.columns)
    assert model.fit is not None
    assert plain.fit is not None
    assert model.fit.estimator == "network"
    assert model.fit.hold_out_scatter < plain.fit.hold_out_scatter


def test_spiirs_table_has_the_least_distance_only(tmp_path: Path) -> None:
    table = tmp_path / "o3.csv"
    table.write_text("graceid,cohsnr,min_dist,bay_dist,bay_std\nG1,12.8,1006.7,776.9,206.5\n")
    events = read_distances(table)
    np.testing.assert_array_equal(np.concatenate(events.columns), [12.8, 1006.7, 776.9, 206.5])
    assert events.source_class.tolist() == [""]


def test_a_detector_that_took_no_part_has_no_distance(tmp_path: Path) -> None:
    table = tmp_path / "campaign.csv"
    table.write_text(
        "snr_net,deff_L1,deff_H1,bayestar_distance_mean,bayestar_distance_std\n9,,300,200,60\n"
    )
    np.testing.assert_array_equal(
        read_distances(table).eff_distance, [[300, np.nan, np.nan, np.nan]]
    )


def test_a_table_that_cannot_be_read_says_where(tmp_path: Path) -> None:
    table = tmp_path / "bad.csv"
    table.write_text("cohsnr,min_dist,bay_dist,bay_std\n9,300,near,60\n")
    with pytest.raises(TableError, match=r"bad\.csv, line 2: bay_dist is 'near'"):
        read_distances(table)
    table.write_text("cohsnr,bay_dist,bay_std\n9,300,60\n")
    with pytest.raises(TableError, match="no column min_dist"):
        read_distances(table)
