"""Say in a sentence why a known merger was not called a signal of its class."""

import math

Number = float | None

_LOG_MCHIRP_RATIO_OFF = math.log(1.5)
_LOG_FACTOR_TELLING = math.log(2)


def disagreement(
    *,
    event_id: str | None,
    p_astro: Number,
    called: str | None,
    catalogue_class: str | None,
    mchirp_ratio: Number,
    log_factors: dict[str, float],
) -> str:
    """Return why model and catalogue disagree on a merger; empty if they agree.

    Parameters
    ----------
    event_id
        SPIIR's candidate; None if it has none below the FAR threshold.
    p_astro
        Of that candidate; it disagrees below one half.
    called, catalogue_class
        Most probable class of binary, and the catalogue's.
    mchirp_ratio
        SPIIR's chirp mass over the catalogue's.
    log_factors
        Each factor's ln f / b for the most probable class.
    """
    if event_id is None:
        return "missed: SPIIR has no candidate below the FAR threshold within a second"
    if p_astro is None:
        return "not judged: its candidate has no FAR"
    reasons = []
    if p_astro < 0.5:
        reasons.append(f"called noise (p_astro {p_astro:.2g})" + _because(log_factors))
    if catalogue_class and called and called != catalogue_class:
        reasons.append(f"called {called}, the catalogue says {catalogue_class}")
    if reasons and mchirp_ratio is not None and abs(math.log(mchirp_ratio)) > _LOG_MCHIRP_RATIO_OFF:
        reasons.append(f"SPIIR's template has {mchirp_ratio:.2g} of its chirp mass")
    return "; ".join(reasons)


_NAMES = {"far": "its FAR", "mchirp": "its chirp mass", "snr": "its SNR"}


def _because(log_factors: dict[str, float]) -> str:
    """Name the terms that are evidence against a signal, or too little for one."""
    against = [
        f"{_NAMES[name]} is {math.exp(-log):.2g} times likelier in noise"
        for name, log in log_factors.items()
        if log < -_LOG_FACTOR_TELLING
    ]
    if against:
        return ": " + ", ".join(against)
    weak = [f"{_NAMES[name]} ×{math.exp(log):.2g}" for name, log in log_factors.items()]
    return f": the evidence ({', '.join(weak)}) is not enough against the noise counted"
