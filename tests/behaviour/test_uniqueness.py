"""``unique=``, ``idempotency_key=`` and ``Debounce`` through the public API."""

import asyncio
import threading
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, url_of
from turnspit import ConfigurationError, Debounce, JobExists, Turnspit, Unique
from turnspit.errors import InvalidPayload, MoveNotAllowed
from turnspit.testing import TestStore


def test_the_job_that_is_there_is_returned(app: Turnspit) -> None:
    @app.task(unique=Unique(key=["order_id"]))
    async def invoice(order_id: int, draft: bool = False) -> int:
        return order_id

    first = invoice.enqueue(order_id=7)
    second = invoice.enqueue(order_id=7, draft=True)
    assert (first.created, second.created) == (True, False)
    assert (second.id, second.args) == (first.id, {"order_id": 7})
    assert invoice.enqueue(order_id=8).created
    assert asyncio.run(invoice.aenqueue(order_id=8)).created is False
    with app.worker():
        assert second.get_result(timeout=DEADLINE) == 7
    assert invoice.enqueue(order_id=7).created
    assert not app.jobs.get(first.id).created, "this call did not store it"


def test_by_default_all_arguments_are_the_key_with_their_defaults(app: Turnspit) -> None:
    @app.task(unique=Unique())
    async def report(month: str, copies: int = 1) -> None: ...

    first = report.enqueue("2026-01")
    assert report.enqueue("2026-01", copies=1).id == first.id
    assert report.enqueue("2026-01", copies=2).created


def test_a_key_may_be_a_function_of_the_arguments(app: Turnspit) -> None:
    @app.task(unique=Unique(key=lambda to, **_: to.lower()))
    async def send(to: str, text: str = "") -> None: ...

    assert send.enqueue("Ada@example.com").id == send.enqueue("ada@example.com", text="hello").id


@dataclass
class Choice:
    numbers: frozenset[int]


def test_equal_arguments_are_one_key_in_whatever_order_they_were_filled(app: Turnspit) -> None:
    """Strings in a set come in another order in each process: here numbers that do so in one."""

    @app.task(unique=Unique())
    def sort_out(numbers: set[int], names: dict[str, int], choices: list[Choice]) -> None: ...

    @app.task(unique=Unique(key=lambda numbers: {"of": set(numbers)}))
    def by_function(numbers: list[int]) -> None: ...

    def both(first: int, second: int) -> tuple[set[int], dict[str, int], list[Choice]]:
        numbers = {first, second}
        return numbers, {str(first): 1, str(second): 1}, [Choice(frozenset([first, second]))]

    one, other = both(8, 16), both(16, 8)
    assert list(one[0]) != list(other[0])
    assert sort_out.enqueue(*one).id == sort_out.enqueue(*other).id
    assert sort_out.new(*one).args.startswith('{"numbers":[16,8],')
    assert by_function.enqueue([8, 16]).id == by_function.enqueue([16, 8]).id


def test_long_keys_differ(app: Turnspit) -> None:
    @app.task(unique=Unique())
    async def index(text: str) -> None: ...

    first = index.enqueue("x" * 5000 + "a")
    assert index.enqueue("x" * 5000 + "b").created
    assert index.enqueue("x" * 5000 + "a").id == first.id


def test_two_tasks_do_not_share_keys(app: Turnspit) -> None:
    @app.task(unique=Unique())
    async def one(order_id: int) -> None: ...

    @app.task(unique=Unique())
    async def two(order_id: int) -> None: ...

    assert one.enqueue(1).id != two.enqueue(1).id


def test_raise(app: Turnspit) -> None:
    @app.task(unique=Unique(on_conflict="raise"))
    async def charge(order_id: int) -> None: ...

    job = charge.enqueue(7)
    with pytest.raises(JobExists, match=rf"charge: job {job.id} holds the unique key charge \[7\]; nothing was stored"):
        charge.enqueue(7)


def test_replace(app: Turnspit) -> None:
    @app.task(unique=Unique(key=["document"], on_conflict="replace"))
    async def index(document: int, revision: int) -> int:
        return revision

    first = index.enqueue(1, revision=1)
    assert index.enqueue(1, revision=2).id == first.id
    assert app.enqueue_many(index.new(1, revision=revision) for revision in (3, 4)) == [first.id] * 2
    with app.worker():
        assert first.get_result(timeout=DEADLINE) == 4


def test_within_through_the_test_kit(t: TestStore) -> None:
    @t.app.task(unique=Unique(within=timedelta(hours=1)))
    async def remind(user: int) -> None: ...

    first = remind.enqueue(1)
    t.drain()
    t.advance(timedelta(minutes=59))
    found = remind.enqueue(1)
    assert (found.id, found.state) == (first.id, "completed")
    t.advance(timedelta(minutes=1))
    assert remind.enqueue(1).created


