r"""Make triggers: noise as a Poisson process, and signals as a search recovers them.

A signal's complex SNR in a detector is ``match x optimal SNR + (N(0,1) + i N(0,1))``: its modulus
is what a matched filter maximised over phase reports. Bank groups hear the same strain, so the
noise in their SNRs is correlated. A trigger needs SNR 4 in two detectors, as SPIIR does; with
``CampaignConfig.single_detector`` one detector does, while no other is on.

The template's chirp mass and mass ratio are drawn from the response that the source model has too
(`spiir_pastro.models.response`): widths from matched filtering, and a branch of heavy binaries that
are recovered far off, as often as ``CampaignConfig.misrecovered`` says. Lighter templates often
respond to a heavy binary as well, again far off in chirp mass: one merger gives several uploads.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from spiir_pastro.models.response import WIDEST_LOG_ERROR
from spiir_pastro.simulation.bank import TemplateGroup, nearest_template
from spiir_pastro.simulation.binaries import Binaries
from spiir_pastro.simulation.config import COMPLETE_BELOW_HZ, CampaignConfig, stream
from spiir_pastro.simulation.detections import NOISE, Detections
from spiir_pastro.simulation.network import (
    Segments,
    antenna_patterns,
    arrival_delays,
    detectors_on,
)
from spiir_pastro.simulation.noise import SNR_THRESHOLD
from spiir_pastro.simulation.noise_templates import NoiseSlice
from spiir_pastro.simulation.ranking import (
    NOISE_CEILING_HZ,
    draw_reduced_snr,
    noise_chisq,
    whole_snr,
)

Floats = NDArray[np.float64]

SINGLE_THRESHOLD = 4.0
_CLUSTER_NS = 500_000_000
_SAMPLE_HZ = 2048
_HEAVY_MCHIRP_MSUN = 30.0
_NEAR_TEMPLATES = 10  # in chirp mass, to each side: the nearest in mass ratio is taken
_SNR_LOSS_PER_SIGMA = 0.005  # fraction of SNR lost one standard error off: 1 / (2 SNR^2) at SNR 10
_RINGING_TEMPLATES = 6
_COMMON_NOISE_FRACTION = 0.9

# SPIIR runs over three detectors and, more than once, over two: the share of signals that each run
# finds again. With it 7 % of simulated mergers are uploaded once, as 2 of 25 of O3a.
_REPORTED_BY_RUN = (1.0, 0.9, 0.5)

# A signal's chi-square in a detector, decimal logarithm and scatter, and what mismatch adds.
_LOG_CHISQ, _LOG_CHISQ_SPREAD, _MISMATCH_CHISQ = -0.06, 0.1, 0.05
# One merger in the same template has FARs decades apart in two of SPIIR's runs, the farther the
# lower they are: 1e-12, 1e-8 and 1e-6 Hz at SNR 12.0 in O3a. Each run has a background of its own:
# ln ln(FAR*/FAR) of 16 such pairs differ by 0.6 (root mean square), and known mergers lie a tenth
# deeper than the noise's law says.
_BACKGROUND_DEPTH, _BACKGROUND_SPREAD = 0.1, 0.5

# Of the noise candidates in SPIIR's uploads of O3a 74.7 % are H1 L1, 14.8 % H1 L1 V1, 6.7 % L1 V1
# and 3.8 % H1 V1; with duty cycles of .71, .76 and .76 that makes:
_H1_PAIR_ACTIVITY, _L1_PAIR_ACTIVITY = 0.18, 0.24
_THREE_DETECTOR_FRACTION = 0.22

# Of the same candidates 7.5 % were uploaded more than once, by a second run or a neighbouring
# bank: half of them within 0.49 decades of FAR, a third from other detectors.
_NOISE_REPEATED_FRACTION = 0.28
_TWIN_FAR_DECADES = 1.5
_OTHER_DETECTORS_FRACTION = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Signals:
    """n binaries of one origin with what is common to all bank groups: noise, timing, recovery."""

    binaries: Binaries  # in the order of time
    # INJECTION or MERGER, and each one's number, (n,)
    origin: str
    numbers: NDArray[np.int64]
    optimal: NDArray[np.complex128]  # (n, detectors) complex optimal SNR
    noise: NDArray[np.complex128]  # (n, detectors) complex noise SNR, unit variance a quadrature
    on: NDArray[np.bool_]  # (n, detectors) which were on
    # (n,) of the loudest template there could be: ln(chirp mass) and (m1 - m2) / (m1 + m2)
    log_mchirp: Floats
    mass_difference: Floats
    # (n,) whether that chirp mass is off by more than a factor of two
    misrecovered: NDArray[np.bool_]
    arrival_ns: NDArray[np.int64]  # (n, detectors) true arrival in each detector, GPS nanoseconds


def draw_signals(
    binaries: Binaries, origin: str, segments: Segments, config: CampaignConfig
) -> Signals:
    """Draw what is the same of the binaries for all bank groups."""
    n = len(binaries)
    rng = stream(config.seed, "signals", origin, binaries.source)
    true = np.log(binaries.mchirp_det)
    log_mchirp, difference = config.response.draw(true, binaries.mass_difference, rng)
    sky = binaries.right_ascension, binaries.declination
    delays = arrival_delays(*sky, binaries.gps, config.network)
    return Signals(
        binaries=binaries,
        origin=origin,
        numbers=np.arange(n),
        optimal=binaries.optimal_snr(config),
        noise=_unit_noise((n, len(config.network)), rng),
        on=detectors_on(binaries.gps, segments),
        log_mchirp=log_mchirp,
        mass_difference=difference,
        misrecovered=np.abs(log_mchirp - true) > WIDEST_LOG_ERROR,
        arrival_ns=((binaries.gps[:, None] + delays) * 1e9).astype(np.int64),
    )


def recover(signals: Signals, group: TemplateGroup, config: CampaignConfig) -> Detections:
    """Return a bank group's triggers of the signals, by time.

    The loudest of the group's templates makes the trigger. Most signals have several triggers, from
    three detectors and from two of them.
    """
    heard = signals.origin, signals.binaries.source
    rng = stream(config.seed, "recover", *heard, group.bank, group.number)
    which, template, match = _attempts(signals, group, config, rng)
    noise = np.sqrt(_COMMON_NOISE_FRACTION) * signals.noise[which] + np.sqrt(
        1 - _COMMON_NOISE_FRACTION
    ) * _unit_noise((which.size, len(config.network)), rng)
    z = match[:, None] * signals.optimal[which] + noise
    spread = 10 ** rng.normal(_LOG_CHISQ, _LOG_CHISQ_SPREAD, z.shape)
    chisq = spread + _MISMATCH_CHISQ * (1 - match[:, None] ** 2) * np.abs(z) ** 2
    # All runs filter the same strain: they differ in the detectors, and in their background.
    attempt, run = _in_several_runs(which.size, rng)
    which, template, chisq = which[attempt], template[attempt], chisq[attempt]
    on = _used(signals.on[which], signals.optimal[which], run)
    snr = np.where(on, z[attempt], 0)
    jitter = rng.standard_normal(on.shape) * 2e-3 / np.maximum(np.abs(snr), 1)
    gps_ns = _sampled(signals.arrival_ns[which] + (jitter * 1e9).astype(np.int64))
    angle = rng.normal(0, np.radians(8), (2, which.size))
    found = Detections(
        gps_ns=gps_ns,
        on=on,
        snr=np.abs(snr),
        coaphase=np.where(on, np.angle(snr), 0.0),
        chisq=np.where(on, chisq, 0.0),
        null_snr=_null_snr(signals.binaries, which, snr, on, config.network),
        template=template,
        right_ascension=(signals.binaries.right_ascension[which] + angle[0]) % (2 * np.pi),
        declination=np.clip(signals.binaries.declination[which] + angle[1], -np.pi / 2, np.pi / 2),
        depth_factor=np.exp(rng.normal(_BACKGROUND_DEPTH, _BACKGROUND_SPREAD, which.size)),
        origin=np.full(which.size, signals.origin),
        origin_id=signals.numbers[which],
    )
    heard = (found.snr >= SINGLE_THRESHOLD).sum(axis=1) >= 2
    if config.detectors_needed == 1:
        heard |= (found.on.sum(axis=1) == 1) & (found.snr.max(axis=1) > SNR_THRESHOLD)
    found, key = found[heard], (len(_REPORTED_BY_RUN) * found.origin_id + run)[heard]
    # Sorted by signal and run, the loudest first, of which the first of each is kept.
    loudest = np.lexsort((-found.coherent_snr, key))
    return Detections.join(found[loudest[np.unique(key[loudest], return_index=True)[1]]])


def draw_noise(
    group: TemplateGroup,
    part: NoiseSlice,
    span: tuple[int, int],
    fraction: float,
    segments: Segments,
    config: CampaignConfig,
    rng: np.random.Generator,
) -> Detections:
    """Draw a fraction of a group's noise triggers of a span (GPS start, seconds), by time.

    FAR is drawn first: uniform below `COMPLETE_BELOW_HZ`, at the group's share of the rate that
    this FAR means, and a sample of the rest, none with ``config.far_max_hz``.
    """
    # A Poisson process at the rate while H1 and L1 are on, thinned where fewer detectors are.
    busiest = 1 / _mean_activity(config)
    complete = rng.poisson(fraction * part.share * COMPLETE_BELOW_HZ * busiest * span[1])
    sampled = rng.poisson(fraction * config.noise_rate_hz * busiest * span[1])
    sampled = 0 if config.far_max_hz is not None else sampled
    far_hz = np.concatenate(
        [
            rng.uniform(0, COMPLETE_BELOW_HZ, complete),
            rng.uniform(COMPLETE_BELOW_HZ, NOISE_CEILING_HZ, sampled),
        ]
    )
    gps = rng.uniform(span[0], span[0] + span[1], far_hz.size)
    order = np.argsort(gps, kind="stable")
    gps, far_hz = gps[order], far_hz[order]
    on = detectors_on(gps, segments)
    keep = rng.random(gps.size) < _activity(on, config)
    if config.far_max_hz is not None:
        keep &= far_hz < config.far_max_hz
    gps, far_hz, on = gps[keep], far_hz[keep], on[keep]
    template = part.draw_templates(group, gps.size, rng)
    mtotal = (group.mass1 + group.mass2)[template]
    reduced = draw_reduced_snr(group.bank, mtotal, far_hz, rng)
    used = _taking_part(on, rng)
    again, far_again, used_again = _found_again(far_hz, on, used, rng)
    rows = np.concatenate([np.arange(gps.size), again])
    far_hz, used = np.concatenate([far_hz, far_again]), np.concatenate([used, used_again])
    chisq, glitch = noise_chisq(group.bank, mtotal[rows], far_hz, reduced[rows])
    found = _split(
        gps[rows],
        whole_snr(reduced[rows], used),
        chisq,
        rng.random(rows.size) < glitch,
        used,
        template[rows],
        rng,
    )
    return found if config.far_max_hz is None else found[far_hz < config.far_max_hz]


def _found_again(
    far_hz: Floats, on: NDArray[np.bool_], used: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.int64], Floats, NDArray[np.bool_]]:
    """Choose which significant noise a second run reports too, with what FAR and detectors.

    Always less significant, so that counting the better one leaves FAR calibrated.
    """
    twice = (far_hz < COMPLETE_BELOW_HZ) & (rng.random(far_hz.size) < _NOISE_REPEATED_FRACTION)
    again = np.flatnonzero(twice)
    far_again = far_hz[again] * 10 ** (_TWIN_FAR_DECADES * rng.standard_exponential(again.size))
    used_again = used[again].copy()
    other = rng.random(again.size) < _OTHER_DETECTORS_FRACTION
    third = on[again, :2].all(axis=1) & other
    used_again[third, 2:] = on[again][third, 2:] & ~used_again[third, 2:]
    kept = far_again < COMPLETE_BELOW_HZ
    return again[kept], far_again[kept], used_again[kept]


def _activity(on: NDArray[np.bool_], config: CampaignConfig) -> Floats:
    """Return the rate of noise with these detectors on, over that with H1 and L1, (n,)."""
    alone = np.where(on.sum(axis=1) == 1, config.single_detector, 0.0)
    h1, l1, rest = on[:, 0], on[:, 1], on[:, 2:].any(axis=1)
    uneven = np.where(h1, _H1_PAIR_ACTIVITY, _L1_PAIR_ACTIVITY)
    return np.where(h1 & l1, 1.0, np.where((h1 | l1) & rest, uneven, alone))


def _mean_activity(config: CampaignConfig) -> float:
    """Return its mean over the time with enough detectors, which are on independently."""
    states = np.array(list(product([False, True], repeat=len(config.network))))
    duty = np.array([config.duty_cycle[ifo] for ifo in config.network])
    chance = np.where(states, duty, 1 - duty).prod(axis=1)
    enough = states.sum(axis=1) >= config.detectors_needed
    return float((chance * _activity(states, config))[enough].sum() / chance[enough].sum())


def _taking_part(on: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Reduce most noise triggers with H1 and L1 to those two: SPIIR runs on the pair alone too."""
    pair_only = on[:, :2].all(axis=1) & (rng.random(on.shape[0]) >= _THREE_DETECTOR_FRACTION)
    used = on.copy()
    used[pair_only, 2:] = False
    return used


