"""Nothing missing, stale or damaged is processed in silence, and staging alone is enough."""

import ctypes
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

from spiir_pastro.cli import app
from spiir_pastro.cli.exit_codes import ExitCode
from spiir_pastro.errors import DocumentError, IncompleteError
from spiir_pastro.io.documents import write_document
from spiir_pastro.io.runs import read_runs
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.campaign_files import simulate
from spiir_pastro.pipeline.extraction import extract
from spiir_pastro.pipeline.inventory import Trouble, take_inventory
from spiir_pastro.pipeline.processed import Processed, open_processed
from spiir_pastro.pipeline.processing import process
from spiir_pastro.pipeline.raw_files import raw_files_of_runs
from spiir_pastro.pipeline.staging import Receipt, Staging
from spiir_pastro.pipeline.training import from_processed
from spiir_pastro.simulation import CampaignConfig
from tree import tree

_START, _SECONDS = CampaignConfig().gps_start, 14400
_NAME = f"bbh_bg/HLV_000/HLV_000_zerolag_{_START + _SECONDS}_{_SECONDS}"


@pytest.fixture(name="pristine", scope="module")
def _pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a day of three banks in files of four hours, extracted and processed."""
    folder = tmp_path_factory.mktemp("pristine")
    config = CampaignConfig(seed=3, days=0.5, groups=1, noise_rate_hz=0.05, file_seconds=_SECONDS)
    for _ in simulate(folder / "campaign", config):
        pass
    _extract(folder)
    _process(folder).write(folder / "processed")
    return folder


@pytest.fixture(name="campaign")
def _campaign(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine, tmp_path / "c")
    return tmp_path / "c"


def _extract(folder: Path) -> None:
    runs = read_runs(folder / "campaign" / "RUNS.yaml")
    extract(raw_files_of_runs(runs), folder / "staging", workers=1)


def _process(folder: Path, *, allow_missing: bool = False) -> Processed:
    runs = read_runs(folder / "campaign" / "RUNS.yaml", staged=True)
    return process(take_inventory(runs, folder / "staging"), allow_missing=allow_missing)


def _raw(folder: Path) -> Path:
    return folder / "campaign" / f"{_NAME}.xml.gz"


def _staged(folder: Path) -> Path:
    return folder / "staging" / f"{_NAME}.postcoh.parquet"


def _remove(folder: Path) -> None:
    _raw(folder).unlink()


def _other_bytes(folder: Path) -> bytes:
    """The raw file's content, compressed at another time."""
    content = bytearray(_raw(folder).read_bytes())
    content[4] ^= 1  # the time in gzip's header, which no reader looks at
    return bytes(content)


def _replace(folder: Path) -> None:
    """By one of the same size and age."""
    raw = _raw(folder)
    status = raw.stat()
    raw.write_bytes(_other_bytes(folder))
    os.utime(raw, ns=(status.st_atime_ns, status.st_mtime_ns))


def _truncate(folder: Path) -> None:
    _raw(folder).write_bytes(_raw(folder).read_bytes()[:-30])


def _add(folder: Path) -> None:
    later = _raw(folder).with_name(f"HLV_000_zerolag_{_START + 99 * _SECONDS}_{_SECONDS}.xml.gz")
    later.write_bytes(_other_bytes(folder))


def _repeat(folder: Path) -> None:
    """Its triggers would be there twice."""
    shutil.copy(_raw(folder), _raw(folder).with_name("HLV_000_zerolag_copy.xml.gz"))
    _extract(folder)


def _misfile(folder: Path) -> None:
    """A background file among the injections of another bank."""
    inside = f"HLV_000_zerolag_{_START + 7 * _SECONDS}_{_SECONDS}.xml.gz"
    shutil.copy(_raw(folder), folder / "campaign" / "bns_inj" / "HLV_000" / inside)
    _extract(folder)


def _fail(folder: Path) -> None:
    """A file that extract could not read."""
    _truncate(folder)
    _extract(folder)


def _flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def _damage(folder: Path) -> None:
    _flip(_staged(folder), 4 * _staged(folder).stat().st_size)


def _tear(folder: Path) -> None:
    receipt = folder / "staging" / f"{_NAME}.receipt.json"
    receipt.write_bytes(receipt.read_bytes()[:40])


def _forget(folder: Path) -> None:
    (folder / "staging" / f"{_NAME}.receipt.json").unlink()


def _change_receipt(folder: Path, **change: object) -> None:
    staging = Staging((folder / "staging").resolve())
    receipt = msgspec.structs.replace(staging.receipt(_NAME), **change)
    write_document(folder / "staging" / f"{_NAME}.receipt.json", receipt)


def _age(folder: Path) -> None:
    _change_receipt(folder, reader=0)


