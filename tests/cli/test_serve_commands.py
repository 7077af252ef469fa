"""The commands of the alert service, with a fitted model."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from rehearsal.sample_alerts import other_alerts, sample_alert, sample_alerts
from spiir_pastro.cli import app
from spiir_pastro.errors import ArtifactError
from spiir_pastro.io.alerts import parse_alert
from spiir_pastro.io.artifact import ModelArtifact, load_model, write_model
from spiir_pastro.io.distance_tables import read_distances
from spiir_pastro.models.fit_settings import FitSettings
from spiir_pastro.pipeline.model_fit import fit
from spiir_pastro.pipeline.training import from_uploads
from spiir_pastro.serve import startup
from spiir_pastro.serve.drift import expected_rates
from spiir_pastro.serve.model_slot import load_rehearsed


@pytest.fixture(scope="module")
def artifact(uploads: tuple[Path, Path], distances: Path) -> ModelArtifact:
    settings = FitSettings()
    training = from_uploads(uploads[0], known_events_path=uploads[1], settings=settings)
    return fit(training, read_distances(distances), settings=settings)


@pytest.fixture
def model(artifact: ModelArtifact, tmp_path: Path) -> Path:
    write_model(artifact, tmp_path / "pastro.json")
    return tmp_path / "pastro.json"


@pytest.fixture(autouse=True)
def unconfigured_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup, "configure_logs", lambda: None)


def test_recorded_alerts_are_answered_with_the_models_probabilities(
    artifact: ModelArtifact, model: Path, tmp_path: Path
) -> None:
    paths = []
    for alert in sample_alerts(3):
        paths.append(tmp_path / f"{alert['uid']}.json")
        paths[-1].write_text(json.dumps(alert))
    out = tmp_path / "out"
    result = CliRunner().invoke(
        app, ["replay", *map(str, paths), "--model", str(model), "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert "pending 0, done 3, dead_letters 0" in result.output
    for number in (1, 2, 3):
        written = json.loads((out / "uploads" / f"G{number}.spiir.p_astro.json").read_text())
        expected = artifact.assess(parse_alert(sample_alert(number)).trigger())
        assert written == expected.as_mapping()


def test_the_model_says_what_it_expects_a_day(artifact: ModelArtifact) -> None:
    rates = expected_rates(artifact)
    first_ns, last_ns = artifact.provenance.gps_span_ns
    days = (last_ns - first_ns) / 86_400e9
    assert rates["Terrestrial"].mean * days == pytest.approx(artifact.model.counts.noise_mean)
    assert rates["BBH"].mean * days == pytest.approx(artifact.model.counts.mean[2])
    assert rates["BBH"].low < rates["BBH"].mean < rates["BBH"].high
    assert rates["alerts"].mean == pytest.approx(rates["signals"].mean + rates["Terrestrial"].mean)


def test_a_replay_that_leaves_something_says_so(model: Path, tmp_path: Path) -> None:
    rubbish = tmp_path / "rubbish.json"
    rubbish.write_bytes(other_alerts()[-1])
    out = str(tmp_path / "out")
    result = CliRunner().invoke(app, ["replay", str(rubbish), "--model", str(model), "--out", out])
    assert (result.exit_code, "dead_letters 1" in result.output) == (3, True)
    usage = CliRunner().invoke(app, ["replay", str(rubbish), "--model", str(model)])
    assert (usage.exit_code, "give either --out" in usage.output) == (2, True)


def test_the_check_stops_at_the_first_fault(model: Path, tmp_path: Path) -> None:
    config = tmp_path / "listen.toml"
    config.write_text(
        f'schema = 1\nspool = "{tmp_path}/spool"\n'
        '[kafka]\ntopics = ["t"]\nconsumer_group = "g"\nhost = "127.0.0.1"\nport = 1\n'
        f'authfile = "{tmp_path}/none.toml"\n'
    )
    options = ["--model", str(model), "--config", str(config), "--check"]
    result = CliRunner().invoke(app, ["listen", *options])
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.output.splitlines()] == ["settings", "model"]
    assert "no credentials for the broker 127.0.0.1:1" in str(result.exception)
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize("span", [None, 3, "long", [1, "b"], [1], {"a": 1}, [1, 2, 3]])
def test_a_model_whose_provenance_is_damaged_is_refused_not_the_end(
    span: object, model: Path
) -> None:
    document = json.loads(model.read_text())
    document["provenance"]["gps_span_ns"] = span
    model.write_text(json.dumps(document))
    with pytest.raises(ArtifactError, match="damaged model"):
        load_rehearsed(model, load_model)


def test_the_spool_lists_what_a_model_answered(model: Path, tmp_path: Path) -> None:
    paths = []
    for alert in sample_alerts(3):
        paths.append(tmp_path / f"{alert['uid']}.json")
        paths[-1].write_text(json.dumps(alert))
    out = tmp_path / "out"
    CliRunner().invoke(app, ["replay", *map(str, paths), "--model", str(model), "--out", str(out)])
    used = load_rehearsed(model, load_model)

    def listed(*options: str) -> list[str]:
        done = CliRunner().invoke(app, ["spool", str(out), "--json", *options])
        assert done.exit_code == 0, done.output
        rows = json.loads(done.stdout)
        assert {row["model"] for row in rows} <= {used.name}
        return [row["event_id"] for row in rows]

    assert listed("--model", used.digest[:12]) == ["G3", "G2", "G1"]
    assert listed("--event", "G2", "--state", "done") == ["G2"]
    assert listed("--last", "1") == ["G3"]
    assert listed("--model", "another") == []
    said = CliRunner().invoke(app, ["spool", str(out)]).output
    assert used.name in said
    assert "no such events" in CliRunner().invoke(app, ["spool", str(out), "--event", "X"]).output
    bad = CliRunner().invoke(app, ["spool", str(tmp_path)])
    assert "cannot be read" in str(bad.exception)
