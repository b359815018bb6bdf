"""``app.events``: what happens to a job or a workflow, as another process sees it."""

import asyncio
import threading

import pytest

from tests.behaviour.support import DEADLINE, Gate
from turnspit import ConfigurationError, Event, GiveUp, JobContext, JobNotFound, Retry, Turnspit
from turnspit.errors import WorkflowNotFound


class Follower:
    """Another process's app, which follows in a thread."""

    def __init__(self, url: str, **what: int) -> None:
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._app = Turnspit(url)
        self._thread = threading.Thread(target=self._follow, kwargs=what, daemon=True)
        self._thread.start()

    def _follow(self, **what: int) -> None:
        with self._app:
            for event in self._app.events(**what):
                with self._changed:
                    self.events.append(event)
                    self._changed.notify_all()

    def wait(self, name: str) -> Event:
        def found() -> list[Event]:
            return [event for event in self.events if event.name == name]

        with self._changed:
            assert self._changed.wait_for(found, DEADLINE), f"no {name}; there were {self.events}"
            return found()[0]

    def end(self) -> list[str]:
        self._thread.join(DEADLINE)
        assert not self._thread.is_alive()
        return [event.name for event in self.events]


def test_a_job_is_followed_from_another_process(app: Turnspit, store_url: str) -> None:
    seen, gate = Gate(), Gate()

    @app.task(retry=Retry(attempts=2, base=0))
    def report(job: JobContext) -> None:
        if job.attempt == 1:
            seen.pass_through()
            raise ValueError("once")
        job.progress(0.4, "page 4 of 10", data={"page": 4})
        gate.pass_through()

    job = report.enqueue()
    follower = Follower(store_url, job=job.id)
    with app.worker():
        follower.wait("started")
        seen.open()
        told = follower.wait("progress")
        assert (told.progress, told.progress_message, told.progress_data) == (0.4, "page 4 of 10", {"page": 4})
        gate.open()
        assert follower.end() == ["started", "failed", "started", "progress", "completed"]
    failed = follower.wait("failed")
    assert (failed.task, failed.attempt, failed.error_type, failed.error_message) == ("report", 1, "ValueError", "once")


def test_a_job_that_begins_at_nothing_says_so(app: Turnspit, store_url: str) -> None:
    gate = Gate()

    @app.task
    def report(job: JobContext) -> None:
        job.progress(0)
        gate.pass_through()

    follower = Follower(store_url, job=report.enqueue().id)
    with app.worker():
        assert follower.wait("progress").progress == 0
        gate.open()
        follower.end()


def test_a_workflow_is_followed_until_it_ends(app: Turnspit, store_url: str) -> None:
    @app.task
    async def good() -> None: ...

    @app.task
    async def bad() -> None:
        raise GiveUp("no")

    flow = app.chain(good.new(), bad.new(), good.new())
    follower = Follower(store_url, workflow=flow)
    with app.worker():
        follower.end()
    first, second, third = (job.id for job in app.workflows.get(flow).jobs)
    told = [(event.job_id, event.name) for event in follower.events]
    assert [event for event in told if event[0] == first] == [(first, "started"), (first, "completed")]
    assert [event for event in told if event[0] == second] == [(second, "started"), (second, "dead")]
    assert [event for event in told if event[0] == third] == [(third, "cancelled")]
    assert told.index((first, "completed")) < told.index((second, "started"))


def test_what_has_ended_is_told_once(app: Turnspit) -> None:
    @app.task
    async def quick() -> None: ...

    job, waiting = quick.enqueue(), quick.using(delay=3600).enqueue()
    with app.worker():
        job.get_result(DEADLINE)
    app.jobs.cancel(waiting.id)

    async def names(job_id: int) -> list[str]:
        return [event.name async for event in app.aevents(job=job_id)]

    assert asyncio.run(names(job.id)) == ["started", "completed"]
    assert asyncio.run(names(waiting.id)) == ["cancelled"]


def test_what_cannot_be_followed_is_refused(app: Turnspit) -> None:
    app.migrate()
    with pytest.raises(ConfigurationError, match="one job or one workflow"):
        next(app.events())
    with pytest.raises(JobNotFound):
        next(app.events(job=99))
    with pytest.raises(WorkflowNotFound):
        next(app.events(workflow=99))
