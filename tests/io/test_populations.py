"""Populations are read from files, by name or by path, and mistakes are named."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import yaml

from spiir_pastro.domain import ASTROPHYSICAL, MassBoundaries, Source
from spiir_pastro.errors import ConfigError
from spiir_pastro.io.populations import SHIPPED_POPULATIONS, convert_population, read_populations

_STARS = {"low": 1.0, "high": 2.5}
_CLASS = {"primary": _STARS, "secondary": _STARS, "redshift": {"evolution": 0}}


@pytest.mark.parametrize("name", SHIPPED_POPULATIONS)
def test_a_shipped_population_keeps_its_classes_apart(name: str) -> None:
    populations = read_populations(name)
    assert tuple(populations) == ASTROPHYSICAL
    limit = MassBoundaries().ns_max
    for source, population in populations.items():
        masses = population.draw_masses(2000, np.random.default_rng(0))
        light = [bool((mass <= limit).all()) for mass in masses]
        heavy = [bool((mass > limit).all()) for mass in masses]
        assert (light, heavy) == {
            "BNS": ([True, True], [False, False]),
            "NSBH": ([False, True], [True, False]),
            "BBH": ([False, False], [True, True]),
        }[str(source)]


@pytest.mark.parametrize("ns_max", [2.0, 2.5, 3.0, 4.0, 6.0])
def test_the_border_of_the_plane_moves_and_leaves_no_hole(ns_max: float) -> None:
    moved = read_populations("mass-plane", boundaries=MassBoundaries(ns_max=ns_max))
    bns, nsbh, bbh = (moved[source] for source in ASTROPHYSICAL)
    assert {bns.primary.high, bns.secondary.high, nsbh.secondary.high} == {ns_max}
    assert {nsbh.primary.low, bbh.primary.low, bbh.secondary.low} == {ns_max}
    if ns_max == 3.0:
        assert moved == read_populations("mass-plane")
    # Just beyond the border black holes are as thinly spread as the gap is, not absent.
    just_above = np.array([ns_max * 1.001])
    assert np.isfinite(bbh.log_mass_pdf(just_above, just_above)).all()


def test_a_gap_that_somebody_left_between_the_classes_stays() -> None:
    given = read_populations("gwtc-3")
    assert read_populations("gwtc-3", boundaries=MassBoundaries(ns_max=3.0)) == given
    cut = read_populations("gwtc-3", boundaries=MassBoundaries(ns_max=1.8))
    assert cut[Source.NSBH].secondary.high == 1.8
    assert cut[Source.BBH] == given[Source.BBH]


def test_a_population_survives_its_plain_values() -> None:
    for population in read_populations("gwtc-3").values():
        assert convert_population(msgspec.to_builtins(population)) == population


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"BNS": _CLASS}, "give BNS, NSBH, BBH, and nothing else"),
        ({"BBH": {**_CLASS, "primary": {"low": 1.0, "hihg": 2}}}, "BBH: no population: .*no upper"),
        ({"BBH": {**_CLASS, "spin": 0}}, "BBH: no population: spin is an unknown key"),
        (
            {"BBH": {**_CLASS, "primary": {**_STARS, "slope": 2}}},
            r"primary\.slope is an unknown key",
        ),
        ({"BBH": {**_CLASS, "primary": {"low": "1"}}}, r"Expected `float`, got `str`"),
        ({"BBH": {**_CLASS, "frame": "detector"}}, "fill a volume"),
    ],
)
def test_a_mistake_is_named(content: dict[str, object], message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    rest = {} if "BNS" in content else {"BNS": _CLASS, "NSBH": _CLASS}
    path.write_text(yaml.safe_dump({**rest, **content}))
    with pytest.raises(ConfigError, match=message):
        read_populations(str(path))


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"population 'gwtc-9' is no file .* none of gwtc-3"):
        read_populations("gwtc-9")
