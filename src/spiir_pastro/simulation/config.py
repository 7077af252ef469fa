"""What a simulated campaign is made of: spans, banks, rates and the seed.

Every random number comes from a stream named by the seed and by what it is for (`stream`), so a
file's content depends neither on the order files are made in nor on how many processes make them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from zlib import crc32

import numpy as np

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.errors import ConfigError
from spiir_pastro.models.population import BinaryPopulation, MassLaw, RedshiftLaw
from spiir_pastro.models.response import Response

DETECTORS = ("H1", "L1", "V1", "K1")
"""All detectors, in the order of every detector axis here."""

NETWORK = DETECTORS[:3]
"""The detectors simulated if nothing else is asked for."""


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The ranges of the detectors of an observing run, and how often they are on."""

    # sky-averaged range of each detector for 1.4 + 1.4 solar masses
    bns_range_mpc: Mapping[str, float]
    duty_cycle: Mapping[str, float]  # fraction of time each is on


SENSITIVITIES: Mapping[str, Sensitivity] = {
    "O3": Sensitivity(
        bns_range_mpc={"H1": 108.0, "L1": 135.0, "V1": 45.0, "K1": 1.0},
        duty_cycle={"H1": 0.71, "L1": 0.76, "V1": 0.76, "K1": 0.53},
    ),
    "O4": Sensitivity(
        bns_range_mpc={"H1": 152.0, "L1": 160.0, "V1": 50.0, "K1": 7.0},
        duty_cycle={"H1": 0.675, "L1": 0.69, "V1": 0.7, "K1": 0.53},
    ),
}
"""By observing run. O3: the medians of O3a, GWTC-2 (arXiv:2010.14527) Fig. 3; KAGRA in O3GK was on
53 % of the time and heard to 0.6 Mpc (arXiv:2203.07011), here 1. O4: duty cycles of H1 and L1 in
O4a, 67.5 and 69.0 % (GWTC-4.0, arXiv:2508.18080), and their median ranges (Capote et al.,
arXiv:2411.14607); V1's range is that of LVK's observing plan in round numbers. V1's duty cycle and
KAGRA's range are assumed, and its duty cycle is taken over from O3GK."""

COMPLETE_BELOW_HZ = 0.01
"""All noise with a combined FAR below this is written; of the rest, a sample."""

_STAR = MassLaw(low=1.1, high=2.2)

SIMULATED: Mapping[Source, BinaryPopulation] = {
    Source.BNS: BinaryPopulation(primary=_STAR, secondary=_STAR, redshift=RedshiftLaw(high=0.15)),
    Source.NSBH: BinaryPopulation(
        primary=MassLaw(low=5.0, high=25.0, exponent=-2.35),
        secondary=_STAR,
        redshift=RedshiftLaw(high=0.35),
    ),
    Source.BBH: BinaryPopulation(
        primary=MassLaw(
            low=5.0, high=100.0, exponent=-2.35, peak_fraction=0.2, peak_mean=34.0, peak_std=4.0
        ),
        secondary=MassLaw(low=5.0),
        redshift=RedshiftLaw(high=1.5),
    ),
}
"""Binaries drawn if nothing else is asked for: neutron stars uniform in 1.1 to 2.2 M_sun; black
holes a Salpeter-like power law from 5 M_sun, a fifth of BBH primaries in a peak at 34 +- 4 M_sun
(the "power law + peak" of GWTC-3, arXiv:2111.03634, in outline), and a BBH secondary uniform
between 5 M_sun and the primary. Their rate is constant in comoving volume and source-frame time."""


