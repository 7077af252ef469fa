"""Each reason is given where it holds, and only there."""

import math

import pytest

from spiir_pastro.evaluation.reasons import disagreement

AGREES: dict[str, object] = {
    "event_id": "G1",
    "p_astro": 0.99,
    "called": "BBH",
    "catalogue_class": "BBH",
    "mchirp_ratio": 0.3,
    "log_factors": {"far": 3.0, "mchirp": 1.0, "snr": 0.1},
}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"event_id": None}, "missed"),
        ({"p_astro": None}, "not judged"),
        ({"called": "NSBH"}, "called NSBH, the catalogue says BBH"),
        ({"p_astro": 0.1}, "called noise (p_astro 0.1): the evidence (its FAR ×20"),
        ({"p_astro": 0.1}, "SPIIR's template has 0.3 of its chirp mass"),
        (
            {"p_astro": 0.1, "log_factors": {"far": -math.log(5), "mchirp": 1.0}},
            "its FAR is 5 times likelier in noise",
        ),
    ],
)
def test_a_disagreement_says_why(change: dict[str, object], said: str) -> None:
    reason = disagreement(**{**AGREES, **change})  # type: ignore[arg-type]
    assert said in reason
    assert bool(said) == bool(reason)
