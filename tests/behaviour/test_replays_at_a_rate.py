"""``app.jobs.replay(rate=...)``: the call spreads the jobs over time."""

import asyncio

import pytest

from turnspit import ConfigurationError, EngineUnavailable, GiveUp, Turnspit
from turnspit.operations import jobs as module
from turnspit.testing import TestStore


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that calls have rested; no time passes meanwhile."""
    rested: list[float] = []

    async def sleep(seconds: float) -> None:
        rested.append(seconds)

    monkeypatch.setattr(module, "thread_sleep", rested.append)
    monkeypatch.setattr(module, "sleep", sleep)
    monkeypatch.setattr("turnspit.operations.portions.monotonic", lambda: 0.0)
    return rested


@pytest.fixture
def failed(turnspit_app: Turnspit, t: TestStore) -> TestStore:
    """A store with 25 dead letters."""

    @turnspit_app.task(name="call_partner")
    def call_partner(order_id: int) -> None:
        raise GiveUp("the partner is away")

    turnspit_app.enqueue_many(call_partner.new(number) for number in range(25))
    t.drain()
    assert turnspit_app.jobs.count(state="dead") == 25
    return t


def test_a_replay_at_a_rate_rests_after_each_portion(failed: TestStore, rests: list[float]) -> None:
    jobs = failed.app.jobs
    assert jobs.replay(task="call_partner", rate=100) == 25
    assert rests == [0.1, 0.1, 0.05]
    assert jobs.count(state="ready") == 25
    failed.drain()
    rests.clear()
    assert asyncio.run(jobs.areplay(state="dead", rate=50)) == 25
    assert rests == [0.1] * 5
    failed.drain()
    assert jobs.replay(state="dead") == 25
    assert set(rests[5:]) == {0.0}


def test_what_waits_for_a_later_attempt_runs_now_at_a_rate(failed: TestStore, rests: list[float]) -> None:
    jobs, task = failed.app.jobs, failed.app.tasks["call_partner"]
    failed.app.enqueue_many(task.using(delay=3600).new(number) for number in range(20))
    assert jobs.run_now(task="call_partner", rate=80) == 20
    assert rests == [0.1, 0.1, 0.05]
    assert jobs.count(state="ready") == 20
    failed.app.enqueue_many(task.using(delay=3600).new(number) for number in range(5))
    assert asyncio.run(jobs.arun_now(task="call_partner", rate=10)) == 5
    assert rests[3:] == [0.1] * 5


def test_what_an_error_has_cut_short_goes_on_with_the_rest(
    failed: TestStore, rests: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(seconds: float) -> None:
        raise EngineUnavailable("the store is away")

    jobs = failed.app.jobs
    with monkeypatch.context() as patch:
        patch.setattr(module, "thread_sleep", fail)
        with pytest.raises(EngineUnavailable):
            jobs.replay(all=True, rate=100)
    assert (jobs.count(state="ready"), jobs.count(state="dead")) == (10, 15)
    assert jobs.replay(all=True, rate=100) == 15


def test_one_job_is_replayed_at_once_whatever_the_rate(failed: TestStore, rests: list[float]) -> None:
    assert failed.app.jobs.replay(failed.app.jobs.list()[0].id, rate=0.01) == 1
    assert rests == []


def test_a_rate_alone_chooses_no_jobs(failed: TestStore) -> None:
    with pytest.raises(ConfigurationError, match="say all=True if it does"):
        failed.app.jobs.replay(rate=50)
    with pytest.raises(ConfigurationError, match="a rate is more than 0"):
        asyncio.run(failed.app.jobs.areplay(all=True, rate=0))
    assert failed.app.jobs.count(state="dead") == 25
