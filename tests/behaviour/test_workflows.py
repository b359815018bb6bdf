"""Workflows with a real worker."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, Field

from tests.behaviour.support import DEADLINE, Gate
from turnspit import Concurrency, EngineUnavailable, GiveUp, JobContext, JobState, ResultTimeout, Retry, Turnspit
from turnspit.contract.verbs import Verb
from turnspit.engines.verbs import ends
from turnspit.errors import MoveNotAllowed, WorkflowNotFound
from turnspit.operations import workflows as operations
from turnspit.records import NewJob


class Receipt(BaseModel):
    number: str
    total: float = 0.0


class Shop:
    """Tasks of an order, and what they did."""

    def __init__(self, app: Turnspit) -> None:
        self.app = app
        self.done: list[str] = []
        self.broken: set[str] = set()

        @app.task
        async def charge(order_id: int) -> Receipt:
            self.step("charge")
            return Receipt(number=f"A-{order_id}", total=9.5)

        @app.task
        def reserve(order_id: int) -> list[str]:
            self.step("reserve")
            return ["shelf 1", "shelf 2"]

        @app.task
        async def ship(order_id: int, receipt: Receipt, shelf: str) -> str:
            self.step("ship")
            return f"{order_id}: {receipt.number} from {shelf}"

        @app.task
        async def notify(job: JobContext, text: str = "") -> None:
            self.step(f"notify {job.metadata.get('hook', '')}{text}")

        self.charge, self.reserve, self.ship, self.notify = charge, reserve, ship, notify

    def step(self, name: str) -> None:
        if name in self.broken:
            raise GiveUp(f"{name} is broken")
        self.done.append(name)

    def order(self, number: int = 7) -> int:
        with self.app.workflow("fulfil", on_complete=self.notify.new(), on_failure=self.notify.new()) as flow:
            charge = flow.add(self.charge.new(number), name="charge")
            reserve = flow.add(self.reserve.new(number), name="reserve")
            flow.add(self.ship.new(number, charge.result, reserve.result[1]), name="ship")
        return flow.id


@pytest.fixture
def shop(app: Turnspit) -> Shop:
    return Shop(app)


def test_an_order_goes_through(app: Turnspit, shop: Shop) -> None:
    flow = shop.order()
    before = app.workflows.get(flow)
    assert (before.state, before.progress, before.name, before.total) == ("running", 0.0, "fulfil", 3)
    assert [(job.name, job.state, job.waits_for) for job in before.jobs] == [
        ("charge", JobState.READY, 0),
        ("reserve", JobState.READY, 0),
        ("ship", JobState.BLOCKED, 2),
    ]
    assert before.edges == ((before.jobs[0].id, before.jobs[2].id), (before.jobs[1].id, before.jobs[2].id))
    with app.worker():
        after = app.workflows.wait_ended(flow, DEADLINE)
    assert (after.state, after.progress, after.finished_at is None) == ("completed", 1.0, False)
    results = app.workflows.get_results(flow)
    assert results["charge"] == Receipt(number="A-7", total=9.5)
    assert results["ship"] == "7: A-7 from shelf 2"
    assert app.jobs.get(after.jobs[2].id).workflow == flow


def test_a_failure_cancels_what_waits_and_a_replay_goes_on(app: Turnspit, shop: Shop) -> None:
    shop.broken.add("charge")
    flow = shop.order()
    with app.worker():
        failed = app.workflows.wait_ended(flow, DEADLINE)
        assert (failed.state, failed.dead, failed.cancelled, failed.completed) == ("failed", 1, 1, 1)
        shop.broken.clear()
        assert app.jobs.replay(failed.jobs[0].id) == 1
        assert app.workflows.wait_ended(flow, DEADLINE).state == "completed"
        for job in app.jobs.list(task="notify"):
            job.get_result(DEADLINE)
    hooks = ["notify on_complete", "notify on_complete", "notify on_failure"]
    assert sorted(shop.done) == ["charge", *hooks, "reserve", "ship"]


def test_the_verbs_have_async_twins(app: Turnspit, shop: Shop) -> None:
    async def main() -> None:
        async with app.workflow("fulfil") as flow:
            charge = flow.add(shop.charge.new(7), name="charge")
            await flow.aadd_many(shop.notify.new(str(number)) for number in range(3))
            flow.add(shop.ship.new(7, charge.result, "shelf 3"), after=["charge"])
        chain = await app.achain(shop.notify.new("1"), shop.notify.new("2"))
        assert (await app.workflows.aget(chain)).edges
        async with app.worker():
            ended = await app.workflows.await_ended(flow.id, DEADLINE)
            assert (await app.workflows.await_ended(chain, DEADLINE)).state == "completed"
        assert ended.state == "completed"
        assert set(await app.workflows.aget_results(flow.id)) == {"charge"}
        assert [each.id for each in await app.workflows.alist(finished=True)] == [chain, flow.id]
        assert await app.workflows.areplay(flow.id, whole=True) == 5
        assert await app.workflows.acancel(flow.id) == 5

    asyncio.run(main())


class Bill(BaseModel, populate_by_name=True):
    number: str = Field(alias="billNumber")


def test_a_field_with_an_alias_is_used_by_its_name(app: Turnspit, shop: Shop) -> None:
    @app.task
    def bill() -> Bill:
        return Bill(number="B-7")

    with app.workflow("bill") as flow:
        flow.add(shop.notify.new(flow.add(bill.new()).result.number))
    with app.worker():
        assert app.workflows.wait_ended(flow.id, DEADLINE).state == "completed"
    assert shop.done == ["notify B-7"]


def test_a_chain_runs_in_its_order(app: Turnspit, shop: Shop) -> None:
    flow = app.chain(*[shop.notify.new(str(number)) for number in range(20)], name="countdown")
    with app.worker():
        assert app.workflows.wait_ended(flow, DEADLINE).state == "completed"
    assert shop.done == [f"notify {number}" for number in range(20)]


def test_its_jobs_are_read_page_by_page_to_the_last(app: Turnspit, shop: Shop) -> None:
    flow = app.chain(*[shop.notify.new(str(number)) for number in range(5)])
    ids, after = [], 0
    while after is not None:
        page = app.workflows.get(flow, limit=2, after=after)
        ids.append([job.id for job in page.jobs])
        after = page.next
    assert ids == [[1, 2], [3, 4], [5]]
    assert app.workflows.get(flow, limit=5).next is None


def test_names_may_be_used_before_they_are_given(app: Turnspit, shop: Shop) -> None:
    with app.workflow("reverse") as flow:
        flow.add(shop.notify.new("3"), after=["two"])
        flow.add(shop.notify.new("2"), name="two", after=["one"])
        flow.add(shop.notify.new("1"), name="one")
    with app.worker():
        app.workflows.wait_ended(flow.id, DEADLINE)
    assert shop.done == ["notify 1", "notify 2", "notify 3"]


def test_a_workflow_exists_exactly_if_its_block_ends_well(app: Turnspit, shop: Shop) -> None:
    def build() -> None:
        with app.workflow("fulfil") as flow:
            flow.add(shop.charge.new(7))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build()
    assert (app.workflows.list(), app.jobs.count()) == ([], 0)


def test_a_large_workflow_is_streamed_and_given_up_as_a_whole(app: Turnspit, shop: Shop) -> None:
    def build() -> None:
        with app.workflow("large") as flow:
            flow.add_many(shop.notify.new("x") for _ in range(6000))
            assert app.jobs.count(state="blocked") == 5000, "those are stored already"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build()
    [flow] = app.workflows.list()
    assert (flow.state, flow.reason) == ("cancelled", "the with block that built it raised")
    assert app.jobs.count(state="cancelled", workflow=flow.id) == flow.total


def test_a_running_job_adds_what_it_found(app: Turnspit) -> None:
    tried = []

    @app.task
    async def count(word: str) -> int:
        return len(word)

    @app.task(retry=Retry(attempts=2, base=0))
    def split(job: JobContext, text: str) -> None:
        with job.extend_workflow() as flow:
            parts = flow.add_many((count.new(word) for word in text.split()), before=["end"])
            flow.add(add_up.new(parts.results), name="sum", before=["end"])
        tried.append(job.workflow)
        if len(tried) == 1:
            raise ValueError("after it has added them")

    @app.task
    async def add_up(numbers: list[int]) -> int:
        return sum(numbers)

    @app.task
    async def end() -> str:
        return "end"

    with app.workflow("text") as flow:
        first = flow.add(split.new("a turnspit was a small dog"))
        flow.add(end.new(), name="end", after=[first])
    with app.worker():
        ended = app.workflows.wait_ended(flow.id, DEADLINE)
    assert (ended.state, ended.total) == ("completed", 2 + 6 + 1)
    assert tried == [flow.id, flow.id]
    assert app.workflows.get_results(flow.id)["sum"] == 21


def test_cancelling_stops_what_runs(app: Turnspit) -> None:
    gate = Gate()

    @app.task
    async def wait(job: JobContext) -> None:
        gate.came.release()
        await asyncio.sleep(DEADLINE)

    flow = app.chain(wait.new(), wait.new())
    with app.worker():
        gate.wait_for()
        assert app.workflows.cancel(flow, reason="not wanted") == 2
        ended = app.workflows.wait_ended(flow, DEADLINE)
    assert (ended.state, ended.reason, ended.cancelled) == ("cancelled", "not wanted", 2)
    with pytest.raises(MoveNotAllowed, match="has ended: it is cancelled"):
        app.workflows.cancel(flow)


def test_a_deadline_cancels_what_is_left(app: Turnspit) -> None:
    @app.task
    async def wait() -> None:
        await asyncio.sleep(DEADLINE)

    with app.workflow("late", deadline=timedelta(milliseconds=50)) as flow:
        flow.add(wait.new())
    with app.worker():
        ended = app.workflows.wait_ended(flow.id, DEADLINE)
    assert (ended.state, ended.reason) == ("cancelled", "over its deadline")


def test_a_limited_task_is_limited_in_a_workflow_too(app: Turnspit) -> None:
    @app.task
    async def number() -> int:
        return 7

    @app.task(concurrency=Concurrency(1, key="value"))
    async def limited(value: int) -> int:
        return value + 1

    with app.workflow("limited") as flow:
        first = flow.add(number.new())
        jobs = [flow.add(limited.new(first.result), name=f"limited {place}") for place in range(3)]
    with app.worker():
        assert app.workflows.wait_ended(flow.id, DEADLINE).state == "completed"
    assert [app.jobs.get(job.id).get_result(0) for job in jobs] == [8, 8, 8]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("is_lost", [True, False])
def test_a_replay_waits_for_nobody_who_was_deleted(app: Turnspit, whole: bool, is_lost: bool) -> None:
    """What had completed counts as it did, with the result that it had; else it ends as when that one was deleted."""
    broken = {"first"} if is_lost else {"second"}

    def run() -> None:
        with app.worker(until_empty=True) as worker:
            worker.wait()

    @app.task(retry=Retry(attempts=1))
    async def step(name: str, before: str = "") -> str:
        if name in broken:
            raise ValueError(name)
        return f"{before}{name}"

    with app.workflow("steps") as flow:
        first = flow.add(step.new("first"))
        second = flow.add(step.new("second", first.result))
        third = flow.add(step.new("third", second.result))
    run()
    app.jobs.delete(first.id)
    broken.clear()
    app.workflows.replay(flow.id, whole=whole)
    run()
    ended = app.workflows.get(flow.id)
    assert (ended.unfinished, ended.state) == (0, "failed" if is_lost else "completed")
    last = app.jobs.get(third.id)
    if is_lost:
        assert app.jobs.get(second.id).reason == f"job {first.id}, for which it waited, is deleted"
        assert (last.state, last.reason) == ("cancelled", f"job {second.id}, for which it waited, is cancelled")
    else:
        assert last.get_result(0) == "firstsecondthird"


@pytest.mark.parametrize("jobs", [2, 3])
def test_a_replay_that_was_cut_off(app: Turnspit, shop: Shop, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """In portions of two: with two and three jobs, nothing or one is left behind the first."""

    def away(workflow: int) -> Verb[None]:
        raise EngineUnavailable("away")
        yield

    monkeypatch.setattr(operations, "_PORTION", 2)
    flow = app.chain(*(shop.charge.new(number) for number in range(jobs)))
    with app.worker():
        app.workflows.wait_ended(flow, DEADLINE)
    with monkeypatch.context() as patch:
        patch.setattr(app.store.own_engine, "seal_workflow", away)
        with pytest.raises(EngineUnavailable):
            app.workflows.replay(flow, whole=True)
    assert app.workflows.replay(flow, whole=True)
    with app.worker():
        assert app.workflows.wait_ended(flow, DEADLINE).completed == jobs


def test_a_large_result_becomes_the_argument_of_many_jobs_in_portions(
    app: Turnspit, monkeypatch: pytest.MonkeyPatch
) -> None:
    portions = []
    release = ends.EndVerbs._release

    def noting(self: ends.EndVerbs, released: Any) -> Any:
        portions.append(len(released))
        return release(self, released)

    @app.task
    async def large() -> str:
        return "x" * 1000

    @app.task
    async def measure(text: str, number: int) -> int:
        return len(text) + number

    monkeypatch.setattr(ends, "_MOST_TEXT", 3000)
    monkeypatch.setattr(ends.EndVerbs, "_release", noting)
    with app.workflow("fan out") as flow:
        text = flow.add(large.new()).result
        parts = [flow.add(measure.new(text, number)) for number in range(10)]
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert [app.jobs.get(part.id).get_result(0) for part in parts] == [1000 + number for number in range(10)]
    assert portions == [3, 3, 3, 1]


def test_waiting_ends_at_its_time(app: Turnspit, shop: Shop) -> None:
    flow = shop.order()
    with pytest.raises(ResultTimeout, match="3 of 3 jobs are not final"):
        app.workflows.wait_ended(flow, timeout=0)

    async def wait() -> None:
        async with asyncio.timeout(DEADLINE):
            await app.workflows.await_ended(flow, timeout=0.01)

    with pytest.raises(ResultTimeout, match="3 of 3 jobs are not final"):
        asyncio.run(wait())


def test_what_is_not_there_is_named(app: Turnspit, shop: Shop) -> None:
    flow = app.chain(shop.notify.new())
    for call in (app.workflows.get, app.workflows.get_results, app.workflows.cancel, app.workflows.replay):
        with pytest.raises(WorkflowNotFound, match="no workflow 99"):
            call(99)  # type: ignore[operator]
    assert app.workflows.get_results(flow) == {}, "it is there, and nothing of it has ended"
    with pytest.raises(MoveNotAllowed, match="no job of it is dead or cancelled"):
        app.workflows.replay(flow)
    with pytest.raises(MoveNotAllowed, match="it has not ended"):
        app.workflows.replay(flow, whole=True)


def test_jobs_are_seen_on_their_way_to_the_store(app: Turnspit, shop: Shop) -> None:
    class Seen:
        def __init__(self, jobs: Sequence[NewJob[Any]]) -> None:
            self.jobs = [job._replace(metadata='{"trace":"t"}') for job in jobs]

        def end(self, ids: Sequence[int], error: BaseException | None) -> None:
            ended.append(list(ids))

    ended: list[list[int]] = []
    app.senders.append(Seen)
    flow = app.chain(shop.notify.new("1"), shop.notify.new("2"))
    jobs = [job.id for job in app.workflows.get(flow).jobs]
    assert ended == [jobs]
    assert [app.jobs.get(job).metadata for job in jobs] == [{"trace": "t"}] * 2
