"""Limits as tasks declare them, with a worker that runs."""

import asyncio
import threading
import time
from typing import Annotated, Any

import pytest
from pydantic import BeforeValidator

from tests.behaviour.support import DEADLINE, EventLog, change, url_of
from tests.starts import record_starts
from turnspit import (
    Concurrency,
    ConfigurationError,
    JobContext,
    JobDead,
    Queue,
    Rate,
    RateLimited,
    Retry,
    Snooze,
    Turnspit,
    Unique,
)
from turnspit._runtime.worker import lanes
from turnspit._runtime.worker.lanes import Lanes
from turnspit.errors import LimitTimeout
from turnspit.testing import TestStore

ALLOWANCE = 0.05
"""A job begins at most this long after its admission."""


def run_all(app: Turnspit) -> None:
    with app.worker(until_empty=True) as worker:
        worker.wait()


def test_no_window_holds_more_starts_than_a_rate_allows(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    starts: dict[int, list[float]] = {1: [], 2: []}
    decided = record_starts(monkeypatch.setattr)

    @app.task(rate=Rate(3, per=0.4, key="customer"))
    async def call(job: JobContext, customer: int) -> None:
        starts[customer].append(decided[job.id])

    app.enqueue_many(call.new(customer) for customer in (1, 2) for _ in range(7))
    run_all(app)
    for times in starts.values():
        assert len(times) == 7
        assert all(late - early > 0.4 - ALLOWANCE for early, late in zip(times, times[3:], strict=False))


def test_what_could_not_begin_at_once_is_given_back(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Begun later, it would be in a window that the rate does not know of. Its token is spent."""
    starts: list[float] = []
    monkeypatch.setattr(lanes, "_BEGINS_WITHIN", -1.0)
    give_back = Lanes.give_back_late

    async def give_back_once(self: Lanes) -> None:
        is_late = bool(self._executor.late)
        await give_back(self)
        if is_late:
            monkeypatch.setattr(lanes, "_BEGINS_WITHIN", 10.0)

    monkeypatch.setattr(Lanes, "give_back_late", give_back_once)

    @app.task(rate=Rate(1, per=0.3))
    async def call() -> None:
        starts.append(time.monotonic())

    asked = time.monotonic()
    job = call.enqueue()
    with app.worker():
        job.get_result(timeout=DEADLINE)
    record = app.engine.read(app.engine.get_job, job.id)
    assert record is not None
    assert (record.fence, record.attempt) == (2, 1)
    assert [began - asked > 0.3 - ALLOWANCE for began in starts] == [True], "its token was spent"


def test_no_more_run_at_a_time_than_a_concurrency_allows(app: Turnspit) -> None:
    running, most = 0, 0

    @app.task(concurrency=Concurrency(2))
    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    app.enqueue_many(work.new() for _ in range(12))
    run_all(app)
    assert most == 2
    assert [job.state for job in app.jobs.list(task="work", limit=20)] == ["completed"] * 12


def test_jobs_in_order_are_not_overtaken_whatever_becomes_of_them(app: Turnspit) -> None:
    begun: dict[str, list[int]] = {"a": [], "b": []}

    @app.task(concurrency=Concurrency(1, key="account", ordered=True), retry=Retry(attempts=3, delay=0.01))
    async def book(job: JobContext, account: str, number: int) -> None:
        begun[account].append(number)
        await asyncio.sleep(0)
        if number % 3 == 0 and job.attempt < 3:
            raise ValueError("again")
        if number % 5 == 0 and len(begun[account]) == begun[account].index(number) + 1:
            raise Snooze(0.01)

    rows = [(account, number) for number in range(10) for account in "ab"]
    app.enqueue_many(book.using(priority=number).new(account, number) for account, number in rows)
    run_all(app)
    for numbers in begun.values():
        assert numbers == sorted(numbers)
        assert set(numbers) == set(range(10))
        assert len(numbers) > 15


def test_a_queue_has_limits_whatever_its_tasks(app: Turnspit) -> None:
    limited = Turnspit(url_of(app), queues=[Queue("heavy", concurrency=1)])
    running, most = 0, 0

    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    one, two = (limited.task(name=name, queue="heavy")(work) for name in ("one", "two"))
    with limited:
        for _ in range(4):
            one.enqueue()
            two.enqueue()
        run_all(limited)
    assert most == 1


def test_who_floods_a_queue_waits_behind_himself(app: Turnspit) -> None:
    order: list[int] = []

    @app.task(fair_key="tenant")
    async def work(tenant: int) -> None:
        order.append(tenant)

    app.enqueue_many(work.new(1) for _ in range(100))
    app.enqueue_many(work.new(2) for _ in range(5))
    with app.worker(until_empty=True, concurrency=2) as worker:
        worker.wait()
    assert [place for place, tenant in enumerate(order) if tenant == 2][-1] < 20


def test_a_task_that_is_told_too_many_holds_back_its_key(app: Turnspit) -> None:
    calls: list[int] = []

    @app.task(rate=Rate(100, key="customer"))
    async def call(customer: int) -> None:
        calls.append(customer)
        if calls.count(1) == 1 and customer == 1:
            raise RateLimited(3600)

    first = call.enqueue(1)
    run_all(app)
    held = call.enqueue(1)
    with app.worker():
        call.enqueue(2).get_result(timeout=DEADLINE)
    assert calls == [1, 2]
    assert (first.refresh().state, held.refresh().state) == ("scheduled", "held")


def test_listeners_hear_of_a_limited_job_that_is_tried_again_at_once(app: Turnspit, events: EventLog) -> None:
    """It is held until its limit lets it begin: whoever told them of it ended, and soon its worker claimed nothing."""

    @app.task(concurrency=Concurrency(1), retry=Retry(attempts=2, delay=0))
    async def call(job: JobContext) -> None:
        raise Snooze(0) if events.names(job.id) == ["started"] else LookupError

    job = call.enqueue()
    with app.worker():
        events.wait("dead", job.id)
    assert events.names(job.id) == ["started", "snoozed", "started", "failed", "started", "dead"]


@pytest.mark.parametrize("args", ["{{}}", '{{"of_an_older_release": 1}}'])
def test_a_job_that_came_by_sql_is_limited_too(app: Turnspit, args: str) -> None:
    running, most = 0, 0

    @app.task(concurrency=Concurrency(1), upgrade=lambda old: {})
    async def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.005)
        running -= 1

    app.enqueue_many(work.new() for _ in range(5))
    change(app, f"UPDATE {{jobs}} SET lane = NULL, state = 'ready', args = '{args}'")
    run_all(app)
    assert most == 1


@pytest.mark.parametrize("error", [LookupError, SystemExit])
@pytest.mark.parametrize("what", ["limit", "unique", "validator"])
def test_a_job_whose_key_cannot_be_made_by_its_worker_fails_alone(
    app: Turnspit, what: str, error: type[BaseException]
) -> None:
    """Of a job that came by SQL, or that takes a result, only the worker knows all arguments."""
    has_come: list[bool] = []

    def check(number: int, culprit: str) -> int:
        if has_come and number == 1 and culprit == what:
            raise error("no such region")
        return number

    @app.task(
        retry=Retry(attempts=1),
        concurrency=Concurrency(1, key=lambda number: check(number, "limit")),
        unique=Unique(key=lambda number: check(number, "unique")),
    )
    async def work(number: Annotated[int, BeforeValidator(lambda number: check(number, "validator"))]) -> int:
        return number

    jobs = [work.enqueue(number) for number in (1, 2)]
    change(app, "UPDATE {jobs} SET lane = NULL, unique_key = '', state = 'ready'")
    has_come.append(True)
    with app.worker():
        assert jobs[1].get_result(DEADLINE) == 2
        with pytest.raises(JobDead, match=f"{error.__name__}: no such region"):
            jobs[0].get_result(DEADLINE)
    assert (jobs[0].attempt, jobs[1].attempt) == (1, 1)


def test_code_outside_jobs_waits_for_a_named_limit(app: Turnspit) -> None:
    with Turnspit(url_of(app), limits={"partner": Rate(2, per=0.2)}) as limited:
        began = time.monotonic()
        for _ in range(3):
            limited.limits.acquire("partner")
        assert time.monotonic() - began > 0.2 - ALLOWANCE
        limited.limits.set("partner", Rate(1, per=3600))
        with pytest.raises(LimitTimeout, match="partner"):
            asyncio.run(limited.limits.aacquire("partner", timeout=0.01))
        [info] = limited.limits.list()
        assert (info.name, info.kind, info.allowed, info.per, info.declared) == ("partner", "rate", 1, 3600, 2)
        assert info.is_changed
        assert asyncio.run(limited.limits.areset("partner"))
        assert not asyncio.run(limited.limits.alist())[0].is_changed
        with pytest.raises(ConfigurationError, match="no limit is named 'other'"):
            limited.limits.acquire("other")
        with pytest.raises(ConfigurationError, match="declares no concurrency of 'partner'"):
            asyncio.run(limited.limits.aset("partner", Concurrency(1)))
        assert not limited.limits.reset("partner")


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda: Rate(0), "at least 1"),
        (lambda: Rate(5, per=0), "more than 0"),
        (lambda: Rate(5, burst=6), "from 1 to 5"),
        (lambda: Rate(5, key=7), "key is an argument's name"),  # type: ignore[arg-type]
        (lambda: Concurrency(True), "at least 1"),
        (lambda: Concurrency(2, ordered=True), "one at a time"),
        (lambda: Queue("heavy", rate=Rate(1, key="a")), "without a key"),
        (lambda: Turnspit(queues=[Queue("a"), Queue("a")]), "declared twice"),
        (lambda: Turnspit(queues=["heavy"]), "list of Queue"),  # type: ignore[list-item]
        (lambda: Turnspit(limits={"a": 5}), "without a key"),  # type: ignore[dict-item]
    ],
)
def test_what_cannot_be_a_limit_is_refused(declare: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        declare()


def test_a_key_names_arguments_that_the_task_takes(app: Turnspit) -> None:
    for options in ({"rate": Rate(1, key="b")}, {"concurrency": Concurrency(1, key=["b"])}, {"fair_key": "b"}):
        with pytest.raises(ConfigurationError, match="names b, which it does not take"):
            app.task(**options)(of_one_argument)  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match=r"rate takes Rate\(...\)"):
        app.task(rate=Concurrency(1))(of_one_argument)  # type: ignore[call-overload]


def of_one_argument(a: int) -> None:
    """A function with one argument."""


def test_the_test_kit_waits_for_no_limit(t: TestStore) -> None:
    @t.app.task(rate=Rate(1, per=3600), concurrency=Concurrency(1))
    async def call() -> None: ...

    jobs = [call.enqueue() for _ in range(3)]
    assert t.run_one(jobs[2]).state == "completed"
    assert [job.id for job in t.drain()] == [jobs[0].id, jobs[1].id]


def test_an_app_without_limits_asks_nothing_about_them(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    looks, told = [], threading.Event()
    claim, tell = app.engine.claim_limited_jobs, Lanes.told
    monkeypatch.setattr(app.engine, "claim_limited_jobs", lambda request: (looks.append(1), claim(request))[1])
    monkeypatch.setattr(Lanes, "told", lambda self, **what: (tell(self, **what), told.set())[0])

    @app.task
    async def task() -> None: ...

    with app.worker():
        assert told.wait(DEADLINE)
        for _ in range(2):  # what was due when the worker began comes after the end of the first is stored
            task.enqueue().get_result(timeout=DEADLINE)
        before = len(looks)
        for _ in range(5):
            task.enqueue().get_result(timeout=DEADLINE)
        assert len(looks) == before


def test_an_app_without_limits_runs_the_limited_jobs_of_another_release(app: Turnspit) -> None:
    with Turnspit(url_of(app)) as newer:

        @newer.task(name="task", concurrency=Concurrency(1))
        async def limited() -> str:
            return "done"

        @app.task
        async def task() -> str:
            return "done"

        with app.worker():
            assert task.enqueue().get_result(timeout=DEADLINE) == "done"
            assert limited.enqueue().get_result(timeout=DEADLINE) == "done"
