"""The composite model against hand arithmetic: p_a is Lambda_a f_a over their sum with noise's."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import logit, ndtri

from spiir_pastro.domain import ASTROPHYSICAL, Candidates, Source, Trigger
from spiir_pastro.errors import FitError, TriggerError
from spiir_pastro.io.populations import read_populations
from spiir_pastro.models.components import CandidateDensity, ComponentDensities
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.densities import GridDensity
from spiir_pastro.models.distance import PYCBC_LIVE_O3
from spiir_pastro.models.explanation import explain
from spiir_pastro.models.factors import FACTORS, FactorDensity, values_of
from spiir_pastro.models.far_density import PowerLaw
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.models.outliers import Outliers
from spiir_pastro.models.pastro import (
    ClassSharing,
    PastroModel,
    Predictions,
    extrapolations,
)
from spiir_pastro.models.regression import StudentRegression
from spiir_pastro.models.response import Response
from spiir_pastro.models.source_model import SourceModel
from tolerances import ROUNDING

Floats = NDArray[np.float64]

FAR_THRESHOLD = 3e-4
COUNTS = {"BNS": 2.0, "NSBH": 3.0, "BBH": 40.0, "Terrestrial": 500.0}
EXPONENTS = {"BNS": 0.3, "NSBH": 0.2, "BBH": 0.1, "Terrestrial": 1.0}
NINETY = float(ndtri(0.95))
DEVIATES = 0.05
"""Of a deviate at the ends of an interval: 499 draws, 25 of them beyond either end."""


def counts(sources: Mapping[str, float] = COUNTS, *, log_spread: float = 0.0) -> CountSummary:
    """Counts that are known, or whose signals move together by a log-normal factor.

    The draws are those of the counts before a candidate is known.
    """
    known = np.array(list(sources.values()))
    factor = np.exp(log_spread * ndtri((np.arange(499) + 0.5) / 499))
    draws = np.column_stack([np.outer(factor, known[:-1]), np.full(499, known[-1])])
    return CountSummary(
        mean=known[:-1],
        std=np.sqrt(known[:-1]),
        interval=np.stack([known[:-1] / 2, known[:-1] * 2]),
        noise_mean=float(known[-1]),
        draws=draws,
    )


OUTLIERS = Outliers(
    fraction=1e-9,  # so few that hand arithmetic can forget them
    mchirp_min=0.1,
    mchirp_max=1000.0,
    w_as_noise=1e-9,
    log_mchirp_nodes=np.log([0.1, 1000.0]),
    log_snr_nodes=np.log([5.0, 50.0]),
    class_shares=np.stack([np.full((2, 2), share) for share in (0.2, 0.3, 0.5)]),
)
"""The contour gives BNS, NSBH and BBH a fifth, three tenths and a half, whatever the masses."""


def law(**factors: FactorDensity) -> CandidateDensity:
    return CandidateDensity(factors=factors)


def densities(**changed: CandidateDensity) -> ComponentDensities:
    """Power laws of FAR, one exponent a source, but for the sources given."""
    laws = {name: law(far=PowerLaw(exponent=a)) for name, a in EXPONENTS.items()}
    laws |= changed
    noise = laws.pop("Terrestrial")
    return ComponentDensities(
        noise=noise, signals={a: laws[str(a)] for a in ASTROPHYSICAL}, outliers=OUTLIERS
    )


SOURCES = SourceModel(populations=read_populations("mass-plane"), response=Response())


def model_of(
    laws: ComponentDensities | None = None,
    known: CountSummary | None = None,
    sharing: ClassSharing = ClassSharing.MULTI_COMPONENT,
) -> PastroModel:
    return PastroModel(
        far_threshold_hz=FAR_THRESHOLD,
        densities=laws or densities(),
        counts=known or counts(),
        contour=MassContourClassifier(distance=PYCBC_LIVE_O3),
        sources=SOURCES,
        sharing=sharing,
    )


def candidates(
    far_hz: list[float],
    *,
    mchirp: float | list[float] = 10.0,
    snr: float | list[float] = 9.0,
    distance: float | list[float] = math.nan,
) -> Candidates:
    n = len(far_hz)
    mpc = np.full((n, 4), np.nan)
    mpc[:, 0] = distance
    return Candidates(
        far_hz=np.array(far_hz),
        mchirp_det=np.broadcast_to(mchirp, n),
        snr=np.broadcast_to(snr, n),
        eff_distance_mpc=mpc,
    )


SOME = candidates(
    [1e-4, math.nan, 1e-9, 1e-6, 1e-14, math.nan],
    mchirp=[5.0, 1.2, math.nan, 3.0, 1.2, 30.0],
    snr=[8.0, 9.0, 10.0, math.nan, 30.0, 12.0],
    distance=[500.0, 60.0, 900.0, 200.0, 50.0, math.nan],
)


def rich_model(sharing: ClassSharing = ClassSharing.MULTI_COMPONENT) -> PastroModel:
    """A law of every kind, with errors, and counts that are not known well."""
    far = PowerLaw(exponent=0.15, exponent_std=0.05)
    heavy = GridDensity(
        nodes=np.log([5.0, 15.0, 60.0]),
        log_values=np.array([-2.0, 0.0, -2.0]),
        node_errors=np.array([[0.3, 0.1, 0.2], [0.2, 0.1, 0.2]]),
    )
    light = replace(heavy, nodes=np.log([0.8, 1.2, 1.7]))
    snr = StudentRegression(coefficients=np.array([2.0, -0.05, 0.1, 0.0]), scale=0.2, dof=5)
    return model_of(
        densities(
            BNS=law(far=far, mchirp=light, snr=snr),
            NSBH=law(far=far, mchirp=replace(light, nodes=light.nodes + 1), snr=snr),
            BBH=law(far=far, mchirp=heavy, snr=snr),
            Terrestrial=law(
                far=PowerLaw(exponent=1.0),
                mchirp=replace(heavy, nodes=np.log([0.5, 2.0, 100.0])),
                snr=replace(snr, scale=0.15),
            ),
        ),
        counts(log_spread=0.5),
        sharing,
    )


@pytest.mark.parametrize("far_hz", [3e-4, 1e-5, 1e-8, 1e-20])
def test_a_probability_is_a_count_times_a_density_over_their_sum(far_hz: float) -> None:
    row = model_of().predict(candidates([far_hz])).probabilities[0]
    u = far_hz / FAR_THRESHOLD
    # Of u itself, not of its logarithm: a ratio of densities knows no variable.
    weighted = {name: COUNTS[name] * a * u ** (a - 1) for name, a in EXPONENTS.items()}
    expected = [weighted[str(source)] / sum(weighted.values()) for source in Source]
    np.testing.assert_allclose(row, expected, rtol=ROUNDING)


def test_chirp_mass_and_snr_multiply_the_odds_where_they_are_known() -> None:
    tent = GridDensity(nodes=np.log([1.0, 10.0, 100.0]), log_values=np.array([0.0, 1.5, 0.0]))
    flat = replace(tent, log_values=np.zeros(3))
    narrow = StudentRegression(coefficients=np.array([2.0, 0.0, 0.0, 0.0]), scale=0.1, dof=3)
    broad = replace(narrow, scale=0.2)
    laws = densities(
        BBH=law(far=PowerLaw(exponent=0.1), mchirp=tent, snr=narrow),
        Terrestrial=law(far=PowerLaw(exponent=1.0), mchirp=flat, snr=broad),
    )
    several = candidates(
        [1e-6] * 4, mchirp=[10.0, math.nan, 10.0, math.nan], snr=[math.exp(2), 9.0, *[math.nan] * 2]
    )
    p = model_of(laws).predict(several).probabilities
    log_odds = np.log(p[:, 2] / p[:, 3])
    from_mchirp = tent.log_pdf(np.log([10.0]))[0] - flat.log_pdf(np.log([10.0]))[0]
    assert log_odds[0] - log_odds[2] == pytest.approx(math.log(2), rel=1e-9)  # half the width
    assert log_odds[2] - log_odds[3] == pytest.approx(from_mchirp, rel=1e-6)  # outliers are 1e-9
    assert log_odds[3] == pytest.approx(
        math.log(COUNTS["BBH"] * 0.1 * (1e-6 / FAR_THRESHOLD) ** -0.9 / COUNTS["Terrestrial"])
    )


def test_a_row_without_far_gets_no_number_and_says_why() -> None:
    said = rich_model().predict(SOME)
    without = np.isnan(SOME.far_hz)
    assert np.isnan(said.probabilities[without]).all()
    assert np.isnan(said.p_astro_interval[without]).all()
    assert said.notes.tolist() == ["no FAR assigned" if none else "" for none in without]
    assert (said.extrapolated[without] == "").all()
    assert np.isfinite(said.probabilities[~without]).all()
    assert np.isfinite(said.p_astro_interval[~without]).all()


@pytest.mark.parametrize("far_hz", [[], [math.nan, math.nan]])
@pytest.mark.parametrize("sharing", ClassSharing)
def test_nothing_to_say_is_said_of_any_number_of_rows(
    far_hz: list[float], sharing: ClassSharing
) -> None:
    said = rich_model(sharing).predict(candidates(far_hz, distance=100.0))
    assert said.probabilities.shape == (len(far_hz), 4)
    assert said.p_astro_interval.shape == (len(far_hz), 2)
    assert said.notes.tolist() == ["no FAR assigned"] * len(far_hz)


@given(st.permutations(range(len(SOME))), st.integers(0, len(SOME)), st.sampled_from(ClassSharing))
@settings(max_examples=15)
def test_a_row_does_not_depend_on_the_rows_around_it(
    order: list[int], cut: int, sharing: ClassSharing
) -> None:
    model, rows = rich_model(sharing), np.array(order)
    together = model.predict(SOME)
    for part in (rows[:cut], rows[cut:]):
        apart = model.predict(SOME[part])
        for name in ("probabilities", "p_astro_interval"):
            np.testing.assert_allclose(
                getattr(apart, name), getattr(together, name)[part], rtol=ROUNDING
            )
        assert apart.extrapolated.tolist() == together.extrapolated[part].tolist()
        assert apart.notes.tolist() == together.notes[part].tolist()


def test_the_mass_contour_shares_p_astro_and_leaves_it_as_it_is() -> None:
    by_class, by_contour = (rich_model(sharing).predict(SOME) for sharing in ClassSharing)
    has_both = np.array([True, False, False, False, True, False])
    p = by_contour.probabilities
    np.testing.assert_allclose(p[np.isfinite(SOME.far_hz)].sum(axis=1), 1, rtol=ROUNDING)
    np.testing.assert_allclose(by_contour.p_astro, by_class.p_astro, rtol=ROUNDING)
    np.testing.assert_array_equal(p[:, -1], by_class.probabilities[:, -1])
    np.testing.assert_array_equal(by_contour.p_astro_interval, by_class.p_astro_interval)
    contour = MassContourClassifier(distance=PYCBC_LIVE_O3)
    shares = contour.probabilities([5.0, 1.2], [8.0, 30.0], [500.0, 50.0])
    assert 0 < shares[0, 1] < 1
    expected = shares * by_class.p_astro[has_both, None]
    np.testing.assert_allclose(p[has_both, :-1], expected, rtol=ROUNDING)


@pytest.mark.parametrize("sharing", ClassSharing)
def test_rounding_leads_no_probability_beyond_certainty(sharing: ClassSharing) -> None:
    """Three classes of a loud event may add up to one and a bit, which one class may take whole."""
    rng = np.random.default_rng(0)
    n = 30_000
    loud = Candidates(
        far_hz=10 ** rng.uniform(-40, -12, n),
        snr=rng.uniform(8, 30, n),
        mchirp_det=rng.uniform(1.0, 1.3, n),
        eff_distance_mpc=np.full((n, 4), 20.0),
    )
    p = rich_model(sharing).predict(loud).probabilities
    assert (p > 0.98).any(axis=1).mean() > 0.5
    assert p.max() <= 1.0


def test_without_a_distance_the_contour_takes_likely_ones_and_without_a_mass_densities_share() -> (
    None
):
    by_class, by_contour = (rich_model(sharing).predict(SOME) for sharing in ClassSharing)
    far, said = "no FAR assigned", by_contour.notes.tolist()
    unshared = "no chirp mass for the mass contour; classes shared by their densities"
    assert said == ["", far, unshared, "", "", far]
    np.testing.assert_array_equal(by_contour.probabilities[2], by_class.probabilities[2])
    p = by_contour.probabilities[3]  # no SNR, so no distance
    np.testing.assert_allclose(
        p[:-1], np.array([0.2, 0.3, 0.5]) * by_class.p_astro[3], rtol=ROUNDING
    )


def test_the_interval_holds_p_astro_and_follows_the_counts() -> None:
    known, uncertain = (
        model_of(known=counts(log_spread=s)).predict(candidates([1e-4, 1e-5, 1e-6]))
        for s in (0.0, 0.7)
    )
    # A spread of none is the root of a rounding error.
    np.testing.assert_allclose(known.p_astro_interval[:, 0], known.p_astro, rtol=1e-6)
    np.testing.assert_allclose(known.p_astro_interval[:, 1], known.p_astro, rtol=1e-6)
    low, high = uncertain.p_astro_interval.T
    assert ((low < uncertain.p_astro) & (uncertain.p_astro < high)).all()
    # Knowing the candidate weighs each factor F by 1 - p + p F: two normals in ln F, one moved.
    signal = known.p_astro * math.exp(0.7**2 / 2)
    moved = signal / (signal + 1 - known.p_astro)
    mean, spread = moved * 0.7**2, np.hypot(0.7, 0.7**2 * np.sqrt(moved * (1 - moved)))
    for end, side in ((low, -1), (high, 1)):
        expected = mean + side * NINETY * spread
        np.testing.assert_allclose(logit(end) - logit(known.p_astro), expected, atol=0.7 * DEVIATES)


def test_errors_of_densities_widen_the_interval_on_the_side_they_are_on() -> None:
    """Odds are low where a class is rarer, or noise more, than thought: errors add in squares."""
    far = GridDensity(nodes=np.array([-20.0, 0.0]), log_values=np.zeros(2), right_scale=0.0)
    signal = replace(far, node_errors=np.array([[0.6, 0.6], [0.8, 0.8]]))
    noise = replace(far, node_errors=np.array([[1.2, 1.2], [2.5, 2.5]]))
    mchirp = GridDensity(
        nodes=np.log([1.0, 100.0]), log_values=np.zeros(2), node_errors=np.full((2, 2), 0.9)
    )
    both = law(far=signal, mchirp=mchirp)
    laws = densities(BNS=both, NSBH=both, BBH=both, Terrestrial=law(far=noise, mchirp=mchirp))
    said = model_of(laws).predict(candidates([1e-6]))
    low, high = logit(said.p_astro_interval[0]) - logit(said.p_astro[0])
    below, above = math.hypot(0.6, 0.9, 2.5, 0.9), math.hypot(0.8, 0.9, 1.2, 0.9)
    assert low == pytest.approx(-NINETY * below, abs=DEVIATES * below)
    assert high == pytest.approx(NINETY * above, abs=DEVIATES * above)


def test_errors_of_classes_count_by_the_shares_of_the_classes() -> None:
    far = GridDensity(nodes=np.array([-20.0, 0.0]), log_values=np.zeros(2), right_scale=0.0)
    laws = {
        name: law(far=replace(far, node_errors=np.full((2, 2), error)))
        for name, error in {"BNS": 1.0, "NSBH": 3.0, "BBH": 0.5, "Terrestrial": 0.0}.items()
    }
    known = counts({"BNS": 10.0, "NSBH": 30.0, "BBH": 60.0, "Terrestrial": 400.0})
    said = model_of(densities(**laws), known).predict(candidates([1e-6]))
    error = 0.1 * 1.0 + 0.3 * 3.0 + 0.6 * 0.5
    moved = logit(said.p_astro_interval[0]) - logit(0.2)
    np.testing.assert_allclose(moved, [-NINETY * error, NINETY * error], atol=DEVIATES * error)


def test_noise_and_the_likeliest_class_alone_are_called_extrapolated() -> None:
    """An error of more than one in the logarithm, on either side, is an extrapolation."""
    errors = np.zeros((4, 3, 2, 3))
    errors[0, 0] = 5.0  # BNS in FAR, everywhere
    errors[2, 0, 0, 1] = 1.01  # BBH in FAR, below
    errors[:3, 1:] = 9.0  # masses of classes, which are the plane's everywhere
    errors[3, 2, 1, 2] = 1.01  # noise in SNR, above
    errors[3, 0] = 1.0  # no more than one
    p = np.array([[0.5, 0.1, 0.1, 0.3], [0.1, 0.1, 0.2, 0.6], [0.0, 0.3, 0.2, 0.5]])
    beyond = extrapolations(errors, p)
    assert beyond.shape == (3, 4, 3)
    assert np.argwhere(beyond).tolist() == [[0, 0, 0], [1, 2, 0], [2, 3, 2]]


@pytest.mark.parametrize("p_astro", [0.999, 0.001])
def test_an_error_that_cannot_lead_across_a_decision_is_no_extrapolation(p_astro: float) -> None:
    """ln odds of 6.9 are 4.71 from those of 0.9: an error of less leads to no other decision."""
    distance = math.log(0.999 / 0.001) - math.log(9)
    p = np.array([[0.0, 0.0, p_astro, 1 - p_astro]] * 2)
    errors = np.zeros((4, 4, 2, 2))
    errors[3, 1, 0] = distance - 0.01, distance + 0.01
    assert np.argwhere(extrapolations(errors, p)).tolist() == [[1, 3, 1]]


def test_extrapolations_are_told_in_words_noise_first() -> None:
    measured = GridDensity(
        nodes=np.log([5.0, 50.0]), log_values=np.zeros(2), left_scale=0.1, right_scale=0.1
    )
    # An exponent of 0.1 says the same at exp(-10) of the threshold whatever its error.
    slow = PowerLaw(exponent=0.1, exponent_std=0.3)
    laws = {name: law(far=PowerLaw(exponent=a), mchirp=measured) for name, a in EXPONENTS.items()}
    laws["BBH"] = law(far=slow, mchirp=measured)
    several = candidates(
        [*[FAR_THRESHOLD * math.exp(-10)] * 2, math.nan, 1e-5, 1e-40], mchirp=[20, 500, 500, 20, 20]
    )
    assert model_of(densities(**laws)).predict(several).extrapolated.tolist() == [
        "",
        "noise in chirp mass",
        "",
        "BBH in FAR",
        "",  # an error of 27, but ln odds of 74: nothing is in doubt
    ]


def test_outliers_belong_to_the_mass_contour_and_not_to_the_commonest_class() -> None:
    """A chirp mass of no class: counts that differ a hundredfold leave its class as it is."""
    narrow = GridDensity(nodes=np.log([19.0, 21.0]), log_values=np.zeros(2), left_scale=0.01)
    of_signals = {name: law(far=PowerLaw(exponent=0.2), mchirp=narrow) for name in EXPONENTS}
    flat = GridDensity(nodes=np.log([0.1, 1000.0]), log_values=np.zeros(2), left_scale=0.0)
    of_signals["Terrestrial"] = law(far=PowerLaw(exponent=1.0), mchirp=flat)
    laws = replace(densities(**of_signals), outliers=replace(OUTLIERS, fraction=0.005))
    lone = candidates([1e-14, 1e-14], mchirp=[2.0, 20.0])
    p, q = (
        model_of(laws, counts(COUNTS | {"BBH": bbh})).predict(lone).probabilities[:, :-1]
        for bbh in (40.0, 4000.0)
    )
    for said in (p, q):
        np.testing.assert_allclose(said[0] / said[0].sum(), [0.2, 0.3, 0.5], rtol=1e-6)
    # What classes explain goes by their counts.
    np.testing.assert_allclose(p[1], np.array([2, 3, 40]) / 45, atol=1e-3)
    np.testing.assert_allclose(q[1], np.array([2, 3, 4000]) / 4005, atol=1e-3)


@pytest.mark.parametrize("mchirp", [1e-300, 0.099, 1001.0, 1e300])
def test_outside_the_bank_nothing_is_said_and_a_note_says_why(mchirp: float) -> None:
    said = rich_model().predict(candidates([1e-10, 1e-10], mchirp=[mchirp, 10.0]))
    assert np.isnan(said.probabilities[0]).all()
    assert np.isnan(said.p_astro_interval[0]).all()
    assert said.notes[0] == "chirp mass outside the bank's 0.1 to 1000 solar masses"
    assert np.isfinite(said.probabilities[1]).all()


def test_a_candidate_of_one_detector_is_not_judged_by_densities_of_two() -> None:
    several = replace(
        candidates([1e-9] * 3), n_detectors=np.array([1.0, 2.0, math.nan])
    )  # NaN: a table that does not tell
    said = model_of().predict(several)
    assert np.isnan(said.probabilities).any(axis=1).tolist() == [True, False, False]
    assert said.notes[0] == "one detector; the model was fitted on candidates of two or more"


def test_one_trigger_is_assessed_as_in_a_table() -> None:
    model = rich_model()
    trigger = Trigger(
        event_id="G1", gps_ns=1, ifos=("H1", "L1"), far_hz=1e-9, snr=12.0, mchirp_det=1.2
    )
    said = model.assess(trigger)
    row = model.predict(candidates([1e-9], mchirp=1.2, snr=12.0)).probabilities[0]
    assert [said.bns, said.nsbh, said.bbh, said.terrestrial] == row.tolist()
    with pytest.raises(TriggerError, match="trigger G1: no FAR assigned"):
        model.assess(replace(trigger, far_hz=None))


def test_p_astro_is_at_most_one_whatever_rounding_does() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1 + 1e-15, 0.0], [0.1, 0.2, 0.3, 0.4]])
    said = Predictions(
        probabilities=probabilities,
        p_astro_interval=np.ones((2, 2)),
        extrapolated=np.array(["", ""]),
        notes=np.array(["", ""]),
    )
    assert probabilities[0].sum() > 1
    assert said.p_astro.tolist() == [1.0, pytest.approx(0.6)]


def test_an_explanation_multiplies_up_to_the_odds() -> None:
    model = replace(rich_model(), counts=counts())
    why = explain(model, SOME)
    assert why.log_terms.keys() == FACTORS.keys()
    np.testing.assert_array_equal(why.counts, list(COUNTS.values()))
    p = why.predictions.probabilities
    log_odds = np.log(why.counts[:-1] / why.counts[-1]) + sum(why.log_factors.values())
    np.testing.assert_allclose(np.log(p[:, :-1] / p[:, -1:]), log_odds, rtol=1e-6)  # outliers: 1e-9
    unknown = np.isnan(SOME.mchirp_det)
    assert (why.log_factors["mchirp"][unknown] == 0).all()
    assert (why.log_factors["mchirp"][~unknown] != 0).all()
    errors = model.densities.terms_and_errors(SOME, far_threshold_hz=FAR_THRESHOLD)[1]
    np.testing.assert_array_equal(why.log_errors, errors)
    np.testing.assert_array_equal(why.extrapolations, extrapolations(errors, p))


def test_an_explanation_shows_the_mass_contour_whoever_shares() -> None:
    contour = MassContourClassifier(distance=PYCBC_LIVE_O3)
    why = explain(rich_model(), SOME)
    event = SOME.mchirp_det, SOME.snr, SOME.eff_distance_mpc
    np.testing.assert_array_equal(why.contour_shares, contour.probabilities(*event))
    np.testing.assert_array_equal(why.source_mchirp.T, contour.source_mchirp(*event))
    assert np.isfinite(why.source_mchirp[0]).all()


def test_the_regression_of_snr_holds_still_beyond_the_lowest_fars() -> None:
    quiet, loud = 3e-4 * math.exp(-3), 3e-4 * math.exp(-500)
    several = candidates([quiet, loud], mchirp=[math.exp(2), math.exp(5)])
    features = values_of(several, far_threshold_hz=FAR_THRESHOLD).features
    np.testing.assert_allclose(features, [[1, -3, 2, 4, 0], [1, -12, 5, 25, 0]], rtol=ROUNDING)


def test_densities_belong_to_the_three_classes_in_their_order() -> None:
    laws = densities()
    backwards = {source: laws.signals[source] for source in ASTROPHYSICAL[::-1]}
    with pytest.raises(FitError, match=r"densities are of \['BBH', 'NSBH', 'BNS'\], where"):
        ComponentDensities(noise=laws.noise, signals=backwards, outliers=OUTLIERS)


def test_a_model_and_its_predictions_introduce_themselves() -> None:
    model = model_of()
    assert repr(model) == (
        "<PastroModel of candidates with FAR < 0.0003 Hz: expects 2 ± 1.4 BNS, 3 ± 1.7 NSBH, "
        "40 ± 6.3 BBH, 500 Terrestrial; classes by multi-component>"
    )
    html = model._repr_html_()
    assert "<th>BBH</th><td>40 ± 6.3</td><td>20 to 80</td>" in html
    assert "<th>Terrestrial</th><td>500</td><td></td>" in html
    said = model.predict(candidates([1e-30, 1e-30, math.nan]))
    assert repr(said) == (
        "<Predictions of 3 candidates, 2 of them expected to be signals, 1 without numbers>"
    )
