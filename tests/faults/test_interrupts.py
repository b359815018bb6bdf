"""A signal in the middle of a call: as each function of ours, or of Python's locks, is entered, one after the other."""

import contextlib
import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import EngineUnavailable, Turnspit
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

NEW: NewJob[None] = NewJob("send", "default", "{}")
LATER: NewJob[None] = NEW._replace(delay=60_000_000)


def ctrl_c() -> None:
    raise KeyboardInterrupt


def interrupted(call: Callable[[], object], at: int, handle: Callable[[], None] = ctrl_c) -> bool:
    """Whether the call entered so many functions that it came to this one, where the signal was handled."""
    entered = itertools.count()
    is_handled = False

    def look(frame: FrameType, event: str, _: Any) -> None:
        is_ours = frame.f_globals.get("__name__", "").startswith(("turnspit.", "threading"))
        if event == "call" and is_ours and frame.f_code.co_name != "<genexpr>" and next(entered) == at:
            nonlocal is_handled
            is_handled = True
            sys.settrace(None)
            handle()

    sys.settrace(look)
    try:
        with contextlib.suppress(KeyboardInterrupt):
            call()
    finally:
        sys.settrace(None)
    return is_handled


@pytest.fixture
def others(app: Turnspit) -> Iterator[Callable[[], None]]:
    """Another thread that enqueues when it is told to, and is waited for."""
    go_on, done = threading.Semaphore(0), threading.Semaphore(0)
    is_over = threading.Event()

    def run() -> None:
        while go_on.acquire() and not is_over.is_set():
            app.engine.write(app.engine.insert_job, NEW)
            done.release()

    def enqueue() -> None:
        go_on.release()
        assert done.acquire(timeout=DEADLINE), "the other thread was not served"

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield enqueue
    is_over.set()
    go_on.release()


@pytest.mark.parametrize("new", [NEW, LATER], ids=["a statement of its own", "a transaction"])
def test_wherever_it_comes_the_store_goes_on_for_this_thread_and_for_others(
    app: Turnspit, others: Callable[[], None], new: NewJob[None]
) -> None:
    def insert() -> None:
        engine.write(engine.insert_job, new)

    engine = app.engine
    accepted = 0
    for at in itertools.count():
        for _ in range(2):
            insert()  # the second one runs on this thread
        if not interrupted(insert, at):
            break
        others()
        accepted += 3
    assert at > 10
    assert accepted + 3 <= engine.read(engine.count_jobs, JobFilter()) <= accepted + 3 + at


def test_nor_does_it_matter_where_it_waits_for_another_thread(app: Turnspit, others: Callable[[], None]) -> None:
    def insert() -> None:
        engine.write(engine.insert_job, NEW)

    engine = app.engine
    for at in itertools.count():
        others()  # the next call of this thread is handed over
        if not interrupted(insert, at):
            break
    assert at > 10
    assert at + 2 <= engine.read(engine.count_jobs, JobFilter()) <= 2 * at + 2


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_handler_that_enqueues_has_done_so_or_is_told_at_once(
    app: Turnspit, others: Callable[[], None], is_alone: bool
) -> None:
    def insert() -> None:
        engine.write(engine.insert_job, NEW)

    def handle() -> None:
        try:
            insert()
        except EngineUnavailable as error:
            refused.append(str(error))

    engine = app.engine
    refused: list[str] = []
    for at in itertools.count():
        insert() if is_alone else others()
        if not interrupted(insert, at, handle):
            break
    assert 0 < len(refused) < at
    assert all("by a signal handler in the middle of another call" in error for error in refused)
    assert engine.read(engine.count_jobs, JobFilter()) == 3 * at - len(refused) + 2
