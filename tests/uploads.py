"""Uploads drawn from a known mixture: noise uniform in FAR, known mergers with a power law."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from spiir_pastro.io.artifact import write_model
from spiir_pastro.io.distance_tables import read_distances
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import from_uploads


@pytest.fixture(scope="session")
def uploads(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """1500 noise triggers and 40 signals in O3b, and the known mergers among them."""
    rng = np.random.default_rng(20)
    noise, signals, start = 1500, 40, 1_260_000_000
    n = noise + signals
    is_signal = np.arange(n) >= noise
    log_far = np.where(is_signal, -rng.exponential(10, n), -rng.exponential(1, n))
    log_mchirp = np.where(is_signal, rng.normal(3, 0.4, n), rng.uniform(0, 2.5, n))
    seconds = start + 1000 * rng.permutation(n)
    table = pl.DataFrame(
        {
            "graceid": [f"G{i}" for i in range(n)],
            "ifos": "H1,L1",
            "end_time": seconds,
            "end_time_ns": 250_000_000,
            "snr": 8 * np.exp(np.where(is_signal, -0.05 * log_far, rng.normal(0, 0.1, n))),
            "mchirp": np.exp(log_mchirp),
            "far": 3e-4 * np.exp(log_far),
        }
    ).sample(fraction=1, shuffle=True, seed=1)
    folder = tmp_path_factory.mktemp("uploads")
    table.write_csv(folder / "uploads.csv")
    pl.DataFrame(
        {
            "name": [f"GW{i}" for i in range(signals)],
            "gps": seconds[is_signal] + 0.3,
            "mass1_source": 30.0,
            "mass2_source": 25.0,
        }
    ).write_csv(folder / "known.csv")
    return folder / "uploads.csv", folder / "known.csv"


@pytest.fixture(scope="session")
def distances(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A localisation campaign in which PyCBC's coefficients hold but for a tenth of scatter."""
    rng = np.random.default_rng(21)
    n = 90
    nearest, snr = rng.uniform(100, 2000, n), rng.uniform(8, 30, n)
    mean = 0.75 * nearest * rng.normal(1, 0.1, n)
    mchirp = np.repeat([1.3, 3.0, 25.0], n // 3) * rng.uniform(0.8, 1.25, n)
    path = tmp_path_factory.mktemp("distances") / "bayestar.csv"
    pl.DataFrame(
        {
            "source_class": np.repeat(["BNS", "NSBH", "BBH"], n // 3),
            "mchirp_det": mchirp,
            "snr": snr,
            "min_dist": nearest,
            "distance_mean": mean,
            "distance_std": 0.25 * mean,
        }
    ).write_csv(path)
    return path


@pytest.fixture(scope="module")
def model(
    uploads: tuple[Path, Path], distances: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A model file, fitted to the uploads."""
    settings = FitSettings()
    training = from_uploads(uploads[0], known_events_path=uploads[1], settings=settings)
    path = tmp_path_factory.mktemp("model") / "pastro.json"
    write_model(fit(training, read_distances(distances), settings=settings), path)
    return path
