"""Loud triggers of every chirp mass get the class that the mass plane gives them.

On a model fitted to uploads that this test makes: noise of all masses, and as signals forty heavy
binaries. Of neutron stars it has seen none, so that nothing but the plane can tell them.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from spiir_pastro.domain import Candidates, MassBoundaries
from spiir_pastro.io.artifact import ModelArtifact
from spiir_pastro.io.distance_tables import read_distances
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.models.pastro import PastroModel, Predictions
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import from_uploads

Floats = NDArray[np.float64]

MASS_RATIO = 0.8
"""Of the templates that are scanned."""


@pytest.fixture(scope="module", params=["with", "without"])
def artifact(
    request: pytest.FixtureRequest,
    uploads: tuple[Path, Path],
    distances: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> ModelArtifact:
    """Templates whose mass ratios are known, as those of files are, or not, as those of GraceDB."""
    path, known = uploads
    if request.param == "with":
        table = pl.read_csv(path)
        ratio = np.random.default_rng(22).uniform(0.1, 1, table.height)
        eta = ratio / (1 + ratio) ** 2
        path = tmp_path_factory.mktemp("scan") / "uploads.csv"
        table.with_columns(mtotal_det=pl.col("mchirp") * eta**-0.6).write_csv(path)
    settings = FitSettings()
    training = from_uploads(path, known_events_path=known, settings=settings)
    return fit(training, read_distances(distances), settings=settings)


def scan(model: PastroModel, mchirp: list[float]) -> Predictions:
    m = np.array(mchirp)
    eta = MASS_RATIO / (1 + MASS_RATIO) ** 2
    return model.predict(
        Candidates(
            far_hz=np.full(m.size, 1e-12),
            snr=np.full(m.size, 15.0),
            mchirp_det=m,
            eff_distance_mpc=np.full((m.size, 4), np.nan),
            mtotal_det=m * eta**-0.6,
            n_detectors=np.full(m.size, 2.0),
        )
    )


def test_neutron_stars_are_neutron_stars_whatever_was_counted(artifact: ModelArtifact) -> None:
    bns, _, bbh, _ = scan(artifact.model, [1.0, 1.1, 1.188, 1.3, 1.4]).probabilities.T
    assert (bns >= 0.98).all()
    assert (bbh <= 0.005).all()
    bns, _, bbh, _ = scan(artifact.model, [0.87, 1.6]).probabilities.T
    assert (bns >= 0.9).all()
    assert (bbh <= 0.01).all()


def test_heavy_binaries_are_black_holes(artifact: ModelArtifact) -> None:
    said = scan(artifact.model, [15.0, 20.0, 30.0, 45.0, 60.0, 90.0])
    assert (said.probabilities[:, 2] >= 0.99).all()


@pytest.mark.parametrize("mchirp", [1e-300, 0.3, 201.0])
def test_what_no_template_has_gets_no_number_and_a_note(
    artifact: ModelArtifact, mchirp: float
) -> None:
    said = scan(artifact.model, [mchirp, 10.0])
    assert np.isnan(said.probabilities[0]).all()
    assert said.notes.tolist() == ["chirp mass outside the bank's 0.8 to 200 solar masses", ""]


def test_a_hundred_times_the_black_holes_leave_a_neutron_star_one(artifact: ModelArtifact) -> None:
    counts = artifact.model.counts
    factor = np.array([1.0, 1.0, 100.0, 1.0])
    more = replace(counts, mean=counts.mean * factor[:-1], draws=counts.draws * factor)
    said = scan(replace(artifact.model, counts=more), [1.188])
    assert said.probabilities[0, 0] >= 0.98


def test_a_template_of_very_unequal_masses_is_no_binary_black_hole(
    artifact: ModelArtifact, request: pytest.FixtureRequest
) -> None:
    """Of 25.8 + 1.1 solar masses; one of 4.6 + 4.4 is rather BBH than NSBH."""
    if "without" in request.node.name:
        pytest.skip("no mass ratio was there to learn from")
    heavy, light = np.array([25.8, 4.6]), np.array([1.1, 4.4])
    said = artifact.model.predict(
        Candidates(
            far_hz=np.full(2, 1e-12),
            snr=np.full(2, 15.0),
            mchirp_det=(heavy * light) ** 0.6 / (heavy + light) ** 0.2,
            eff_distance_mpc=np.full((2, 4), np.nan),
            mtotal_det=heavy + light,
        )
    )
    _, nsbh, bbh, _ = said.probabilities.T
    assert nsbh[0] > 10 * bbh[0]
    assert bbh[1] > nsbh[1]


def test_the_border_between_star_and_hole_lies_where_it_is_put(
    uploads: tuple[Path, Path], distances: Path
) -> None:
    path, known = uploads
    settings = FitSettings(boundaries=MassBoundaries(ns_max=2.0))
    training = from_uploads(path, known_events_path=known, settings=settings)
    light = fit(training, read_distances(distances), settings=settings).model
    bns = scan(light, [1.188, 2.0, 2.2]).probabilities[:, 0]
    # Two stars of 2 solar masses have a chirp mass of 1.74; as far as any is heard, 1.9.
    assert bns[0] >= 0.98
    assert (bns[1:] < 0.02).all()
    usual = FitSettings()
    training = from_uploads(path, known_events_path=known, settings=usual)
    model = fit(training, read_distances(distances), settings=usual).model
    assert scan(model, [2.0]).probabilities[0, 0] > 0.1
