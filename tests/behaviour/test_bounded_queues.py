"""``Queue(max_waiting=)``: what an enqueue does when as many jobs wait as may."""

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from turnspit import (
    ConfigurationError,
    JobContext,
    Queue,
    QueueFull,
    Rate,
    Turnspit,
    Unique,
    backlog,
    testing,
    workflows,
)

FULL = r"queue mail is full: 3 jobs wait \(max_waiting\), and nothing was stored; start more workers"


def make(url: str = "sqlite:///never-opened.db", **options: Any) -> Any:
    app = Turnspit(url, queues=[Queue("mail", max_waiting=3, **options)], deadline=30)

    @app.task(queue="mail")
    def send(number: int = 0) -> None: ...

    @app.task
    def other() -> None: ...

    return app, send, other


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[Any]:
    app, send, other = make(f"sqlite:///{tmp_path}/jobs.db")
    yield app, send, other
    app.close()


def test_a_full_queue_raises_until_there_is_room() -> None:
    app, send, other = make()
    with testing.override(app) as store:
        for _ in range(3):
            send.enqueue()
        with pytest.raises(QueueFull, match=FULL):
            send.enqueue()
        other.enqueue()
        store.drain()
        app.queues.pause("mail")  # its jobs wait too
        for _ in range(3):
            send.enqueue()
        with pytest.raises(QueueFull):
            send.enqueue()


def test_a_full_queue_turns_nobody_away_whose_job_is_there() -> None:
    app, send, _ = make()

    @app.task(queue="mail", unique=Unique(key="number", on_conflict="replace"))
    def once(number: int, text: str = "") -> None: ...

    def key(name: str) -> Any:
        return send.using(idempotency_key=name)

    with testing.override(app):
        first, other = key("order 7").enqueue(), once.enqueue(1)
        send.enqueue()
        again = key("order 7").enqueue()
        assert (again.id, again.created) == (first.id, False)
        assert asyncio.run(key("order 7").aenqueue()).id == first.id
        assert once.enqueue(1, text="newer").id == other.id
        assert other.refresh().args["text"] == "newer"
        with pytest.raises(QueueFull, match=FULL):
            key("order 8").enqueue()


def test_what_was_under_way_to_another_store_makes_no_room_in_this_one() -> None:
    app, send, _ = make()
    backlogs = backlog.Backlogs(app)
    with testing.override(app):
        reserved = backlogs.reserve([send.new()] * 2, tx=None)
    with testing.override(app):
        backlogs.release(reserved)
        backlogs.release(backlogs.reserve([send.new()] * 3, tx=None))
        app.enqueue_many([send.new()] * 3)
        with pytest.raises(QueueFull):
            backlogs.reserve([send.new()], tx=None)


def test_async_twins() -> None:
    app, send, _ = make()

    async def go() -> None:
        async with testing.override(app) as store:
            await app.aenqueue_many(send.new(number=number) for number in range(2))
            await send.aenqueue()
            with pytest.raises(QueueFull, match=FULL):
                await send.aenqueue()
            with pytest.raises(QueueFull, match=FULL):
                await app.aenqueue_many([send.new(number=1)])
            await store.adrain()
            await send.aenqueue()

    asyncio.run(go())


def test_many_at_once_fit_together_or_not_at_all(stored: Any) -> None:
    app, send, other = stored
    with pytest.raises(QueueFull, match=r"takes 3 waiting jobs .*, and 4 at once .* a smaller chunk="):
        app.enqueue_many(send.new(number=number) for number in range(4))
    with pytest.raises(QueueFull, match=FULL):
        app.enqueue_many((send.new(number=number) for number in range(4)), chunk=2)
    assert app.jobs.count(queue="mail") == 2, "the chunks before are stored"
    app.enqueue_many([send.new(number=7), *[other.new()] * 10])


