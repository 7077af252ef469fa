"""The classes' colours, as eyes see them that lack one kind of cones."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from numpy.typing import NDArray

from spiir_pastro.domain import SOURCE_COLOURS

# What such eyes see, of linear red, green and blue: Machado, Oliveira and Fernandes 2009, table 2.
EYES = {
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
SRGB_TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def _linear(colour: str) -> NDArray[np.float64]:
    srgb = np.array(to_rgb(colour))
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def _lab(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """CIE L*a*b*, in which a distance of some two is just seen side by side."""
    xyz = np.array(SRGB_TO_XYZ) @ np.clip(linear, 0, 1)
    x, y, z = np.cbrt(xyz / np.sum(SRGB_TO_XYZ, axis=1))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("eyes", EYES)
def test_no_two_classes_look_alike(eyes: str) -> None:
    """NSBH's green and noise's grey were 10 apart for deuteranopes."""
    seen = {
        source: _lab(np.array(EYES[eyes]) @ _linear(colour))
        for source, colour in SOURCE_COLOURS.items()
    }
    for one, other in combinations(seen, 2):
        assert np.linalg.norm(seen[one] - seen[other]) > 15, (one, other)
