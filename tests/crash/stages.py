"""Crash a stage of the pipeline after each of its file operations: see `crashing`.

``LD_PRELOAD=operations.so python -m crash.stages STAGE FOLDER [EVERY]`` makes what the stage needs
in FOLDER, a new one, and says how many crashes there were.
"""

import pickle
import sys
from functools import partial
from pathlib import Path

from crash.crashing import crashes, run
from spiir_pastro.cli import app
from spiir_pastro.errors import PastroError
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.runs import read_runs
from spiir_pastro.pipeline.assessment import evaluate_processed, write_evaluation
from spiir_pastro.pipeline.evaluations import read_evaluation
from spiir_pastro.pipeline.inventory import insist, take_inventory
from spiir_pastro.pipeline.processed import open_processed

STAGES = ("simulate", "extract", "process", "fit", "evaluate")


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


def judge(root: Path, kept: Path) -> None:
    """Evaluate, and keep what came out: this writes nothing yet, and takes most of the time."""
    artifact = load_model(root / "models" / "pastro.json")
    evaluation = evaluate_processed(artifact, root / "processed", folds=0)
    evaluation.metrics()
    kept.write_bytes(pickle.dumps(evaluation))


def write(kept: Path, root: Path) -> None:
    """Write what was kept as the command does."""
    evaluation = pickle.loads(kept.read_bytes())  # noqa: S301 - our own
    artifact = load_model(root / "models" / "pastro.json")
    write_evaluation(evaluation, artifact, root / "reports", name="pastro.json")


def leftover(stage: str, root: Path) -> None:
    """Read what a crash left as the next stage does: whole, old or new, or refused in a line."""

    try:
        match stage:
            case "simulate":
                read_runs(root / "campaign" / "RUNS.yaml")
            case "extract":
                runs = read_runs(root / "campaign" / "RUNS.yaml", staged=True)
                inventory = take_inventory(runs, root / "staging")
                insist(inventory.problems, where=inventory.folder)
            case "process":
                folder = open_processed(root / "processed")
                for kind in ("background", "foreground", "missed", "known_mergers"):
                    folder.tables(kind)
            case "fit":
                load_model(root / "models" / "pastro.json")
            case "evaluate":
                read_evaluation(root / "reports")
    except PastroError as error:
        if not str(error):
            raise


def main(stage: str, root: Path, every: int) -> None:
    """Make what a stage needs, then crash it."""
    root.mkdir(parents=True)
    given = commands(root, _ENOUGH if stage in ("fit", "evaluate") else _FEW)
    for before in STAGES[: STAGES.index(stage)]:
        assert run(partial(call, given[before])) == 0, f"{before} fails"
    if stage == "process":  # over another result
        assert run(partial(call, [*given[stage], "--cluster-window", "20"])) == 0
    command = partial(call, given[stage])
    if stage == "evaluate":
        kept = root.with_name("evaluation.pickle")
        assert run(partial(judge, root, kept)) == 0
        command = partial(write, kept, root)
    count = crashes(root, command, every=every, check=partial(leftover, stage, root))
    sys.stdout.write(f"{stage}: {count} crashes, each followed by the same command\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
