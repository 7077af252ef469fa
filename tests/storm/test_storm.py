"""A hundred schedules of faults, replayed exactly; and with each safeguard taken out, one shows it.

``make storm`` plays a hundred thousand.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from spiir_pastro.serve import backfill, service
from storm.mutations import MUTATIONS, Mutation
from storm.run import findings, quicken
from storm.world import World, play


@pytest.fixture(autouse=True)
def quick() -> Iterator[None]:
    before = service.POLL_S, service.HOUSEKEEPING_S, backfill.LOOK_S
    quicken()
    yield
    service.POLL_S, service.HOUSEKEEPING_S, backfill.LOOK_S = before
    structlog.reset_defaults()


def test_no_schedule_loses_doubles_or_mislabels_anything() -> None:
    assert findings(range(100)) == []


def test_a_seed_replays_exactly(tmp_path: Path) -> None:
    def trace(folder: Path) -> tuple[object, ...]:
        world = World(7, folder)
        finding = world.play()
        files = {e: [(x.content, x.seen_from) for x in f] for e, f in world.gracedb.files.items()}
        return finding, files, world.gracedb.labels, world.machine.lives, world.timeline.now

    assert trace(tmp_path / "first") == trace(tmp_path / "second")


@pytest.mark.parametrize(
    "mutation", [m for m in MUTATIONS if m.seed >= 0], ids=lambda mutation: mutation.name
)
def test_a_safeguard_taken_out_is_missed(
    mutation: Mutation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation.apply(monkeypatch)
    assert not play(mutation.seed, tmp_path / "without").is_clean
    monkeypatch.undo()
    quicken()
    assert play(mutation.seed, tmp_path / "with").is_clean
