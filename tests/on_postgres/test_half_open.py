"""Connections on which bytes are lost and nobody says so: calls end by their deadline, and the next ones are well."""

import asyncio
import gc
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from tests.behaviour.support import DEADLINE, wait_until
from tests.postgres import prepared_schema, server, server_url
from tests.proxy import Proxy, When
from turnspit import EngineUnavailable, Turnspit
from turnspit.contract.verbs import Statement, Verb
from turnspit.engines.postgres import opening, wakeups

LIMIT = 0.5
"""Seconds: the deadline of calls here."""
MARGIN = 4.0
"""Seconds by which a busy machine may miss it."""
UNSURE = "the call may or may not have been carried out"
NOT_DONE = "the call was not carried out"


@pytest.fixture
def url() -> Iterator[str]:
    with prepared_schema(18) as url:
        yield url


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(server(18).port) as proxy:
        yield proxy


@pytest.fixture
def app(url: str, proxy: Proxy) -> Iterator[Turnspit]:
    """An app whose connections go through the proxy, and have been opened."""
    with Turnspit(proxy.url(url) + "&connect_timeout=2", deadline=LIMIT) as app:

        @app.task
        async def double(number: int) -> int:
            return number * 2

        app.jobs.count()
        double.enqueue(0)
        yield app


def is_insert(sql: str) -> bool:
    return "INSERT INTO" in sql


def is_commit(sql: str) -> bool:
    return "COMMIT" in sql


def enqueue(app: Turnspit) -> None:
    app.tasks["double"].enqueue(1)


def aenqueue(app: Turnspit) -> None:
    asyncio.run(app.tasks["double"].aenqueue(1))


def enqueue_many(app: Turnspit) -> None:
    app.enqueue_many([app.tasks["double"].new(1), app.tasks["double"].new(1)])


def enqueue_with_key(app: Turnspit) -> None:
    app.tasks["double"].using(idempotency_key="request 1").enqueue(1)


def enqueue_many_with_keys(app: Turnspit) -> None:
    """In a transaction of several statements."""
    app.enqueue_many([app.tasks["double"].using(idempotency_key="request 1").new(1)])


CALLS = [enqueue, aenqueue, enqueue_many]


def is_well(app: Turnspit, proxy: Proxy) -> None:
    """Calls are answered again, also on the connection that was lost, and none is left behind."""

    def is_so() -> bool:
        app.tasks["double"].enqueue(1)
        app.jobs.count()
        gc.collect()  # libpq closes an attempt to connect that took too long when Python frees it
        return proxy.silent == 0

    wait_until(is_so, "the end of the lost connections")


@pytest.mark.parametrize(
    ("call", "at", "when", "is_stored"),
    [
        # Jobs without a unique key are stored by one statement, which is its own commit.
        (enqueue, is_insert, "before", False),
        (enqueue, is_insert, "after", True),
        (aenqueue, is_insert, "before", False),
        (aenqueue, is_insert, "after", True),
        (enqueue_many, is_insert, "before", False),
        (enqueue_many, is_insert, "after", True),
        (enqueue_with_key, is_insert, "before", False),
        (enqueue_with_key, is_insert, "after", True),
        (enqueue_many_with_keys, is_insert, "before", False),
        (enqueue_many_with_keys, is_insert, "after", False),
        (enqueue_many_with_keys, is_commit, "before", False),
        (enqueue_many_with_keys, is_commit, "after", True),
    ],
)
def test_a_call_ends_by_its_deadline_and_was_done_or_not(
    app: Turnspit,
    proxy: Proxy,
    url: str,
    call: Callable[[Turnspit], None],
    at: Callable[[str], bool],
    when: When,
    is_stored: bool,
) -> None:
    before = app.jobs.count()
    cut = proxy.cut(at, when=when, how="silence")
    began = time.monotonic()
    with pytest.raises(EngineUnavailable) as raised:
        call(app)
    took = time.monotonic() - began
    assert cut.happened.is_set()
    assert LIMIT <= took < LIMIT + MARGIN
    assert UNSURE in str(raised.value) or (NOT_DONE in str(raised.value) and not is_stored)
    with Turnspit(url) as elsewhere:
        assert (elsewhere.jobs.count() > before) is is_stored
    is_well(app, proxy)


