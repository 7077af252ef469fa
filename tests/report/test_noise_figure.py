"""The noise figure shows both what is real and what is simulated."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from noise_figure import main, noise_figure
from spiir_pastro.domain import Source
from spiir_pastro.simulation.config import stream
from spiir_pastro.simulation.noise import COHERENT_NOISE


def test_a_file_of_the_models_own_noise_lies_on_the_model() -> None:
    snr, chisq, _ = COHERENT_NOISE[Source.BBH].draw(500_000, stream(1, "figure"))
    edges = 10 ** np.linspace(0.54, 3.0, 301), np.linspace(-1.2, 3.5, 301)
    counts = np.histogram2d(snr, np.log10(chisq), edges)[0]
    survival, quantiles = noise_figure(counts).axes
    stepped, curve = (heights(line, [6.0, 8.0, 12.0]) for line in survival.get_lines())
    np.testing.assert_allclose(curve, stepped, rtol=0.2)
    lines = [heights(line, [6.0, 9.5, 12.0]) for line in quantiles.get_lines()]
    np.testing.assert_allclose(lines[:3], lines[3:], rtol=0.1)


def heights(line: Line2D, at: list[float]) -> NDArray[np.float64]:
    x, y = (np.asarray(values, dtype=np.float64) for values in line.get_data())
    return np.interp(at, x, y)


@pytest.mark.real_data
def test_the_command_draws_a_real_file(real_data: Path, tmp_path: Path) -> None:
    (statistics,) = (real_data / "spiir" / "stats").glob("*.xml.gz")
    main([str(statistics), str(tmp_path / "noise")])
    assert {path.suffix for path in tmp_path.iterdir()} == {".png", ".svg"}
