"""The flood test: who enqueues a thousand jobs at once delays the others by little, and is put behind, not dropped.

The store claims on a clock that the test owns, so the figures are exact and the picture in docs is held to them.
"""

from pathlib import Path
from statistics import mean

from benchmarks.fairness import DURATION, Clock, flood, measured, summary, worst

from turnspit.engines import open_engine

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "fairness.svg"


def test_beside_a_flood_nobody_waits_twice_as_long_as_alone(store_url: str) -> None:
    clock = Clock()
    engine = open_engine(store_url, durability="relaxed")
    engine.clock = clock
    beside = flood(engine, clock, with_flood=True, fair=True)
    [stats] = engine.read(engine.list_queues)
    engine.close()
    alone = measured(with_flood=False, fair=True)
    assert len(beside) == len(alone)
    assert worst(beside) <= 2 * worst(alone) + DURATION
    assert mean(wait.waited for wait in beside) <= 2 * mean(wait.waited for wait in alone) + DURATION
    assert stats.completed_last_hour > len(beside) + 300, "the flood goes on in what the others leave"
    assert stats.held + stats.completed_last_hour + stats.running == len(beside) + 1000


def test_the_picture_is_of_today() -> None:
    drawn = PICTURE.read_text(encoding="utf-8")
    runs = {
        "alone": measured(with_flood=False, fair=True),
        "beside the flood, fair_key": measured(with_flood=True, fair=True),
    }
    for waits in runs.values():
        assert summary(waits) in drawn, "run python -m benchmarks.fairness"