_TROUBLES: dict[Callable[[Path], None], tuple[Trouble, str]] = {
    _remove: (Trouble.MISSING, "its raw file is gone"),
    _replace: (Trouble.CHANGED, "holds other bytes than were extracted"),
    _truncate: (Trouble.CHANGED, "bytes were extracted|were extracted"),
    _add: (Trouble.NEW, "was never extracted"),
    _fail: (Trouble.FAILED, "cut short"),
    _damage: (Trouble.DAMAGED, "is damaged"),
    _tear: (Trouble.DAMAGED, r"receipt\.json: damaged"),
    _forget: (Trouble.NEW, "was never extracted"),
    _age: (Trouble.STALE, "extracted by version 0 of the reader"),
    _repeat: (Trouble.TWICE, f"holds the same bytes as {_NAME}"),
    _misfile: (Trouble.TWICE, "holds the same bytes as bns_inj/HLV_000"),
}


@pytest.mark.parametrize("change", _TROUBLES)
def test_what_is_not_as_it_should_be_is_named(
    campaign: Path, change: Callable[[Path], None]
) -> None:
    change(campaign)
    trouble, why = _TROUBLES[change]
    with pytest.raises(IncompleteError, match=rf"(?s){trouble}: {_NAME[:24]}.*({why})") as caught:
        _process(campaign)
    assert len(str(caught.value).splitlines()) == 2
    done = _process(campaign, allow_missing=True)
    assert [problem.trouble for problem in done.problems] == [trouble]
    done.write(campaign / "processed")
    (problem,) = open_processed(campaign / "processed").summary.problems
    assert problem.name.startswith(_NAME[:24])


@pytest.mark.parametrize(
    "change", [c for c in _TROUBLES if c not in (_remove, _truncate, _fail, _repeat, _misfile)]
)
def test_extract_again_is_the_remedy(
    campaign: Path, change: Callable[[Path], None], pristine: Path
) -> None:
    change(campaign)
    _extract(campaign)
    done = _process(campaign)
    if change in (_replace, _add):
        return
    done.write(campaign / "processed")
    assert tree(campaign / "processed") == tree(pristine / "processed")
    assert tree(campaign / "staging") == tree(pristine / "staging")


def test_a_file_left_out_takes_its_livetime_with_it(campaign: Path, pristine: Path) -> None:
    _tear(campaign)
    less, whole = _process(campaign, allow_missing=True), _process(pristine)

    def livetime(done: Processed) -> int:
        return int(done.livetime.filter(run="bbh_bg")["livetime_ns"].sum())

    lost = livetime(whole) - livetime(less)
    assert 0 < lost <= _SECONDS * 10**9
    (gap,) = less.uncovered
    assert (gap.run, gap.seconds) == ("bbh_bg", lost / 1e9)
    assert whole.uncovered == []