@pytest.mark.parametrize("directions", [(True, False), (False, True), (True, True)])
def test_a_network_that_swallows_everything(
    app: Turnspit, proxy: Proxy, directions: tuple[bool, bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "_ANSWER", LIMIT)  # who notifies has no caller with a deadline
    proxy.swallow(to_server=directions[0], to_client=directions[1])
    for _ in range(2):
        began = time.monotonic()
        with pytest.raises(EngineUnavailable):
            app.tasks["double"].enqueue(1)
        with pytest.raises(EngineUnavailable):
            app.jobs.count()
        assert time.monotonic() - began < 2 * LIMIT + MARGIN
    proxy.pass_on()
    wait_until(lambda: succeeds(lambda: app.tasks["double"].enqueue(1)), "a call that is answered")
    is_well(app, proxy)


@pytest.mark.parametrize("call", CALLS)
def test_the_very_first_call_ends_by_its_deadline_too(url: str, proxy: Proxy, call: Callable[[Turnspit], None]) -> None:
    with Turnspit(proxy.url(url), deadline=2) as app:
        app.task(name="double")(_double)
        cut = proxy.cut(lambda sql: "migrations" in sql, when="before", how="silence")
        began = time.monotonic()
        with pytest.raises(EngineUnavailable):
            call(app)
        assert time.monotonic() - began < 2 + MARGIN
        assert cut.happened.is_set()
        call(app)
        assert app.jobs.count() == (2 if call is enqueue_many else 1)


def test_who_joins_a_first_call_has_time_of_its_own(url: str, proxy: Proxy) -> None:
    """The store is opened once for both. The deadline at which that is given up is the first one's alone."""

    async def main(app: Turnspit) -> None:
        double = app.task(name="double")(_double)
        cut = proxy.cut(lambda sql: "migrations" in sql, when="before", how="silence")
        first = asyncio.create_task(double.aenqueue(1))
        await asyncio.to_thread(cut.happened.wait, DEADLINE)
        app.engine.deadline = DEADLINE
        second = asyncio.create_task(double.aenqueue(2))
        with pytest.raises(EngineUnavailable):
            await first
        await second

    with Turnspit(proxy.url(url), deadline=LIMIT) as app:
        asyncio.run(main(app))
        assert app.jobs.count() == 1


async def _double(number: int) -> int:
    return number * 2


def succeeds(call: Callable[[], object]) -> bool:
    try:
        call()
    except EngineUnavailable:
        return False
    return True


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_callers_own_transaction_is_its_own(app: Turnspit, proxy: Proxy, url: str, when: When) -> None:
    """Cut inside it: the driver's error in one line, nothing stored. In its COMMIT the driver says it."""
    before = app.jobs.count()
    with pytest.raises(Exception) as raised, psycopg.connect(server_url(proxy.url(url))) as connection:  # noqa: PT012
        proxy.cut(is_insert, when=when)
        app.tasks["double"].using(tx=connection).enqueue(1)
    assert "in the transaction given as tx=" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert app.jobs.count() == before
    with pytest.raises(psycopg.OperationalError), psycopg.connect(server_url(proxy.url(url))) as connection:  # noqa: PT012
        app.tasks["double"].using(tx=connection).enqueue(1)
        proxy.cut(is_commit, when=when)
    assert app.jobs.count() == before + (when == "after")


def test_a_cancelled_caller_leaves_no_connection_behind(app: Turnspit, proxy: Proxy) -> None:
    """Nobody waits for its deadline any longer: whoever comes next gives the connection up."""

    async def main() -> None:
        cut = proxy.cut(is_insert, when="after", how="silence")
        task = asyncio.create_task(app.tasks["double"].aenqueue(1))
        await asyncio.to_thread(cut.happened.wait, DEADLINE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    is_well(app, proxy)


def test_a_client_that_vanishes_leaves_no_row_locked(url: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends its transaction below the lease, though the network says nothing."""
    assert opening.IDLE_IN_TRANSACTION < 15_000, "longer than a worker's lease"
    monkeypatch.setitem(opening._SERVER_SIDE, "idle_in_transaction_session_timeout", 700)
    with Turnspit(proxy.url(url), deadline=5) as app, psycopg.connect(server_url(url), autocommit=True) as other:
        job = app.task(name="double")(_double).enqueue(1)
        cut = proxy.cut(is_commit, when="before", how="silence")
        engine = app.engine
        schema = engine.settings.schema  # type: ignore[attr-defined]

        def lock() -> Verb[None]:
            yield Statement(f"SELECT FROM {schema}.jobs FOR UPDATE", {})

        async def main() -> Any:
            locking = asyncio.create_task(engine.awrite(lock))
            await asyncio.to_thread(cut.happened.wait, DEADLINE)
            other.execute("SET lock_timeout = '4s'")
            await asyncio.to_thread(other.execute, f"SELECT FROM {schema}.jobs WHERE id = {job.id} FOR UPDATE")
            locking.cancel()
            await asyncio.gather(locking, return_exceptions=True)

        asyncio.run(main())


def test_the_server_notices_vanished_clients_before_a_lease_runs_out(app: Turnspit) -> None:
    def ask() -> Verb[list[Any]]:
        names = ("tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count", "tcp_user_timeout")
        values = []
        for name in names:
            values += yield Statement(f"SELECT setting::int FROM pg_settings WHERE name = '{name}'", {})
        return [value for (value,) in values]

    idle, interval, count, user = app.engine.write(ask)
    assert 0 < idle + interval * count < 15
    assert 0 < user < 15_000
