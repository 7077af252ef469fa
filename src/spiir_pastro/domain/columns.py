"""What SPIIR's trigger columns are called, and of which LIGO_LW type they are.

SPIIR's ``postcoh`` table names single-detector columns ``<quantity>_<detector>`` today. Older files
write ``chisq_H``, ``end_time_H`` or ``far_h_1d`` for ``chisq_H1``, ``end_time_sngl_H1`` and
``far_1d_sngl_H1``, and columns come with or without a ``postcoh:`` prefix.

Tables past the edge have canonical columns, whose names say quantity, unit and frame. Those of a
trigger are the entries of ``TRIGGER_COLUMNS``: a new one is one more entry. What every canonical
column holds stands in ``MEANINGS``, where the reference is made from it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType

from spiir_pastro.domain.detectors import DETECTORS
from spiir_pastro.domain.sources import CLASSES

_PER_DETECTOR = {
    "chisq": "real_4",
    "coaphase": "real_4",
    "deff": "real_8",
    "end_time_ns_sngl": "int_4s",
    "end_time_sngl": "int_4s",
    "far_1d_sngl": "real_4",
    "far_1w_sngl": "real_4",
    "far_2h_sngl": "real_4",
    "far_sngl": "real_4",
    "snglsnr": "real_4",
}
_COHERENT = {
    "int_4s": "bankid end_time end_time_ns is_background livetime pix_idx tmplt_idx",
    "real_4": (
        "cmbchisq cohsnr eta f_final fap far far_1d far_1w far_2h mass1 mass2 mchirp mtotal "
        "nullsnr spearman_pval spin1x spin1y spin1z spin2x spin2y spin2z"
    ),
    "real_8": "dec ra rank template_duration",
    "lstring": "ifos pivotal_ifo skymap_fname",
    "ilwd:char": "event_id process_id",
}

POSTCOH_TYPES = MappingProxyType(
    {f"{name}_{ifo}": kind for name, kind in _PER_DETECTOR.items() for ifo in DETECTORS}
    | {name: kind for kind, names in _COHERENT.items() for name in names.split()}
)
"""LIGO_LW type of every column a ``postcoh`` table may have, by canonical name."""

POSTCOH_UNITS = MappingProxyType(
    {f"deff_{ifo}": "Mpc" for ifo in DETECTORS}
    | {f"end_time_sngl_{ifo}": "s (GPS)" for ifo in DETECTORS}
    | {f"end_time_ns_sngl_{ifo}": "ns" for ifo in DETECTORS}
    | {name: "Hz" for name in POSTCOH_TYPES if name.startswith("far")}
    | {"end_time": "s (GPS)", "end_time_ns": "ns", "template_duration": "s"}
    | dict.fromkeys(("mass1", "mass2", "mchirp", "mtotal"), "Msun")
)
"""Units of those ``postcoh`` columns that have one and whose one is known."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TriggerColumn:
    """A column of the canonical trigger table."""

    # what it holds; the unit is empty where there is none
    meaning: str
    unit: str = ""
    kind: type[str | int | float] = float  # ``str``, ``int`` or ``float``
    # SPIIR's name for it, and those that tables of GraceDB uploads have, where they differ
    postcoh: str | None = None
    uploads: tuple[str, ...] = ()
    # whether SPIIR writes 0 where it has none, and any value must be finite and positive
    zero_is_null: bool = False


TRIGGER_COLUMNS = MappingProxyType(
    {
        "event_id": TriggerColumn(
            meaning="GraceDB's id, or the file's own; of a processed table `<file>:<id in it>`",
            kind=str,
            uploads=("graceid",),
        ),
        "gps_ns": TriggerColumn(
            meaning="merger time; of an injection, its arrival at the geocentre",
            unit="ns (GPS)",
            kind=int,
        ),
        "ifos": TriggerColumn(meaning="detectors that took part, like `H1L1`", kind=str),
        "far_hz": TriggerColumn(
            meaning="combined false-alarm rate; null if none was assigned",
            unit="Hz",
            postcoh="far",
            uploads=("far",),
            zero_is_null=True,
        ),
        "snr": TriggerColumn(
            meaning="signal-to-noise ratio: root of the sum of the squares of the detectors' own",
            uploads=("cohsnr",),
            zero_is_null=True,
        ),
        "mchirp_det": TriggerColumn(
            meaning="chirp mass, detector frame",
            unit="Msun",
            postcoh="mchirp",
            uploads=("mchirp",),
            zero_is_null=True,
        ),
        **{
            f"eff_distance_mpc_{ifo}": TriggerColumn(
                meaning=f"effective distance at {ifo}; null if none",
                unit="Mpc",
                postcoh=f"deff_{ifo}",
                zero_is_null=True,
            )
            for ifo in DETECTORS
        },
        "mtotal_det": TriggerColumn(
            meaning="total mass, detector frame",
            unit="Msun",
            uploads=("mass", "mtotal"),
            zero_is_null=True,
        ),
        "mass1_det": TriggerColumn(
            meaning="primary mass, detector frame",
            unit="Msun",
            postcoh="mass1",
            uploads=("mass1",),
        ),
        "mass2_det": TriggerColumn(
            meaning="secondary mass, detector frame",
            unit="Msun",
            postcoh="mass2",
            uploads=("mass2",),
        ),
        "spin1z": TriggerColumn(meaning="spin of the primary along the orbital angular momentum"),
        "spin2z": TriggerColumn(meaning="spin of the secondary along the orbital angular momentum"),
        "combined_chisq": TriggerColumn(
            meaning="chi-squared of all detectors together, SPIIR's `cmbchisq`", postcoh="cmbchisq"
        ),
        "bank_id": TriggerColumn(meaning="number of the bank group", kind=int, postcoh="bankid"),
        "template_id": TriggerColumn(
            meaning="number of the template in its group", kind=int, postcoh="tmplt_idx"
        ),
    }
)
"""Columns of the canonical trigger table in their order; those after the distances are optional."""

