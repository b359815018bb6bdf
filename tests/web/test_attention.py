"""What the overview names that needs a person: the worst, and how much more there is."""

import pytest

from tests.cli.test_diagnosis import NOW, worker
from turnspit.web.models import Attention, Count, DeadGroups, Latency, QueueDocument, Series
from turnspit.web.reading.attention import Scene, find_attention


def queue(number: int, *, ready: int = 10, workers: int = 0, unknown: int = 0) -> QueueDocument:
    none = Count(count=0)
    return QueueDocument(
        name=f"q{number:03}",
        paused_at=None,
        ready=Count(count=ready),
        scheduled=none,
        retrying=none,
        held=Count(count=unknown),
        unknown=Count(count=unknown),
        running=none,
        dead=none,
        oldest_seconds=90.0,
        completed_per_minute=0.0,
        error_rate=None,
        workers=workers,
        series=Series(step=1, completed=[], failed=[]),
        wait=Latency(sample=0, p50=None, p95=None, p99=None),
    )


def attention(*queues: QueueDocument) -> list[Attention]:
    dead = DeadGroups(groups=[], count=Count(count=0))
    scene = Scene(NOW, "shop", queues, {}, dead, [worker()], [], [])
    return find_attention(scene)


@pytest.mark.parametrize(
    ("workers", "ready", "unknown", "first", "last"),
    [
        (0, 10, 0, "No worker serves the queue q150: 99 jobs wait", "195 more queues have no worker"),
        (1, 10, 0, "The queue q150 is behind by 1 min 30 s", "195 more queues are behind"),
        (1, 0, 2, "No live worker knows the task of 2 jobs in the queue q150", "195 more queues have jobs whose task"),
    ],
    ids=["unserved", "behind", "unknown"],
)
def test_two_hundred_queues_hide_nothing_else(workers: int, ready: int, unknown: int, first: str, last: str) -> None:
    worst = queue(150, ready=ready and 99, workers=workers, unknown=unknown)
    others = [queue(n, ready=ready, workers=workers, unknown=unknown) for n in range(200) if n != 150]
    found = attention(*others[:150], worst, *others[150:])
    assert len(found) == 6
    if ready:
        assert found[0].title == first
    assert found[-1].title.startswith(last)
    assert found[-1].detail.startswith(f"{195 * (ready or unknown):,} jobs wait in q00")
    assert found[-1].detail.endswith(", ….")


def test_one_more_than_are_shown_is_shown_too() -> None:
    assert [each.link for each in attention(*map(queue, range(6)))] == [f"/queue?name=q00{n}" for n in range(6)]