def displace(signals: Detections, noise: Detections) -> Detections:
    """Merge signals into noise: within half a second of a signal the louder trigger stays."""
    # Every pair of a signal and a noise trigger near it, without a loop: those of a signal are a
    # range of the noise sorted by time.
    order = np.argsort(noise.end_ns, kind="stable")
    times = noise.end_ns[order]
    low = np.searchsorted(times, signals.end_ns - _CLUSTER_NS, side="left")
    high = np.searchsorted(times, signals.end_ns + _CLUSTER_NS, side="right")
    signal = np.repeat(np.arange(len(signals)), high - low)
    place = np.arange(signal.size) - np.repeat(np.cumsum(high - low) - (high - low), high - low)
    near = order[np.repeat(low, high - low) + place]
    louder = noise.coherent_snr[near] > signals.coherent_snr[signal]
    signal_stays = np.ones(len(signals), dtype=bool)
    signal_stays[signal[louder]] = False
    noise_stays = np.ones(len(noise), dtype=bool)
    noise_stays[near[signal_stays[signal]]] = False
    return Detections.join(signals[signal_stays], noise[noise_stays])


def _unit_noise(shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.complex128]:
    real, imaginary = rng.standard_normal((2, *shape))
    return np.asarray(real + 1j * imaginary)


