"""``using(expires=)``, seen from an application."""

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import ConfigurationError, JobCancelled, Turnspit, testing


@pytest.fixture
def app() -> Any:
    return Turnspit("sqlite:///never-opened.db")


def test_a_job_that_is_late_is_cancelled_with_that_reason(app: Any) -> None:
    @app.task
    def send(number: int) -> None: ...

    with testing.override(app) as store:
        job = send.using(expires=timedelta(minutes=5)).enqueue(number=1)
        assert job.expires_at == store.now + timedelta(minutes=5)
        assert app.jobs.get(job.id).expires_at == job.expires_at
        moment = store.now + timedelta(minutes=10)
        other = send.using(expires=moment).enqueue(number=2)
        assert other.expires_at == moment
        app.enqueue_many([send.using(expires=60).new(number=3)])
        store.advance(timedelta(minutes=6))
        assert [done.id for done in store.drain()] == [other.id]
        assert app.jobs.get(job.id).state == "cancelled"
        with pytest.raises(JobCancelled, match="expired: it did not start by 20"):
            job.get_result(timeout=0)


def test_a_worker_cancels_at_the_moment(tmp_path: Path) -> None:
    app = Turnspit(f"sqlite:///{tmp_path}/jobs.db")

    @app.task(queue="nobody serves it")
    def send() -> None: ...

    with app.worker(queues=["other"]):
        job = send.using(expires=0.05).enqueue()
        with pytest.raises(JobCancelled, match="expired"):
            job.get_result(timeout=20)
    app.close()


def test_a_job_that_is_interrupted_by_the_end_of_its_worker_does_not_expire(tmp_path: Path) -> None:
    app = Turnspit(f"sqlite:///{tmp_path}/jobs.db")
    began = threading.Event()

    @app.task
    async def task() -> None:
        began.set()
        await asyncio.Event().wait()

    with app.worker(grace=0):
        job = task.using(expires=3600).enqueue()
        assert began.wait(DEADLINE)
    assert (job.refresh().state, job.expires_at) == ("ready", None)
    app.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"expires": 10, "delay": 10}, "it is longer than delay, and more than 0"),
        ({"expires": 0}, "more than 0"),
        ({"expires": -1}, "expires"),
        ({"expires": "soon"}, "expires"),
        ({"expires": datetime(2030, 1, 1)}, "expires must be a datetime with a time zone"),  # noqa: DTZ001
        (
            {"expires": datetime(2030, 1, 1, tzinfo=UTC), "at": datetime(2030, 1, 2, tzinfo=UTC)},
            "expires later than that",
        ),
    ],
)
def test_what_cannot_be_meant(app: Any, options: Any, said: str) -> None:
    @app.task
    def send() -> None: ...

    with pytest.raises(ConfigurationError, match=said):
        send.using(**options)


def test_in_a_workflow_what_waits_for_a_late_job_follows_it(app: Any) -> None:
    @app.task
    def step() -> None: ...

    with testing.override(app) as store:
        with app.workflow("fulfil") as flow:
            first = flow.add(step.new())
            late = flow.add(step.using(expires=60).new(), after=[first])
            flow.add(step.new(), after=[late])
        store.advance(61)
        assert len(store.drain()) == 1
        jobs = sorted(app.jobs.list(), key=lambda job: job.id)
        assert [job.state for job in jobs] == ["completed", "cancelled", "cancelled"]
        assert jobs[1].reason.startswith("expired: ")
