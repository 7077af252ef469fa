"""What the service's tests share: a model, alerts, a spool, a GraceDB and a broker on loopback."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from rehearsal.broker import Broker
from rehearsal.sample_model import RehearsalModel
from rehearsal.stand_in import StandInGraceDB
from spiir_pastro.serve.spool import Spool


@pytest.fixture(autouse=True)
def logs() -> Iterator[list[structlog.typing.EventDict]]:
    """The events logged during a test."""
    with structlog.testing.capture_logs() as captured:
        yield captured


@pytest.fixture
def model() -> RehearsalModel:
    return RehearsalModel()


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path / "spool")
    yield spool
    spool.close()


@pytest.fixture
def gracedb(tmp_path: Path) -> Iterator[StandInGraceDB]:
    server = StandInGraceDB(tmp_path / "gracedb.jsonl")
    yield server
    server.close()


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    broker = Broker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.kill()
