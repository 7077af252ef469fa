"""A hundred schedules of faults, replayed exactly; and with each safeguard taken out, one shows it.

``make storm`` plays a hundred thousand.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from spiir_pastro.serve import alert_source, service, sweeps
from storm.mutations import MUTATIONS, Mutation, first_seed
from storm.run import findings, quicken
from storm.world import World


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    before = service.POLL_S, service.HOUSEKEEPING_S, sweeps.LOOK_S, alert_source.RENEW_S
    quicken()
    yield
    service.POLL_S, service.HOUSEKEEPING_S, sweeps.LOOK_S, alert_source.RENEW_S = before
    structlog.reset_defaults()


def test_no_schedule_loses_doubles_or_mislabels_anything() -> None:
    assert findings(range(100)) == []


def test_a_seed_replays_exactly(tmp_path: Path) -> None:
    def trace(folder: Path) -> tuple[object, ...]:
        world = World(7, folder)
        finding = world.play()
        files = {e: [(x.content, x.seen_from) for x in f] for e, f in world.gracedb.files.items()}
        return (
            finding,
            files,
            world.gracedb.labels,
            world.hosts[0].machine.lives,
            world.timeline.now,
        )

    assert trace(tmp_path / "first") == trace(tmp_path / "second")


QUICK = [mutation for mutation in MUTATIONS if mutation.is_quick]
THOROUGH = [mutation for mutation in MUTATIONS if not mutation.is_quick]


@pytest.mark.parametrize("mutation", QUICK, ids=lambda mutation: mutation.name)
def test_a_safeguard_taken_out_is_missed(mutation: Mutation) -> None:
    assert first_seed(mutation) is not None


@pytest.mark.slow
@pytest.mark.parametrize("mutation", THOROUGH, ids=lambda mutation: mutation.name)
def test_a_subtle_safeguard_taken_out_is_missed(mutation: Mutation) -> None:
    assert first_seed(mutation) is not None
