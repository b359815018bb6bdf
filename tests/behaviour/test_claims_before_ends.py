"""Of a worker with free slots: a job that has just been enqueued waits for no other's end to be stored."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE, EventLog, has_a_claim_ready, idle_worker, url_of, wait_until
from tests.writes import before_writes
from turnspit import Turnspit
from turnspit._runtime.worker import exchanges, finisher
from turnspit.tasks import Task

pytestmark = pytest.mark.usefixtures("wakes_alone")


@pytest.fixture
def ran() -> list[int]:
    return []


@pytest.fixture
def note(app: Turnspit, ran: list[int]) -> Iterator[Task[[int], None]]:
    """A task, enqueued by another app on the same store, as by another process."""

    async def note(number: int) -> None:
        ran.append(number)

    with Turnspit(url_of(app)) as producer:
        app.task(name="note")(note)
        yield producer.task(name="note")(note)


@pytest.mark.parametrize("is_standing", [True, False], ids=["standing claim", "claim"])
def test_a_job_is_claimed_before_the_end_of_the_one_before_is_stored(
    app: Turnspit,
    note: Task[[int], None],
    ran: list[int],
    events: EventLog,
    monkeypatch: pytest.MonkeyPatch,
    is_standing: bool,
) -> None:
    monkeypatch.setattr(finisher, "_IDLE_PAUSE", 3600.0)
    if not is_standing:
        monkeypatch.setattr(app.engine, "try_write", lambda *_: None)
    with idle_worker(app) as worker:
        events.wait("completed", note.enqueue(1).id)  # the first one is stored at once
        second = note.enqueue(2)
        wait_until(lambda: 2 in ran, "the run of the second")
        wait_until(lambda: has_a_claim_ready(worker), "a standing claim")
        note.enqueue(3)
        wait_until(lambda: 3 in ran, "the run of the third")
        goes_along = not is_standing and not app.engine.has_two_writers  # one transaction is less than two there
        assert second.refresh().state == ("completed" if goes_along else "running")
    assert app.jobs.count(state="completed") == 3


def test_an_end_that_waits_is_stored_though_nothing_else_comes(app: Turnspit, note: Task[[int], None]) -> None:
    with app.worker():
        for number in range(20):
            note.enqueue(number).get_result(timeout=DEADLINE)


def test_behind_a_full_claim_ends_go_along_with_the_next(app: Turnspit) -> None:
    """More jobs wait: one transaction costs the store less than two, and none of them has just come."""
    together: list[bool] = []

    def look(verb: Any, arguments: tuple[Any, ...]) -> None:
        if verb is exchanges.exchange:
            together.append(bool(arguments[1].ended) and arguments[2] is not None)

    @app.task
    async def pause() -> None:
        await asyncio.sleep(0.03)  # too long for a prefetch

    before_writes(app, look)
    app.enqueue_many(pause.new() for _ in range(5))
    with app.worker(concurrency=1, until_empty=True) as worker:
        worker.wait()
    assert any(together)
    assert app.jobs.count(state="completed") == 5