def test_a_column_that_process_does_not_need_costs_nothing_but_a_word(campaign: Path) -> None:
    staging = Staging((campaign / "staging").resolve())
    spare = staging.receipt(_NAME).tables["postcoh"].seal.columns["end_time_sngl_H1"][0]
    _flip(_staged(campaign), 8 * (spare.offset + spare.length // 2))
    with pytest.raises(IncompleteError, match="column end_time_sngl_H1 of row group 0 is damaged"):
        _process(campaign)
    done = _process(campaign, allow_missing=True)
    assert (len(done.problems), done.uncovered) == (1, [])
    assert done.problems[0].why.endswith("which process does not need")


def test_staging_alone_gives_the_same_bytes(pristine: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(pristine / "staging", elsewhere / "staging")
    (elsewhere / "campaign").mkdir()
    shutil.copy(pristine / "campaign" / "RUNS.yaml", elsewhere / "campaign")
    _process(elsewhere).write(elsewhere / "processed")
    assert tree(elsewhere / "processed") == tree(pristine / "processed")
    _forget(elsewhere)
    with pytest.raises(IncompleteError, match=f"missing: {_NAME}: manifest.json names it"):
        _process(elsewhere)


def test_files_extracted_with_other_columns_are_no_whole(campaign: Path) -> None:
    _change_receipt(campaign, columns=("far", "cohsnr"))
    with pytest.raises(
        IncompleteError, match=f"{_NAME} was extracted .* with other --columns than"
    ):
        _process(campaign, allow_missing=True)


def _drop_privileges() -> None:
    """Root lists every folder, unless what it executes is to have no more rights than others."""
    set_secure_bits, no_root = 28, 1
    ctypes.CDLL(None).prctl(set_secure_bits, no_root, 0, 0, 0)


@pytest.mark.parametrize("place", ["campaign/bbh_bg", "staging/bbh_bg"])
def test_a_folder_that_cannot_be_listed_is_not_left_out(campaign: Path, place: str) -> None:
    (campaign / place / "HLV_001").mkdir(mode=0)
    command = [
        sys.executable, "-m", "spiir_pastro", "process", str(campaign / "campaign" / "RUNS.yaml"),
        "--staging", str(campaign / "staging"), "--processed", str(campaign / "processed"),
    ]  # fmt: skip
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, preexec_fn=_drop_privileges
    )
    error = f"spiir-pastro: error: {campaign / place / 'HLV_001'}: Permission denied\n"
    assert (ended.returncode, ended.stderr) == (ExitCode.REFUSED, error)


def test_a_run_without_raw_files_is_told(campaign: Path) -> None:
    """Whether its raw tree was removed or never was here, nobody can know: it is said."""
    for raw in (campaign / "campaign" / "bbh_bg").rglob("*.gz"):
        raw.unlink()
    command = ["process", str(campaign / "campaign" / "RUNS.yaml")]
    for option in ("staging", "processed"):
        command += [f"--{option}", str(campaign / option)]
    ended = CliRunner().invoke(app, command)
    assert ended.exit_code == 0
    assert "no raw file of bbh_bg is there: taken from" in ended.stderr


def test_files_of_another_run_or_none_are_not_taken(campaign: Path) -> None:
    """A run whose globs were narrowed since is processed by the narrow ones."""
    runs = campaign / "campaign" / "RUNS.yaml"
    narrow = f"triggers: ['**/*_zerolag_{_START}_*.xml.gz']\n  bank: BBH\n  purpose: background"
    runs.write_text(runs.read_text().replace("bank: BBH\n  purpose: background", narrow))
    done = _process(campaign)
    assert [gap.run for gap in done.uncovered] == ["bbh_bg"]
    assert done.problems == []


def test_the_command_names_the_file_and_ends_with_code_3(campaign: Path) -> None:
    _remove(campaign)
    shutil.rmtree(campaign / "processed")
    command = [
        sys.executable, "-m", "spiir_pastro", "process", str(campaign / "campaign" / "RUNS.yaml"),
        "--staging", str(campaign / "staging"), "--processed", str(campaign / "processed"),
    ]  # fmt: skip
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == ExitCode.INCOMPLETE
    assert f"missing: {_NAME}: its raw file is gone" in ended.stderr
    assert tree(campaign / "processed") == {}
    ended = subprocess.run(
        [*command, "--allow-missing"], capture_output=True, text=True, check=True
    )
    assert f"missing: {_NAME}: " in ended.stderr
    training = from_processed(campaign / "processed", settings=FitSettings(far_threshold_hz=0.05))
    assert training.data.missing[_NAME].startswith("missing: its raw file is gone")


def test_flipped_bits_of_receipts_are_found_or_change_nothing(campaign: Path) -> None:
    path = campaign / "staging" / f"{_NAME}.receipt.json"
    good = path.read_bytes()
    staging = Staging((campaign / "staging").resolve())
    meant: Receipt = staging.receipt(_NAME)
    for bit in np.random.default_rng(7).choice(8 * len(good), 50, replace=False).tolist():
        path.write_bytes(good)
        _flip(path, bit)
        try:
            assert staging.receipt(_NAME) == meant
        except DocumentError:
            continue


def test_flipped_bits_of_processed_files_are_found(campaign: Path) -> None:
    settings = FitSettings(far_threshold_hz=0.05)
    kinds = ("background", "foreground", "missed", "known_mergers")
    dice = np.random.default_rng(8)
    for path in (campaign / "processed" / kind / "BBH.parquet" for kind in kinds):
        good = path.read_bytes()
        for bit in dice.choice(8 * len(good), 50, replace=False).tolist():
            path.write_bytes(good)
            _flip(path, bit)
            with pytest.raises(DocumentError, match="damaged or of another result"):
                open_processed(campaign / "processed").tables(path.parent.name)
        path.write_bytes(good)
    from_processed(campaign / "processed", settings=settings)


def test_a_folder_of_two_results_is_refused(campaign: Path) -> None:
    """As a killed run leaves it: its own tables, and the summary of the one before."""
    _tear(campaign)
    _process(campaign, allow_missing=True).write(campaign / "other")
    name = "background/BBH.parquet"
    shutil.copy(campaign / "other" / name, campaign / "processed" / name)
    settings = FitSettings(far_threshold_hz=0.05)
    with pytest.raises(DocumentError, match=r"BBH\.parquet is damaged or of another result"):
        from_processed(campaign / "processed", settings=settings)
    (campaign / "processed" / name).unlink()
    with pytest.raises(DocumentError, match=r"BBH\.parquet is not there; run spiir-pastro process"):
        from_processed(campaign / "processed", settings=settings)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schema_version", 99, "has schema version 99, where 3 is known"),
        ("background_livetime_s", None, "missing required field `background_livetime_s`"),
        ("settings", {}, "checksum does not fit"),
    ],
)
def test_another_summary_is_refused(campaign: Path, key: str, value: object, message: str) -> None:
    path = campaign / "processed" / "summary.json"
    content = json.loads(path.read_text())
    content[key] = {**content[key], "cluster_window_ns": 5} if value == {} else value
    path.write_text(json.dumps({k: v for k, v in content.items() if v is not None}))
    with pytest.raises(DocumentError, match=rf"summary\.json: .*{message}.*process again"):
        from_processed(campaign / "processed", settings=FitSettings())
