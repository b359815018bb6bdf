"""1. When ``enqueue`` returns, the job survives ``kill -9`` of every process and a power cut."""

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import url_of
from tests.faults.program import Program
from turnspit import Turnspit

FULL, NORMAL = 2, 1


def jobs_in_a_copy(path: Path, folder: Path) -> int:
    """What a machine that stopped at this very moment finds: the files as they are, with no process of ours."""
    copy = folder / "after"
    copy.mkdir()
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", copy / f"jobs.db{suffix}")
    with sqlite3.connect(copy / "jobs.db") as connection:
        count: int = connection.execute("SELECT count(*) FROM turnspit_jobs").fetchone()[0]
    connection.close()
    shutil.rmtree(copy)
    return count


def one(app: Turnspit) -> None:
    app.tasks["send"].enqueue()


def one_async(app: Turnspit) -> None:
    asyncio.run(app.tasks["send"].aenqueue())


def many(app: Turnspit) -> None:
    app.enqueue_many([app.tasks["send"].new()])


def message(app: Turnspit) -> None:
    app.enqueue_message({"task": "send", "args": {}})


@pytest.mark.on_sqlite  # looks at the file that a power cut leaves
@pytest.mark.parametrize("enqueue", [one, one_async, many, message])
def test_accepted_means_durable(app: Turnspit, path: Path, folder: Path, enqueue: Callable[[Turnspit], None]) -> None:
    @app.task
    def send() -> None: ...

    for expected in range(1, 6):
        enqueue(app)
        assert jobs_in_a_copy(path, folder) == expected


@pytest.mark.parametrize(("durability", "synchronous"), [(None, FULL), ("full", FULL), ("relaxed", NORMAL)])
def test_full_durability_is_the_default(folder: Path, durability: str | None, synchronous: int) -> None:
    """``synchronous=FULL`` waits for the disk at every commit; that it does is SQLite's own promise."""
    options: dict[str, Any] = {} if durability is None else {"durability": durability}
    with Turnspit(f"sqlite:///{folder}/jobs.db", **options) as app:

        @app.task
        def send() -> None: ...

        send.enqueue()
        connection = app.engine._opened().writer.connection  # type: ignore[attr-defined]
        assert connection.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_job_outlives_the_process_that_enqueued_it(app: Turnspit) -> None:
    program = (
        "import os, signal, sys\n"
        "from turnspit import Turnspit\n"
        "app = Turnspit(sys.argv[1])\n"
        "@app.task\n"
        "def send(number: int) -> int: return number\n"
        "print('accepted', send.enqueue(42).id, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    with Program("-c", program, url_of(app)) as producer:
        job = int(producer.wait_for("accepted").split()[1])

    @app.task
    def send(number: int) -> int:
        return number

    with app.worker():
        assert app.jobs.get(job).get_result(timeout=10) == 42
