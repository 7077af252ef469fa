"""Draw the class scan of the model's page: chirp mass against the probability of each class.

::

    python docs/class_scan.py uploads.json campaign.json

Each model is asked about loud triggers (FAR 1e-12 Hz, SNR 15, template mass ratio 0.8) over the
whole axis; the events of the catalogues stand as points, put as triggers at their own chirp and
total mass, in the colour of the class of their masses and at the probability of that class.
"""

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import polars as pl
from matplotlib.axes import Axes

from spiir_pastro.domain import ASTROPHYSICAL, SOURCE_COLOURS, Candidates
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.models.pastro import PastroModel
from spiir_pastro.report.style import house_style

INTO = Path(__file__).parent / "explanation" / "class_scan.svg"
MTOTAL_OVER_MCHIRP = 2.31
"""Of a mass ratio of 0.8."""


def main(uploads: Path, campaign: Path) -> None:
    """Draw both models' scans."""
    mchirp = np.geomspace(0.82, 150, 400)
    with house_style():
        drawing, axes = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
        for path, line in ((uploads, "-"), (campaign, "--")):
            shares = _classes(load_model(path).model, mchirp, MTOTAL_OVER_MCHIRP * mchirp)
            for k, source in enumerate(ASTROPHYSICAL):
                label = str(source) if line == "-" else None
                axes.plot(mchirp, shares[:, k], line, color=SOURCE_COLOURS[source], label=label)
        _draw_catalogue(axes, load_model(uploads).model)
        axes.set(
            xscale="log",
            xlabel="chirp mass of the template, detector frame (solar masses)",
            ylabel="probability of the class",
            ylim=(-0.03, 1.03),
        )
        axes.set_xticks([1, 2, 5, 10, 20, 50, 100], labels=["1", "2", "5", "10", "20", "50", "100"])
        axes.legend(loc="center right", frameon=False)
        drawing.savefig(INTO, metadata={"Date": None})


def _classes(model: PastroModel, mchirp: np.ndarray, mtotal: np.ndarray) -> np.ndarray:
    n = mchirp.size
    loud = Candidates(
        far_hz=np.full(n, 1e-12),
        snr=np.full(n, 15.0),
        mchirp_det=mchirp,
        mtotal_det=mtotal,
        eff_distance_mpc=np.full((n, 4), np.nan),
    )
    return model.predict(loud, intervals=False).probabilities[:, :-1]


def _draw_catalogue(axes: Axes, model: PastroModel) -> None:
    events = read_known_events().drop_nulls(["mass1_source", "mass2_source", "mchirp_det"])
    masses = [pl.col("mass1_source"), pl.col("mass2_source")]
    source = (masses[0] * masses[1]) ** 0.6 / (masses[0] + masses[1]) ** 0.2
    events = events.with_columns(mtotal=(masses[0] + masses[1]) * pl.col("mchirp_det") / source)
    shares = _classes(model, events["mchirp_det"].to_numpy(), events["mtotal"].to_numpy())
    for k, name in enumerate(ASTROPHYSICAL):
        mine = (events["source_class"] == str(name)).to_numpy()
        axes.plot(
            events["mchirp_det"].to_numpy()[mine], shares[mine, k], "o", markersize=3.5,
            color=SOURCE_COLOURS[name], alpha=0.7, markeredgecolor="white", markeredgewidth=0.4,
        )  # fmt: skip


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
