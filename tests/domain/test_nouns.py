"""A noun that can be built is valid."""

import math
import re
from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spiir_pastro.domain import (
    CLASSES,
    DETECTORS,
    SOURCE_COLOURS,
    SOURCE_MARKS,
    Candidates,
    MassBoundaries,
    Region,
    Source,
    SourceProbabilities,
    Trigger,
    class_of_region,
    join_ifos,
    split_ifos,
)
from spiir_pastro.errors import ConfigError, TriggerError
from spiir_pastro.models.mass_plane import class_of_masses


@given(
    st.permutations(DETECTORS),
    st.integers(1, len(DETECTORS)),
    st.sampled_from(["", ",", ", ", " "]),
)
def test_ifos_read_the_same_however_they_are_written(
    order: list[str], count: int, separator: str
) -> None:
    written = separator.join(order[:count])
    assert split_ifos(written) == tuple(ifo for ifo in DETECTORS if ifo in order[:count])
    assert split_ifos(join_ifos(order[:count])) == split_ifos(written)


@pytest.mark.parametrize("text", ["", ",", "H", "H1H1", "H1X1", "h1l1", "H1L", "H1;L1"])
def test_ifos_that_name_no_detectors_are_refused(text: str) -> None:
    with pytest.raises(TriggerError, match="no list of detectors"):
        split_ifos(text)


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda p: sum(p) > 0))
def test_source_probabilities_write_then_read_is_identity(weights: list[float]) -> None:
    p = [w / math.fsum(weights) for w in weights]
    probabilities = SourceProbabilities(bns=p[0], nsbh=p[1], bbh=p[2], terrestrial=p[3])
    assert SourceProbabilities.from_mapping(probabilities.as_mapping()) == probabilities
    assert probabilities.as_mapping() == {
        str(source): getattr(probabilities, source.name.lower()) for source in Source
    }
    assert list(probabilities.as_mapping()) == [str(source) for source in Source]


def test_each_region_of_the_plane_belongs_to_one_class() -> None:
    owners = [[s for s, one in CLASSES.items() if region in one.regions] for region in Region]
    assert [len(owner) for owner in owners] == [1] * len(Region)
    assert [class_of_region(region) for region in Region] == [owner[0] for owner in owners]
    assert {field.name for field in fields(SourceProbabilities)} == {s.name.lower() for s in Source}
    assert len({*SOURCE_COLOURS.values()}) == len({*SOURCE_MARKS.values()}) == len(Source)


@given(st.floats(0.5, 100), st.floats(0.5, 100), st.sampled_from([None, 5.0]))
def test_a_class_is_that_of_what_its_components_are(
    mass1: float, mass2: float, gap_max: float | None
) -> None:
    boundaries = MassBoundaries(ns_max=3.0, gap_max=gap_max)
    stars = (mass1 <= 3.0) + (mass2 <= 3.0)
    (named,) = class_of_masses(np.array([mass1]), np.array([mass2]), boundaries)
    assert named == ("BBH", "NSBH", "BNS")[stars]


def test_a_binary_with_an_unknown_mass_has_no_class() -> None:
    mass1, mass2 = np.array([1.4, np.nan]), np.array([np.nan, 1.4])
    assert class_of_masses(mass1, mass2, MassBoundaries()) == [None, None]


def test_classes_that_round_to_more_than_one_are_certainly_a_signal() -> None:
    classes = (0.07396306519631642, 0.4835753438551581, 0.4424615909485256)
    assert math.fsum(classes) > 1
    bns, nsbh, bbh = classes
    assert SourceProbabilities(bns=bns, nsbh=nsbh, bbh=bbh, terrestrial=0.0).p_astro == 1


def test_probabilities_that_do_not_sum_to_one_are_refused() -> None:
    with pytest.raises(TriggerError, match=r"sum to 0\.9"):
        SourceProbabilities(bns=0.9, nsbh=0, bbh=0, terrestrial=0)
    with pytest.raises(TriggerError, match="BNS is nan"):
        SourceProbabilities(bns=math.nan, nsbh=0, bbh=0, terrestrial=1)
    with pytest.raises(TriggerError, match="are named"):
        SourceProbabilities.from_mapping({"BNS": 1.0})


@pytest.mark.parametrize("far", [0.0, -1.0, math.inf, math.nan])
def test_a_far_that_is_no_rate_is_refused(far: float) -> None:
    with pytest.raises(TriggerError, match="trigger G1: far_hz"):
        Trigger(event_id="G1", gps_ns=0, ifos=("H1",), far_hz=far)


def test_a_trigger_cannot_be_changed_through_its_distances() -> None:
    distances = {"H1": 100.0}
    trigger = Trigger(event_id="G1", gps_ns=0, ifos=("H1",), eff_distance_mpc=distances)
    distances["L1"] = 50.0
    assert dict(trigger.eff_distance_mpc) == {"H1": 100.0}


@pytest.mark.parametrize("m_min", [0.0, 3.0, 5.0, math.nan])
def test_mass_boundaries_out_of_order_are_refused(m_min: float) -> None:
    with pytest.raises(ConfigError, match="m_min < ns_max"):
        MassBoundaries(m_min=m_min)


def test_candidates_keep_unknown_values_unknown() -> None:
    triggers = [
        Trigger(event_id="a", gps_ns=0, ifos=("H1", "L1"), eff_distance_mpc={"L1": 7.0, "H1": 9.0}),
        Trigger(event_id="b", gps_ns=0, ifos=("H1",), far_hz=1e-9, snr=9.0, mchirp_det=1.2),
    ]
    candidates = Candidates.from_triggers(triggers)
    np.testing.assert_array_equal(candidates[1:].far_hz, [1e-9])
    assert len(Candidates.from_triggers([])) == 0


def test_candidates_name_the_row_that_is_wrong() -> None:
    distances = np.full((3, 4), np.nan)
    distances[1, 2] = 0.0
    ones = np.ones(3)
    with pytest.raises(TriggerError, match=r"eff_distance_mpc holds 0\.0 in row 1"):
        Candidates(far_hz=ones, snr=ones, mchirp_det=ones, eff_distance_mpc=distances)
    with pytest.raises(TriggerError, match="snr has shape"):
        Candidates(far_hz=ones, snr=ones[:2], mchirp_det=ones, eff_distance_mpc=distances)


@pytest.mark.parametrize("distance", [5e-324, 1e300])
def test_a_distance_outside_single_precision_is_refused_as_given(distance: float) -> None:
    one, distances = np.ones(1), np.array([[np.nan, distance, np.nan, np.nan]])
    with pytest.raises(TriggerError, match=re.escape(f"holds {distance} in row 0")):
        Candidates(far_hz=one, snr=one, mchirp_det=one, eff_distance_mpc=distances)
