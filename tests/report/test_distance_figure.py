"""The residual figure says the scatter of what it shows."""

from pathlib import Path

import numpy as np

import distance_figure
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.models.distance_fit import Estimator, hold_out_residuals


def test_titles_say_the_held_out_scatter() -> None:
    events = read_distances(CAMPAIGN)
    shown: tuple[Estimator, ...] = ("pycbc", "faint", "network")
    figure = distance_figure.distance_residuals_figure(events, estimators=shown)
    for axes, name in zip(figure.axes, shown, strict=True):
        residuals = hold_out_residuals(*events.columns, estimator=name)
        assert f"{np.sqrt(np.mean(residuals**2)):.3f}" in axes.get_title(loc="left")


def test_the_figure_can_be_written(tmp_path: Path) -> None:
    distance_figure.main([str(tmp_path / "residuals")])
    assert (tmp_path / "residuals.png").stat().st_size > 10_000
