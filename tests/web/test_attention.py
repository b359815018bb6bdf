"""What the overview names that needs a person: the worst, and how much more there is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from tests.cli.test_doctor_workers import MINUTE, NOW, worker
from turnspit.clock import from_moment
from turnspit.records import ScheduleRecord, StandingWorkflow, StoreLock, WorkerRecord
from turnspit.states import JobState
from turnspit.web.models import Attention, Count, DeadGroupDocument, DeadGroups, Latency, QueueDocument, Series
from turnspit.web.reading.attention import Scene, find_attention


def queue(number: int, *, ready: int = 10, workers: int = 0, unknown: int = 0, limited: int = 0) -> QueueDocument:
    none = Count(count=0)
    return QueueDocument(
        name=f"q{number:03}",
        paused_at=None,
        ready=Count(count=ready),
        scheduled=none,
        retrying=none,
        held=Count(count=unknown + limited),
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


def attention(
    *queues: QueueDocument,
    workers: Sequence[WorkerRecord] = (worker(),),
    schedules: Sequence[ScheduleRecord] = (),
    **more: Any,
) -> list[Attention]:
    dead = DeadGroups(groups=[], count=Count(count=0), all_groups=0)
    scene = Scene(NOW, "shop", queues, {}, dead, workers, schedules, [], **more)
    return find_attention(scene)


def test_where_a_store_has_moved_nothing_else_is_advised() -> None:
    [only] = attention(queue(1), workers=(), closed="it has moved to new.db: point the app's URL there")
    assert only.severity == "bad"
    assert only.detail == "It has moved to new.db: point the app's URL there."


@pytest.mark.parametrize(("running", "told"), [(9, False), (10, True)])
def test_a_queue_is_behind_because_every_slot_is_taken(running: int, told: bool) -> None:
    [behind] = attention(queue(1, workers=1), workers=[replace(worker(), running=running, concurrency=10)])
    assert behind.title == "The queue q001 is behind by 1 min 30 s"
    assert behind.detail.endswith("All their slots are taken: look at Workers for jobs that hang there.") is told


@pytest.mark.parametrize(("error", "replay"), [("KeyError", "abc"), ("WorkerDied", None)])
def test_no_button_replays_what_kills_its_worker(error: str, replay: str | None) -> None:
    at = from_moment(NOW)
    group = DeadGroupDocument(
        fingerprint="abc",
        task="poison",
        error_type=error,
        message="",
        count=Count(count=1),
        first_at=at,
        last_at=at,
        newest_id=7,
    )
    scene = Scene(NOW, "shop", [], {}, DeadGroups(groups=[group], count=Count(count=1), all_groups=1), [], [], [])
    [dead] = find_attention(scene)
    assert dead.replay == replay
    assert ("it kills its worker again" in dead.detail) is (replay is None)


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


def test_a_name_in_a_command_to_copy_is_quoted() -> None:
    """Whoever may enqueue chooses it."""
    [found] = attention(queue(7).model_copy(update={"name": "x; rm -r ~"}))
    assert found.command == "turnspit worker APP --queues 'x; rm -r ~'"


def test_limited_jobs_too_want_a_worker() -> None:
    """They are held until they begin, and no worker of another queue lets them."""
    [found] = attention(queue(7, ready=0, limited=3))
    assert found.title == "No worker serves the queue q007: 3 jobs wait"
    [found] = attention(queue(7, ready=0, limited=3), workers=[])
    assert found.title == "No worker is running, and 3 jobs wait"


def test_one_more_than_are_shown_is_shown_too() -> None:
    assert [each.link for each in attention(*map(queue, range(6)))] == [f"/queue?name=q00{n}" for n in range(6)]


@pytest.mark.parametrize(
    ("stopped", "expires", "is_told"),
    [(NOW - MINUTE, NOW - 2 * MINUTE, True), (NOW - MINUTE, NOW, True), (NOW - MINUTE, NOW - MINUTE, False)],
    ids=["its lease ran out", "its supervisor saw it end", "it stopped in order"],
)
def test_a_worker_that_died_is_told(stopped: int, expires: int, is_told: bool) -> None:
    workers = [worker(), worker(2, live=False, stopped=stopped, expires=expires)]
    assert [each.title for each in attention(workers=workers)] == ["A worker died within the last hour"] * is_told
    assert workers[1].state_at(NOW) == ("lost" if is_told else "stopped")


def test_a_late_schedule_says_whether_a_worker_knows_its_task() -> None:
    late = [
        ScheduleRecord("shop", name, name, "", "", "skip", "allow", True, 0, None, NOW - 5 * MINUTE, None, None, "[]")
        for name in ("send", "old")
    ]
    assert [each.detail for each in attention(schedules=late)] == [
        "A live worker knows its task send: look into that worker's log.",
        "No live worker of the app shop knows its task old.",
    ]


def test_of_many_schedules_a_few_are_named() -> None:
    """An app may have one for each of its users."""
    late = [
        ScheduleRecord("shop", f"digest-{number}", "send", "", "", "skip", "allow", False, 0, paused, NOW - MINUTE * 5,
                       None, None, "[]")
        for paused in (None, NOW) for number in range(1, 10)
    ]  # fmt: skip
    found = attention(schedules=late)
    assert [each.title for each in found] == [
        *(f"The schedule digest-{number} is late by 5 min" for number in range(1, 6)),
        "4 more schedules are late",
        *(f"The schedule digest-{number} is paused" for number in range(1, 6)),
        "4 more schedules are paused",
    ]
    assert found[-1].detail == "digest-6, digest-7, digest-8, digest-9."
    assert [each.resume_schedule for each in found[6:8]] == ["digest-1", "digest-2"]


def test_a_worker_whose_event_loop_is_blocked_is_told() -> None:
    """It looks alive otherwise."""
    blocked = replace(
        worker(2, running=3),
        renewed_at=NOW,
        blocked_since=NOW - MINUTE,
        blocked_by="job 1 (hang) at jobs.py:17 in run",
    )
    [first] = attention(workers=[worker(), blocked])
    assert (first.severity, first.link) == ("bad", "/workers")
    assert first.title == "The event loop of the worker box:42 has been blocked for 1 min"
    assert first.detail.startswith(
        "Nothing begins or ends there, where 3 jobs run: it is in job 1 (hang) at jobs.py:17 in run. "
    )
    found = attention(workers=[replace(blocked, id=number) for number in range(20)])
    assert [each.title for each in found][3:] == ["17 more workers have a blocked event loop"]


def test_workflows_that_stand_still_are_told_a_few_by_their_names() -> None:
    flows = [StandingWorkflow(number, "fulfil", 10, "charge", JobState.DEAD, 1) for number in range(1, 9)]
    flows[1] = flows[1]._replace(task=None, state=JobState.CANCELLED, blocked=2)
    found = attention(standing=flows)
    assert [(each.severity, each.link) for each in found[:2]] == [("bad", "/workflows/1"), ("bad", "/workflows/2")]
    assert found[0].title == "The workflow fulfil (1) will not go on by itself"
    assert found[0].detail.startswith("Job 10 (charge) is dead, and 1 job waits for it. Replay the workflow, ")
    assert found[1].detail == "Job 10 (forgotten) was cancelled, and 2 jobs wait for it. Cancel the workflow."
    assert [each.title for each in found[3:]] == ["5 more workflows will not go on unaided"]


def test_a_lock_that_holds_the_store_up_comes_first() -> None:
    lock = StoreLock("pid 7 keeps turnspit.jobs locked", "let that transaction end")
    first, *_ = attention(queue(7), lock=lock)
    assert (first.severity, first.title) == (
        "bad",
        "A lock holds the store's work up: pid 7 keeps turnspit.jobs locked",
    )
    assert first.detail.startswith("Let that transaction end. ")
