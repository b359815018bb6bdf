"""Many processes on one file: nothing is lost or done twice, and ``database is locked`` reaches nobody."""

import contextlib
import errno
import os
import sqlite3
import threading
import time
from collections import Counter
from functools import partial
from pathlib import Path

import pytest

from tests.faults.conftest import Ledger
from tests.faults.fork import Child
from tests.faults.program import PATIENCE, Program
from turnspit import Turnspit
from turnspit.engines import open_engine
from turnspit.engines.sqlite.turnstile import Turnstile
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

NEW = NewJob("send", "default", "{}")
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


def test_fifty_processes_open_an_empty_path_at_once(url: str, folder: Path) -> None:
    """One schema, no error, and every job is there."""
    go = folder / "go"

    def insert() -> int:
        engine = open_engine(url, deadline=PATIENCE)
        while not go.exists():
            time.sleep(0.001)
        return engine.write(engine.insert_job, NEW).id

    children = [Child(insert) for _ in range(50)]
    go.touch()
    assert sorted(child.result() for child in children) == list(range(1, 51))  # type: ignore[type-var]


def test_several_producers_and_workers(shop: Turnspit, url: str, ledger: Ledger) -> None:
    producers = [Program.of("producer", url, ledger.path, 100) for _ in range(2)]
    notes = [shop.tasks["note"].enqueue() for _ in range(20)]
    workers = [Program.of("drainer", url, ledger.path) for _ in range(2)]
    for producer in producers:
        producer.wait_for("ready")
        producer.say("go")
    said = [program.end() for program in producers]
    with shop.worker(until_empty=True) as embedded:
        embedded.wait()
    said += [program.end() for program in workers]
    for program in (*producers, *workers):
        program.__exit__(None, None, None)
    assert shop.jobs.count(state="completed") == shop.jobs.count() == 220
    assert Counter(ledger.rows("done")) == Counter({(job.id, 1): 1 for job in notes})
    assert "locked" not in "\n".join(said)
    assert "Traceback" not in "\n".join(said)


def test_processes_that_write_without_pause_take_turns(url: str, path: Path) -> None:
    """Without the turnstile, the busy handler's sleeps starved one of two for seconds."""
    engine = open_engine(url)
    engine.migrate()
    engine.close()

    def write_for_a_while(name: str) -> None:
        engine = open_engine(url)
        until = time.monotonic() + 1.5
        while time.monotonic() < until:
            engine.write(engine.insert_job, NEW._replace(queue=name))

    children = [Child(partial(write_for_a_while, name)) for name in "ab"]
    for child in children:
        child.result()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        order = "".join(name for (name,) in connection.execute("SELECT queue FROM turnspit_jobs ORDER BY id"))
    # In numbers of writes, as a busy machine is slow to all of them.
    counts = [order.count(name) for name in "ab"]
    longest = max(len(others) for name in "ab" for others in order[order.index(name) :].split(name)[:-1])
    assert min(counts) > max(counts) / 5, counts
    assert longest < len(order) / 4, (longest, counts)


def test_the_turnstile_lets_one_in_at_a_time(folder: Path) -> None:
    inside = folder / "inside"

    def pass_through() -> int:
        turnstile = Turnstile(folder / "turnstile")
        for _ in range(100):
            with turnstile:
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
                inside.unlink()
        return 100

    children = [Child(pass_through) for _ in range(4)]
    assert [child.result() for child in children] == [100] * 4


def test_a_turnstile_whose_holder_is_killed_opens(folder: Path) -> None:
    turnstile = Turnstile(folder / "turnstile")
    holder = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from turnspit.engines.sqlite.turnstile import Turnstile\n"
        "turnstile = Turnstile(Path(sys.argv[1]))\n"
        "turnstile.enter()\n"
        "print('inside', flush=True)\n"
        "time.sleep(60)\n"
    )
    with Program("-c", holder, str(folder / "turnstile")) as program:
        program.wait_for("inside")
        assert not turnstile.enter(wait=False)
        program.kill()
    assert turnstile.enter(wait=False)
    turnstile.leave()
    turnstile.close()


def test_a_worker_in_another_process_is_waked(shop: Turnspit, url: str, ledger: Ledger) -> None:
    """How fast is the benchmark's figure."""
    with Program.of("waked", url, ledger.path) as worker:
        worker.wait_for("started")
        for number in range(5):
            assert shop.tasks["quick"].enqueue(number).get_result(timeout=PATIENCE) == number


def test_listeners_of_many_processes_hear_the_last_commit(url: str, folder: Path) -> None:
    """Sixteen that begin to listen while others begin: nobody is overlooked for good."""
    engine = open_engine(url)
    engine.write(engine.insert_job, NEW)
    go = folder / "go"

    def listen() -> bool:
        engine = open_engine(url)
        assert engine.read(engine.count_jobs, JobFilter()) >= 1
        heard = threading.Event()
        engine.wakeups.listen(lambda wake: heard.set() if go.exists() else None)
        (folder / f"{os.getpid()}.listens").touch()
        return heard.wait(10)

    children = [Child(listen) for _ in range(16)]
    while len(list(folder.glob("*.listens"))) < 16:
        engine.write(engine.insert_job, NEW)
    go.touch()
    engine.write(engine.insert_job, NEW)
    assert [child.result() for child in children] == [True] * 16
    engine.close()


def test_a_file_system_without_locks_costs_the_turns_only(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The busy handler alone decides, as where the platform has no such lock."""

    def refuse(fd: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("turnspit.engines.sqlite.turnstile.fcntl.flock", refuse)
    engine = open_engine(url)
    assert [engine.write(engine.insert_job, NEW).id for _ in range(3)] == [1, 2, 3]
    engine.close()
