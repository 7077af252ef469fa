"""A whole campaign: its binaries, and the triggers of every bank group.

Bank groups form a chain from light to heavy. Each has noise of its own, a Poisson process made in
time blocks; the next group finds part of it too, with a smaller SNR. Real mergers are in every run,
injections only in the runs of their own bank. A run with injections has the same noise as the one
without, except for triggers that a louder signal displaces.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache

import numpy as np
import polars as pl
from numpy.typing import NDArray

from spiir_pastro.domain import ASTROPHYSICAL, Source
from spiir_pastro.simulation.bank import TemplateGroup, template_groups
from spiir_pastro.simulation.binaries import draw_detectable
from spiir_pastro.simulation.config import COMPLETE_BELOW_HZ, CampaignConfig, stream
from spiir_pastro.simulation.detections import INJECTION, MERGER, Detections, postcoh_frame
from spiir_pastro.simulation.network import Segments, draw_segments
from spiir_pastro.simulation.noise_templates import NoiseSlice, noise_slices
from spiir_pastro.simulation.triggers import (
    Signals,
    displace,
    draw_noise,
    draw_signals,
    recover,
)

TRUTH_COLUMNS = ("event_id", "gps_ns", "origin", "origin_id", "source")
"""What is true of a trigger: its row's id and time, where it comes from, and its class."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Campaign:
    """All that is drawn before the first trigger."""

    config: CampaignConfig
    chain: tuple[TemplateGroup, ...]  # the bank groups from light to heavy
    slices: tuple[NoiseSlice, ...]  # the part of the noise candidates that each finds
    segments: Segments  # when each detector was on
    mergers: dict[Source, Signals]
    injections: dict[Source, Signals]
    # binaries drawn for the injections of each bank, with those that cannot be detected
    drawn: dict[Source, int]

    def blocks(
        self, place: int, span: tuple[int, int], *, injected: bool
    ) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Make the rows of one file, a bounded number at a time.

        Parameters
        ----------
        place
            Of the bank group in the chain.
        span
            The file's GPS start and duration.
        injected
            Whether with injections.

        Yields
        ------
        rows, truth
            What SPIIR writes, and what is true of each row (``TRUTH_COLUMNS``).
        """
        group = self.chain[place]
        signals = _recovered(self, place, MERGER)
        if injected:
            signals += _recovered(self, place, INJECTION)
        next_id = 0
        for block in self._time_blocks(span):
            found = _noise(self, place, block)
            for known in signals:
                inside = (known.end_ns >= block[0] * 10**9) & (
                    known.end_ns < (block[0] + block[1]) * 10**9
                )
                found = displace(known[inside], found)
            found = self._reported(found, group)
            rows = postcoh_frame(found, group, self.config, first_id=next_id)
            next_id += len(found)
            yield rows, self._truth(found, rows, group)

    def _time_blocks(self, span: tuple[int, int]) -> Iterator[tuple[int, int]]:
        candidates_only = self.config.far_max_hz is not None
        rate_hz = COMPLETE_BELOW_HZ if candidates_only else self.config.noise_rate_hz
        step = max(int(self.config.chunk_rows / rate_hz), 1)
        for start in range(span[0], span[0] + span[1], step):
            yield start, min(step, span[0] + span[1] - start)

    def _reported(self, found: Detections, group: TemplateGroup) -> Detections:
        limit = self.config.far_max_hz
        return found if limit is None else found[found.far_hz(group) < limit]

    def _truth(self, found: Detections, rows: pl.DataFrame, group: TemplateGroup) -> pl.DataFrame:
        source = np.full(len(found), str(Source.TERRESTRIAL), dtype="<U11")
        merger = found.origin == MERGER
        source[merger] = self._merger_sources()[found.origin_id[merger]]
        source[found.origin == INJECTION] = str(group.bank)
        return pl.DataFrame(
            {
                "event_id": rows["event_id"],
                "gps_ns": found.end_ns,
                "origin": found.origin,
                "origin_id": found.origin_id,
                "source": source,
            }
        )

    def _merger_sources(self) -> NDArray[np.str_]:
        return np.array(
            [str(c) for c, s in self.mergers.items() for _ in range(s.numbers.size)] or [""]
        )


def build_campaign(config: CampaignConfig) -> Campaign:
    """Draw segments, mergers and injections."""
    segments = draw_segments(config)
    mergers, first = {}, 0
    for source in ASTROPHYSICAL:
        rng = stream(config.seed, "mergers", source)
        count = rng.poisson(_mergers_per_day(source, config) * config.seconds / 86_400)
        gps = np.sort(rng.uniform(config.gps_start, config.gps_end, count))
        population = config.merger_population[source]
        binaries, _ = draw_detectable(source, gps, config, rng, population)
        signals = draw_signals(binaries, MERGER, segments, config)
        mergers[source] = replace(signals, numbers=first + signals.numbers)
        first += count
    injections, drawn = {}, {}
    for source in config.ordered_banks:
        rng = stream(config.seed, "injections", source)
        gps = _injection_times(config, rng)
        population = config.injection_population[source]
        binaries, drawn[source] = draw_detectable(source, gps, config, rng, population)
        injections[source] = draw_signals(binaries, INJECTION, segments, config)
    chain = tuple(
        group for bank in config.ordered_banks for group in template_groups(bank, config.groups)
    )
    return Campaign(
        config=config,
        chain=chain,
        slices=noise_slices(chain),
        segments=segments,
        mergers=mergers,
        injections=injections,
        drawn=drawn,
    )


def draw_candidates(config: CampaignConfig, *, injected: bool = False) -> pl.DataFrame:
    """Simulate a campaign in memory: every trigger of every bank with its truth, by time.

    For statistics over many campaigns. Give the configuration a ``far_max_hz`` to keep it small.

    Returns
    -------
    DataFrame
        The columns of a zerolag file under today's names, ``bank``, ``group``, and
        ``TRUTH_COLUMNS``. ``event_id`` counts within a bank group. Not clustered: one merger may
        have several rows.
    """
    campaign = build_campaign(config)
    span = (config.gps_start, config.seconds)
    parts = [
        rows.with_columns(
            truth.select(TRUTH_COLUMNS[1:]),
            bank=pl.lit(str(group.bank)),
            group=pl.lit(group.number),
        )
        for place, group in enumerate(campaign.chain)
        for rows, truth in campaign.blocks(place, span, injected=injected)
    ]
    return pl.concat(parts).sort("gps_ns", "bank", "group", maintain_order=True)


def _mergers_per_day(source: Source, config: CampaignConfig) -> float:
    """Return the rate of a class; an early-warning search finds none that it has no bank for."""
    if config.early_warning_s > 0 and source not in config.banks:
        return 0.0
    return config.mergers_per_day.get(source, 0.0)


def _injection_times(config: CampaignConfig, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return one injection time an interval, in its middle half: never two within half of one."""
    count = int(config.seconds // config.injection_interval_s)
    when = np.arange(count) + rng.uniform(0.25, 0.75, count)
    return np.asarray(config.gps_start + when * config.injection_interval_s)


@cache
def _recovered(campaign: Campaign, place: int, origin: str) -> tuple[Detections, ...]:
    """Return a bank group's triggers of signals, over the whole campaign."""
    group = campaign.chain[place]
    sets = (
        list(campaign.mergers.values()) if origin == MERGER else [campaign.injections[group.bank]]
    )
    return tuple(recover(s, group, campaign.config) for s in sets if s.numbers.size)


@lru_cache(maxsize=2)  # the run with injections has the noise of the one without
def _noise(campaign: Campaign, place: int, block: tuple[int, int]) -> Detections:
    """Return a bank group's noise in a block: its own, what it shares with the next, and echoes."""
    own = _noise_stream(campaign, place, block, "own")
    shared = _noise_stream(campaign, place, block, "shared")
    parts = [own, shared]
    if place > 0:
        parts.append(_echo(campaign, place, block))
    return Detections.join(*parts)


def _noise_stream(campaign: Campaign, place: int, block: tuple[int, int], kind: str) -> Detections:
    config, group = campaign.config, campaign.chain[place]
    share = config.shared_noise if kind == "shared" else 1 - config.shared_noise
    rng = stream(config.seed, "noise", kind, group.bank, group.number, block[0])
    part = campaign.slices[place]
    return draw_noise(group, part, block, share, campaign.segments, config, rng)


def _echo(campaign: Campaign, place: int, block: tuple[int, int]) -> Detections:
    """Return the previous group's shared noise as this one sees it: less significant."""
    config = campaign.config
    before, group = campaign.chain[place - 1], campaign.chain[place]
    primary = _noise_stream(campaign, place - 1, block, "shared")
    rng = stream(config.seed, "echo", group.bank, group.number, block[0])
    n = len(primary)
    quieter, worse = rng.uniform(0.95, 1.0, (n, 1)), rng.uniform(1.0, 1.1, (n, 1))
    echo = replace(
        primary,
        snr=primary.snr * quieter,
        null_snr=primary.null_snr * quieter[:, 0],
        chisq=primary.chisq * worse,
        template=rng.integers(len(group), size=n),
    )
    return echo[echo.far_hz(group) >= primary.far_hz(before)]
