"""``app.workflow(..., idempotency_key=)``: a request that is repeated stores its workflow once."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tests.behaviour.support import DEADLINE
from turnspit import ConfigurationError, Queue, QueueFull, Turnspit, WorkflowBuilder
from turnspit.errors import InvalidPayload
from turnspit.workflow_steps import StoredStep, WorkflowStep
from turnspit.workflow_store import WorkflowWriter


@pytest.fixture
def app(app: Turnspit) -> Turnspit:
    @app.task
    async def charge(order_id: int) -> str:
        return f"receipt {order_id}"

    @app.task
    async def ship(order_id: int, receipt: str) -> str:
        return f"{order_id}, {receipt}"

    return app


def fill(app: Turnspit, flow: WorkflowBuilder, order_id: int = 7) -> None:
    charge = flow.add(app.tasks["charge"].new(order_id), name="charge")
    flow.add(app.tasks["ship"].new(order_id, charge.result), name="ship")


def store(app: Turnspit, key: str = "order 7", name: str = "fulfil") -> WorkflowBuilder:
    with app.workflow(name, idempotency_key=key) as flow:
        fill(app, flow)
    return flow


def test_the_second_one_is_the_first(app: Turnspit) -> None:
    first, second = store(app), store(app)
    assert (first.created, second.created) == (True, False)
    assert (second.id, second.job_ids) == (first.id, first.job_ids)
    assert app.jobs.count() == 2
    assert app.workflows.get(first.id).idempotency_key == "order 7"
    with app.worker():
        assert app.workflows.wait_ended(second.id, DEADLINE).state == "completed"
    assert not store(app).created, "the key is held for a day"
    assert app.workflows.get_results(first.id)["ship"] == "7, receipt 7"


def test_other_keys_and_names_are_others(app: Turnspit) -> None:
    ids = {store(app).id, store(app, "order 8").id, store(app, name="return").id}
    assert len(ids) == 3
    with app.workflow("fulfil") as flow:
        fill(app, flow)
    assert flow.created
    assert flow.id not in ids


def test_in_async_code(app: Turnspit) -> None:
    async def go() -> tuple[bool, bool, bool]:
        async def one() -> WorkflowBuilder:
            async with app.workflow("fulfil", idempotency_key="order 7") as flow:
                fill(app, flow)
            return flow

        flows = await asyncio.gather(*(one() for _ in range(8)))
        first = await app.achain(app.tasks["charge"].new(7), idempotency_key="order 7")
        again = await app.achain(app.tasks["charge"].new(7), idempotency_key="order 7")
        return sum(flow.created for flow in flows) == 1, len({flow.id for flow in flows}) == 1, first == again

    assert asyncio.run(go()) == (True, True, True)
    assert app.jobs.count() == 3


def test_many_apps_at_once_store_it_once(app: Turnspit, store_url: str) -> None:
    flows: list[WorkflowBuilder] = []
    begin = threading.Barrier(6)

    def run() -> None:
        with Turnspit(store_url) as own:
            begin.wait()
            with own.workflow("fulfil", idempotency_key="order 7") as flow:
                flow.add(app.tasks["charge"].new(7), name="charge")
            flows.append(flow)

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [flow.created for flow in flows].count(True) == 1
    assert len({(flow.id, *flow.job_ids) for flow in flows}) == 1


def test_a_chain(app: Turnspit) -> None:
    charge = app.tasks["charge"]
    first = app.chain(charge.new(7), charge.new(8), idempotency_key="order 7")
    assert app.chain(charge.new(7), charge.new(8), idempotency_key="order 7") == first
    assert app.chain(charge.new(7), charge.new(8)) != first


def test_a_job_without_a_name_is_not_found_again(app: Turnspit) -> None:
    charge = app.tasks["charge"]
    for is_first in (True, False):
        with app.workflow("fulfil", idempotency_key="order 7") as flow:
            added = flow.add(charge.new(7))
        assert flow.created is is_first
    with pytest.raises(ConfigurationError, match="the job of charge was not stored, since an earlier workflow"):
        _ = added.id


def test_one_transaction_must_hold_it(app: Turnspit) -> None:
    charge = app.tasks["charge"]
    with (
        pytest.raises(ConfigurationError, match="workflow month has an idempotency_key, and more jobs or edges than"),
        app.workflow("month", idempotency_key="2026-11") as flow,
    ):
        flow.add_many(charge.new(number) for number in range(5001))
    assert app.jobs.count() == 0
    with app.workflow("month", idempotency_key="2026-11") as flow:
        flow.add_many(charge.new(number) for number in range(5000))
    assert (flow.created, app.jobs.count()) == (True, 5000)


@pytest.mark.parametrize("key", ["", "k" * 256, 7])
def test_what_no_key_can_be(app: Turnspit, key: str) -> None:
    with pytest.raises(InvalidPayload, match="an idempotency key must be text of 1 to 255 characters"):
        app.workflow("fulfil", idempotency_key=key)


@pytest.mark.parametrize("when_full", ["raise", "wait"])
def test_a_full_queue_turns_nobody_away_who_finds_one(store_url: str, when_full: Any) -> None:
    with Turnspit(store_url, queues=[Queue("default", max_waiting=1, when_full=when_full)], deadline=60) as app:

        @app.task
        def charge(order_id: int) -> None: ...

        def jobs(key: str) -> Any:
            flow = app.workflow("fulfil", idempotency_key=key)
            return flow, charge.new(7)

        def one(key: str = "order 7") -> WorkflowBuilder:
            flow, job = jobs(key)
            with flow:
                flow.add(job, name="charge")
            return flow

        async def aone() -> WorkflowBuilder:
            flow, job = jobs("order 7")
            async with flow:
                flow.add(job, name="charge")
            return flow

        first = one()
        for again in (one(), asyncio.run(aone())):
            assert (again.created, again.id, again.job_ids) == (False, first.id, first.job_ids)
        if when_full == "raise":
            with pytest.raises(QueueFull):
                one("order 8")


def test_in_your_transaction_the_key_is_taken_if_it_commits(app: Turnspit, store_url: str) -> None:
    def in_transaction(end: str) -> WorkflowBuilder:
        with closing(open_transaction(store_url)) as tx:
            with app.workflow("fulfil", idempotency_key="order 7", tx=tx) as flow:
                fill(app, flow)
            tx.execute(end)
            return flow

    assert in_transaction("ROLLBACK").created
    assert app.jobs.count() == 0
    first = in_transaction("COMMIT")
    again = in_transaction("COMMIT")
    assert (first.created, again.created, again.id, store(app).id) == (True, False, first.id, first.id)


def open_transaction(store_url: str) -> Any:
    kind, _, place = store_url.partition("://")
    if kind == "sqlite":
        connection: Any = sqlite3.connect(place.removeprefix("/"), isolation_level=None)
    else:
        connection = psycopg.connect(store_url.partition("?")[0], autocommit=True)
    connection.execute("BEGIN")
    return connection


def test_an_interrupt_as_it_is_found_does_not_cancel_the_earlier_one(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(list[int]):
        def __iter__(self) -> Iterator[int]:
            raise KeyboardInterrupt

    first = store(app)
    store_step = WorkflowWriter.store_step

    def interrupted(self: WorkflowWriter, step: WorkflowStep) -> StoredStep:
        return store_step(self, step)._replace(jobs=Interrupted())

    monkeypatch.setattr(WorkflowWriter, "store_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store(app)
    assert [job.state for job in app.workflows.get(first.id).jobs] == ["ready", "blocked"]
