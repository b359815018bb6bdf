"""Which job comes next: priorities inside a queue, turns between queues, and what a worker claims ahead."""

import threading
from enum import Enum, IntEnum
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, EventLog, Gate, change, url_of, wait_until
from turnspit import Job, JobContext, Queue, Retry, Turnspit
from turnspit._runtime.worker import claimer, prefetch, suspects
from turnspit.records import ClaimRequest, JobRecord


def test_larger_priorities_first_then_the_older_job(app: Turnspit) -> None:
    order = []

    @app.task
    async def task(name: str) -> None:
        order.append(name)

    for name, priority in (("a", 0), ("b", 5), ("c", -3), ("d", 5), ("e", 32767), ("f", -32768)):
        task.using(priority=priority).enqueue(name)
    with app.worker(concurrency=1, until_empty=True) as worker:
        worker.wait()
    assert order == ["e", "b", "d", "a", "c", "f"]


def test_a_queue_that_is_named_twice_is_served_once(app: Turnspit) -> None:
    ran: list[int] = []

    @app.task
    async def task(number: int) -> None:
        ran.append(number)

    app.enqueue_many(task.new(number) for number in range(50))
    with app.worker(queues=["default", "default"], until_empty=True) as worker:
        worker.wait()
    assert sorted(ran) == list(range(50))


def test_a_busy_queue_does_not_starve_another(app: Turnspit) -> None:
    order = []

    @app.task
    async def task(queue: str) -> None:
        order.append(queue)

    app.enqueue_many(task.using(queue="busy", priority=100).new("busy") for _ in range(1000))
    app.enqueue_many(task.using(queue="calm").new("calm") for _ in range(10))
    with app.worker(concurrency=4, until_empty=True) as worker:
        worker.wait()
    assert order.count("busy") == 1000
    assert max(place for place, queue in enumerate(order) if queue == "calm") < 100


def test_queues_share_the_slots(app: Turnspit) -> None:
    gate, began = Gate(), []

    @app.task
    def task(queue: str) -> None:
        began.append(queue)
        gate.pass_through()

    for queue, count in (("a", 30), ("b", 20), ("c", 10)):
        app.enqueue_many(task.using(queue=queue).new(queue) for _ in range(count))
    with app.worker(concurrency=6):
        gate.wait_for(6)
        assert sorted(began) == ["a", "a", "b", "b", "c", "c"]
        gate.open()


def test_slow_jobs_that_one_worker_claimed_ahead_go_to_another_that_is_free(app: Turnspit) -> None:
    gate, ran_by = Gate(), {}

    @app.task
    async def quick() -> None: ...

    @app.task
    def slow(job: JobContext, name: str) -> None:
        ran_by[job.id] = threading.current_thread()
        if name == "first":
            gate.pass_through()

    with app.worker(concurrency=1):
        # Quick jobs teach the worker to claim ahead; then it holds slow ones that it cannot begin.
        app.enqueue_many([*(quick.new() for _ in range(500)), slow.new("first"), *(slow.new("n") for _ in range(5))])
        gate.wait_for()
        wait_until(lambda: app.jobs.count(state="running") > 1, "the claim ahead")
        with app.worker(concurrency=1):
            wait_until(lambda: app.jobs.count(state="completed") == 505, "the other worker's help")
            assert [job.args for job in app.jobs.list(state="running")] == [{"name": "first"}]
            assert len(set(ran_by.values())) == 2
        gate.open()
    assert app.jobs.count(state="completed") == 506
    assert all(job.attempt == 1 for job in app.jobs.list(task="slow"))


