"""Several callers that open a store at once."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from socket import socketpair
from types import SimpleNamespace
from typing import Any, NoReturn

import psycopg
import pytest

from turnspit import EngineUnavailable
from turnspit.engines import open_engine
from turnspit.engines.postgres import engine as engine_module
from turnspit.engines.postgres.engine import PostgresEngine
from turnspit.engines.postgres.opening import cut
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")


def test_who_waits_until_another_thread_has_opened_the_store_has_a_deadline() -> None:
    """Ten that came one after another to a server that is away had waited ten times as long."""
    engine = open_engine("postgresql://nobody@127.0.0.1:1/none", deadline=0.1)
    said = r"did not answer within 0.1 s \(.*is the server away.*\): the call was not carried out"
    with ThreadPoolExecutor(1) as other:
        lock = engine._lock  # type: ignore[attr-defined]
        other.submit(lock.acquire).result()
        with pytest.raises(EngineUnavailable, match=said):
            engine.write(engine.insert_job, NEW)
        with pytest.raises(EngineUnavailable, match=said):
            asyncio.run(engine.aread(engine.list_workers))
        other.submit(lock.release).result()


def test_who_has_waited_for_another_thread_does_not_wait_for_the_server_as_long_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, asked = [0.0], []

    class HeldForNineSeconds:
        def acquire(self, timeout: float) -> bool:
            now[0] += 9
            return timeout == 10

        def release(self) -> None: ...

    def try_once(attempt: Callable[[], object], is_wanted: Callable[[], bool]) -> NoReturn:
        for moment in (9.9, 10.1):
            now[0] = moment
            asked.append(is_wanted())
        raise psycopg.OperationalError("Connection refused")

    opened = PostgresEngine("postgresql://nobody@127.0.0.1:1/none", deadline=10)
    monkeypatch.setattr(opened, "_lock", HeldForNineSeconds())
    monkeypatch.setattr(engine_module, "monotonic", lambda: now[0])
    monkeypatch.setattr(engine_module, "patiently", try_once)
    with pytest.raises(EngineUnavailable, match="cannot be reached"):
        opened.read(opened.list_workers)
    assert asked == [True, False]


def test_a_signal_handler_may_open_what_its_thread_is_opening(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it has opened is used, not opened a second time and forgotten."""
    engine = PostgresEngine(store_url)
    prepare = engine.prepare
    opened: list[object] = []

    def handle_signal(_until: float) -> None:
        monkeypatch.undo()
        opened.append(engine._opened())
        prepare()

    monkeypatch.setattr(engine, "prepare", handle_signal)
    assert engine._opened() is opened[0]
    engine.close()


def test_who_cuts_a_connection_that_its_thread_closes_meanwhile_cuts_no_other() -> None:
    """The number of its socket was asked for before, and is that of another connection when it is used."""
    other, far_end = socketpair()
    with other, far_end:
        closed: Any = SimpleNamespace(fileno=other.fileno, closed=True)
        cut(closed)
        far_end.send(b"well")
        assert other.recv(10) == b"well"
