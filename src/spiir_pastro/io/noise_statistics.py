"""Read the background of SPIIR's statistics files, ``*_stats_*.xml.gz``."""

from pathlib import Path

import numpy as np

from spiir_pastro.errors import PastroError, TableError
from spiir_pastro.io.ligolw.arrays import read_arrays, read_params
from spiir_pastro.models.noise_histogram import NoiseHistogram

_PREFIX, _SUFFIX = "background_feature:", "_lgsnr_lgchisq_rate"
_LGSNR, _LGCHISQ = np.array([0.54, 3.0]), np.array([-1.2, 3.5])
"""Centres of the first and the last bin: no file says; these are of SPIIR since 2019."""


def read_noise_statistics(path: Path, *, ifos: str | None = None) -> NoiseHistogram:
    """Read the time-slid triggers of a file.

    ``ifos`` says whose SNR and chi-square, like ``"H1"``; by default the coherent ones of all.
    TableError if the file is damaged or holds no such counts, or no livetime to make rates of them.
    """
    arrays, params = read_arrays(path), read_params(path)
    combinations = [
        name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
        for name in arrays
        if name.startswith(_PREFIX) and name.endswith(_SUFFIX)
    ]
    ifos = ifos or max(combinations, key=len, default="*")
    if ifos not in combinations:
        raise TableError(f"{path} holds no {_PREFIX}{ifos}{_SUFFIX}; give a SPIIR statistics file")
    needed = f"{_PREFIX}{ifos}_livetime", f"{_PREFIX}hist_trials"
    livetime, slides = (params.get(name) for name in needed)
    if not (isinstance(livetime, int | float) and isinstance(slides, int)):
        raise TableError(f"{path} lacks {' or '.join(needed)}, which make rates of counts")
    try:
        return NoiseHistogram(
            counts=arrays[f"{_PREFIX}{ifos}{_SUFFIX}"].astype(np.int64),
            lgsnr=_LGSNR,
            lgchisq=_LGCHISQ,
            livetime_s=livetime,
            slides=slides,
        )
    except PastroError as exc:
        raise TableError(f"{path}: {exc}") from exc
