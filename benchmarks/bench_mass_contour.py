"""Mass contour against PyCBC's ``mchirp_area``, on the same events in the same run.

::

    python benchmarks/bench_mass_contour.py
"""

import warnings

import numpy as np

warnings.simplefilter("ignore")  # PyCBC's imports deprecate one another
from pycbc.mchirp_area import calc_probabilities  # noqa: E402
from timing import Times, race  # noqa: E402

import spiir_pastro as sp  # noqa: E402
from spiir_pastro.models.distance import PYCBC_LIVE_O3  # noqa: E402

EVENTS, PEER_EVENTS, SINGLES = 1_000_000, 100, 100
PEER_SETTINGS = {
    "mass_limits": {"max_m1": 45.0, "min_m2": 1.0},
    "mass_bdary": {"ns_max": 3.0, "gap_max": 3.0},
    "estimation_coeff": {"a0": 0.74899, "b0": -0.51557, "b1": -0.32195, "m0": 0.01},
    "mass_gap": False,
    "mass_gap_separate": False,
    "lal_cosmology": True,
}


def main() -> None:
    rng = np.random.default_rng(1)
    mchirp = 10 ** rng.uniform(-0.1, 1.6, EVENTS)
    snr, nearest = rng.uniform(8, 30, EVENTS), 10 ** rng.uniform(1.5, 3.5, EVENTS)
    classifier = sp.MassContourClassifier(distance=PYCBC_LIVE_O3)
    few = [column[:PEER_EVENTS] for column in (mchirp, snr, nearest)]
    one = [column[:1] for column in few]

    peer_shares = np.array(
        [list(calc_probabilities(*row, PEER_SETTINGS).values()) for row in np.stack(few, 1)]
    )
    difference = np.abs(peer_shares - classifier.probabilities(*few)).max()
    assert difference < 1e-6, difference

    def ask_peer() -> None:
        for row in np.stack(few, 1).tolist():
            calc_probabilities(*row, PEER_SETTINGS)

    def ask_singly() -> None:
        for _ in range(SINGLES):
            classifier.probabilities(*one)

    peer, single, many = race(
        {
            "PyCBC": ask_peer,
            "one event": ask_singly,
            "all": lambda: classifier.probabilities(mchirp, snr, nearest),
        },
        rounds=5,
    ).values()
    print(f"greatest difference of a share {difference:.1e}")
    print(f"{'':20}{'per event':>12}{'PyCBC / this, wall':>34}")
    for name, ours, events in (
        ("PyCBC", peer, PEER_EVENTS),
        ("one event", single, SINGLES),
        (f"{EVENTS:,} events", many, EVENTS),
    ):
        each = Times([wall * PEER_EVENTS / events for wall in ours.wall])
        micros = ours.best_wall / events * 1e6
        print(f"{name:20}{micros:9.3f} us{peer.over(each):>34}")


if __name__ == "__main__":
    main()
