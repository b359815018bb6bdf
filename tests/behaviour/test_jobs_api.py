"""``app.jobs``: what a person sees and changes."""

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import ConfigurationError, Job, JobNotFound, Retry, Turnspit
from turnspit.errors import InvalidPayload, MoveNotAllowed
from turnspit.records import NewJob
from turnspit.testing import TestStore


@pytest.fixture
def ship(t: TestStore) -> Any:
    @t.app.task(queue="ship", retry=Retry(attempts=1))
    async def ship(order_id: int, error: str = "") -> int:
        if error:
            raise {"value": ValueError, "key": KeyError}[error](f"order {order_id}")
        return order_id

    return ship


def ids(jobs: list[Job[Any]]) -> list[int]:
    return [job.id for job in jobs]


def test_a_job_is_found_by_its_id(t: TestStore, ship: Any) -> None:
    job = ship.enqueue(7)
    assert t.app.jobs.get(job.id).args == {"order_id": 7}
    for missing in (0, -1, 99, 2**70):
        with pytest.raises(JobNotFound) as raised:
            t.app.jobs.get(missing)
        assert str(raised.value) == str(JobNotFound.of(missing))


def test_jobs_are_listed_newest_first_a_page_at_a_time(t: TestStore, ship: Any) -> None:
    t.app.enqueue_many(ship.new(number) for number in range(7))
    t.run_one(3)
    pages, after = [], None
    while True:
        page = t.app.jobs.list(limit=3, after=after)
        pages.append(ids(page))
        after = page.next
        if after is None:
            break
    assert pages == [[7, 6, 5], [4, 3, 2], [1]]
    assert ids(asyncio.run(t.app.jobs.alist(limit=2, after="4"))) == [3, 2]


def test_every_filter_counts_and_lists_the_same(t: TestStore, ship: Any) -> None:
    @t.app.task
    def other(x: list[int], flag: bool, name: str | None) -> None: ...

    start = t.now
    ship.enqueue(1)
    ship.using(tags=["vip", "eu"]).enqueue(2)
    ship.enqueue(3, error="value")
    ship.enqueue(4, error="key")
    t.drain()
    t.advance(60)
    other.enqueue(x=[1, 2], flag=True, name=None)
    ship.using(queue="express", delay=5, idempotency_key="order 6").enqueue(6)

    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({}, [6, 5, 4, 3, 2, 1]),
        ({"state": "completed"}, [2, 1]),
        ({"state": "dead"}, [4, 3]),
        ({"state": "scheduled"}, [6]),
        ({"queue": "ship"}, [4, 3, 2, 1]),
        ({"task": "other"}, [5]),
        ({"tag": "vip"}, [2]),
        ({"tag": "vi"}, []),
        ({"args": {"order_id": 3}}, [3]),
        ({"args": {"order_id": 3, "error": "value"}}, [3]),
        ({"args": {"order_id": "3"}}, []),
        ({"args": {"x": [1, 2], "flag": True}}, [5]),
        ({"args": {"name": None}}, [5]),
        ({"error": "KeyError"}, [4]),
        ({"fingerprint": t.app.jobs.get(3).fingerprint}, [3]),
        ({"task": "ship", "idempotency_key": "order 6"}, [6]),
        ({"task": "ship", "idempotency_key": "order 6", "state": "ready"}, []),
        ({"task": "other", "idempotency_key": "order 6"}, []),
        ({"created_after": start + timedelta(seconds=30)}, [6, 5]),
        ({"created_before": start + timedelta(seconds=30)}, [4, 3, 2, 1]),
        ({"state": "dead", "error": "ValueError", "queue": "ship"}, [3]),
    ]
    for fields, expected in cases:
        assert ids(t.app.jobs.list(**fields)) == expected, fields
        assert t.app.jobs.count(**fields) == len(expected), fields
    assert asyncio.run(t.app.jobs.acount(state="dead")) == 2


def test_a_job_is_cancelled_by_the_key_that_its_caller_knows(t: TestStore, ship: Any) -> None:
    reminder = ship.using(delay=3600, idempotency_key="order 7")
    first = reminder.enqueue(7)
    ship.using(idempotency_key="order 8").enqueue(8)
    assert t.app.jobs.cancel(task="ship", idempotency_key="order 7", reason="paid") == 1
    assert t.app.jobs.cancel(task="ship", idempotency_key="order 7") == 0
    assert (first.refresh().state, first.reason) == ("cancelled", "paid")
    assert reminder.enqueue(7).id == first.id  # it holds its key for a day
    assert t.app.jobs.delete(task="ship", idempotency_key="order 7") == 1
    assert reminder.enqueue(7).created
    with pytest.raises(ConfigurationError, match=r"idempotency_key='order 7' .* name the task too, with task="):
        t.app.jobs.cancel(idempotency_key="order 7")
    with pytest.raises(InvalidPayload, match="an idempotency key must be text"):
        t.app.jobs.list(task="ship", idempotency_key="")
    with pytest.raises(ConfigurationError, match="idempotency_key= takes a text, not 7"):
        t.app.jobs.list(task="ship", idempotency_key=7)  # type: ignore[arg-type]


