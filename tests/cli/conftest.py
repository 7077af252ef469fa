"""A model file, for the commands that answer with one."""

from pathlib import Path

import pytest

from spiir_pastro.io.artifact import write_model
from spiir_pastro.io.distance_tables import read_distances
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import from_uploads


@pytest.fixture(scope="module")
def model(
    uploads: tuple[Path, Path], distances: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    settings = FitSettings()
    training = from_uploads(uploads[0], known_events_path=uploads[1], settings=settings)
    path = tmp_path_factory.mktemp("model") / "pastro.json"
    write_model(fit(training, read_distances(distances), settings=settings), path)
    return path