MEANINGS = MappingProxyType(
    {name: column.meaning for name, column in TRIGGER_COLUMNS.items()}
    | {
        "run": "the run's name in RUNS.yaml; null for the whole background",
        "bank": "template bank; null for all banks together",
        "file": "raw file, by its name in staging",
        "row": "its row, from 0",
        "rule": "the rule it broke",
        "livetime_ns": "how long exactly these detectors were analysed",
        "injection_id": "the injection's number in its file",
        "distance_mpc": "luminosity distance",
        "analysed": "whether two detectors or more were analysed at the merger",
        "inclination": "of the orbit to the line of sight",
        "right_ascension": "of the source",
        "declination": "of the source",
        "p_astro": "probability of a signal of any class",
        **{str(source): f"probability of {one.description}" for source, one in CLASSES.items()},
        "Terrestrial": "probability of noise; the four sum to one",
        "p_astro_low": "lower end of the 90 % credible interval of p_astro",
        "p_astro_high": "its upper end",
        "extrapolated": "which densities are extrapolated, in what; empty if none that matters",
        "note": "why there are no numbers, or what was missing; empty or null otherwise",
    }
)
"""What canonical columns hold. ``injection_<name>`` is the injection's own ``<name>``,
``recovered_<name>`` that of the best trigger near a missed one, of any chirp mass; null if none."""

_LETTER = {ifo[0]: ifo for ifo in DETECTORS}
_LETTERS = "".join(_LETTER)
_LEGACY_TIME = re.compile(rf"(end_time|end_time_ns)_([{_LETTERS}])1?")
_LEGACY_FAR = re.compile(rf"far_([{_LETTERS.lower()}])(_\w+)?")
_LEGACY = re.compile(rf"(.+)_([{_LETTERS}])")


def canonical_column(name: str, *, table: str = "postcoh") -> str:
    """Give a column's name as today's SPIIR writes it.

    Parameters
    ----------
    name
        The name in the file, with or without ``table:`` before it.
    table
        The table it stands in; only ``postcoh`` has legacy names.

    Examples
    --------
    >>> canonical_column("postcoh:chisq_H")
    'chisq_H1'
    >>> canonical_column("far_h_1d"), canonical_column("end_time_ns_L")
    ('far_1d_sngl_H1', 'end_time_ns_sngl_L1')
    """
    bare = name.rpartition(":")[2]
    if table != "postcoh" or bare in POSTCOH_TYPES:
        return bare
    if match := _LEGACY_TIME.fullmatch(bare):
        return f"{match[1]}_sngl_{_LETTER[match[2]]}"
    if match := _LEGACY_FAR.fullmatch(bare):
        return f"far{match[2] or ''}_sngl_{_LETTER[match[1].upper()]}"
    if match := _LEGACY.fullmatch(bare):
        return f"{match[1]}_{_LETTER[match[2]]}"
    return bare


_OF_UPLOADS = {given: name for name, column in TRIGGER_COLUMNS.items() for given in column.uploads}
_EFF_DISTANCE = re.compile(
    rf"(?:eff_?dist(?:ance)?|deff)(?:_mpc)?_([{_LETTERS}])1?(?:_mpc)?", re.IGNORECASE
)


def canonical_trigger_columns(names: Iterable[str]) -> dict[str, str]:
    """Give the canonical names of a trigger table's columns, where they differ.

    Tables have GraceDB's names or the canonical ones; of both, the canonical one is meant.

    Examples
    --------
    >>> canonical_trigger_columns(["graceid", "far", "snr", "deff_H1"])
    {'graceid': 'event_id', 'far': 'far_hz', 'deff_H1': 'eff_distance_mpc_H1'}
    """
    given = list(names)
    canonical = {a: b for a, b in _OF_UPLOADS.items() if a in given and b not in given}
    for name in given:
        if match := _EFF_DISTANCE.fullmatch(name):
            canonical[name] = f"eff_distance_mpc_{match[1].upper()}1"
    return canonical
