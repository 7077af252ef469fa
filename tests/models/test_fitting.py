"""What a person chooses about the densities does what its name says."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spiir_pastro.domain import Source
from spiir_pastro.errors import FitError
from spiir_pastro.models.fitting import DensitySettings, Reference


def _recovered(true: NDArray[np.float64], settings: DensitySettings) -> NDArray[np.float64]:
    reference = Reference.of_injections({Source.BBH: true}, settings=settings)
    return reference.mchirp_det[Source.BBH]


def test_as_many_heavy_masses_as_chosen_are_recovered_far_off() -> None:
    true = np.array([10.0, 40.0, 60.0])
    settings = DensitySettings(
        misrecovered_fraction=0.25, misrecovered_ratio_min=0.5, misrecovered_ratio_max=0.6
    )
    recovered = _recovered(true, settings)
    assert np.bincount(np.digitize(recovered, [15, 38, 50])).tolist() == [36, 18, 27, 27]
    assert recovered[(recovered > 15) & (recovered < 38)].min() == pytest.approx(20.0)


def test_none_is_recovered_far_off_if_so_chosen() -> None:
    true = np.array([10.0, 40.0])
    settings = DensitySettings(misrecovered_fraction=0.0)
    np.testing.assert_array_equal(_recovered(true, settings), true)


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"mchirp_min": 300.0}, "mchirp_min < mchirp_max"),
        ({"mchirp_min": 0.0}, "0 < mchirp_min"),
        ({"density_floor": 0.0}, "0 < density_floor < 1"),
        ({"enough_for_curves": 1}, "enough_for_curves of 2 or more"),
        ({"heavy_mchirp": math.nan}, "heavy_mchirp >= 0"),
        ({"misrecovered_fraction": 1.0}, "misrecovered_fraction of 0, or"),
        ({"misrecovered_ratio_min": 0.5}, "misrecovered_ratio_min <= misrecovered_ratio_max"),
    ],
)
def test_nonsense_is_refused(wrong: dict[str, Any], rule: str) -> None:
    with pytest.raises(FitError, match=rule):
        DensitySettings(**wrong)
