"""What the behaviour tests share: they wait for what they want to see, with a deadline, and never for a time."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from turnspit import Event, Job, Turnspit
from turnspit._runtime.worker.embedded import EmbeddedWorker
from turnspit._runtime.worker.worker import Worker
from turnspit.contract.verbs import Statement, Verb
from turnspit.events import EVENT_NAMES

DEADLINE = 20.0
"""Seconds after which something that should happen has not. Long, because the machine may be busy."""

SOON = 0.5
"""Seconds: a time-out of a thread that is to run into it. Not shorter: it has to begin first, on a busy machine too."""


def url_of(app: Turnspit) -> str:
    """The URL of an app's store, for another app or process."""
    assert app.store.url is not None
    return app.store.url


def change(app: Turnspit, sql: str) -> None:
    """Run SQL on the store; ``{jobs}``, ``{history}`` and ``{workers}`` stand for its tables."""
    names = {
        table: re.search(rf"(\S+{table})\b", " ".join(app.engine.sql.values()))
        for table in ("jobs", "history", "workers")
    }  # type: ignore[attr-defined]
    statement = sql.format_map({table: name[1] for table, name in names.items() if name})

    def verb() -> Verb[None]:
        yield Statement(statement, {})

    app.engine.write(verb)


class EventLog:
    """Every event of an app, to be waited for. The move was stored before its event was sent."""

    def __init__(self, app: Turnspit) -> None:
        self._events: list[Event] = []
        self._changed = threading.Condition()
        app.on(*EVENT_NAMES)(self._add)

    def _add(self, event: Event) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def wait(self, name: str, job: int | None = None, count: int = 1) -> Event:
        """Wait for the ``count``-th event of this name (and job)."""
        found: list[Event] = []

        def is_there() -> bool:
            found[:] = [each for each in self._events if each.name == name and job in (None, each.job_id)]
            return len(found) >= count

        with self._changed:
            assert self._changed.wait_for(is_there, DEADLINE), f"no {name} of job {job}; there were {self._events}"
        return found[count - 1]

    def names(self, job: int | None = None) -> list[str]:
        """The names of the events so far."""
        with self._changed:
            return [each.name for each in self._events if job in (None, each.job_id)]


class Gate:
    """A door in a handler: the test sees who came to it, and opens it."""

    def __init__(self) -> None:
        self.came = threading.Semaphore(0)
        self._open = threading.Event()

    def pass_through(self) -> None:
        """In a thread: say that we are here, and wait until the door is open."""
        self.came.release()
        assert self._open.wait(DEADLINE), "nobody opened the gate"

    def wait_for(self, count: int = 1) -> None:
        """Wait until so many came."""
        for _ in range(count):
            assert self.came.acquire(timeout=DEADLINE), "nobody came to the gate"

    @property
    def is_open(self) -> bool:
        """Whether everybody may go through."""
        return self._open.is_set()

    def open(self) -> None:
        """Let everybody through."""
        self._open.set()


def wait_until(condition: Callable[[], Any], what: str) -> None:
    """Look again and again, for what tells nobody that it changed."""
    pause = threading.Event()
    for _ in range(int(DEADLINE / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError(f"{what} did not happen within {DEADLINE:g} s")


def count_no_more(app: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workers not see that the store knows of more of their jobs than they do, as where many come and go."""
    original = app.engine.find_duties

    def find_duties(*arguments: Any) -> Any:
        duties = yield from original(*arguments)
        return duties._replace(owned=0)

    monkeypatch.setattr(app.engine, "find_duties", find_duties)


def has_begun(embedded: EmbeddedWorker, job: Job[Any]) -> bool:
    """Whether this worker runs the job: the store says so before the worker has its claim."""
    running = None if embedded._worker is None else embedded._worker.executor.running.get(job.id)
    return running is not None and running.begun


def has_a_claim_ready(worker: Worker) -> bool:
    return worker._engine.wakeups.arrive and worker.claimer.standing_claim._prepared is not None


@contextmanager
def idle_worker(app: Turnspit, **options: Any) -> Iterator[Worker]:
    """A worker that has a claim ready."""
    with app.worker(**options) as embedded:
        worker = embedded._worker
        assert worker is not None
        wait_until(lambda: has_a_claim_ready(worker), "a standing claim")
        yield worker
