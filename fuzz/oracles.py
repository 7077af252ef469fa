"""What must hold of the reader and of the service's decision, whatever bytes they are given.

Each ``check_...`` returns if all is well; if not it raises ``AssertionError``, or lets an error
through that is not ours. The fuzzers call them again and again, the tests on the kept corpus.
"""

import gzip
import json
import math
import re
import sys
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from rehearsal.sample_model import RehearsalModel, always
from spiir_pastro.domain import Candidates
from spiir_pastro.errors import TableError
from spiir_pastro.io.horizons import read_horizons
from spiir_pastro.io.ligolw import Sifted, read_arrays, read_params, read_tables, sift_tables
from spiir_pastro.io.ligolw.declarations import Wanted
from spiir_pastro.io.ligolw.inflate import blocks
from spiir_pastro.io.ligolw.markup import NotOrdinaryError
from spiir_pastro.io.ligolw.ordinary import ordinary_batches
from spiir_pastro.io.ligolw.reference import reference_batches
from spiir_pastro.io.ligolw.tables import gathered
from spiir_pastro.io.populations import MASS_PLANE, read_populations
from spiir_pastro.models.count_summary import CountSummary
from spiir_pastro.models.counts import fit_counts
from spiir_pastro.models.density_settings import DensitySettings
from spiir_pastro.models.distance import DistanceModel
from spiir_pastro.models.fitting import fit_densities
from spiir_pastro.models.mass_contour import MassContourClassifier
from spiir_pastro.models.pastro import ClassSharing, PastroModel
from spiir_pastro.models.response import Response
from spiir_pastro.models.source_model import SourceModel, network_reach
from spiir_pastro.serve.dead_letters import DeadLetters
from spiir_pastro.serve.decide import Decision, Skip, SkipReason, Upload, decide
from spiir_pastro.serve.model_slot import Assessor

__all__ = ["LARGEST", "assessors", "check_alert", "check_file", "confined"]

LARGEST = 1 << 20
"""Bytes to which a fuzzed file may inflate."""

STEPS = (1 << 20, 64, 7)
"""Sizes of the blocks in which a document reaches the fast lane."""

_MODULES = (".py", ".pyc", ".so")
_PASSIVE = re.compile("[rbtU]*")  # modes of ``open`` that do not write
_FORBIDDEN = re.compile(
    r"socket\.(connect|getaddrinfo|sendto)|subprocess\.|os\.(system|exec|fork|posix_spawn|remove|"
    r"rename|rmdir|mkdir|link|symlink|truncate|chmod|chown)|shutil\."
)


class _Confinement:
    """An audit hook, which Python never forgets: there is one, and it rests without a folder."""

    def __init__(self) -> None:
        self.folder: str | None = None
        self.breaches: list[str] = []
        sys.addaudithook(self._heed)

    def _heed(self, event: str, args: tuple[object, ...]) -> None:
        if self.folder is None:
            return
        if event == "open":
            path, mode = str(args[0]), str(args[1] or "w")
            inside = path.startswith(self.folder) or isinstance(args[0], int)
            module = path.endswith(_MODULES) or "__pycache__" in path
            if not (inside or (module and _PASSIVE.fullmatch(mode))):
                self.breaches.append(f"open {path} ({mode})")
        elif _FORBIDDEN.match(event) and not str(args[0]).startswith(self.folder):
            self.breaches.append(f"{event} {args}")


@cache
def _confinement() -> _Confinement:
    return _Confinement()


@contextmanager
def confined(folder: Path) -> Iterator[None]:
    """Fail if a file outside a folder is opened, or a connection or a process is begun."""
    guard = _confinement()
    guard.folder, guard.breaches = str(folder), []
    try:
        yield
    finally:
        guard.folder = None
    assert not guard.breaches, guard.breaches


def check_file(content: bytes, folder: Path, *, steps: Sequence[int] = STEPS) -> None:
    """Check the reader on a file's bytes: tables by both lanes, arrays, parameters, inflation.

    Parameters
    ----------
    content
        The file.
    folder
        Where it may be written.
    steps
        Sizes of blocks to try in the fast lane.
    """
    path = folder / "fuzzed.xml"
    path.write_bytes(content)
    threads = threading.active_count()
    with confined(folder):
        document = _inflated(path, content)
        if document is not None:
            _check_tables(path, document, steps)
            for read in (read_arrays, read_params):
                _or_our_error(lambda read=read: read(path, max_bytes=LARGEST))  # type: ignore[misc]
    assert threading.active_count() <= threads, "a thread outlives its file"


def _or_our_error(read: Callable[[], object]) -> object:
    """Return what was read, or our error's text without the path."""
    try:
        return read()
    except TableError as error:
        return str(error)


def _inflated(path: Path, content: bytes) -> bytes | None:
    """Return the file's bytes, which must be those the standard library inflates.

    It may be that only the standard library inflates a file: it skips the checksum of the header.
    """
    try:
        with closing(blocks(path, max_bytes=LARGEST)) as source:
            found = b"".join(source)
    except TableError:
        found = None
    if content.startswith(b"\x1f\x8b"):
        try:
            meant = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            meant = None
        if meant is not None and len(meant) > LARGEST:
            meant = None
        assert found in (None, meant)
    return found


def _check_tables(path: Path, document: bytes, steps: Sequence[int]) -> None:
    whole = _or_our_error(lambda: sift_tables(path, max_bytes=LARGEST))
    clean = _or_our_error(lambda: read_tables(path, max_bytes=LARGEST))
    if isinstance(whole, dict):
        good = all(sifted.rejects.is_empty() for sifted in whole.values())
        assert isinstance(clean, dict) == good, clean
    else:
        assert clean == whole
    for wanted in (None, *_last_column(whole)):
        slow = _or_our_error(lambda w=wanted: gathered(reference_batches(iter([document]), w)))  # type: ignore[misc]
        for step in steps:
            _check_lanes(document, step, wanted, slow)


