"""An early-warning model from the simulator to the service, beside the search of the whole sky."""

import json
from pathlib import Path

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from rehearsal.sample_alerts import sample_alert
from rehearsal.sample_model import RehearsalModel
from serve.test_service import ListSource
from spiir_pastro.cli import app
from spiir_pastro.domain import Source
from spiir_pastro.io.artifact import load_model
from spiir_pastro.io.populations import MASS_PLANE, read_populations
from spiir_pastro.models.early_warning import MASS_RATIO_UNKNOWN
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.service import Service
from spiir_pastro.serve.settings import KafkaSettings, Settings
from spiir_pastro.serve.spool import Spool, browse
from spiir_pastro.serve.upload import FileUploader


def run(*arguments: str | Path) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.mark.parametrize(("seconds", "left_out"), [(10, False), (60, True)])
def test_an_early_warning_model_is_fitted_and_served_beside_the_other(
    tmp_path: Path,
    seconds: int,
    left_out: bool,  # noqa: FBT001
) -> None:
    raw, staging, processed = (tmp_path / name for name in ("raw", "staging", "processed"))
    said = run(
        "simulate", raw, "--early-warning", str(seconds), "--days", "6", "--far-max", "3e-4",
        "--groups", "1", "--injection-interval", "600", "--mergers-per-day", "20",
        "--processes", "1",
    )  # fmt: skip
    assert ("left out: BBH, not detectable 60 s before the merger" in said) == left_out
    run("extract", raw / "RUNS.yaml", "--staging", staging)
    run("process", raw / "RUNS.yaml", "--staging", staging, "--processed", processed)
    early = tmp_path / "early.json"
    run("fit", "--processed", processed, "--model", early)
    fitted = load_model(early).model
    assert fitted.sources.early_warning_s == seconds  # of the runs file, and kept for predict
    # What its counts hang on: nothing from the mass ratio, and the masses that it assumes.
    assert fitted.sources.response.w_as_noise == MASS_RATIO_UNKNOWN
    drawn = yaml.safe_load((raw / "RUNS.yaml").read_text())["runs"]
    assumed = msgspec.to_builtins(read_populations(MASS_PLANE)[Source.BNS])
    assert [run["injected"]["primary"] for run in drawn if run["name"] == "bns_inj"] == [
        assumed["primary"]
    ]
    counts = fitted.counts.mean
    assert counts[0] > 5
    assert not left_out or counts[2] < 5

    RehearsalModel().save(tmp_path / "model.json")
    alerts = [sample_alert(number) for number in (1, 2)]
    for alert, search in zip(alerts, ("EarlyWarning", "AllSky"), strict=True):
        alert["data"] |= {"search": search}  # type: ignore[operator]
    models = Models(
        tmp_path / "model.json",
        lambda path: load_model(path) if path == early else RehearsalModel.load(path),
        searches={"EarlyWarning": early},
        metrics=Metrics(),
        health=Health(),
    )
    served = Service(
        Settings(
            schema=1,
            spool=str(tmp_path / "spool"),
            kafka=KafkaSettings(consumer_group="g", topics=["t"]),
        ),
        spool=Spool(tmp_path / "spool"),
        model=models,
        source=ListSource([json.dumps(alert).encode() for alert in alerts]),
        make_uploader=lambda: FileUploader(tmp_path / "out"),
    )
    assert served.run() == {"pending": 0, "done": 2, "dead_letters": 0}
    by_event = {record.event_id: record.model for record in browse(tmp_path / "spool")}
    assert by_event == {"G1": models.in_use["earlywarning"].name, "G2": models.own.name}
    content = json.loads((tmp_path / "out" / "G1.spiir.p_astro.json").read_bytes())
    assert sum(content.values()) == pytest.approx(1.0)