def test_a_worker_claims_fewer_ahead_where_arguments_are_large(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def request(worker: int, limit: int, *others: Any) -> ClaimRequest:
        asked.append(limit)
        return ClaimRequest(worker, limit, *others)

    @app.task
    async def measure(text: str) -> int:
        return len(text)

    monkeypatch.setattr(claimer, "ClaimRequest", request)
    monkeypatch.setattr(prefetch, "_MOST_TEXT_AHEAD", 5_000)
    app.enqueue_many(measure.new("x" * 1000) for _ in range(500))
    with app.worker(concurrency=2, until_empty=True) as worker:
        worker.wait()
    assert app.jobs.count(state="completed") == 500
    assert 2 < max(asked) <= 2 + 5


def test_a_job_that_crashed_a_worker_runs_alone_and_holds_nobody_else_meanwhile(app: Turnspit) -> None:
    gate = Gate()

    @app.task
    def suspect() -> None:
        gate.pass_through()

    @app.task
    async def innocent() -> int:
        return 1

    job = suspect.using(priority=10).enqueue()
    _pretend_that_its_worker_died(app, job.id)
    with app.worker(concurrency=10):
        gate.wait_for()
        others = [innocent.enqueue() for _ in range(5)]
        with app.worker(concurrency=1):
            assert [other.get_result(DEADLINE) for other in others] == [1] * 5
        fences = [record.fence for record in map(_record, [app] * 5, others) if record is not None]
        assert fences == [1] * 5  # claimed once, by the one that could run them
        gate.open()
        job.get_result(DEADLINE)
        assert (job.crashes, job.attempt) == (1, 1)


def test_after_a_crash_the_next_one_begins_when_the_end_of_the_one_before_is_stored(app: Turnspit) -> None:
    """If it crashes its worker at once, a job that had ended would be blamed for that, again and again."""
    running: list[int] = []

    @app.task
    async def suspect() -> None:
        running.append(await app.jobs.acount(state="running"))

    jobs = [suspect.enqueue() for _ in range(5)]
    for job in jobs:
        _pretend_that_its_worker_died(app, job.id)
    with app.worker(concurrency=10):
        for job in jobs:
            job.get_result(DEADLINE)
    assert running == [5, 4, 3, 2, 1]


@pytest.mark.parametrize("hangs", ["the suspect", "its neighbour"])
def test_a_job_that_hangs_after_a_crash_does_not_stop_its_worker(
    app: Turnspit, hangs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suspects, "_ALONE", 0.2)
    gate = Gate()

    @app.task
    def hang() -> None:
        gate.pass_through()

    @app.task
    async def innocent() -> int:
        return 1

    with app.worker(concurrency=10):
        if hangs == "its neighbour":
            hang.enqueue()
            gate.wait_for()
        suspect = hang if hangs == "the suspect" else innocent
        job = suspect.using(delay=3600).enqueue()
        _pretend_that_its_worker_died(app, job.id)
        app.jobs.run_now(job.id)
        if hangs == "the suspect":
            gate.wait_for()
        others = [innocent.enqueue() for _ in range(5)]
        assert [other.get_result(DEADLINE) for other in others] == [1] * 5
        gate.open()
        job.get_result(DEADLINE)


def _record(app: Turnspit, job: Job[Any]) -> JobRecord | None:
    return app.engine.read(app.engine.get_job, job.id)


def _pretend_that_its_worker_died(app: Turnspit, job: int) -> None:
    change(app, f"UPDATE {{jobs}} SET crashes = 1 WHERE id = {job}")


def test_many_workers_on_one_app_share_the_work_without_doing_any_twice(app: Turnspit) -> None:
    ran: list[int] = []

    @app.task
    async def task(number: int) -> None:
        ran.append(number)

    ids = app.enqueue_many(task.new(number) for number in range(2000))
    with app.worker(until_empty=True) as first, app.worker(until_empty=True) as second:
        first.wait()
        second.wait()
    assert sorted(ran) == list(range(2000))
    assert app.jobs.count(state="completed") == len(ids)


def test_an_urgent_job_overtakes_the_queue(app: Turnspit, events: EventLog) -> None:
    gate = Gate()
    order: list[Any] = []

    @app.task
    def task(number: int) -> None:
        order.append(number)
        if number == 0:
            gate.pass_through()

    with app.worker(concurrency=1):
        task.enqueue(0)
        gate.wait_for()
        for number in (1, 2, 3):
            task.enqueue(number)
        urgent = task.using(priority=1).enqueue(9)
        gate.open()
        urgent.get_result(DEADLINE)
        assert order[:2] == [0, 9]


def test_retries_do_not_block_the_slots(app: Turnspit, events: EventLog) -> None:
    @app.task(retry=Retry(attempts=2, delay=3600))
    async def failing() -> None:
        raise ValueError

    @app.task
    async def fine() -> int:
        return 1

    with app.worker(concurrency=1):
        jobs = [failing.enqueue() for _ in range(5)]
        assert fine.enqueue().get_result(DEADLINE) == 1
    assert {job.refresh().is_retrying for job in jobs} == {True}


def test_a_job_that_nobody_knows_holds_up_no_other_queue(app: Turnspit) -> None:
    """A worker with few free slots asked the unknown job's queue in vain for its next job, and slept."""
    producer = Turnspit(url_of(app))

    @producer.task(queue="a")
    def unknown() -> None: ...

    @app.task(queue="b")
    def known() -> None: ...

    with producer, app.worker(concurrency=2):
        known.enqueue().get_result(DEADLINE)
        producer.enqueue_many([unknown.new(), *(known.new() for _ in range(40))])
        wait_until(lambda: app.jobs.count(state="completed") == 41, "the known ones")


class Name(str, Enum):  # noqa: UP042  (what str() does not give the value of)
    """Names, as people who mistype them declare them."""

    QUEUE = "email"
    TASK = "send"
    KEY = "order-7"


class Urgency(IntEnum):
    """Priorities, by name."""

    HIGH = 10


def test_names_and_priorities_may_be_members_of_an_enum(app: Turnspit) -> None:
    @app.task(name=Name.TASK, queue=Name.QUEUE, priority=Urgency.HIGH)
    async def send() -> int:
        return 7

    job = send.enqueue()
    [other] = app.enqueue_many([send.using(queue=Name.QUEUE, tags=[Name.KEY]).new()])
    named = send.using(idempotency_key=Name.KEY).enqueue()
    assert send.using(idempotency_key="order-7").enqueue().id == named.id
    for each in (job, app.jobs.get(job.id), app.jobs.get(other), named):
        assert (each.task, each.queue, each.priority, type(each.queue)) == ("send", "email", 10, str)
    assert app.jobs.count(queue=Name.QUEUE) == app.jobs.count(queue="email") == 3
    assert Queue(Name.QUEUE, concurrency=1).limits()[0][0] == "queue email"
    with app.worker(queues=[Name.QUEUE]):
        assert job.get_result(DEADLINE) == 7
