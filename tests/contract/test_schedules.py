"""Schedules: each tick becomes one job, whoever looks and whatever the clock does."""

import json
import random
import threading
from collections import Counter
from collections.abc import Collection
from typing import Any

import pytest

from tests.contract.store import SECOND, TASKS, Store
from turnspit.clock import from_moment
from turnspit.jobs import JobFilter
from turnspit.records import JobRecord, NewJob, NewSchedule
from turnspit.schedules import Every, Rule

MINUTE = 60
APP = "shop"


def new(rule: Rule | None = None, name: str = "report", task: str = "send") -> NewSchedule:
    rule = rule or Every(minutes=1)
    return NewSchedule(
        name, task, rule.dump(), json.dumps(NewJob(task, "default", "{}")._asdict()), rule.missed, rule.overlap
    )


def declare(
    store: Store,
    release: str,
    *schedules: NewSchedule,
    app: str = APP,
    tasks: Collection[str] = ("send",),
    **options: Any,
) -> list[str]:
    return store.engine.write(store.engine.declare_schedules, app, release, schedules, tasks, **options)


def create(store: Store, schedule: NewSchedule) -> Any:
    return store.engine.write(store.engine.insert_schedule, APP, schedule)


def names(store: Store, app: str | None = None) -> list[str]:
    return [each.name for each in store.engine.read(store.engine.list_schedules, app)]


def fire(store: Store, limit: int = 100) -> tuple[int, int | None]:
    return store.engine.write(store.engine.fire_schedules, TASKS, limit)


def jobs(store: Store) -> list[JobRecord]:
    return sorted(store.engine.read(store.engine.list_jobs, JobFilter(), 20_000, None), key=lambda job: job.id)


def ticks(store: Store) -> list[str]:
    return [json.loads(job.metadata or "")["tick"] for job in jobs(store)]


def iso(moment: int) -> str:
    return from_moment(moment).isoformat()


@pytest.fixture(autouse=True)
def on_the_minute(store: Store) -> None:
    store.clock.moment = 1_700_000_040 * SECOND