def _sampled(gps_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """Round down to SPIIR's sample times, whole nanoseconds."""
    seconds, rest = np.divmod(gps_ns, 10**9)
    return np.asarray(seconds * 10**9 + (rest * _SAMPLE_HZ // 10**9) * 10**9 // _SAMPLE_HZ)


def _attempts(
    signals: Signals, group: TemplateGroup, config: CampaignConfig, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Floats]:
    """Pair signals with templates of a group: which signal, which template, and their match."""
    response, true = config.response, np.log(signals.binaries.mchirp_det)
    n, target = true.size, signals.log_mchirp
    lighter = true[:, None] + np.log(rng.uniform(0.1, 0.4, (n, _RINGING_TEMPLATES)))
    ringing = (rng.random((n, _RINGING_TEMPLATES)) < 0.7) & (true > np.log(_HEAVY_MCHIRP_MSUN))[
        :, None
    ]
    lowest, highest = group.log_mchirp[0], group.log_mchirp[-1]
    overshoot = np.maximum(np.maximum(lowest - target, target - highest), 0)
    match = np.where(signals.misrecovered, rng.uniform(0.75, 0.97, n), rng.uniform(0.97, 1.0, n))
    match = match * np.exp(-((overshoot / (2 * response.width(true))) ** 2) / 2)
    near = np.flatnonzero(match > 0.5)
    # Heavy binaries that a lighter template responds to, at 0.1 to 0.4 of their chirp mass.
    rung, trial = np.nonzero(ringing & (lighter >= lowest) & (lighter <= highest))
    which = np.concatenate([near, rung])
    wanted = np.concatenate([target[near], lighter[rung, trial]])
    # Such a template has about the binary's total mass, as those of misrecovered binaries have.
    log_eta = 5 / 3 * (lighter[rung, trial] - np.log(response.misrecovered_mtotal))
    rung_difference = np.sqrt(np.maximum(1 - 4 * np.exp(log_eta), 0))
    difference = np.concatenate([signals.mass_difference[near], rung_difference])
    ratio = np.clip((1 - difference) / (1 + difference), 0.01, 1.0)
    template = nearest_template(group, wanted, ratio, reach=_NEAR_TEMPLATES)
    mass1, mass2 = group.mass1[template], group.mass2[template]
    off = ((mass1 - mass2) / (mass1 + mass2) - difference) / response.w_width
    fit = np.concatenate([match[near], rng.uniform(0.6, 0.93, rung.size)])
    return which, template, fit * np.exp(-_SNR_LOSS_PER_SIGMA * off**2)


def _in_several_runs(
    n: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw which of n attempts each of SPIIR's runs makes: attempt and run, run by run."""
    made = [np.flatnonzero(rng.random(n) < share) for share in _REPORTED_BY_RUN]
    return np.concatenate(made), np.repeat(np.arange(len(_REPORTED_BY_RUN)), [m.size for m in made])


def _used(
    on: NDArray[np.bool_], optimal: NDArray[np.complex128], run: NDArray[np.int64]
) -> NDArray[np.bool_]:
    """Return the detectors of each attempt: all in the first run, else not the weakest of three."""
    weakest = np.argmin(np.where(on, np.abs(optimal), np.inf), axis=1)
    rows = np.flatnonzero((on.sum(axis=1) > 2) & (run > 0))
    used = on.copy()
    used[rows, weakest[rows]] = False
    return used


def _null_snr(
    binaries: Binaries,
    which: NDArray[np.int64],
    snr: NDArray[np.complex128],
    on: NDArray[np.bool_],
    ifos: tuple[str, ...],
) -> Floats:
    """Return the SNR that no wave from the true direction makes, (n,); 0 with two detectors.

    What such waves make is spanned by both antenna patterns, F+ and Fx; the rest is null.
    """
    gps = binaries.gps
    patterns = antenna_patterns(
        binaries.right_ascension, binaries.declination, np.zeros_like(gps), gps, ifos
    )
    plus, cross = (np.where(on, pattern[which], 0) for pattern in patterns)
    pp, pc, cc = ((a * b).sum(axis=1) for a, b in ((plus, plus), (plus, cross), (cross, cross)))
    zp, zc = (plus * snr).sum(axis=1), (cross * snr).sum(axis=1)
    spanned = cc * np.abs(zp) ** 2 + pp * np.abs(zc) ** 2 - 2 * pc * (zp * zc.conj()).real
    held = spanned / np.maximum(pp * cc - pc**2, 1e-24)
    null = np.sqrt(np.maximum((np.abs(snr) ** 2).sum(axis=1) - held, 0))
    return np.asarray(np.where(on.sum(axis=1) > 2, null, 0.0))


def _split(
    gps: Floats,
    snr: Floats,
    chisq: Floats,
    glitch: NDArray[np.bool_],
    on: NDArray[np.bool_],
    template: NDArray[np.int64],
    rng: np.random.Generator,
) -> Detections:
    """Share a noise trigger's coherent SNR and combined chi-square out to its detectors.

    Two detectors hold the trigger, a glitch mostly in one of them; each further one adds noise of
    its own, in part to the null stream.
    """
    rows, number, place = np.arange(gps.size), on.sum(axis=1), on.cumsum(axis=1)
    first = np.argmax(on, axis=1)
    second = np.where(number > 1, np.argmax(place == 2, axis=1), first)
    further = on & (place > 2)
    weak = np.where(further, np.minimum(rng.rayleigh(1.0, on.shape), snr[:, None] / 2), 0.0)
    null = np.linalg.norm(weak, axis=1) * np.sqrt(rng.random(gps.size))
    pair = np.sqrt(snr**2 - (weak**2).sum(axis=1) + null**2)
    # An angle divides the pair's SNR, between bounds that leave both detectors above threshold.
    least = np.arcsin(np.minimum(SINGLE_THRESHOLD / pair, 0.70))
    lean = np.where(glitch, rng.beta(0.4, 0.4, gps.size), rng.random(gps.size))
    angle = np.where(number > 1, least + lean * (np.pi / 2 - 2 * least), 0.0)
    singles, ratio = weak, np.zeros(on.shape)
    singles[rows, second] = pair * np.sin(angle)
    singles[rows, first] = pair * np.cos(angle)
    ratio[on] = np.exp(rng.normal(0, 0.1, on.shape))[on]
    ratio *= (number / ratio.sum(axis=1))[:, None]
    offset = rng.uniform(-0.01, 0.01, on.shape)  # within light travel time of the Earth
    return Detections(
        gps_ns=_sampled(((gps[:, None] + offset) * 1e9).astype(np.int64)),
        on=on,
        snr=singles,
        coaphase=np.where(on, rng.uniform(-np.pi, np.pi, on.shape), 0.0),
        chisq=ratio * chisq[:, None],
        null_snr=null,
        template=template,
        right_ascension=rng.uniform(0, 2 * np.pi, gps.size),
        declination=np.arcsin(rng.uniform(-1, 1, gps.size)),
        depth_factor=np.ones(gps.size),
        origin=np.full(gps.size, NOISE, dtype="<U9"),
        origin_id=np.full(gps.size, -1),
    )
