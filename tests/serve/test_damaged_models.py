"""A model file with one value changed is refused by the service, whatever the value was."""

import json
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from spiir_pastro.errors import ArtifactError
from spiir_pastro.io.artifact import load_model, write_model
from spiir_pastro.io.distance_tables import read_distances
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import from_uploads
from spiir_pastro.serve.model_slot import load_rehearsed

Place = tuple[str | int, ...]


@pytest.fixture(scope="module")
def document(
    uploads: tuple[Path, Path], distances: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    settings = FitSettings()
    training = from_uploads(uploads[0], known_events_path=uploads[1], settings=settings)
    path = tmp_path_factory.mktemp("model") / "pastro.json"
    write_model(fit(training, read_distances(distances), settings=settings), path)
    found: dict[str, object] = json.loads(path.read_bytes())
    return found


def places(value: object, at: Place = ()) -> Iterator[Place]:
    """Give the place of every value, lists and objects among them."""
    if at:
        yield at
    if isinstance(value, dict):
        for key, part in value.items():
            yield from places(part, (*at, key))
    elif isinstance(value, list):
        for number, part in enumerate(value):
            yield from places(part, (*at, number))


def changed(value: object, dice: random.Random) -> object:
    near = [value * 1.5, value + 1e-9, -value] if isinstance(value, int | float) else []
    others: list[object] = [None, 0, -1, 1, 10**9, 1e300, "", "x", [], {}, [None], True, *near]
    return dice.choice([other for other in others if repr(other) != repr(value)])


def mutants(document: dict[str, object], count: int, path: Path) -> Iterator[tuple[Place, object]]:
    """Write one file after another with a single value changed."""
    dice = random.Random(1)  # noqa: S311  (dice, no secret)
    by_name: dict[Place, list[Place]] = {}
    for place in places(document):
        name = tuple(part for part in place if isinstance(part, str))
        by_name.setdefault(name, []).append(place)
    names = sorted(by_name)
    for number in range(count):
        # Every named value in turn, so that grids of thousands of cells do not hide the others.
        place = dice.choice(by_name[names[number % len(names)]])
        holder: object = document
        for part in place[:-1]:
            holder = holder[part]  # type: ignore[index]
        kept = holder[place[-1]]  # type: ignore[index]
        holder[place[-1]] = changed(kept, dice)  # type: ignore[index]
        path.write_text(json.dumps(document))
        yield place, holder[place[-1]]  # type: ignore[index]
        holder[place[-1]] = kept  # type: ignore[index]


@pytest.mark.parametrize("count", [60, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_model_with_one_value_changed_is_refused_in_time(
    document: dict[str, object], count: int, tmp_path: Path
) -> None:
    path = tmp_path / "pastro.json"
    path.write_text(json.dumps(document, indent=2))  # another layout says the same
    good = load_rehearsed(path, load_model)
    assert good.version == document["version"]
    for place, value in mutants(document, count, path):
        begun = time.process_time()
        try:
            load_rehearsed(path, load_model)
        except ArtifactError:
            taken = False
        else:
            taken = True
        assert not taken, f"{place} = {value!r}"
        assert time.process_time() - begun < 10.0, place


def test_a_model_without_its_digest_or_reference_triggers_is_refused(
    document: dict[str, object], tmp_path: Path
) -> None:
    path = tmp_path / "pastro.json"
    for name in ("sha256", "reference"):
        path.write_text(json.dumps({k: v for k, v in document.items() if k != name}))
        with pytest.raises(ArtifactError, match="damaged model"):
            load_rehearsed(path, load_model)
