"""A broker behind TLS and a password: the right ones pass, the wrong ones are named."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

import msgspec
import pytest
import structlog

from rehearsal.broker import Broker
from serve.sasl_gateway import SaslGateway, make_certificate
from serve.waiting import wait_until
from spiir_pastro.errors import ConfigError
from spiir_pastro.serve.alert_source import KafkaSource
from spiir_pastro.serve.consumer import KafkaConsumer, broker_settings, require_topics
from spiir_pastro.serve.health import Health
from spiir_pastro.serve.metrics import Metrics
from spiir_pastro.serve.settings import KafkaSettings
from spiir_pastro.serve.spool import Place

GROUP = "gracedb-playground"
PASSWORD = "correct horse battery staple"  # noqa: S105  (of nothing)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"), "gateway")


@pytest.fixture(scope="module")
def gateway(broker: Broker, certificate: Path) -> Iterator[SaslGateway]:
    broker.make_topics([f"{GROUP}.locked"])
    gate = SaslGateway(broker.port, certificate, user="me", password=PASSWORD)
    yield gate
    gate.close()


class Nowhere:
    """A memory of no places."""

    def offsets(self) -> dict[Place, int]:
        return {}

    def place(self, places: Mapping[Place, int]) -> None:
        del places


def settings(folder: Path, gateway: SaslGateway, certificate: Path, password: str) -> KafkaSettings:
    authfile = folder / "auth.toml"
    authfile.write_text(
        f'[[auth]]\nusername = "me"\npassword = "{password}"\nssl_ca_location = "{certificate}"\n'
    )
    authfile.chmod(0o600)
    return KafkaSettings(
        consumer_group="me-locked",
        host="127.0.0.1",
        port=gateway.port,
        topics=["locked"],
        authfile=str(authfile),
    )


def test_the_right_credentials_pass(
    gateway: SaslGateway, certificate: Path, tmp_path: Path
) -> None:
    require_topics(settings(tmp_path, gateway, certificate, PASSWORD))


def test_of_two_credentials_the_setting_chooses(
    gateway: SaslGateway, certificate: Path, tmp_path: Path
) -> None:
    given = settings(tmp_path, gateway, certificate, PASSWORD)
    authfile = tmp_path / "auth.toml"
    authfile.write_text(authfile.read_text() + '\n[[auth]]\nusername = "other"\npassword = "x"\n')
    with pytest.raises(ConfigError, match=r"(?s)Ambiguous.*choose one of several with kafka"):
        broker_settings(given)
    require_topics(msgspec.structs.replace(given, username="me"))
    with pytest.raises(ConfigError, match="with username 'nobody'"):
        broker_settings(msgspec.structs.replace(given, username="nobody"))


def test_a_wrong_password_is_named_retried_and_never_shown(
    gateway: SaslGateway,
    certificate: Path,
    tmp_path: Path,
    logs: list[structlog.typing.EventDict],
) -> None:
    wrong = settings(tmp_path, gateway, certificate, "wrong password")
    kafka = KafkaSource(
        wrong,
        partial(KafkaConsumer, broker_settings(wrong)),
        places=Nowhere(),
        since=None,
        health=Health(),
        metrics=Metrics(),
    )
    wait_until(lambda: kafka.poll(0.05) == [] and kafka._failures >= 2)
    assert "_AUTHENTICATION" in kafka._health.problems()["kafka"]
    assert "wrong user or password" in kafka._health.problems()["kafka"]
    assert kafka._failures == 2
    kafka.close()
    assert "wrong password" not in str(logs)
    assert 1 <= sum(entry["event"] == "health.problem" for entry in logs) <= 2


def test_a_certificate_nobody_vouches_for_is_named(
    gateway: SaslGateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spiir_pastro.serve.consumer.CHECK_TIMEOUT_S", 1.5)
    stranger = make_certificate(tmp_path, "stranger")
    with pytest.raises(ConfigError, match="certificate verify failed"):
        require_topics(settings(tmp_path, gateway, stranger, PASSWORD))
