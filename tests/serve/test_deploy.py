"""What is deployed is checked by the tools that will read it."""

import importlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spiir_pastro.serve.dead_letters import DeadLetters
from spiir_pastro.serve.gauges import Gauges
from spiir_pastro.serve.health import STALLED_AFTER_S, Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.sensitivity_file import Sensitivity
from spiir_pastro.serve.settings import Settings
from spiir_pastro.serve.spool import Spool

DEPLOY = Path(__file__).parents[2] / "deploy"


def tool(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian package {package})")
    return found


def run(*command: str | Path) -> str:
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_sample_settings_are_valid_and_lead_to_the_playground() -> None:
    settings = Settings.load(DEPLOY / "listen.toml")
    assert "playground" in settings.gracedb.api


def test_the_sample_of_what_detectors_hear_is_valid() -> None:
    said = Sensitivity.parse((DEPLOY / "sensitivity.json").read_bytes())
    assert said.general.noise == 1.0
    assert ("H1", "V1") in said.by_detectors


def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    systemd = tool("systemd-analyze", "systemd")
    units = sorted([*DEPLOY.glob("*.service"), *DEPLOY.glob("*.timer")])
    assert len(units) == 4
    for unit in units:
        # The tool wants to find programs, users and groups, which are not here.
        text = re.sub(
            r"ExecStart=/opt/\S+/bin/\S+", f"ExecStart={sys.executable}", unit.read_text()
        )
        text = re.sub(r"^(User|Group)=.*$", r"\1=root", text, flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    # It exits with 0 on some faults, so what it says about our units counts.
    said = run(systemd, "verify", "--recursive-errors=no", *(tmp_path / u.name for u in units))
    assert "spiir-pastro" not in said


def test_the_units_agree_on_where_the_token_is_and_on_the_watchdog() -> None:
    def settings(name: str) -> list[tuple[str, str]]:
        lines = (DEPLOY / name).read_text().splitlines()
        return [(key, value) for key, found, value in (x.partition("=") for x in lines) if found]

    service, token = settings("spiir-pastro.service"), settings("spiir-pastro-token.service")
    made = next(v for k, v in token if k == "ExecStart").split("--outfile ")[1].split()[0]
    assert ("Environment", f"BEARER_TOKEN_FILE={made}") in service
    folder = next(v for k, v in token if k == "RuntimeDirectory")
    assert made == f"/run/{folder}/token"
    # A job that has ended takes its folder away with it unless told otherwise.
    assert ("RuntimeDirectoryPreserve", "yes") in token
    assert ("Type", "notify") in service
    assert float(next(v for k, v in service if k == "WatchdogSec")) > 2 * STALLED_AFTER_S - 1


def test_systemd_would_have_found_a_fault(tmp_path: Path) -> None:
    systemd = tool("systemd-analyze", "systemd")
    unit = tmp_path / "spiir-pastro.service"
    unit.write_text(f"[Service]\nType=exec\nExecStart={sys.executable}\nRestrat=always\n")
    done = subprocess.run(
        [systemd, "verify", "--recursive-errors=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Restrat" in done.stderr


def test_htcondor_accepts_the_submit_file(monkeypatch: pytest.MonkeyPatch) -> None:
    htcondor = pytest.importorskip("htcondor2", reason="htcondor is not installed (PyPI)")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USER", "me")
    submit = htcondor.Submit((DEPLOY / "spiir-pastro.sub").read_text())
    assert submit.getQArgs() == ""
    assert submit["kill_sig"] == "SIGTERM"
    assert submit["use_oauth_services"] == "igwn"
    assert submit.expand("arguments").startswith('"listen --model /home/me/')


def test_prometheus_accepts_the_rules_and_they_fire(tmp_path: Path) -> None:
    promtool = tool("promtool", "prometheus")
    rules = DEPLOY / "prometheus-rules.yaml"
    run(promtool, "check", "rules", rules)
    test = tmp_path / "rules.test.yaml"
    test.write_text(_RULE_TEST.replace("RULES", str(rules)))
    run(promtool, "test", "rules", test)


@pytest.mark.parametrize("file", ["prometheus-rules.yaml", "grafana-dashboard.json"])
def test_rules_and_dashboard_ask_for_metrics_that_exist(file: str, tmp_path: Path) -> None:
    metrics = Metrics()
    spool = Spool(tmp_path)
    gauges = Gauges(
        spool=spool,
        letters=DeadLetters(tmp_path / "letters"),
        health=Health(),
        drift=list,
        wall_s=lambda: 0.0,
    )
    metrics.registry.register(gauges)
    names = set(re.findall(r"# TYPE (\S+)", metrics.exposition().decode()))
    spool.close()
    asked = set(re.findall(r"spiir_pastro_\w+", (DEPLOY / file).read_text()))
    assert {name.removesuffix("_bucket") for name in asked} <= names


def expressions(dashboard: Any) -> list[str]:  # noqa: ANN401  (JSON)
    return [
        target["expr"]
        for holder in (*dashboard["panels"], {"targets": dashboard["annotations"]["list"]})
        for target in holder["targets"]
    ]


def test_prometheus_accepts_every_query_of_the_dashboard(tmp_path: Path) -> None:
    promtool = tool("promtool", "prometheus")
    queries = expressions(json.loads((DEPLOY / "grafana-dashboard.json").read_text()))
    assert len(queries) > 15
    filled = [
        q.replace("$instance", "host:9460").replace("$__rate_interval", "1m") for q in queries
    ]
    rules = [{"record": f"q{number}", "expr": query} for number, query in enumerate(filled)]
    path = tmp_path / "queries.json"  # JSON is YAML
    path.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(queries)} rules found" in run(promtool, "check", "rules", path)


def test_the_dashboard_keeps_to_grafanas_schema() -> None:
    """Read into Grafana's own types and written again, nothing of it is lost or changed."""
    models = pytest.importorskip("grafana_foundation_sdk.models.dashboard")
    encoder = importlib.import_module("grafana_foundation_sdk.cog.encoder").JSONEncoder
    importlib.import_module("grafana_foundation_sdk.cog.plugins").register_default_plugins()
    document = json.loads((DEPLOY / "grafana-dashboard.json").read_text())

    def kept(given: Any) -> list[str]:  # noqa: ANN401  (JSON)
        written = json.loads(encoder(sort_keys=True).encode(models.Dashboard.from_json(given)))
        return list(_lost(given, written, ""))

    assert kept(document) == []
    misspelt = json.loads(json.dumps(document).replace('"colorMode"', '"colourMode"'))
    assert kept(misspelt)[0] == "/panels/0/options/colourMode"


def _lost(given: Any, written: Any, at: str) -> Iterator[str]:  # noqa: ANN401  (JSON)
    if isinstance(given, dict) and isinstance(written, dict):
        for key, value in given.items():
            yield from _lost(value, written.get(key, "nothing"), f"{at}/{key}")
    elif isinstance(given, list) and isinstance(written, list) and len(given) == len(written):
        for number, (mine, theirs) in enumerate(zip(given, written, strict=True)):
            yield from _lost(mine, theirs, f"{at}/{number}")
    elif given != written:
        yield at


_RULE_TEST = """
rule_files: [RULES]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series:
      - series: 'up{job="spiir-pastro"}'
        values: '1x10 0x10'
      - series: 'spiir_pastro_spool_oldest_seconds'
        values: '0x10 400x10'
      - series: 'spiir_pastro_healthy{job="spiir-pastro"}'
        values: '1x2000'
      - series: 'spiir_pastro_dead_letter_files'
        values: '0x10 1x10'
      - series: 'spiir_pastro_start_timestamp_seconds'
        values: '0x2000'
      - series: 'spiir_pastro_last_alert_timestamp_seconds'
        values: '0x2000'
      - series: 'spiir_pastro_skipped_total{reason="other_search"}'
        values: '0x10 1x10'
      - series: 'spiir_pastro_problem{part="model early.json"}'
        values: '1x20'
      - series: 'spiir_pastro_problem{part="kafka"}'
        values: '1x20'
    alert_rule_test:
      - eval_time: 9m
        alertname: SpiirPastroDown
        exp_alerts: []
      - eval_time: 14m
        alertname: SpiirPastroDown
        exp_alerts:
          - exp_labels: {severity: page, job: spiir-pastro}
            exp_annotations:
              summary: The alert service does not answer
              description: >-
                No p_astro reaches GraceDB. Look at the unit or job and its last log lines.
      - eval_time: 14m
        alertname: SpiirPastroSpoolWaits
        exp_alerts:
          - exp_labels: {severity: page}
            exp_annotations:
              summary: An event has waited 6m 40s for GraceDB
              description: >-
                It stays in the spool and is tried again; GraceDB or the credentials need a look.
      - eval_time: 14m
        alertname: SpiirPastroDeadLetters
        exp_alerts:
          - exp_labels: {severity: ticket}
            exp_annotations:
              summary: "1 alerts could not be answered"
              description: >-
                The payloads are in the spool's dead-letters folder; the next model or start tries
                them again.
      - eval_time: 1439m
        alertname: SpiirPastroSilence
        exp_alerts: []
      - eval_time: 1451m
        alertname: SpiirPastroSilence
        exp_alerts:
          - exp_labels: {severity: ticket}
            exp_annotations:
              summary: No alert of any kind for a day
              description: If detectors and SPIIR are running, look at topics and credentials.
      - eval_time: 14m
        alertname: SpiirPastroUnnamedSearch
        exp_alerts:
          - exp_labels: {severity: ticket, reason: other_search}
            exp_annotations:
              summary: Alerts of a search that no model is named for
              description: >-
                The log names it (search.unnamed); name a model under [searches], or leave its
                topic.
      - eval_time: 14m
        alertname: SpiirPastroModelRefused
        exp_alerts:
          - exp_labels: {severity: ticket, part: model early.json}
            exp_annotations:
              summary: A new model file was refused; the old model stays
              description: >-
                /healthz and the log (health.problem) name the fault; put a good file there.
      - eval_time: 10m
        alertname: SpiirPastroUnhealthy
        exp_alerts:
          - exp_labels: {severity: page, part: kafka}
            exp_annotations:
              summary: The alert service has a problem with kafka
              description: "/healthz says what it is; docs/how-to/serve.md says what to do."
"""