def _last_column(tables: object) -> Iterator[Wanted]:
    """Ask for the last column of a document's last table."""
    for name, sifted in list(tables.items())[-1:] if isinstance(tables, dict) else ():
        yield {name: sifted.rows.columns[-1:]}


def _check_lanes(document: bytes, step: int, wanted: Wanted | None, slow: object) -> None:
    """Where the fast lane answers, the slow lane says the same, cell by cell."""
    pieces = (document[i : i + step] for i in range(0, len(document), step))
    try:
        fast = _or_our_error(lambda: gathered(ordinary_batches(pieces, wanted)))
    except NotOrdinaryError:
        return
    if not (isinstance(fast, dict) and isinstance(slow, dict)):
        # Of several defects each lane names the one it meets first.
        assert type(fast) is type(slow), f"fast lane: {fast}\nslow lane: {slow}"
        return
    assert list(fast) == list(slow)
    for table, sifted in fast.items():
        assert sifted.rows.schema == slow[table].rows.schema
        assert _cells(sifted) == _cells(slow[table])


def _cells(sifted: Sifted) -> str:
    """Write every cell so that equal text is the same value, the sign of zero included."""
    return repr((sifted.rows.rows(), sifted.rejects.rows()))


NOT_ASSESSED = "eff_distance_mpc holds", "outside the bank", "one detector; the model was fitted"


def check_alert(payload: bytes, folder: Path) -> Decision:
    """Check the decision about a payload; returns that of the first model."""
    letters = DeadLetters(folder / "letters")
    decisions = []
    models = assessors()  # fitted once, from files of the package
    with confined(folder):
        for assessor in models:
            decision = decide(payload, always(assessor))
            _check_decision(decision, payload, letters)
            if isinstance(decision, Skip) and decision.reason is SkipReason.NOT_ASSESSABLE:
                # A fitted model answers for every FAR of two detectors in its bank; distances must
                # fit in single precision.
                assert any(said in decision.detail for said in NOT_ASSESSED), decision
            decisions.append(decision)
        _check_decision(decide(payload, always(RehearsalModel())), payload, letters)
        for same in _other_forms(payload):
            assert decide(same, always(models[0])) == decisions[0]
    for path in letters.folder.iterdir():
        path.unlink()
    return decisions[0]


def _check_decision(decision: Decision, payload: bytes, letters: DeadLetters) -> None:
    if isinstance(decision, Upload):
        content = json.loads(decision.content)
        assert list(content) == ["BNS", "NSBH", "BBH", "Terrestrial"]
        assert all(math.isfinite(p) and 0.0 <= p <= 1.0 for p in content.values())
        assert abs(math.fsum(content.values()) - 1.0) <= 1e-9
        assert re.fullmatch(r"[A-Z][0-9]{1,15}", decision.trigger.event_id)
        return
    assert isinstance(decision, Skip)
    assert decision.reason is not SkipReason.CRASHED
    assert bool(decision.detail) == decision.reason.is_dead_letter
    if decision.reason.is_dead_letter:
        kept = letters.keep(payload)
        assert kept is not None
        assert kept.read_bytes() == payload


def _other_forms(payload: bytes) -> Iterator[str | bytes]:
    """Yield other forms of a payload that is not wrapped, which mean the same."""
    start = payload.lstrip(b" \t\r\n")
    if not start.startswith(b"{") or start.startswith(b'{"format"'):
        return
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return
    yield text
    yield json.dumps(text)
    yield json.dumps({"format": "blob", "content": text}).encode()


@cache
def assessors() -> tuple[Assessor, ...]:
    """Fitted models of every kind: classes counted or shared by contour, SNR by line or curves."""
    straight, curved = (_model(DensitySettings(enough_for_curves=n)) for n in (2000, 100))
    return straight, curved, replace(straight, sharing=ClassSharing.MASS_CONTOUR)


def _model(settings: DensitySettings) -> PastroModel:
    rng = np.random.default_rng(8)
    n, threshold = 500, 3e-4
    is_signal = np.arange(n) >= 460
    log_far = -rng.exponential(np.where(is_signal, 10.0, 1.0))
    log_mchirp = np.where(is_signal, rng.normal(3.0, 0.4, n), rng.uniform(0.0, 2.5, n))
    log_snr = np.where(is_signal, -0.05 * log_far, rng.normal(0.0, 0.1, n))
    candidates = Candidates(
        far_hz=threshold * np.exp(log_far),
        snr=8.0 * np.exp(log_snr),
        mchirp_det=np.exp(log_mchirp),
        eff_distance_mpc=np.full((n, 4), np.nan),
    )
    sources = SourceModel(populations=read_populations(MASS_PLANE), response=Response())
    densities = fit_densities(
        candidates,
        is_signal=is_signal,
        classes=np.where(is_signal, "BBH", ""),
        sources=sources,
        reach=network_reach(read_horizons()),
        far_threshold_hz=threshold,
        settings=settings,
    )
    factors = densities.log_bayes_factors(candidates, far_threshold_hz=threshold)
    distance = DistanceModel(
        luminosity_per_effective=0.75, log_sigma_intercept=-0.5, sigma_snr_exponent=-0.3
    )
    return PastroModel(
        far_threshold_hz=threshold,
        densities=densities,
        counts=CountSummary.of(fit_counts(factors, prior="uniform")),
        contour=MassContourClassifier(distance=distance),
        sources=sources,
    )