def test_debounce_through_the_test_kit(t: TestStore) -> None:
    ran: list[int] = []

    @t.app.task(unique=Debounce(5, key=["document"], max_wait=12))
    async def index(document: int, revision: int) -> None:
        ran.append(revision)

    for revision in (1, 2):
        index.enqueue(1, revision=revision)
        t.advance(timedelta(seconds=4))
        t.drain()
    assert ran == []
    t.advance(timedelta(seconds=1))
    t.drain()
    assert ran == [2]
    for revision in range(3, 9):
        index.enqueue(1, revision=revision)
        t.drain()
        t.advance(timedelta(seconds=4))
    assert ran[1] == 6, "12 seconds after the first of them, though calls kept coming"


def test_an_idempotency_key(app: Turnspit) -> None:
    @app.task
    async def charge(order_id: int) -> int:
        return order_id

    first = charge.using(idempotency_key="request-1").enqueue(order_id=7)
    again = charge.using(idempotency_key="request-1").enqueue(order_id=7)
    assert (first.created, again.created, again.id) == (True, False, first.id)
    assert charge.using(idempotency_key="request-2").enqueue(order_id=7).created
    with app.worker():
        assert again.get_result(timeout=DEADLINE) == 7
    assert charge.using(idempotency_key="request-1").enqueue(order_id=7).id == first.id, "for a day"


def test_a_call_repeated_after_a_lost_answer_is_stored_once(app: Turnspit) -> None:
    """Whether the first call was stored is not known: repeating it is safe."""

    @app.task
    async def charge(order_id: int) -> None: ...

    with Turnspit(url_of(app)) as other:
        other.task(charge.function)
        calls = [charge, other.tasks["charge"]] * 4
        ids: list[int] = []

        def enqueue(task: Any) -> None:
            ids.extend(task.using(idempotency_key="once").enqueue(order_id=7).id for _ in range(5))

        threads = [threading.Thread(target=enqueue, args=(task,)) for task in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(ids) == 40
    assert len(set(ids)) == 1


def test_a_replay_whose_key_is_taken(app: Turnspit) -> None:
    @app.task(unique=Unique(states=["ready", "scheduled"]))
    async def invoice(order_id: int) -> None: ...

    first = invoice.enqueue(7)
    app.jobs.cancel(first.id)
    invoice.enqueue(7)
    with pytest.raises(MoveNotAllowed, match="is cancelled and cannot be replayed: another job holds its unique key"):
        app.jobs.replay(first.id)
    with pytest.raises(MoveNotAllowed, match="is cancelled and cannot be replayed: another job holds its unique key"):
        asyncio.run(app.jobs.areplay(first.id))
    assert app.jobs.replay(state="cancelled") == 0
    assert asyncio.run(app.jobs.areplay(state="cancelled")) == 0
    app.jobs.cancel(state="ready")
    assert app.jobs.replay(first.id) == 1


def test_a_single_name_is_a_key_as_a_list_of_it_is() -> None:
    assert Unique(key="order_id") == Unique(key=("order_id",))
    assert Debounce(5, key="order_id").key_of("t", {"order_id": 7}) == Debounce(5, key=["order_id"]).key_of(
        "t", {"order_id": 7}
    )


def test_a_default_that_is_no_json_makes_no_key(app: Turnspit) -> None:
    @app.task(unique=Unique())
    def report(month: int = object()) -> None: ...  # type: ignore[assignment]

    report.new(1)
    with pytest.raises(InvalidPayload, match="a default of report, of which a key is made, is no JSON: Unable to"):
        report.new()


def test_states_may_come_from_a_generator() -> None:
    assert Unique(states=(state for state in ["ready"])).rule().states == "ready"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Unique(key=7), "key is an argument's name, a list of names, or a function of the arguments, not 7"),
        (lambda: Unique(on_conflict="skip"), 'on_conflict is "keep", "replace" or "raise"'),
        (lambda: Unique(states=["completed"]), "states is a list of scheduled, held, ready, running, dead"),
        (lambda: Unique(states=[]), "needs within="),
        (lambda: Unique(within=-1), "within must be between"),
        (lambda: Debounce(10, max_wait=5), "max_wait is at least the seconds of quiet"),
    ],
)
def test_wrong_declarations(make: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        make()


def test_a_key_of_arguments_that_the_task_does_not_take(app: Turnspit) -> None:
    with pytest.raises(ConfigurationError, match="task send: its unique key names order, which it does not take"):

        @app.task(unique=Unique(key=["order"]))
        async def send(order_id: int) -> None: ...

    with pytest.raises(ConfigurationError, match=r"unique takes Unique\(\.\.\.\) or Debounce\(\.\.\.\), not True"):
        app.task(unique=True)(_nothing)  # type: ignore[call-overload]

    charge = app.task(unique=Unique())(_nothing)
    with pytest.raises(ConfigurationError, match="takes no idempotency_key=: leave one of the two away"):
        charge.using(idempotency_key="x")


async def _nothing() -> None: ...
