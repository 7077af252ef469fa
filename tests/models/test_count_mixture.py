"""The compressed likelihood of many candidates: off by no more than it says, inside its box."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from spiir_pastro.models.counts.mixture import ERROR_BUDGET, CompressedMixture

Floats = NDArray[np.float64]

CASES = pytest.mark.parametrize(("k", "pinned"), [*product([1, 2, 3], [False, True])])


def nothing(k: int, *, pinned: bool, size: float = 0.5) -> CompressedMixture:
    """No candidates, in a box that is oblique in the shares or counts, and lopsided."""
    reference = np.full(k + 1, 1 / (k + 1)) * (5 if pinned else 1)
    scale = np.eye(k) / reference[0] + np.tri(k, k=-1)
    box = size * np.array([-np.linspace(0.5, 1, k), np.linspace(1, 0.7, k)])
    return CompressedMixture.around(reference, pinned=pinned, scale=scale, box=box)


def points_at(mixture: CompressedMixture, z: Floats) -> Floats:
    """Shares or counts at coordinates of the box, (g, k) to (g, k + 1)."""
    signals = mixture.reference[:-1] + z @ np.linalg.inv(mixture.scale)
    rest = 1 - signals.sum(axis=1) if not mixture.pinned else mixture.reference[-1]
    return np.column_stack([signals, np.broadcast_to(rest, len(z))])


def corners(mixture: CompressedMixture) -> Floats:
    return points_at(mixture, np.array(list(product(*mixture.box.T))))


def exact(mixture: CompressedMixture, densities: Floats, points: Floats) -> Floats:
    return np.asarray(np.log1p((densities @ points.T).T / (densities @ mixture.reference) - 1))


def some_densities(k: int, n: int) -> Floats:
    rng = np.random.default_rng(k)
    logs = np.column_stack([rng.normal(0, 1, (n, k)) * rng.uniform(0, 4, (n, 1)), np.zeros(n)])
    return np.asarray(np.exp(logs - logs.max(axis=1, keepdims=True)))


@CASES
def test_coordinates_of_the_box_are_those_of_its_corners(k: int, *, pinned: bool) -> None:
    mixture = nothing(k, pinned=pinned)
    z = np.array(list(product(*mixture.box.T)))
    np.testing.assert_allclose(mixture.coordinates(corners(mixture)), z, atol=1e-14)
    np.testing.assert_allclose(mixture.distance(corners(mixture)), 1, rtol=1e-12)
    np.testing.assert_allclose(mixture.distance(points_at(mixture, z / 2)), 0.5, rtol=1e-12)
    assert mixture.distance(mixture.reference[None])[0] == 0


@CASES
def test_the_reach_of_a_candidate_is_its_largest_change_at_a_corner(
    k: int, *, pinned: bool
) -> None:
    mixture, densities = nothing(k, pinned=pinned), some_densities(k, 200)
    _, reach = mixture._slopes(densities)
    changes = densities @ corners(mixture).T / (densities @ mixture.reference)[:, None] - 1
    np.testing.assert_allclose(reach, np.abs(changes).max(axis=1), rtol=1e-10)


@CASES
def test_the_likelihood_is_off_by_no_more_than_it_says(k: int, *, pinned: bool) -> None:
    """Candidate by candidate, from those that hardly matter to those that are kept singly."""
    mixture = nothing(k, pinned=pinned)
    densities = some_densities(k, 300)
    rng = np.random.default_rng(5)
    z = rng.uniform(mixture.box[0], mixture.box[1], (20, k))
    points = np.concatenate([corners(mixture), points_at(mixture, z)])
    points = points[(points > 0).all(axis=1)]
    kept_singly = 0
    for row in densities[:, None]:
        one = mixture.including(row)
        off = one.log_likelihood(points) - exact(mixture, row, points)[:, 0]
        assert np.abs(off).max() <= one.error + 1e-14
        kept_singly += len(one.singles)
    assert 0 < kept_singly < 300
    together = mixture.including(densities)
    off = together.log_likelihood(points) - exact(mixture, densities, points).sum(axis=1)
    assert np.abs(off).max() <= together.error + 1e-12
    assert 0 < together.error <= ERROR_BUDGET


@pytest.mark.parametrize("strength", np.geomspace(1e-3, 0.5, 60))
def test_errors_add_up_and_stay_within_their_budget(strength: float) -> None:
    """Each batch of candidates all alike, so that all of them use up what they are allowed."""
    mixture = nothing(1, pinned=False)
    batch = np.repeat([[1.0, 1.0 - strength]], 50, axis=0)
    for batches in range(1, 5):
        before, mixture = mixture.error, mixture.including(batch)
        assert before <= mixture.error <= ERROR_BUDGET
        assert mixture.n == 50 * batches
