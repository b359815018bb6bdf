"""A job's context for unit tests of a task's function."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from turnspit import JobCancelled, JobContext, Turnspit, TurnspitError, current_job
from turnspit.testing import TestContext, context

app = Turnspit("sqlite:////nonexistent/turnspit.db")


@app.task(queue="printing")
def make_invoice(job: JobContext, order_id: int) -> str:
    job.progress(0.5, "rendering")
    job.log(f"order {order_id}", "debug")
    return str(job.resources["printer"](order_id))


@app.task
async def who() -> tuple[int, int]:
    return current_job().id, current_job().attempt


def test_what_a_task_reports_can_be_inspected() -> None:
    job = context(make_invoice, resources={"printer": "invoice {}".format})
    assert make_invoice.function(job, order_id=7) == "invoice 7"
    assert job.reported == [(0.5, "rendering", None)]
    assert job.logged == [("debug", "order 7")]
    assert job.reported[0].fraction == 0.5
    assert job.logged[0].message == "order 7"


def test_inside_its_block_it_is_the_running_job() -> None:
    with context(resources={"printer": str}) as job:
        assert make_invoice(order_id=7) == "7"
        assert current_job() is job
    assert len(job.reported) == 1
    with pytest.raises(TurnspitError, match="outside a job"):
        current_job()


def test_blocks_may_be_nested() -> None:
    with context(id=1) as outer:
        with context(id=2):
            assert current_job().id == 2
        assert current_job() is outer


def test_async_tasks_too() -> None:
    async def story() -> tuple[int, int]:
        with context(id=9, attempt=3):
            return await who()

    assert asyncio.run(story()) == (9, 3)


def test_everything_about_it_can_be_chosen() -> None:
    moment = datetime(2030, 1, 1, tzinfo=UTC)
    job = context(
        make_invoice, id=5, attempt=2, metadata={"by": "Ada"}, tags=["vip"], created_at=moment, stop_reason="cancelled"
    )
    assert (job.id, job.attempt, job.task, job.queue) == (5, 2, "make_invoice", "printing")
    assert (job.metadata, job.tags, job.created_at) == ({"by": "Ada"}, ("vip",), moment)
    assert job.idempotency_key == "turnspit-make_invoice-5"
    assert job.cancelled
    with pytest.raises(JobCancelled):
        job.raise_if_cancelled()


def test_the_least_that_it_can_be() -> None:
    job = context()
    assert isinstance(job, TestContext)
    assert (job.id, job.attempt, job.queue, job.metadata, job.tags) == (1, 1, "default", {}, ())
    assert not job.cancelled
    job.stop("timeout")
    assert job.cancelled


def test_wrong_reports_are_refused_as_in_a_worker() -> None:
    job: Any = context()
    with pytest.raises(ValueError, match="from 0 to 1"):
        job.progress(2)
    with pytest.raises(ValueError, match="log level"):
        job.log("x", "loud")
    assert (job.reported, job.logged) == ([], [])
