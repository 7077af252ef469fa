"""Predict real uploads with densities from a campaign and counts from earlier uploads.

The densities are fitted on a simulated campaign, as ``fit --processed CAMPAIGN`` does; the counts
on SPIIR's uploads of the first half of O3a, as ``--counted`` does. Candidates of the second half
are predicted, the known mergers among them being the signals. Run with the data folder in
SPIIR_PASTRO_DATA::

    python benchmarks/bench_counted.py WORK

WORK keeps the campaign for a second call, and is the one of ``bench_calibration.py``. The model
fitted on the same first half alone, known mergers and all, is for scale.
"""

import argparse
import os
import tempfile
from pathlib import Path

import polars as pl
from bench_calibration import THRESHOLD_HZ, TRAINING

from spiir_pastro.evaluation.scores import score
from spiir_pastro.io.distance_tables import CAMPAIGN, read_distances
from spiir_pastro.io.gwtc import read_known_events
from spiir_pastro.io.trigger_files import read_triggers
from spiir_pastro.io.trigger_tables import to_candidates
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.counting import counting
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import TrainingSet, from_processed, from_uploads
from spiir_pastro.pipeline.workflow import Workspace, run
from spiir_pastro.selection.uploads import OBSERVING_RUN_STARTS, select_uploads

_SETTINGS = FitSettings(far_threshold_hz=THRESHOLD_HZ)


def main() -> None:
    """Fit, predict and print the scores."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("work", type=Path)
    workspace = Workspace(root=arguments.parse_args().work, workers=2)
    if not workspace.model.exists():
        for stage in run(workspace, simulation=TRAINING):
            print(f"{stage.stage:10} {stage.seconds:6.1f} s  {stage.result}", flush=True)
    data = Path(os.environ.get("SPIIR_PASTRO_DATA", "../shared/data")) / "spiir"
    table = data / "gracedb_triggers_o1_o3a.csv"
    candidates = _candidates(table)
    middle_ns = candidates["gps_ns"].to_numpy()[candidates.height // 2]
    later = candidates.filter(pl.col("gps_ns") >= middle_ns)
    with tempfile.TemporaryDirectory() as folder:
        earlier = Path(folder) / "earlier.csv"
        first_s = OBSERVING_RUN_STARTS["O3a"]
        pl.read_csv(table, infer_schema_length=None).filter(
            pl.col("end_time").is_between(first_s, middle_ns / 1e9, closed="left")
        ).write_csv(earlier)
        campaign = from_processed(workspace.processed, settings=_SETTINGS)
        report("campaign, counted", counting(campaign, earlier, settings=_SETTINGS), later)
        report("uploads alone", from_uploads(earlier, settings=_SETTINGS), later)


def report(name: str, training: TrainingSet, later: pl.DataFrame) -> None:
    """Predict later candidates and print how well."""
    model = fit(training, read_distances(CAMPAIGN), settings=_SETTINGS).model
    p = model.predict(to_candidates(later), intervals=False).p_astro
    s = score(p, later["is_known"].to_numpy())
    print(
        f"{name:18} {training.counted.height} counted, {later.height} later, {s.signals} known: "
        f"log loss {s.log_loss:.4f}, AUC {s.auc:.4f}, expected {s.expected_signals:.1f}"
    )


def _candidates(table: Path) -> pl.DataFrame:
    events = read_known_events()
    return select_uploads(
        read_triggers(table).triggers, events, far_threshold_hz=THRESHOLD_HZ
    ).candidates


if __name__ == "__main__":
    main()
