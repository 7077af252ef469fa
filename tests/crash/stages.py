"""Crash a stage of the pipeline after each of its file operations: see `crashing`.

``LD_PRELOAD=operations.so python -m crash.stages STAGE FOLDER [EVERY]`` makes what the stage needs
in FOLDER, a new one, and says how many crashes there were.
"""

import hashlib
import pickle
import sys
from collections.abc import Callable, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from unittest.mock import patch

from crash.crashing import crashes, run
from spiir_pastro.cli import app
from spiir_pastro.errors import PastroError
from spiir_pastro.io.artifact import as_document, load_model
from spiir_pastro.io.folders import write_folder
from spiir_pastro.io.runs import read_runs
from spiir_pastro.pipeline import evaluations
from spiir_pastro.pipeline.evaluations import read_evaluation
from spiir_pastro.pipeline.inventory import insist, take_inventory
from spiir_pastro.pipeline.processed import open_processed
from spiir_pastro.pipeline.raw_files import raw_files_of_run
from tree import tree

STAGES = ("simulate", "extract", "process", "fit", "evaluate")


# An earlier result of these stands there when the stage is crashed.
_EARLIER = {
    "process": ["--cluster-window", "20"],
    "fit": ["--prior", "uniform"],
    "evaluate": ["--since", "1262600000"],
}
_FEW = "--days 0.1 --banks BBH --groups 1 --noise-rate 0.05 --injection-interval 60"
_ENOUGH = "--days 8 --groups 1 --far-max 3e-4 --mergers-per-day 40 --injection-interval 1500"


def commands(root: Path, campaign_options: str) -> dict[str, list[str]]:
    """What each stage is called with, everything below one folder."""
    campaign, staging, processed = (str(root / n) for n in ("campaign", "staging", "processed"))
    runs, model = f"{campaign}/RUNS.yaml", str(root / "models" / "pastro.json")
    return {
        "simulate": ["simulate", campaign, "--processes", "1", *campaign_options.split()],
        "extract": ["extract", runs, "--staging", staging, "--workers", "1"],
        "process": ["process", runs, "--staging", staging, "--processed", processed],
        "fit": ["fit", "--processed", processed, "--model", model],
        # Folds are other numbers in the same files, and take most of the time.
        "evaluate": [
            "evaluate", "--processed", processed, "--model", model, "--folds", "0", "--report",
            str(root / "reports"),
        ],
    }  # fmt: skip


def call(arguments: list[str]) -> None:
    """Call a command in this process."""
    if code := app.main(arguments, standalone_mode=False):
        sys.exit(code)


def judge(arguments: list[str], kept: Path) -> None:
    """Evaluate, and keep what would be written: nothing is yet, and it takes most of the time."""

    def keep(
        folder: Path,
        files: Mapping[str, bytes],
        *,
        last: str,
        vouch: Callable[[Mapping[str, str]], bytes],
        replaces: Callable[[str], bool],
    ) -> None:
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        others = [name for name in ("missed.csv", "known_mergers.png") if replaces(name)]
        kept.write_bytes(pickle.dumps((folder, files, last, vouch(hashes), others)))

    with patch.object(evaluations, "write_folder", keep):
        call(arguments)


def write(kept: Path) -> None:
    """Write what was kept, as the command does."""
    folder, files, last, vouched, others = pickle.loads(kept.read_bytes())  # noqa: S301 - our own
    write_folder(
        folder, files, last=last, vouch=lambda _: vouched, replaces=lambda name: name in others
    )


def reading(stage: str, root: Path) -> str | None:
    """Say all that the next stage reads of what a stage left; None where it refuses in a line."""
    try:
        return hashlib.sha256(repr(_read(stage, root)).encode()).hexdigest()
    except PastroError:
        return None


def _read(stage: str, root: Path) -> object:
    runs = partial(read_runs, root / "campaign" / "RUNS.yaml")
    match stage:
        case "simulate":
            raws = [raw for run in runs().runs for raw in raw_files_of_run(run)]
            return [(raw.name, raw.path.read_bytes()) for raw in raws]
        case "extract":
            inventory = take_inventory(runs(staged=True), root / "staging")
            insist(inventory.problems, where=inventory.folder)
            return [
                (file.name, table, file.read(table).rows())
                for run in inventory.staged.values()
                for file in chain.from_iterable(run.files.values())
                for table in file.receipt.tables
            ]
        case "process":
            folder = open_processed(root / "processed")
            kinds = ("background", "foreground", "missed", "known_mergers")
            return [
                (kind, bank, table.rows())
                for kind in kinds
                for bank, table in folder.tables(kind).items()
            ]
        case "fit":
            return as_document(load_model(root / "models" / "pastro.json"))
    found = read_evaluation(root / "reports")
    tables = (found.candidates, found.known_mergers, found.missed)
    return found.metrics, [None if table is None else table.rows() for table in tables]


def main(stage: str, root: Path, every: int) -> None:
    """Make what a stage needs, an earlier result of other settings too, then crash it."""
    root.mkdir(parents=True)
    given = commands(root, _ENOUGH if stage in ("fit", "evaluate") else _FEW)
    for before in STAGES[: STAGES.index(stage)]:
        assert run(partial(call, given[before])) == 0, f"{before} fails"
    command = partial(call, given[stage])
    if stage in _EARLIER:
        assert run(partial(call, [*given[stage], *_EARLIER[stage]])) == 0
    if stage == "evaluate":
        kept = root.with_name("evaluation.pickle")
        assert run(partial(judge, given[stage], kept)) == 0
        command = partial(write, kept)
    tally = crashes(root, command, every=every, reading=partial(reading, stage, root))
    if stage == "evaluate":
        ours = tree(root)
        assert run(partial(call, given[stage])) == 0
        assert tree(root) == ours, "the command writes something else than was kept of it"
    sys.stdout.write(f"{stage}: {tally}\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