def test_a_dead_job_is_replayed_with_its_history(t: TestStore) -> None:
    works = False

    @t.app.task(retry=Retry(attempts=2, delay=0))
    def charge() -> str:
        if not works:
            raise ValueError("card declined")
        return "paid"

    job = charge.enqueue()
    t.drain(recursive=True)
    assert job.refresh().state == "dead"
    works = True
    assert t.app.jobs.replay(job.id) == 1
    job.refresh()
    assert (job.state, job.attempt, job.reason, job.error_type, job.finished_at) == ("ready", 0, None, None, None)
    t.drain()
    assert job.get_result() == "paid"
    kept = [(each.number, each.outcome) for each in job.attempts]
    assert kept == [(1, "failed"), (2, "dead"), (1, "completed")]
    assert [each.error_message for each in job.attempts] == ["card declined", "card declined", None]


def test_completed_and_cancelled_jobs_are_replayed_when_they_are_named(t: TestStore, ship: Any) -> None:
    done, cancelled = ship.enqueue(1), ship.enqueue(2)
    t.run_one(done)
    t.app.jobs.cancel(cancelled.id)
    t.app.jobs.replay(done.id)
    t.app.jobs.replay(state="cancelled")
    assert [job.refresh().state for job in (done, cancelled)] == ["ready", "ready"]
    t.drain()
    assert [each.outcome for each in done.refresh().attempts] == ["completed", "completed"]
    waiting = ship.enqueue(3)
    with pytest.raises(MoveNotAllowed) as raised:
        t.app.jobs.replay(waiting.id)
    assert str(raised.value) == (
        "job 3 (ship) is ready and cannot be replayed: only a completed, cancelled or dead job can be"
    )


def test_dead_letters_are_grouped_and_replayed_by_group(t: TestStore, ship: Any) -> None:
    for number in (1, 2, 3):
        ship.enqueue(number, error="value")
    ship.enqueue(4, error="key")
    t.drain()
    groups = t.app.jobs.dead_groups()
    assert [(group.task, group.error_type, group.count, group.newest_id) for group in groups] == [
        ("ship", "ValueError", 3, 3),
        ("ship", "KeyError", 1, 4),
    ]
    assert groups[0].message.startswith("order ")
    ended = [t.app.jobs.get(number).finished_at for number in (1, 3)]
    assert [groups[0].first_at, groups[0].last_at] == ended
    assert t.app.jobs.dead_groups(task="other") == []
    assert t.app.jobs.replay(fingerprint=groups[0].fingerprint) == 3
    assert ids(t.app.jobs.list(state="dead")) == [4]
    assert asyncio.run(t.app.jobs.areplay(error="KeyError")) == 1
    assert asyncio.run(t.app.jobs.adead_groups()) == []


def test_replaying_without_a_state_means_dead_letters(t: TestStore, ship: Any) -> None:
    done, dead = ship.enqueue(1), ship.enqueue(2, error="value")
    t.drain()
    assert t.app.jobs.replay(all=True) == 1
    assert (done.refresh().state, dead.refresh().state) == ("completed", "ready")


def test_a_bulk_verb_without_a_filter_is_refused(t: TestStore, ship: Any) -> None:
    ship.enqueue(1)
    for verb in ("cancel", "replay", "delete"):
        message = rf"^app.jobs.{verb}\(\) without a job or a filter means every job: say all=True if it does$"
        with pytest.raises(ConfigurationError, match=message):
            getattr(t.app.jobs, verb)()
        with pytest.raises(ConfigurationError, match=message):
            getattr(t.app.jobs, verb)(args={})
        with pytest.raises(ConfigurationError, match=message):
            asyncio.run(getattr(t.app.jobs, f"a{verb}")())
    assert t.app.jobs.cancel(all=True) == 1


def test_bulk_verbs_work_through_more_than_one_portion(t: TestStore, ship: Any) -> None:
    t.app.enqueue_many(ship.new(number) for number in range(2500))
    assert t.app.jobs.cancel(queue="ship", reason="sold out") == 2500
    assert t.app.jobs.replay(state="cancelled") == 2500
    assert asyncio.run(t.app.jobs.acancel(queue="ship")) == 2500
    assert t.app.jobs.delete(state="cancelled") == 2500
    assert t.app.jobs.count() == 0