def test_jobs_with_a_later_time_do_not_wait_yet(stored: Any) -> None:
    app, send, _ = stored
    for _ in range(5):
        send.using(delay=60).enqueue()
    app.enqueue_many(send.new(number=number) for number in range(3))
    with pytest.raises(QueueFull):
        send.enqueue()


def test_jobs_that_are_held_by_a_limit_wait(tmp_path: Path) -> None:
    app = Turnspit(f"sqlite:///{tmp_path}/jobs.db", queues=[Queue("mail", max_waiting=3, rate=Rate(1, per=3600))])

    @app.task(queue="mail")
    def send() -> None: ...

    for _ in range(3):
        send.enqueue()
    with pytest.raises(QueueFull):
        send.enqueue()
    app.close()


def test_threads_together_never_go_beyond_it(stored: Any) -> None:
    """However stale what they know is: one process adds what it stores itself."""
    _, send, _ = stored

    def enqueue(number: int) -> bool:
        try:
            send.enqueue(number=number)
        except QueueFull:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(enqueue, range(40))) == 3


def test_a_count_that_others_overtake_forgets_none_of_theirs(stored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, send, _ = stored
    count = backlog.Backlogs._count

    def overtaken(self: backlog.Backlogs, queue: str, tx: object | None) -> int:
        monkeypatch.setattr(backlog.Backlogs, "_count", count)
        counted = count(self, queue, tx)
        for number in range(3):
            send.enqueue(number=number)
        return counted

    monkeypatch.setattr(backlog.Backlogs, "_count", overtaken)
    with pytest.raises(QueueFull):
        send.enqueue(number=3)


def test_another_process_is_seen_within_a_second(stored: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two apps are to each other as two processes: each knows only what it stored itself since it counted."""
    now = 1000.0
    monkeypatch.setattr(backlog, "monotonic", lambda: now)
    _, send, _ = stored
    other_app, other_send, _ = make(f"sqlite:///{tmp_path}/jobs.db")
    send.enqueue()
    for _ in range(2):
        other_send.enqueue()
    send.enqueue()
    now += 1.01
    with pytest.raises(QueueFull):
        send.enqueue()
    assert other_app.jobs.count(queue="mail") == 4
    other_app.close()


def test_a_caller_may_wait_for_room(tmp_path: Path) -> None:
    app, send, _ = make(f"sqlite:///{tmp_path}/jobs.db", when_full="wait")
    app.enqueue_many(send.new(number=number) for number in range(3))
    done = threading.Event()

    def enqueue() -> None:
        send.enqueue()
        done.set()

    waiting = threading.Thread(target=enqueue)
    waiting.start()
    with app.worker():
        assert done.wait(30)
    waiting.join()
    assert app.jobs.count(queue="mail") == 4
    app.close()


def test_who_waits_too_long_hears_that_it_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app, send, _ = make(f"sqlite:///{tmp_path}/jobs.db", when_full="wait")
    app.enqueue_many(send.new(number=number) for number in range(3))
    now, slept = 1000.0, []

    def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        slept.append(seconds)

    monkeypatch.setattr(backlog, "monotonic", lambda: now)
    monkeypatch.setattr(backlog, "thread_sleep", sleep)
    with pytest.raises(QueueFull, match=FULL):
        send.enqueue()
    assert 30 <= sum(slept) < 31
    app.close()


def test_inside_a_transaction_nobody_waits(tmp_path: Path) -> None:
    """It may hold what workers need to make room. What it stored itself counts."""
    app, send, _ = make(f"sqlite:///{tmp_path}/jobs.db", when_full="wait")
    with sqlite3.connect(tmp_path / "jobs.db") as connection:
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(3):
            send.using(tx=connection).enqueue()
        with pytest.raises(QueueFull, match=FULL):
            send.using(tx=connection).enqueue()
        with pytest.raises(QueueFull, match=FULL):
            app.enqueue_many([send.new()], tx=connection)
    assert app.jobs.count(queue="mail") == 3
    connection.close()
    app.close()


def test_many_enqueues_count_once(stored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    app, _, _ = stored
    big = Turnspit(app.store.url, queues=[Queue("mail", max_waiting=100_000)])

    @big.task(queue="mail")
    def send() -> None: ...

    counted = []
    count = big.engine.count_waiting
    monkeypatch.setattr(big.engine, "count_waiting", lambda *args: counted.append(args) or count(*args))
    monkeypatch.setattr(backlog, "monotonic", lambda: 1000.0)
    for _ in range(20):
        send.enqueue()
    assert counted == [("mail", 100_001)]
    big.close()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_waiting": 0}, "max_waiting is a number of at least 1, not 0"),
        ({"max_waiting": True}, "max_waiting is a number"),
        ({"max_waiting": 1, "when_full": "drop"}, 'when_full is "raise" or "wait", not \'drop\''),
    ],
)
def test_what_cannot_be_meant(options: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        Queue("mail", **options)


def test_a_workflow_needs_room_for_what_it_begins_with(stored: Any) -> None:
    app, send, other = stored
    with app.workflow("three, and three behind them") as flow:
        first = flow.add_many(send.new(number) for number in range(3))
        flow.add_many([send.new(number) for number in range(3)], after=[first])
    for add in (
        lambda: app.chain(send.new(), send.new()),
        lambda: app.chain(other.new(), send.new()),
        lambda: asyncio.run(app.achain(other.new(), send.new())),
    ):
        with pytest.raises(QueueFull, match=FULL):
            add()
    app.chain(other.new(), other.new())
    assert app.jobs.count(queue="mail") == 6
    assert len(app.workflows.list()) == 2, "nothing of the others is stored"


def test_a_workflow_fits_as_a_whole_or_not_at_all(stored: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that is stored in portions, of which none waits in its queue before the last one is stored."""
    app, send, _ = stored
    monkeypatch.setattr(workflows, "_AT_ONCE", 2)
    monkeypatch.setattr(workflows, "_PORTION", 1)
    now = 1000.0

    def hours() -> float:
        nonlocal now
        now += 3600
        return now

    monkeypatch.setattr(backlog, "monotonic", hours)
    with pytest.raises(QueueFull, match=r"takes 3 waiting jobs .*, and 4 at once"), app.workflow("four") as flow:
        flow.add_many(send.new(number) for number in range(4))
    with pytest.raises(QueueFull, match=r"takes 3 waiting jobs .*, and 4 at once"):
        asyncio.run(stored_async(app, send))
    for left in app.workflows.list():
        assert app.workflows.wait_ended(left.id, 0).state == "cancelled", "what was stored of it never begins"
    with app.workflow("three") as flow:
        ready = flow.add_many(send.new(number) for number in range(3))
        flow.add(send.new(), after=[ready])
    with pytest.raises(QueueFull, match=FULL):
        send.enqueue()
    assert app.jobs.count(queue="mail", state="ready") == 3


async def stored_async(app: Turnspit, send: Any) -> None:
    async with app.workflow("four") as flow:
        await flow.aadd_many(send.new(number) for number in range(4))


def test_a_workflow_waits_for_room(tmp_path: Path) -> None:
    app, send, _ = make(f"sqlite:///{tmp_path}/jobs.db", when_full="wait")
    for _ in range(3):
        send.enqueue()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(app.chain, send.new(), send.new())
        with app.worker():
            flow = waiting.result(30)
            assert app.workflows.wait_ended(flow, 30).state == "completed"
    app.close()


def test_what_a_running_job_adds_to_its_workflow_is_let_in(stored: Any) -> None:
    app, send, _ = stored

    @app.task
    def split(job: JobContext) -> None:
        with job.extend_workflow() as flow:
            flow.add_many(send.new(number) for number in range(5))

    flow = app.chain(split.new())
    with app.worker():
        assert app.workflows.wait_ended(flow, 30).state == "completed"
    assert app.jobs.count(queue="mail") == 5
