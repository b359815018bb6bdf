"""Two releases at once: payloads and names that one of them does not know."""

import threading
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, EventLog, url_of, wait_until
from turnspit import JobDead, Turnspit
from turnspit.records import NewJob
from turnspit.stores import Replacement
from turnspit.testing import TestStore, override


def store_payload(app: Turnspit, task: str, args: str) -> int:
    """A job as an old release or another language left it."""
    return app.engine.write(app.engine.insert_job, NewJob(task, "default", args)).id


def test_a_payload_that_does_not_validate_is_tried_for_ten_minutes_and_then_dead(t: TestStore) -> None:
    told: list[Any] = []

    @t.app.task(on_dead=lambda job, error: told.append(repr(error)))
    async def ship(order_id: int) -> None: ...

    good = ship.enqueue(1)
    job = t.app.jobs.get(store_payload(t.app, "ship", '{"order": 7}'))
    t.drain()
    assert good.refresh().state == "completed"
    reason = "order_id: Field required; order: Extra inputs are not permitted (got 7)"
    tries = 1
    while job.refresh().state == "scheduled":
        assert (job.attempt, job.error_type, job.reason) == (0, "InvalidPayload", reason)
        t.advance(15)
        t.run_one(job)
        tries += 1
    assert (job.state, job.reason, job.args) == ("dead", reason, {"order": 7})
    assert tries == 41
    assert (t.now - job.created_at).total_seconds() == 600
    assert told == [f"InvalidPayload({reason!r})"]
    with pytest.raises(JobDead, match=rf"^job {job.id} \(ship\) is dead: InvalidPayload: order_id: Field required; "):
        job.get_result()


@pytest.mark.parametrize("text", ["[]", "{", '"x"', '{"order_id": 1e999}', ""])
def test_a_payload_of_a_foreign_writer_harms_only_its_own_job(t: TestStore, text: str) -> None:
    @t.app.task
    async def ship(order_id: int) -> int:
        return order_id

    bad = store_payload(t.app, "ship", text)
    good = ship.enqueue(7)
    t.drain()
    assert good.get_result() == 7
    record = t.app.jobs.get(bad)
    assert (record.state, record.error_type) == ("scheduled", "InvalidPayload")


def test_a_newer_release_can_still_run_what_the_older_one_could_not(t: TestStore) -> None:
    @t.app.task(name="ship")
    async def older(order_id: int) -> None: ...

    job = store_payload(t.app, "ship", '{"order_id": 7, "express": true}')
    t.drain()
    t.advance(300)
    newer = Turnspit("sqlite:////nonexistent/turnspit.db")

    @newer.task
    async def ship(order_id: int, express: bool = False) -> list[Any]:
        return [order_id, express]

    newer.store.replace(Replacement(t.app.engine, is_joined=False))
    with newer.worker():
        assert newer.jobs.get(job).get_result(DEADLINE) == [7, True]


def test_an_old_payload_is_upgraded(t: TestStore) -> None:
    def upgrade(old: dict[str, Any]) -> dict[str, Any]:
        return {"order_id": old["order"], "express": False}

    @t.app.task(upgrade=upgrade)
    async def ship(order_id: int, express: bool) -> list[Any]:
        return [order_id, express]

    old = store_payload(t.app, "ship", '{"order": 7}')
    new = ship.enqueue(8, express=True)
    t.drain()
    assert [t.app.jobs.get(old).get_result(), new.get_result()] == [[7, False], [8, True]]
    assert t.app.jobs.get(old).args == {"order": 7}


@pytest.mark.parametrize(
    ("result", "reason"),
    [
        (KeyError("order"), "order_id: Field required; upgrade: KeyError: 'order'"),
        ({"order_id": "x"}, "order_id: Field required; upgrade: order_id: Input should be a valid integer"),
    ],
)
def test_an_upgrade_that_does_not_help_says_so(t: TestStore, result: Any, reason: str) -> None:
    def upgrade(old: dict[str, Any]) -> dict[str, Any]:
        if isinstance(result, Exception):
            raise result
        return dict(result)

    @t.app.task(upgrade=upgrade)
    async def ship(order_id: int) -> None: ...

    job = store_payload(t.app, "ship", "{}")
    t.drain()
    assert (t.app.jobs.get(job).reason or "").startswith(reason)


def test_a_renamed_task_runs_jobs_stored_under_its_old_names(t: TestStore) -> None:
    @t.app.task(name="mail.confirm", aliases=["send_confirmation", "send"])
    async def confirm(to: str) -> str:
        return to

    old = store_payload(t.app, "send_confirmation", '{"to": "ada"}')
    job = confirm.enqueue("bob")
    assert job.task == "mail.confirm"
    t.drain()
    assert (t.app.jobs.get(old).get_result(), job.get_result()) == ("ada", "bob")


def test_a_task_unknown_to_every_worker_is_held_and_run_when_one_comes_that_knows_it(app: Turnspit) -> None:
    @app.task
    async def known() -> int:
        return 1

    unknown = app.jobs.get(store_payload(app, "newcomer", "{}"))
    with app.worker():
        assert known.enqueue().get_result(DEADLINE) == 1
        wait_until(lambda: unknown.refresh().state == "held", "the hold")
        assert unknown.reason == "no live worker knows task newcomer"
        assert unknown.attempt == 0
        newer = Turnspit(url_of(app))

        @newer.task
        async def newcomer() -> str:
            return "here I am"

        with newer, newer.worker():
            assert newer.jobs.get(unknown.id).get_result(DEADLINE) == "here I am"


def test_a_task_that_only_another_live_worker_knows_is_left_for_it(app: Turnspit, events: EventLog) -> None:
    newer = Turnspit(url_of(app))
    heard = EventLog(newer)
    may_end = threading.Event()

    @newer.task
    def newcomer() -> None:
        may_end.wait(DEADLINE)

    @app.task
    async def known() -> int:
        return 1

    with newer, newer.worker(concurrency=1), app.worker():
        first, second = newcomer.enqueue(), newcomer.enqueue()
        heard.wait("started", first.id)
        for _ in range(20):
            assert known.enqueue().get_result(DEADLINE) == 1
        assert (second.refresh().state, second.attempt) in (("ready", 0), ("running", 1))
        may_end.set()
        for job in (first, second):
            job.get_result(DEADLINE)
    assert events.names(second.id) == []


def test_override_gives_every_test_its_own_jobs(app: Turnspit) -> None:
    @app.task
    async def task() -> None: ...

    outside = task.enqueue()
    with override(app) as t:
        task.enqueue()
        assert t.app.jobs.count() == 1
    assert [job.id for job in app.jobs.list()] == [outside.id]
