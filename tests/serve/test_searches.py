"""An event is answered by the model of its own search, or by none; never by luck."""

import json
from pathlib import Path

import pytest
import structlog

from rehearsal.sample_alerts import sample_alert
from rehearsal.sample_model import RehearsalModel
from serve.waiting import wait_until
from spiir_pastro.errors import ArtifactError, ConfigError
from spiir_pastro.io.alerts import Event, parse_alert
from spiir_pastro.serve.decide import Skip, SkipReason, Upload, decide
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.searches import Models
from spiir_pastro.serve.settings import Settings

FILES = {"own": 0.9, "early": 0.8, "injected": 0.7, "offline": 0.6}


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"{name}.json" for name in FILES}
    for name, path in paths.items():
        RehearsalModel(slope=FILES[name]).save(path)
    return paths


def models(paths: dict[str, Path], **searches: str) -> Models:
    named = {search: paths[name] for search, name in searches.items()}
    return Models(
        paths["own"],
        RehearsalModel.load,
        searches=named,
        metrics=Metrics(),
        health=Health(),
    )


def chosen(answering: Models, **event: object) -> str:
    found = answering.choose(parse_alert({"uid": "G1", "alert_type": "new", "data": event}).event)
    if isinstance(found, SkipReason):
        return found
    assert isinstance(found.assessor, RehearsalModel)
    return next(name for name, slope in FILES.items() if slope == found.assessor.slope)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, "own"),
        ({"search": None}, "own"),
        ({"search": ""}, "own"),
        ({"search": "AllSky", "group": "CBC"}, "own"),
        ({"search": "ALLSKY", "labels": ["PASTRO_READY"], "offline": False}, "own"),
        ({"search": "EarlyWarning"}, "early_warning"),
        ({"search": "earlywarning"}, "early_warning"),
        ({"search": "MDC"}, "other_search"),
        ({"search": "SSM"}, "other_search"),
        ({"search": "HighMass"}, "other_search"),
        ({"search": "VTInjection"}, "injection"),
        ({"search": "vtinjection"}, "injection"),
        ({"search": "AllSky", "group": "VTInjection"}, "injection"),
        ({"search": "AllSky", "labels": ["DQR_REQUEST", "INJ"]}, "injection"),
        ({"labels": {"INJ": "https://gracedb/labels/INJ"}}, "injection"),
        ({"search": "AllSky", "offline": True}, "offline"),
        ({"search": "AllSky", "labels": 7, "offline": "no"}, "own"),
    ],
)
def test_without_a_table_only_the_searches_own_events_are_answered(
    event: dict[str, object], expected: str, paths: dict[str, Path]
) -> None:
    assert chosen(models(paths), **event) == expected


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({}, "own"),
        ({"search": "earlyWARNING"}, "early"),
        ({"search": "EarlyWarning"}, "early"),
        ({"search": "MDC"}, "own"),
        ({"search": "EarlyWarning", "labels": ["INJ"]}, "injected"),
        ({"search": "VTInjection", "offline": True}, "injected"),
        ({"search": "MDC", "offline": True}, "offline"),
        ({"search": "SSM"}, "other_search"),
    ],
)
def test_the_table_names_models_in_any_case(
    event: dict[str, object], expected: str, paths: dict[str, Path]
) -> None:
    table = {
        "EARLYwarning": "early",
        "mdc": "own",
        "VTInjection": "injected",
        "Offline": "offline",
    }
    assert chosen(models(paths, **table), **event) == expected


def test_the_answer_carries_its_models_name(paths: dict[str, Path]) -> None:
    answering = models(paths, EarlyWarning="early")
    alert = sample_alert(7)
    own = decide(alert, answering.choose)
    data = alert["data"]
    assert isinstance(data, dict)
    early = decide(alert | {"data": data | {"search": "earlywarning"}}, answering.choose)
    assert isinstance(own, Upload)
    assert isinstance(early, Upload)
    assert own.model == answering.own.name
    assert early.model == answering.in_use["earlywarning"].name
    assert own.probabilities != early.probabilities


def test_a_search_that_nobody_named_is_warned_of_once_and_counted_by_its_reason(
    paths: dict[str, Path], logs: list[structlog.typing.EventDict]
) -> None:
    answering = models(paths)
    for search in ("SSM", "ssm", "Fancy", "SSM"):
        event = Event(search=search)
        assert answering.choose(event) is SkipReason.OTHER_SEARCH
    assert [entry["search"] for entry in logs] == ["ssm", "fancy"]
    assert not SkipReason.OTHER_SEARCH.is_dead_letter
    for number in range(1000):
        answering.choose(Event(search=f"flood {number}"))
    assert len(logs) <= 100
    payload = json.dumps(sample_alert(7)).replace('"AllSky"', '"SSM"')
    assert decide(payload, answering.choose) == Skip(reason=SkipReason.OTHER_SEARCH, uid="G7")


def test_each_model_is_replaced_for_itself_and_told_by_its_search(
    paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.model_slot._LOOK_S", 0.0)
    answering = models(paths, EarlyWarning="early", MDC="own")
    own, early = answering.own, answering.in_use["earlywarning"]
    assert answering.in_use["mdc"] == own

    RehearsalModel(slope=0.5).save(paths["early"])
    wait(answering)
    assert answering.own == own
    assert answering.in_use["earlywarning"] != early
    said = answering.metrics.exposition().decode()
    new = answering.in_use["earlywarning"]
    assert f'model{{search="earlywarning",version="{new.name}"}} 1.0' in said
    assert f'search="mdc",version="{own.name}"' in said
    assert early.name not in said

    paths["early"].write_text("{")
    wait_until(
        lambda: not answering.refresh() and "model early.json" in answering.health.problems()
    )
    assert "stays" in answering.health.problems()["model early.json"]
    assert answering.in_use["earlywarning"] == new


def wait(answering: Models) -> None:
    wait_until(answering.refresh)


def test_a_table_that_names_a_bad_model_is_no_start(paths: dict[str, Path]) -> None:
    paths["early"].write_text("[]")
    with pytest.raises(ArtifactError, match=r"early\.json is no rehearsal model"):
        models(paths, EarlyWarning="early")


SETTINGS = 'schema = 1\nspool = "s"\n[kafka]\nconsumer_group = "g"\ntopics = ["t"]\n[searches]\n'


def test_the_settings_name_files_from_their_own_folder(tmp_path: Path) -> None:
    path = tmp_path / "listen.toml"
    path.write_text(f'{SETTINGS}EarlyWarning = "early.json"\nMDC = "/etc/mdc.json"\n')
    assert Settings.load(path).models == {
        "EarlyWarning": tmp_path / "early.json",
        "MDC": Path("/etc/mdc.json"),
    }
    path.write_text(f'{SETTINGS}MDC = "a"\nmdc = "b"\n')
    with pytest.raises(ConfigError, match="searches names mdc 2 times; keep one"):
        Settings.load(path)
    path.write_text(f"{SETTINGS}MDC = 3\n")
    with pytest.raises(ConfigError, match="Expected `str`"):
        Settings.load(path)