def test_a_tick_becomes_a_job_at_its_time_and_not_before(store: Store) -> None:
    begun = store.clock.moment
    create(store, new())
    assert fire(store) == (0, 60 * SECOND)
    store.clock.advance(59.9)
    assert fire(store) == (0, SECOND // 10)
    store.clock.advance(0.1)
    assert fire(store) == (1, 60 * SECOND)
    assert fire(store) == (0, 60 * SECOND)
    [job] = jobs(store)
    assert (job.state, job.run_at) == ("ready", begun + 60 * SECOND)
    assert json.loads(job.metadata or "") == {"schedule": "report", "tick": iso(begun + 60 * SECOND)}


@pytest.mark.parametrize(
    ("missed", "late", "expected"),
    [("skip", 0, [10]), ("skip", 60, [11]), ("run_once", 30, [10]), ("run_all", 0, list(range(1, 11)))],
)
def test_missed_ticks(store: Store, missed: Any, late: int, expected: list[int]) -> None:
    begun = store.clock.moment
    create(store, new(Every(minutes=1, missed=missed)))
    store.clock.advance(10 * MINUTE + late)
    assert fire(store)[0] == len(expected)
    assert ticks(store) == [iso(begun + number * MINUTE * SECOND) for number in expected]


def test_skip_drops_a_tick_that_is_more_than_a_minute_late(store: Store) -> None:
    create(store, new(Every(minutes=5)))
    store.clock.advance(9 * MINUTE)
    assert fire(store)[0] == 0
    assert jobs(store) == []


def test_run_all_is_bounded(store: Store) -> None:
    create(store, new(Every(minutes=1, missed="run_all")))
    store.clock.advance(1000 * MINUTE)
    assert fire(store)[0] == 100
    assert fire(store) == (0, 60 * SECOND)


def test_a_year_of_missed_ticks_is_not_walked_through(store: Store) -> None:
    create(store, new(Every(seconds=1, missed="run_once")))
    store.clock.advance(365 * 86400)
    assert fire(store)[0] == 1
    assert ticks(store) == [iso(store.clock.moment)]


def test_overlap_skip(store: Store) -> None:
    create(store, new(Every(minutes=1, overlap="skip")))
    for _ in range(3):
        store.clock.advance(MINUTE)
        fire(store)
    assert store.count() == 1
    store.complete(store.claim_one())
    store.clock.advance(MINUTE)
    assert fire(store)[0] == 1


def test_overlap_queue_runs_one_after_another(store: Store) -> None:
    begun = store.clock.moment
    create(store, new(Every(minutes=1, overlap="queue")))
    for _ in range(3):
        store.clock.advance(MINUTE)
        fire(store)
    assert store.count(state="ready") == 1
    for _ in range(2):
        store.complete(store.claim_one())
        assert fire(store)[0] == 1
        assert fire(store)[0] == 0
    assert ticks(store) == [iso(begun + number * MINUTE * SECOND) for number in (1, 2, 3)]


def test_a_dead_letter_keeps_no_tick_waiting(store: Store) -> None:
    create(store, new(Every(minutes=1, overlap="skip")))
    store.clock.advance(MINUTE)
    fire(store)
    store.kill(jobs(store)[0].id)
    store.clock.advance(MINUTE)
    assert fire(store)[0] == 1


def test_a_clock_that_is_put_back_fires_nothing_again(store: Store) -> None:
    create(store, new())
    store.clock.advance(MINUTE)
    assert fire(store)[0] == 1
    store.clock.advance(-MINUTE / 2)
    assert fire(store)[0] == 0
    store.clock.advance(MINUTE / 2)
    assert fire(store)[0] == 0, "the same moment comes a second time"
    store.clock.advance(MINUTE)
    assert fire(store)[0] == 1


def test_ten_thousand_ticks_of_a_restless_clock_fire_once_each(store: Store) -> None:
    chance = random.Random(6)
    begun = store.clock.moment
    create(store, new(Every(seconds=1, missed="run_all")))
    fired = 0
    while fired < 10_000:
        store.clock.advance(chance.choice([0.4, 1, 90, 90, 95, -0.6, -5, -60]))
        fired += fire(store)[0]
    counts = Counter(ticks(store))
    assert set(counts.values()) == {1}
    assert set(counts) == {iso(begun + number * SECOND) for number in range(1, fired + 1)}


def test_twenty_workers_one_tick(store: Store) -> None:
    create(store, new())
    store.clock.advance(MINUTE)
    together = threading.Barrier(20)
    fired: list[int] = []

    def worker() -> None:
        together.wait()
        fired.append(fire(store)[0])

    threads = [threading.Thread(target=worker) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(fired), store.count()) == (1, 1)


def test_a_worker_that_does_not_know_the_task_leaves_the_tick(store: Store) -> None:
    create(store, new(task="only the new release knows"))
    store.clock.advance(MINUTE)
    assert fire(store) == (0, None)
    assert store.engine.write(store.engine.fire_schedules, {"only the new release knows"}, 10)[0] == 1


def test_what_only_a_newer_release_can_read_stops_no_other(store: Store) -> None:
    create(store, new())
    create(store, new(name="other"))
    from_future = new(name="other")._replace(rule='{"moon": "full"}')
    with pytest.raises(Exception, match="cannot read"):
        create(store, from_future)
    assert names(store) == ["other", "report"]


def test_a_new_release_changes_and_removes_what_is_declared(store: Store) -> None:
    declare(store, "one", new(), new(name="weekly"))
    assert declare(store, "two", new(Every(hours=1))) == ["weekly"]
    [schedule] = store.engine.read(store.engine.list_schedules, APP)
    assert (schedule.name, schedule.rule) == ("report", Every(hours=1).dump())


def test_an_old_release_that_starts_again_changes_nothing(store: Store) -> None:
    old, newer = [new()], [new(Every(hours=1)), new(name="only the newer has it")]
    declare(store, "old", *old)
    declare(store, "newer", *newer)
    before = store.engine.read(store.engine.list_schedules, APP)
    assert declare(store, "old", *old) == []
    assert store.engine.read(store.engine.list_schedules, APP) == before
    assert declare(store, "old", *old, is_newest=True) == ["only the newer has it"]
    assert declare(store, "newer", *newer) == [], "going back on purpose holds"
    assert names(store) == ["report"]


def test_declaring_touches_neither_other_apps_nor_what_was_created(store: Store) -> None:
    declare(store, "a", new(name="theirs"), app="other")
    create(store, new(name="created"))
    declare(store, "one", new())
    assert declare(store, "two") == ["report"]
    assert names(store) == ["theirs", "created"]
    assert create(store, new(name="created")) is not None


def test_schedules_of_tasks_that_a_release_does_not_know_stay(store: Store) -> None:
    """Two apps that forgot to take names of their own do not remove each other's schedules."""
    declare(store, "one", new())
    assert declare(store, "of another app", new(name="theirs", task="print"), tasks={"print"}) == []
    assert declare(store, "of a third, which has none", tasks={"other"}) == []
    assert names(store) == ["report", "theirs"]
    assert fire_all(store) == 0
    store.clock.advance(MINUTE)
    assert fire_all(store) == 2


def fire_all(store: Store) -> int:
    return store.engine.write(store.engine.fire_schedules, {"send", "print"}, 10)[0]


def test_a_declared_schedule_of_a_task_that_is_gone_can_be_removed(store: Store) -> None:
    declare(store, "one", new())
    assert not store.engine.write(store.engine.delete_schedule, APP, "report", {"send"})
    assert store.engine.write(store.engine.delete_schedule, APP, "report", {"print"})


def test_a_declared_name_is_not_created(store: Store) -> None:
    declare(store, "one", new())
    assert create(store, new()) is None
    assert not store.engine.write(store.engine.delete_schedule, APP, "report", {"send"})
    assert names(store) == ["report"]


def test_an_unchanged_schedule_keeps_its_tick_and_pause_in_a_new_release(store: Store) -> None:
    declare(store, "one", new())
    store.clock.advance(90)
    declare(store, "two", new(), new(name="more"))
    assert fire(store)[0] == 1, "the tick of before is not lost"
    store.engine.write(store.engine.pause_schedule, APP, "report")
    declare(store, "three", new(Every(hours=1)))
    [schedule] = store.engine.read(store.engine.list_schedules, APP)
    assert (schedule.next_tick, schedule.paused_at) == (None, store.clock.moment)


def test_a_pause_misses_nothing(store: Store) -> None:
    create(store, new(Every(minutes=1, missed="run_all")))
    assert store.engine.write(store.engine.pause_schedule, APP, "report")
    store.clock.advance(10 * MINUTE)
    assert fire(store) == (0, None)
    store.engine.write(store.engine.resume_schedule, APP, "report")
    assert fire(store) == (0, 60 * SECOND)
    assert not store.engine.write(store.engine.pause_schedule, APP, "unknown")


def test_run_now(store: Store) -> None:
    create(store, new())
    job = store.engine.write(store.engine.run_schedule, APP, "report")
    assert job is not None
    assert store.state(job) == "ready"
    assert store.engine.write(store.engine.run_schedule, APP, "unknown") is None


def test_delete(store: Store) -> None:
    create(store, new())
    assert store.engine.write(store.engine.delete_schedule, APP, "report", {"send"})
    assert not store.engine.write(store.engine.delete_schedule, APP, "report", {"send"})
    assert fire(store) == (0, None)


def test_a_tick_and_its_job_are_one_transaction(store: Store) -> None:
    create(store, new())
    store.clock.advance(MINUTE)
    before = store.engine.read(store.engine.list_schedules, APP)

    def cut(steps: int) -> Any:
        verb = store.engine.fire_schedules(TASKS, 100)
        rows: Any = None
        for _ in range(steps):
            rows = yield verb.send(rows)
        raise RuntimeError("killed")

    for steps in range(1, 5):
        with pytest.raises(RuntimeError, match="killed"):
            store.engine.write(cut, steps)
        assert store.engine.read(store.engine.list_schedules, APP) == before
        assert store.count() == 0
    assert fire(store)[0] == 1