def test_a_waiting_job_is_updated(t: TestStore, ship: Any) -> None:
    job = ship.enqueue(1)
    updated = t.app.jobs.update(job.id, priority=7, queue="express", delay=60)
    assert (updated.priority, updated.queue, updated.state) == (7, "express", "scheduled")
    assert updated.run_at == t.now + timedelta(seconds=60)
    assert asyncio.run(t.app.jobs.aupdate(job.id, at=datetime(2020, 1, 1, tzinfo=UTC))).state == "ready"
    t.run_one(job)
    with pytest.raises(MoveNotAllowed, match=r"^job 1 \(ship\) is completed and cannot be updated: only a waiting job"):
        t.app.jobs.update(job.id, priority=1)


@pytest.mark.parametrize("verb", ["update", "run_now", "cancel", "replay", "delete"])
@pytest.mark.parametrize("is_async", [False, True])
def test_a_change_of_one_job_is_told_by_its_own_transaction(
    t: TestStore, ship: Any, monkeypatch: pytest.MonkeyPatch, verb: str, is_async: bool
) -> None:
    """A further question to a store that is away by then would tell that nothing was carried out."""
    job = ship.using(delay=3600).enqueue(1)
    if verb == "replay":
        t.app.jobs.cancel(job.id)
    engine, calls = t.app.engine, 0
    names = ("awrite", "aread") if is_async else ("write", "read")
    for name, original in [(name, getattr(engine, name)) for name in names]:

        def only_once(*args: Any, original: Any = original, **kwargs: Any) -> Any:
            nonlocal calls
            calls += 1
            assert calls == 1
            return original(*args, **kwargs)

        monkeypatch.setattr(engine, name, only_once)
    change = getattr(t.app.jobs, f"a{verb}" if is_async else verb)
    options = {"priority": 7} if verb == "update" else {}
    done = asyncio.run(change(job.id, **options)) if is_async else change(job.id, **options)
    assert done.priority == 7 if verb == "update" else done == 1


def test_a_scheduled_job_runs_now_on_request(t: TestStore, ship: Any) -> None:
    job = ship.using(delay=3600).enqueue(1)
    assert t.app.jobs.run_now(job.id) == 1
    assert (job.refresh().state, job.run_at) == ("ready", t.now)
    assert asyncio.run(t.app.jobs.arun_now(job.id)) == 1
    t.drain()
    assert job.refresh().state == "completed"
    with pytest.raises(MoveNotAllowed, match="is completed and cannot be run now: only a waiting job can be"):
        t.app.jobs.run_now(job.id)


def test_all_that_wait_for_their_next_attempt_run_now(t: TestStore) -> None:
    @t.app.task(retry=Retry(attempts=3, base=60))
    async def call_partner(is_down: bool) -> None:
        if is_down:
            raise ConnectionError

    failed, ready = call_partner.enqueue(is_down=True), call_partner.using(queue="other").enqueue(is_down=False)
    t.run_one(failed)
    assert failed.refresh().is_retrying
    assert t.app.jobs.run_now(task="call_partner") == 1
    assert asyncio.run(t.app.jobs.arun_now(task="call_partner")) == 0
    assert (failed.refresh().state, failed.attempt, ready.refresh().state) == ("ready", 1, "ready")
    with pytest.raises(ConfigurationError, match=r"app.jobs.run_now\(\) without a job or a filter means every job"):
        t.app.jobs.run_now()


def test_retrying_jobs_are_found_among_the_scheduled(t: TestStore, ship: Any) -> None:
    @t.app.task(retry=Retry(attempts=3, base=60))
    async def call_partner() -> None:
        raise ConnectionError

    ship.using(delay=60).enqueue(1)
    failed = call_partner.enqueue()
    t.run_one(failed)
    assert (t.app.jobs.count(state="scheduled"), t.app.jobs.count(state="retrying")) == (2, 1)
    assert [job.id for job in t.app.jobs.list(state="retrying")] == [failed.id]
    assert t.app.jobs.run_now(state="retrying") == 1
    assert failed.refresh().state == "ready"


