"""A model file with one wrong value is refused, or is a model all the same."""

import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spiir_pastro.domain import Candidates
from spiir_pastro.errors import ArtifactError
from spiir_pastro.io.artifact import load_model

MUTATIONS = 200
WRONG: tuple[Any, ...] = (
    None, True, "", "1", [], {}, [[]], 0, -1, 1, 2, 1e308, -1e308, 5e-324, 1e30, [1.0, "x"],
    10**400, {"kind": "PowerLaw", "exponent": 1.0}, [[1.0], [1.0, 2.0]],
)  # fmt: skip


@pytest.fixture
def text(model: Path) -> str:
    return model.read_text()


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401
    """Yield the path to every part of a document; of a long list, to its ends and middle."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*at, key))
    elif isinstance(value, list):
        for k in sorted({0, len(value) // 2, len(value) - 1} & set(range(len(value)))):
            yield from places(value[k], (*at, k))


def require_sense(path: Path) -> None:
    """Predict, if the file is a model, candidates of every kind."""
    try:
        artifact = load_model(path)
    except ArtifactError:
        return
    n = 40
    rng = np.random.default_rng(1)
    said = artifact.model.predict(
        Candidates(
            far_hz=np.append(10 ** rng.uniform(-30, -3.6, n - 1), np.nan),
            snr=np.append(np.nan, rng.uniform(5, 50, n - 1)),
            mchirp_det=np.append([np.nan, 1e-300], np.exp(rng.uniform(-0.5, 5.5, n - 2))),
            eff_distance_mpc=rng.uniform(10, 2000, (n, 4)),
            mtotal_det=np.append(np.nan, np.exp(rng.uniform(0.5, 6, n - 1))),
            n_detectors=rng.integers(1, 4, n).astype(float),
        )
    )
    for values in (said.probabilities, said.p_astro_interval):
        assert not np.isinf(values).any()
        told = np.isfinite(values).all(axis=1)
        assert np.isnan(values[~told]).all()
        assert ((values[told] >= 0) & (values[told] <= 1)).all()
    told = np.isfinite(said.probabilities).all(axis=1)
    np.testing.assert_allclose(said.probabilities[told].sum(axis=1), 1, atol=1e-9)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of numbers that no fit writes
def test_one_wrong_value_is_refused_or_makes_a_model_all_the_same(
    text: str, tmp_path: Path
) -> None:
    rng = random.Random(0)  # noqa: S311
    everywhere = [p for p in places(json.loads(text)) if p[0] not in ("provenance", "schema")]
    path = tmp_path / "model.json"
    for place in rng.sample(everywhere, min(MUTATIONS, len(everywhere))):
        document = json.loads(text)
        part = document
        for key in place[:-1]:
            part = part[key]
        wrong = rng.choice(WRONG)
        part[place[-1]] = wrong
        path.write_text(json.dumps(document))
        try:
            require_sense(path)
        except Exception as exc:
            exc.add_note(f"with {wrong!r} at {'.'.join(map(str, place))}")
            raise


FAR = ("densities", "noise", "factors", "far")
SNR = ("densities", "noise", "factors", "snr")


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        (("far_threshold_hz",), 1e308),
        (("far_threshold_hz",), 5e-324),
        ((*FAR, "exponent"), 1e308),
        ((*SNR, "coefficients", 0), 1e308),
        ((*SNR, "coefficients", 2), -1e308),
        ((*SNR, "scale"), 5e-324),
        ((*SNR, "dof"), 5e-324),
        (("densities", "noise", "factors", "mchirp", "log_values", 128), -1e308),
        (("densities", "signals", "BBH", "factors", "mchirp"), {}),
    ],
)
def test_numbers_that_lead_to_none_are_refused(
    text: str, tmp_path: Path, place: tuple[Any, ...], wrong: object
) -> None:
    document = json.loads(text)
    part = document["model"]
    for key in place[:-1]:
        part = part[key]
    part[place[-1]] = wrong
    path = tmp_path / "model.json"
    path.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match=r"damaged model: .*; fit the model again"):
        load_model(path)


def test_a_model_without_one_of_its_parts_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    # Without its digest a file is read, and only the service refuses it.
    for name in json.loads(text).keys() - {"sha256"}:
        document = json.loads(text)
        del document[name]
        path.write_text(json.dumps(document))
        with pytest.raises(ArtifactError):
            load_model(path)


def test_a_model_that_loads_is_one_that_predicts(text: str, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(text)
    require_sense(path)
    assert math.isfinite(load_model(path).model.far_threshold_hz)