@dataclass(frozen=True, kw_only=True)
class CampaignConfig:
    """Parameters of a campaign.

    Attributes
    ----------
    seed
        Same seed, same bytes.
    gps_start
        First GPS second.
    days
        Length; a whole number of seconds.
    banks
        Template banks searched, by the class they are made for.
    groups
        Bank groups a bank is split into, each with files of its own, as SPIIR runs it.
    noise_rate_hz
        Noise triggers written a second and bank group while at least two detectors are on, apart
        from those with a FAR below `COMPLETE_BELOW_HZ`, which are all written. A real bank group
        has 0.93, and a simulated one stands for many of them.
    shared_noise
        Fraction of noise triggers that stand in the next bank group too, a little quieter.
    far_max_hz
        Write only triggers with a combined FAR below this, at most `COMPLETE_BELOW_HZ`; None for
        all. They follow the law of the whole campaign, so a year of candidates is cheap.
    injection_interval_s
        Mean time between injections of an injection run.
    mergers_per_day
        Expected number of real mergers a day by class, in every run; about a sixth is found.
    merger_population, injection_population
        What real mergers and injections of each class are drawn from.
    misrecovered
        Fraction of heavy binaries that are recovered far off, in templates of a fraction of their
        chirp mass; 7 of 23 of those that SPIIR uploaded.
    early_warning_s
        Search for signals up to so many seconds before the merger; 0 for all of them.
    observing_run
        Whose noise curves the detectors have: one of `SENSITIVITIES`.
    duty_cycle
        Fraction of time each detector is on; these are the detectors: H1, L1, V1, and K1 or not.
    bns_range_mpc
        Sky-averaged BNS range of each detector.
    single_detector
        Rate of noise candidates while one detector is on, over that with H1 and L1; signals are
        looked for in it too. 0 for a search of coincidences alone.
    unassigned_s
        Until this long after the start no FAR is assigned: 0 is written.
    file_seconds
        Length of a file.
    chunk_rows
        Expected rows made and written at once; bounds memory.

    Raises
    ------
    ConfigError
        If a value is out of its range.
    """

    seed: int = 0
    gps_start: int = 1_262_304_018
    days: float = 1.0
    banks: tuple[Source, ...] = ASTROPHYSICAL
    groups: int = 3
    noise_rate_hz: float = 0.4
    shared_noise: float = 0.05
    far_max_hz: float | None = None
    injection_interval_s: float = 120.0
    mergers_per_day: Mapping[Source, float] = field(
        default_factory=lambda: dict.fromkeys(ASTROPHYSICAL, 3.0)
    )
    merger_population: Mapping[Source, BinaryPopulation] = field(
        default_factory=lambda: dict(SIMULATED)
    )
    injection_population: Mapping[Source, BinaryPopulation] = field(
        default_factory=lambda: dict(SIMULATED)
    )
    misrecovered: float = 0.3
    early_warning_s: float = 0.0
    observing_run: str = "O3"
    duty_cycle: Mapping[str, float] = field(
        default_factory=lambda: {ifo: SENSITIVITIES["O3"].duty_cycle[ifo] for ifo in NETWORK}
    )
    bns_range_mpc: Mapping[str, float] = field(
        default_factory=lambda: {ifo: SENSITIVITIES["O3"].bns_range_mpc[ifo] for ifo in NETWORK}
    )
    single_detector: float = 0.0
    unassigned_s: int = 1800
    file_seconds: int = 86_400
    chunk_rows: int = 50_000

    def __post_init__(self) -> None:
        limits = {
            "seed": (self.seed, 0, 2**63),
            "gps_start": (self.gps_start, 0, 2_000_000_000),
            "days": (self.days, 1e-3, 3660),
            "groups": (self.groups, 1, 64),
            "noise_rate_hz": (self.noise_rate_hz, 1e-6, 100),
            "shared_noise": (self.shared_noise, 0, 0.9),
            "injection_interval_s": (self.injection_interval_s, 5, 1e9),
            "misrecovered": (self.misrecovered, 0, 0.99),
            "early_warning_s": (self.early_warning_s, 0, 300),
            "single_detector": (self.single_detector, 0, 1),
            "unassigned_s": (self.unassigned_s, 0, 1e9),
            "file_seconds": (self.file_seconds, 60, 1e8),
            "chunk_rows": (self.chunk_rows, 100, 10**7),
            **{f"mergers_per_day[{c}]": (r, 0, 1000) for c, r in self.mergers_per_day.items()},
            **{f"duty_cycle[{d}]": (f, 0.01, 1) for d, f in self.duty_cycle.items()},
            **{f"bns_range_mpc[{d}]": (r, 1, 1e4) for d, r in self.bns_range_mpc.items()},
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise ConfigError(f"simulation: {name} is {value}; it must lie in {low} to {high}")
        if self.observing_run not in SENSITIVITIES:
            raise ConfigError(
                f"simulation: observing_run is {self.observing_run!r}; "
                f"name one of {', '.join(SENSITIVITIES)}"
            )
        known = set(self.duty_cycle) <= set(self.bns_range_mpc) <= set(DETECTORS)
        if self.network not in (NETWORK, DETECTORS) or not known:
            raise ConfigError(
                f"simulation: duty_cycle is of {', '.join(self.duty_cycle) or 'none'}, "
                f"bns_range_mpc of {', '.join(self.bns_range_mpc) or 'none'}; "
                "give both of H1, L1, V1, and of K1 or not"
            )
        if not self.banks or not set(self.banks) <= set(ASTROPHYSICAL):
            raise ConfigError(
                f"simulation: banks are {', '.join(self.banks) or 'none'}; "
                f"name some of {', '.join(ASTROPHYSICAL)}"
            )
        if self.far_max_hz is not None and not 0 < self.far_max_hz <= COMPLETE_BELOW_HZ:
            raise ConfigError(
                f"simulation: far_max_hz is {self.far_max_hz}; it must be positive and at most "
                f"{COMPLETE_BELOW_HZ}, up to which all noise is simulated"
            )

    @property
    def detectors_needed(self) -> int:
        """How many detectors make a trigger."""
        return 1 if self.single_detector > 0 else 2

    @property
    def network(self) -> tuple[str, ...]:
        """The detectors, in the order of every detector axis."""
        return tuple(ifo for ifo in DETECTORS if ifo in self.duty_cycle)

    @property
    def bns_ranges_mpc(self) -> tuple[float, ...]:
        """BNS range of each detector, in the network's order."""
        return tuple(self.bns_range_mpc[ifo] for ifo in self.network)

    @property
    def response(self) -> Response:
        """What a template bank recovers of a binary."""
        return replace(Response(), misrecovered_fraction=self.misrecovered)

    @property
    def seconds(self) -> int:
        """Length in seconds."""
        return round(self.days * 86_400)

    @property
    def gps_end(self) -> int:
        """The GPS second after the last."""
        return self.gps_start + self.seconds

    @property
    def ordered_banks(self) -> tuple[Source, ...]:
        """The banks from light to heavy, whatever order they were asked for in."""
        return tuple(bank for bank in ASTROPHYSICAL if bank in self.banks)

    def file_spans(self) -> list[tuple[int, int]]:
        """Return (GPS start, duration) of every file of a bank group."""
        starts = range(self.gps_start, self.gps_end, self.file_seconds)
        return [(start, min(self.file_seconds, self.gps_end - start)) for start in starts]


def stream(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return the generator of one purpose: same seed and words, same numbers.

    Examples
    --------
    >>> bool(stream(1, "noise", 0).random() == stream(1, "noise", 0).random())
    True
    """
    key = [crc32(word.encode()) if isinstance(word, str) else word for word in purpose]
    return np.random.Generator(np.random.PCG64DXSM(np.random.SeedSequence(seed, spawn_key=key)))
