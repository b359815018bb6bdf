"""The connection that waits for wakes: it holds no snapshot, and one that is half open is made anew."""

import logging
import os
import resource
import select
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import psycopg
import pytest

from tests.behaviour.support import DEADLINE, url_of, wait_until
from tests.postgres import new_schema, server
from tests.proxy import Cut, Proxy
from turnspit import Turnspit
from turnspit.engines.postgres import wakeups


def test_it_holds_no_snapshot(app: Turnspit, send: Any, plain_url: str) -> None:
    with app.worker(), psycopg.connect(plain_url, autocommit=True) as connection:
        assert send.enqueue(1).get_result(DEADLINE) == 1
        channel = app.engine.settings.channel  # type: ignore[attr-defined]
        query = "SELECT state, backend_xid, backend_xmin FROM pg_stat_activity WHERE query = %s"
        assert connection.execute(query, (f"LISTEN {channel}",)).fetchall() == [("idle", None, None)]


@pytest.fixture
def waiting(app: Turnspit, send: Any) -> Iterator[Turnspit]:
    """Another app, which enqueues and waits for results as another process does, while ``app`` has a worker."""
    with Turnspit(url_of(app)) as waiting, app.worker():
        waiting.task(send.function)
        yield waiting


def listening(app: Turnspit) -> list[threading.Thread]:
    """The thread that listens for this app, if one does."""
    receiver = app.engine.wakeups._receiver  # type: ignore[attr-defined]
    return [] if receiver is None else [receiver._thread]


def test_who_waits_for_one_result_after_the_other_keeps_the_connection(waiting: Turnspit) -> None:
    """To connect takes longer than many a job."""
    send = waiting.tasks["send"]
    # A result that is there at the first look is not waited for.
    wait_until(lambda: send.enqueue(1).get_result(DEADLINE) == 1 and listening(waiting), "a result that is waited for")
    first = listening(waiting)
    for number in range(3):
        assert send.enqueue(number).get_result(DEADLINE) == number
    assert listening(waiting) == first


def test_one_that_nobody_uses_is_closed(waiting: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wakeups, "_UNUSED", 0.0)
    monkeypatch.setattr(wakeups, "_QUESTION", 0.01)
    for number in range(2):
        assert waiting.tasks["send"].enqueue(number).get_result(DEADLINE) == number
        wait_until(lambda: not listening(waiting), "the end of its thread")


def test_a_process_with_many_open_files_listens(app: Turnspit, send: Any) -> None:
    """``select`` knows 1024."""
    fewest, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(fewest, min(most, 2000)), most))
    with ExitStack() as files:
        while files.enter_context(open(os.devnull)).fileno() < 1100:
            pass
        with app.worker():
            wait_until(lambda: app.engine.wakeups.arrive, "a connection that listens")
            assert send.enqueue(1).get_result(DEADLINE) == 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (fewest, most))


def test_a_system_without_poll_has_all_that(app: Turnspit, send: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "poll")  # as on Windows
    with app.worker():
        wait_until(lambda: app.engine.wakeups.arrive, "a connection that listens")
        for number in range(3):
            assert send.enqueue(number).get_result(DEADLINE) == number


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with Proxy(server(18).port) as proxy:
        yield proxy


@pytest.mark.parametrize("sql", ["LISTEN", "SELECT"])
def test_a_half_open_connection_is_made_anew(
    proxy: Proxy, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, sql: str
) -> None:
    """Once its first statement is not answered, once its question. Meanwhile the lookout finds the jobs."""
    monkeypatch.setattr(wakeups, "_QUESTION", 0.2)
    monkeypatch.setattr(wakeups, "_ANSWER", DEADLINE)
    with new_schema(18) as url, Turnspit(proxy.url(url)) as app, Turnspit(url) as elsewhere:
        app.migrate()

        @app.task
        async def double(number: int) -> int:
            return number * 2

        elsewhere.task(double.function)

        def lose() -> Cut:
            monkeypatch.setattr(wakeups, "_ANSWER", 0.3)  # for what is lost only: a busy server may need longer
            return proxy.cut(lambda text: text.partition(" turnspit_")[0] == sql, when="after", how="silence")

        cut = lose() if sql == "LISTEN" else None
        with caplog.at_level(logging.INFO, "turnspit"), app.worker():
            if cut is None:
                wait_until(lambda: app.engine.wakeups.arrive, "a connection that listens")
                cut = lose()
            assert cut.happened.wait(DEADLINE)
            wait_until(lambda: "the listening connection was lost" in caplog.text, "a word about it")
            monkeypatch.setattr(wakeups, "_ANSWER", DEADLINE)
            assert elsewhere.tasks["double"].enqueue(4).get_result(DEADLINE) == 8
            wait_until(lambda: app.engine.wakeups.arrive, "a new connection that listens")
        assert caplog.text.count("the listening connection was lost") == 1
