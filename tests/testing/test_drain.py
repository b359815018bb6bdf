"""``drain`` runs what is ready, on the real path, and only that."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from turnspit import (
    Batch,
    Cancel,
    ConfigurationError,
    Event,
    GiveUp,
    JobContext,
    JobDead,
    Retry,
    Snooze,
    Turnspit,
    TurnspitError,
    current_job,
)
from turnspit.clock import monotonic
from turnspit.testing import TestStore
from turnspit.testing import store as store_module


def test_each_ready_job_runs_once_and_is_returned_as_it_stands_afterwards(t: TestStore) -> None:
    @t.app.task
    async def double(number: int) -> int:
        return number * 2

    @t.app.task
    def halve(number: int) -> float:
        return number / 2

    double.enqueue(number=4)
    halve.enqueue(number=4)
    ran = t.drain()
    assert [(job.id, job.state, job.get_result(timeout=0), job.error) for job in ran] == [
        (1, "completed", 8, None),
        (2, "completed", 2.0, None),
    ]
    assert t.drain() == []


def test_a_plain_function_runs_in_a_thread_and_an_async_one_does_not(t: TestStore) -> None:
    names = []

    @t.app.task
    def plain() -> None:
        names.append(threading.current_thread().name)

    @t.app.task
    async def on_the_loop() -> None:
        names.append(threading.current_thread().name)

    plain.enqueue()
    on_the_loop.enqueue()
    t.drain()
    assert names == ["turnspit-job_0", "MainThread"]


def test_larger_priority_runs_first_then_the_oldest(t: TestStore) -> None:
    order = []

    @t.app.task
    async def note(name: str) -> None:
        order.append(name)

    note.enqueue(name="first")
    note.using(priority=5, queue="other").enqueue(name="urgent")
    note.enqueue(name="second")
    note.using(priority=-5).enqueue(name="whenever")
    t.drain()
    assert order == ["urgent", "first", "second", "whenever"]


def test_only_some_queues(t: TestStore) -> None:
    @t.app.task
    async def note() -> None: ...

    note.using(queue="a").enqueue()
    note.using(queue="b").enqueue()
    note.using(queue="c").enqueue()
    assert [job.queue for job in t.drain(queues=["a", "c"])] == ["a", "c"]
    assert [job.queue for job in t.drain()] == ["b"]
    with pytest.raises(ConfigurationError, match="list of names"):
        t.drain(queues="a")


def test_what_a_job_enqueues_waits_for_the_next_drain(t: TestStore) -> None:
    @t.app.task
    async def countdown(number: int) -> None:
        if number:
            await countdown.aenqueue(number=number - 1)

    countdown.enqueue(number=2)
    assert [len(t.drain()) for _ in range(4)] == [1, 1, 1, 0]
    countdown.enqueue(number=2)
    assert [job.args["number"] for job in t.drain(recursive=True)] == [2, 1, 0]


def test_a_recursive_drain_of_jobs_without_end_says_so(t: TestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "_MOST", 20)

    @t.app.task
    async def forever() -> None:
        await forever.aenqueue()

    forever.enqueue()
    with pytest.raises(TurnspitError, match=r"ran 20 jobs and more are ready: does forever enqueue itself\?"):
        t.drain(recursive=True)
    assert t.jobs.count(state="completed") == 20


def test_what_is_scheduled_for_later_does_not_run(t: TestStore) -> None:
    @t.app.task
    async def later() -> None: ...

    later.using(delay=60).enqueue()
    assert t.drain() == []
    assert t.drain(recursive=True) == []
    t.clock.advance(60)
    assert len(t.drain()) == 1  # due now, although nobody promoted it


def test_every_outcome(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=2, delay=10))
    async def end(how: str) -> None:
        raise {
            "fail": ValueError("no"),
            "snooze": Snooze(60, "not yet"),
            "cancel": Cancel("not needed"),
            "give up": GiveUp("never"),
        }[how]

    for how in ("fail", "snooze", "cancel", "give up"):
        end.enqueue(how=how)
    ran = t.drain()
    assert [(str(job.state), job.attempt, job.failed, str(job.error)) for job in ran] == [
        ("scheduled", 1, True, "no"),
        ("scheduled", 0, False, "not yet"),
        ("cancelled", 1, False, "not needed"),
        ("dead", 1, True, "never"),
    ]
    with pytest.raises(JobDead, match="never"):
        ran[3].get_result(timeout=0)


def test_reraise_ends_the_drain_with_the_first_failure(t: TestStore) -> None:
    @t.app.task
    async def end(how: str) -> None:
        if how != "well":
            raise Snooze(60) if how == "snooze" else ValueError(how)

    for how in ("well", "snooze", "badly", "never reached"):
        end.enqueue(how=how)
    with pytest.raises(ValueError, match="badly"):
        t.drain(reraise=True)
    assert [str(job.state) for job in t.enqueued()] == ["completed", "scheduled", "scheduled", "ready"]
    assert [attempt.error_message for attempt in t.jobs.get(3).attempts] == ["badly"]


def test_a_job_that_another_one_cancels_does_not_run(t: TestStore) -> None:
    @t.app.task
    async def cancel_the_other(job_id: int) -> None:
        await t.jobs.acancel(job_id)

    @t.app.task
    async def other() -> None: ...

    cancel_the_other.enqueue(job_id=2)
    other.enqueue()
    assert [job.id for job in t.drain()] == [1]
    assert t.jobs.get(2).state == "cancelled"


def test_the_app_s_lifespan_middleware_and_listeners_take_part(t: TestStore) -> None:
    seen: list[str] = []

    @t.app.lifespan
    async def lifespan(app: Turnspit) -> AsyncIterator[dict[str, str]]:
        seen.append("open")
        yield {"name": "Ada"}
        seen.append("closed")

    @t.app.middleware
    async def wrap(job: JobContext, call_next):  # type: ignore[no-untyped-def]
        seen.append(f"before {job.id}")
        result = await call_next(job)
        seen.append(f"after {job.id}")
        return result

    @t.app.on("completed", "dead")
    def listen(event: Event) -> None:
        seen.append(f"{event.name} {event.job_id}")

    def on_dead(job: JobContext, error: BaseException) -> None:
        seen.append(f"on_dead {job.id} {error}")

    @t.app.task(on_dead=on_dead)
    def greet(job: JobContext) -> None:
        assert current_job() is job
        seen.append(f"hello {job.resources['name']}")
        if job.id == 2:
            raise GiveUp("enough")

    greet.enqueue()
    greet.enqueue()
    t.drain()
    assert seen == [
        *("open", "before 1", "hello Ada", "after 1", "completed 1"),
        *("before 2", "hello Ada", "on_dead 2 enough", "dead 2", "closed"),
    ]


def test_resources_of_the_test_stand_in_for_the_lifespan(t: TestStore) -> None:
    @t.app.lifespan
    async def lifespan(app: Turnspit) -> AsyncIterator[dict[str, str]]:
        raise AssertionError("the real mail server would be connected here")
        yield {}

    @t.app.task
    async def send(job: JobContext) -> str:
        return str(job.resources["mail"])

    t.resources = {"mail": "a fake"}
    send.enqueue()
    assert t.drain(reraise=True)[0].get_result(timeout=0) == "a fake"


def test_a_lifespan_that_fails_is_the_test_s_error_and_no_job_runs(t: TestStore) -> None:
    seen = []

    @t.app.lifespan
    async def printer(app: Turnspit) -> AsyncIterator[dict[str, str]]:
        seen.append("open")
        yield {"printer": "a printer"}
        seen.append("closed")

    @t.app.lifespan
    async def mail(app: Turnspit) -> AsyncIterator[dict[str, str]]:
        raise ConnectionRefusedError("no mail server")
        yield {}

    @t.app.task
    async def send() -> None: ...

    send.enqueue()
    with pytest.raises(ConnectionRefusedError, match="no mail server"):
        t.drain()
    assert seen == ["open", "closed"]
    assert t.jobs.get(1).state == "ready"


def test_progress_and_log_lines_are_kept_with_the_job(t: TestStore) -> None:
    @t.app.task
    def render(job: JobContext) -> None:
        job.progress(0.25, "reading")
        job.log("found 3 pages", "warning")
        job.progress(0.75, "writing")

    render.enqueue()
    [job] = t.drain()
    assert (job.progress, job.progress_message) == (0.75, "writing")
    assert [(line.level, line.message, line.at) for line in job.get_logs()] == [("warning", "found 3 pages", t.now)]


def test_no_worker_is_left_behind(t: TestStore) -> None:
    @t.app.task
    async def nothing() -> None: ...

    before = {thread.name for thread in threading.enumerate()}
    nothing.enqueue()
    t.drain()
    [worker] = t.app.engine.read(t.app.engine.list_workers)
    assert not worker.live
    assert not worker.running
    new = {thread.name for thread in threading.enumerate()} - before
    assert new <= {"turnspit-writer", "turnspit-reader"}  # the store's own


def test_a_drain_of_three_jobs_takes_milliseconds(t: TestStore) -> None:
    """6 ms on two cores; the best of twenty, so that a busy machine does not decide."""

    @t.app.task
    async def nothing() -> None: ...

    def seconds() -> float:
        t.app.enqueue_many(nothing.new() for _ in range(3))
        began = monotonic()
        assert len(t.drain()) == 3
        return monotonic() - began

    assert min(seconds() for _ in range(20)) < 0.05


def test_workflows_are_worked_off(t: TestStore) -> None:
    done: list[int] = []

    @t.app.task
    async def add(number: int) -> int:
        done.append(number)
        return number + 1

    with t.app.workflow("adding") as flow:
        first = flow.add(add.new(1), name="first")
        second = flow.add(add.using(delay=60).new(first.result), name="second")
        flow.add(add.new(second.result), name="third")
    t.drain(recursive=True)
    assert done == [1]
    t.advance(60)
    t.drain(recursive=True)
    assert (done, t.app.workflows.get(flow.id).state) == ([1, 2, 3], "completed")
    with t.app.workflow("late", deadline=3600) as late:
        late.add(add.using(delay=7200).new(1))
    assert late.id is not None
    t.advance(3600)
    t.drain(recursive=True)
    assert t.app.workflows.get(late.id).state == "cancelled"


def test_jobs_of_a_batch_task_are_run_by_one_call_as_far_as_they_fit(t: TestStore) -> None:
    calls: list[list[str]] = []

    @t.app.middleware
    async def slow_to_join(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
        await asyncio.sleep(0.001 * job.id)
        if job.id == 2:
            raise ValueError("it never joins")
        return await call_next(job)

    @t.app.batch_task(size=3, wait=60)
    async def index(batch: Batch[str]) -> None:
        calls.append(batch.values)
        for item in batch:
            if item.value == "d":
                item.fail(OSError("an empty document"))

    @t.app.task
    async def another() -> None: ...

    for value in "abcde":
        index.enqueue(value)
    another.enqueue()
    ran = t.drain()
    assert calls == [["a", "c"], ["d", "e"]]
    assert [(job.id, job.state) for job in ran] == [
        (1, "completed"),
        (2, "scheduled"),
        (3, "completed"),
        (4, "scheduled"),
        (5, "completed"),
        (6, "completed"),
    ]
    assert isinstance(ran[3].error, OSError)


def test_a_batch_that_fails_as_a_whole_ends_a_drain_that_raises(t: TestStore) -> None:
    @t.app.batch_task(size=10, wait=60)
    def index(batch: Batch[str]) -> None:
        raise OSError(", ".join(batch.values))

    index.enqueue("a")
    index.enqueue("b")
    with pytest.raises(OSError, match="a, b"):
        t.drain(reraise=True)
    assert [job.state for job in t.enqueued(index)] == ["scheduled", "scheduled"]


def test_a_job_that_starts_a_worker_until_nothing_runs_fails_with_what_to_do(t: TestStore) -> None:
    """It waited for itself."""

    @t.app.task
    def start() -> None:
        t.app.worker(until_empty=True)

    start.enqueue()
    with pytest.raises(ConfigurationError, match="which would wait for the end of that job too"):
        t.drain(reraise=True)