def test_a_job_is_deleted_with_what_it_left(t: TestStore, ship: Any) -> None:
    jobs = [ship.enqueue(1), ship.enqueue(2, error="value"), ship.enqueue(3)]
    t.run_one(jobs[0])
    t.run_one(jobs[1])
    assert [t.app.jobs.delete(job.id) for job in jobs[:2]] == [1, 1]
    assert asyncio.run(t.app.jobs.adelete(jobs[2].id)) == 1
    assert t.app.jobs.count() == 0
    for verb in (t.app.jobs.delete, t.app.jobs.cancel, t.app.jobs.replay, t.app.jobs.run_now):
        with pytest.raises(JobNotFound, match="there is no job 1"):
            verb(1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"state": "finished"}, "no state is named 'finished'; there are blocked, scheduled, retrying, held, ready, "),
        ({"colour": "red"}, "jobs cannot be filtered by colour; there are args, created_after, created_before, error,"),
        ({"args": [1]}, "args= takes a dict of arguments, not [1]"),
        ({"created_after": datetime(2026, 1, 1)}, "created_after must be a datetime with a time zone, not "),  # noqa: DTZ001
        ({"args": {"x": object()}}, "args= takes JSON values, not {'x': <object object at "),
        ({"task": print}, "task= takes a text, not <built-in function print>"),
        ({"queue": 5}, "queue= takes a text, not 5"),
        ({"limit": "all"}, "limit is from 1 to 1000, not 'all'"),
        ({"limit": 0}, "limit is from 1 to 1000, not 0"),
        ({"limit": 1001}, "limit is from 1 to 1000, not 1001"),
        ({"after": "x"}, "after= takes the next of a page, not 'x'"),
        ({"after": 5}, "after= takes the next of a page, not 5"),
        ({"after": "9" * 19}, "after= takes the next of a page, not '9999999999999999999'"),
    ],
)
def test_a_wrong_filter_is_refused(t: TestStore, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        t.app.jobs.list(**fields)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "update() needs something to change: priority=, queue=, at= or delay="),
        ({"at": datetime(2100, 1, 1, tzinfo=UTC), "delay": 5}, "update() takes delay= or at=, not both"),
        ({"priority": 10**6}, "priority is a whole number from -32768 to 32767, not 1000000"),
        ({"delay": -5}, "delay must be between 0 seconds and 100 years, not -5"),
    ],
)
def test_a_wrong_update_is_refused(t: TestStore, ship: Any, changes: dict[str, Any], message: str) -> None:
    job = ship.enqueue(1)
    with pytest.raises(ConfigurationError) as raised:
        t.app.jobs.update(job.id, **changes)
    assert str(raised.value) == message


@pytest.mark.parametrize("verb", ["get", "cancel", "replay", "delete", "run_now", "update"])
def test_a_job_is_named_by_its_id(t: TestStore, ship: Any, verb: str) -> None:
    job = ship.enqueue(1)
    changes = {"priority": 5} if verb == "update" else {}
    with pytest.raises(ConfigurationError) as raised:
        getattr(t.app.jobs, verb)(job, **changes)
    assert str(raised.value) == "a job is named by its id, a whole number (job.id), not <Job 1 ship ready>"


def test_queues_say_what_waits(t: TestStore, ship: Any) -> None:
    ship.enqueue(1)
    ship.enqueue(2)
    ship.enqueue(3, error="value")
    ship.using(delay=60, queue="express").enqueue(4)
    t.run_one(1)
    t.run_one(3)
    [waits] = t.app.jobs.list(state="ready")
    express, shipping = t.app.queues.stats()
    assert (express.queue, express.ready, express.scheduled, express.oldest_ready_at) == ("express", 0, 1, None)
    assert (shipping.queue, shipping.ready, shipping.dead, shipping.completed_last_hour) == ("ship", 1, 1, 1)
    assert (shipping.failed_last_hour, shipping.running) == (1, 0)
    assert shipping.oldest_ready_at == waits.run_at
    assert asyncio.run(t.app.queues.astats()) == [express, shipping]


def test_arguments_with_a_nul_keep_no_other_job_from_being_found(app: Turnspit) -> None:
    """PostgreSQL refuses them at enqueue, but a result may become such an argument."""

    @app.task
    async def first() -> str:
        return "a\0b"

    @app.task
    async def second(text: str) -> str:
        return text

    with app.workflow("nul") as flow:
        flow.add(second.new(text=flow.add(first.new()).result))
    with app.worker():
        assert app.jobs.list(task="second")[0].get_result(DEADLINE) == "a\0b"
        found = second.enqueue("\\u0000")
    assert [job.id for job in app.jobs.list(args={"text": "\\u0000"})] == [found.id]


def test_a_job_at_the_end_of_time_keeps_no_other_one_from_being_seen(app: Turnspit) -> None:
    """The year 9999 ends later in New York than in Greenwich, and another program may store any number."""

    @app.task
    def greet(name: str) -> None: ...

    late = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-5)))
    job = greet.using(at=late).enqueue("Ada")
    assert (job.state, job.run_at) == ("scheduled", datetime.max.replace(tzinfo=UTC))
    early = app.engine.write(app.engine.insert_job, NewJob("greet", "default", '{"name": "Bob"}', at=-(10**17)))
    assert [each.id for each in app.jobs.list()] == [early.id, job.id]


def test_a_number_that_no_float_holds_is_found(app: Turnspit) -> None:
    @app.task
    def count(number: int) -> None: ...

    for number in (10**400, -(10**400), 7):
        job = count.enqueue(number)
        assert [each.id for each in app.jobs.list(args={"number": number})] == [job.id]
