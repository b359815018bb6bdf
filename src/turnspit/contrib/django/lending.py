"""Lending the connections of a ``TestCase`` to the jobs that it runs, and to the dashboard.

Such a test never commits, and connections belong to threads. So a job of ``t.drain()`` would see nothing of the models
that its test has made: it runs in a thread of its own. So would the dashboard see nothing of the test's jobs.
"""

from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from threading import Lock, RLock, local
from typing import Any
from weakref import WeakSet

from asgiref.sync import sync_to_async
from django.core import mail
from django.db import connections
from django.db.backends.signals import connection_created

__all__ = ["alent", "close_old_connections", "connections_of_test", "lent", "watch_connections"]

_turn = RLock()
"""A connection serves one thread at a time."""
_noting = Lock()
_made: WeakSet[Any] = WeakSet()
"""The connections of all threads, while tests run."""
_here = local()


def watch_connections() -> None:
    """Know the connections that tests make."""
    connection_created.connect(_note, dispatch_uid=__name__)


def _note(connection: Any, **_: object) -> None:
    if hasattr(mail, "outbox"):  # Django's own sign of a test environment
        with _noting:
            _made.add(connection)


def connections_of_test() -> Mapping[str, Any]:
    """The connections that are in the transaction of a ``TestCase``, by their aliases."""
    if not _made:
        return {}
    with _noting:
        made = list(_made)
    return {each.alias: each for each in made if any(map(_is_of_test, each.atomic_blocks))}


def _is_of_test(block: object) -> bool:
    return bool(getattr(block, "_from_testcase", False))


def close_old_connections() -> None:
    """Close this thread's connections that are broken or too old. Django's own also closes those of a ``TestCase``."""
    of_test = connections_of_test()
    for connection in connections.all(initialized_only=True):
        if connection is not of_test.get(connection.alias):
            connection.close_if_unusable_or_obsolete()


@contextmanager
def lent(of_test: Mapping[str, Any]) -> Iterator[None]:
    """Use these connections in this thread, and no other thread that asks, until the block ends."""
    if not of_test:
        yield
        return
    with _turn:
        _lend(of_test)
        try:
            yield
        finally:
            _give_back(of_test)


@asynccontextmanager
async def alent(of_test: Mapping[str, Any]) -> AsyncIterator[None]:
    """Use these connections in the thread that runs the sync code of this coroutine, until the block ends."""
    if not of_test:
        yield
        return
    await sync_to_async(_lend)(of_test)
    try:
        yield
    finally:
        await sync_to_async(_give_back)(of_test)


def _lend(of_test: Mapping[str, Any]) -> None:
    """Use these connections in this thread until as many calls have given them back."""
    for alias, connection in of_test.items():
        if not _counts()[alias]:
            _own()[alias] = connections[alias]
            connection.inc_thread_sharing()
            connections[alias] = connection
        _counts()[alias] += 1


def _give_back(of_test: Mapping[str, Any]) -> None:
    """Use this thread's own connections again."""
    for alias, connection in of_test.items():
        _counts()[alias] -= 1
        if not _counts()[alias]:
            connections[alias] = _own().pop(alias)
            connection.dec_thread_sharing()


def _counts() -> Counter[str]:
    if not hasattr(_here, "counts"):
        _here.counts = Counter()
    counts: Counter[str] = _here.counts
    return counts


def _own() -> dict[str, Any]:
    if not hasattr(_here, "own"):
        _here.own = {}
    own: dict[str, Any] = _here.own
    return own
