"""A process that stops itself at a named point, as by Ctrl-Z: ``python -m tests.faults.stopping URL POINT``.

What it wraps is wrapped here, in this program: the product knows no points.
"""

import fcntl
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from tests.faults.programs import say
from turnspit.contract.verbs import Verb
from turnspit.contract.wakeups import Listener
from turnspit.engines import open_engine
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")


def stop() -> None:
    """A signal to the process would stop another thread first, and this one a little later."""
    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


def write(engine: SqliteEngine, in_the_middle: Callable[[], None]) -> None:
    def insert() -> Verb[None]:
        yield from engine.insert_job(NEW)
        in_the_middle()

    engine.write(insert)


def in_a_write(engine: SqliteEngine) -> None:
    write(engine, stop)


def in_its_turn(engine: SqliteEngine) -> None:
    """Before SQLite knows of it."""
    engine.prepare()
    with engine._new_turnstile():
        stop()


def in_a_migration(engine: SqliteEngine) -> None:
    original = engine._file.schema.migrate

    def migrate(execute: Callable[[str], Any], location: str = "") -> tuple[str, ...]:
        applied = original(execute, location)
        stop()
        return applied

    engine._file.schema.migrate = migrate  # type: ignore[method-assign]
    engine.migrate()


def in_a_read(engine: SqliteEngine) -> None:
    """With a snapshot that keeps the log from beginning anew."""

    def count() -> Verb[None]:
        yield from engine.count_jobs(JobFilter())
        stop()

    engine.read(count)


def in_a_recovery(engine: SqliteEngine) -> None:
    """With the locks that SQLite has while it reads the log of processes that were killed."""
    with open(f"{engine.path}-shm", "a+b") as index:
        fcntl.lockf(index, fcntl.LOCK_EX, 8, 120)
        stop()


def while_it_listens(engine: SqliteEngine) -> None:
    """Its socket fills up."""
    heard = threading.Event()
    listener: Listener = lambda wake: heard.set()  # noqa: E731
    engine.prepare()
    engine.wakeups.listen(listener)
    stop()


POINTS: dict[str, Callable[[SqliteEngine], None]] = {
    "in a write": in_a_write,
    "in its turn": in_its_turn,
    "in a migration": in_a_migration,
    "in a read": in_a_read,
    "in a recovery": in_a_recovery,
    "while it listens": while_it_listens,
}


def main(url: str, point: str) -> None:
    """Stop there, and go on from there."""
    engine = open_engine(url, deadline=60)
    assert isinstance(engine, SqliteEngine)
    POINTS[point](engine)
    engine.close()
    say("went on")


if __name__ == "__main__":
    main(*sys.argv[1:])
