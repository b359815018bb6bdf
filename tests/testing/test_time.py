"""Whatever waits for a time can be driven without waiting."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from turnspit import ConfigurationError, JobContext, ResultTimeout, Retry, RetryAfter, Snooze, Turnspit
from turnspit.errors import ResultNotStored
from turnspit.records import ClaimRequest, NewWorker
from turnspit.testing import TestStore, override

NEW_YEAR = datetime(2030, 1, 1, tzinfo=UTC)


def test_every_moment_of_a_job_is_the_clock_s(turnspit_app: Turnspit) -> None:
    with override(turnspit_app, now=NEW_YEAR) as t:

        @t.app.task
        async def nothing() -> None: ...

        nothing.enqueue()
        t.advance(5)
        [job] = t.drain()
        assert (job.created_at, job.run_at) == (NEW_YEAR, NEW_YEAR)
        assert (job.started_at, job.finished_at) == (t.now, t.now) == (NEW_YEAR + timedelta(seconds=5),) * 2
        assert [each.started_at for each in job.attempts] == [t.now]


def test_a_moment_has_a_time_zone(t: TestStore) -> None:
    @t.app.task
    async def later() -> None: ...

    later.using(delay=60).enqueue()
    for advance in (t.advance_to, lambda moment: asyncio.run(t.aadvance_to(moment))):
        with pytest.raises(ConfigurationError, match="moment must be a datetime with a time zone"):
            advance(datetime(2030, 1, 1))  # noqa: DTZ001


def test_advance_promotes_and_runs_nothing(t: TestStore) -> None:
    @t.app.task
    async def later() -> None: ...

    job = later.using(delay=timedelta(hours=1)).enqueue()
    later.using(at=t.now + timedelta(hours=2)).enqueue()
    assert t.advance(3599) == 0
    assert job.refresh().state == "scheduled"
    assert t.advance(1) == 1
    assert job.refresh().state == "ready"
    assert [each.id for each in t.drain()] == [1]


def test_advance_to_and_next_due(t: TestStore) -> None:
    @t.app.task
    async def later() -> None: ...

    start = t.now
    assert t.next_due() is None
    for minutes in (30, 10, 20):
        later.using(delay=timedelta(minutes=minutes)).enqueue()
    order = []
    while (due := t.next_due()) is not None:
        assert t.advance_to(due) == 1
        order += [((t.now - start) // timedelta(minutes=1), job.id) for job in t.drain()]
    assert order == [(10, 2), (20, 3), (30, 1)]


def test_the_clock_is_not_advanced_into_its_past(t: TestStore) -> None:
    with pytest.raises(ConfigurationError, match=r"only t\.clock\.set\(\) moves it back"):
        t.advance_to(t.now - timedelta(microseconds=1))
    with pytest.raises(ConfigurationError, match=r"advance\(by\) must be between 0 seconds"):
        t.advance(-1)


def test_retries_come_after_1_3_7_and_15_seconds(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=5, base=1, jitter="none"))
    async def unreliable() -> None:
        raise ConnectionError("no")

    job = unreliable.enqueue()
    start, moments = t.now, []
    for _ in range(20):
        moments += [(t.now - start).total_seconds() for _ in t.drain()]
        t.advance(1)
    assert moments == [0, 1, 3, 7, 15]
    job.refresh()
    assert job.state == "dead"
    assert [(each.started_at - start).total_seconds() for each in job.attempts if each.started_at] == moments


def test_jitter_draws_between_nothing_and_the_delay(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=2, base=100, jitter="full"))
    async def unreliable(number: int) -> None:
        raise ConnectionError("no")

    t.app.enqueue_many(unreliable.new(number=number) for number in range(50))
    t.drain()
    due = sorted((job.run_at - t.now).total_seconds() for job in t.enqueued())
    assert 0 <= due[0] < 50 < due[-1] <= 100


def test_snooze_and_retry_after(t: TestStore) -> None:
    @t.app.task
    def wait(job: JobContext) -> int:
        if t.now < start + timedelta(minutes=5):
            raise Snooze(timedelta(minutes=5))
        if job.attempt == 1:
            raise RetryAfter(30)
        return job.attempt

    start = t.now
    job = wait.enqueue()
    t.drain()
    assert t.next_due() == start + timedelta(minutes=5)
    t.advance(300)
    t.drain()
    assert t.next_due() == start + timedelta(minutes=5, seconds=30)
    t.advance(30)
    t.drain()
    assert job.get_result(timeout=0) == 2


def test_a_result_is_kept_for_its_time(t: TestStore) -> None:
    @t.app.task(keep_result=timedelta(hours=1))
    async def answer() -> int:
        return 42

    job = answer.enqueue()
    t.drain()
    t.advance(3599)
    t.maintain()
    assert job.get_result(timeout=0) == 42
    t.advance(1)
    t.maintain()
    with pytest.raises(ResultNotStored, match="kept for a limited time"):
        job.get_result(timeout=0)


def test_history_is_pruned_after_its_time(t: TestStore) -> None:
    @t.app.task
    async def nothing() -> None: ...

    t.app.enqueue_many(nothing.new() for _ in range(1001))
    assert t.jobs.cancel(all=True) == 1001
    t.advance(timedelta(days=7) - timedelta(microseconds=1))
    t.maintain()
    assert t.jobs.count() == 1001
    t.advance(timedelta(microseconds=1))
    t.maintain()
    assert t.jobs.count() == 0


def test_a_dead_worker_s_jobs_come_back_when_its_lease_ran_out(t: TestStore) -> None:
    @t.app.task
    async def nothing() -> None: ...

    engine = t.app.engine
    names = frozenset({"nothing"})
    worker = engine.write(engine.register_worker, NewWorker("host", 1, "0", None, names, 10, lease=15_000_000))
    job = nothing.enqueue()
    engine.write(engine.claim_jobs, ClaimRequest(worker, 1, names))
    t.advance(14)
    t.maintain()
    assert job.refresh().state == "running"
    t.advance(1)
    t.maintain()
    assert (job.refresh().state, job.crashes) == ("ready", 1)
    assert t.run_one(job).state == "completed"


def test_waiting_for_a_result_takes_real_time(t: TestStore) -> None:
    """The clock is the store's; a caller's patience is not."""

    @t.app.task
    async def nothing() -> None: ...

    with pytest.raises(ResultTimeout, match="is a worker running"):
        nothing.enqueue().get_result(timeout=0.01)
