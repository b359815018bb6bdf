"""Forks, after the app was used and in the middle of its work: child and parent both go on."""

import asyncio
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.behaviour.support import wait_until
from tests.faults.fork import Child, in_child
from tests.faults.program import PATIENCE, lock_held, release
from turnspit import Turnspit
from turnspit.contract.verbs import WakeKind
from turnspit.engines.forks import _Forks
from turnspit.engines.sqlite.engine import SqliteEngine
from turnspit.engines.sqlite.turnstile import _turnstiles
from turnspit.jobs import JobFilter
from turnspit.records import NewJob

NEW = NewJob("quick", "default", "{}")
# From Python 3.12 on, a fork beside other threads warns; here the other threads are the test's point.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")


@pytest.fixture
def used(shop: Turnspit) -> Turnspit:
    """An app whose connections are open, both of them."""
    insert(shop)
    assert count(shop) == 1
    return shop


def insert(app: Turnspit) -> int:
    return app.engine.write(app.engine.insert_job, NEW).id


def count(app: Turnspit) -> int:
    return app.engine.read(app.engine.count_jobs, JobFilter())


def test_child_and_parent_both_work(used: Turnspit) -> None:
    assert in_child(lambda: (insert(used), count(used))) == (2, 2)
    assert (insert(used), count(used)) == (3, 3)
    assert in_child(lambda: in_child(lambda: insert(used))) == 4
    assert insert(used) == 5


def test_both_work_at_the_same_time(used: Turnspit) -> None:
    """Their locks exclude each other: a child that believed in its parent's locks would write beside it."""

    def insert_many() -> list[int]:
        return [insert(used) for _ in range(50)]

    children = [Child(insert_many) for _ in range(3)]
    ids = insert_many()
    for child in children:
        ids += child.result()  # type: ignore[arg-type]
    assert sorted(ids) == list(range(2, 202))
    assert count(used) == 201
    assert all(is_well for _, is_well, _ in used.engine.diagnose())


def test_the_end_of_the_parents_connections_takes_nothing_from_the_child(used: Turnspit, folder: Path) -> None:
    """The last connection that is closed removes the WAL; the child's must count."""
    go = folder / "go"

    def insert_then_wait() -> int:
        insert(used)
        while not go.exists():
            threading.Event().wait(0.01)
        return insert(used)

    child = Child(insert_then_wait)
    wait_until(lambda: count(used) == 2, "the child's first job")
    used.close()
    go.touch()
    assert child.result() == 3
    assert count(used) == 3


@pytest.mark.parametrize("forks", [15])
def test_a_fork_in_the_middle_of_writing(used: Turnspit, forks: int) -> None:
    """Without letting go of the file before, four of six children hung here."""
    done = threading.Event()
    written: list[int] = []

    def write_again_and_again() -> None:
        while not done.is_set():
            written.append(insert(used))
            count(used)

    threads = [threading.Thread(target=write_again_and_again) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        children = [in_child(lambda: insert(used)) for _ in range(forks)]
    finally:
        done.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert len({*written, *children}) == len(written) + len(children)
    assert count(used) == len(written) + len(children) + 1


def test_threads_that_fork_at_the_same_time(used: Turnspit) -> None:
    """Each holds the engine for its own fork only, and gives it back."""

    def fork_again_and_again() -> list[int]:
        return [in_child(lambda: insert(used)) for _ in range(10)]

    with ThreadPoolExecutor(3) as threads:
        ids = [job for each in [threads.submit(fork_again_and_again) for _ in range(3)] for job in each.result()]
    assert sorted(ids) == list(range(2, 32))
    assert insert(used) == 32


def test_a_fork_that_cannot_prepare_leaves_the_engine_usable(used: Turnspit, monkeypatch: pytest.MonkeyPatch) -> None:
    """An alarm or Ctrl-C in the middle: Python reports it, and forks all the same."""
    reported: list[object] = []
    monkeypatch.setattr("sys.unraisablehook", lambda event: reported.append(event.exc_value))

    def fail() -> None:
        raise RuntimeError("interrupted")

    with monkeypatch.context() as interrupted:
        interrupted.setattr(used.engine.wakeups, "pause", fail)
        in_child(lambda: None)
    assert [str(error) for error in reported] == ["interrupted"]
    assert insert(used) == 2
    assert in_child(lambda: insert(used)) == 3


def test_an_engine_that_cannot_go_on_after_a_fork_keeps_no_other_from_it() -> None:
    """As where no thread can be started. The others stayed locked, for every thread of the parent."""
    resumed: list[object] = []

    class Broken:
        def prepare_fork(self) -> None:
            """Nothing to do."""

        def resume_after_fork(self) -> None:
            resumed.append(self)
            raise RuntimeError("can't start new thread")

        def forget_after_fork(self) -> None:
            """Nothing to do."""

    forks, engines = _Forks(), [Broken(), Broken()]
    forks.engines.update(engines)
    for forked in (1, 2):
        forks.before()
        with pytest.raises(RuntimeError, match="can't start new thread"):
            forks.in_parent()
        assert len(resumed) == 2 * forked


def test_who_listens_goes_on_listening_in_the_parent(used: Turnspit) -> None:
    heard = threading.Event()
    used.engine.wakeups.listen(lambda wake: heard.set() if wake.kind is WakeKind.READY else None)
    in_child(lambda: None)
    other = Turnspit(f"sqlite:///{used.engine.location}")
    assert heard.wait(10), "the first look after the fork counts as a change"
    heard.clear()
    insert(other)
    assert heard.wait(10)
    other.close()


def test_who_was_closed_is_not_waked_by_a_fork(used: Turnspit, path: Path) -> None:
    """It would look at a store that may be gone, for good."""
    used.engine.wakeups.listen(lambda wake: None)
    used.close()
    before = threading.active_count()
    in_child(lambda: None)
    assert threading.active_count() == before
    assert list(path.parent.glob("*/*.sock")) == []


def test_an_embedded_worker_goes_on_in_the_parent(used: Turnspit) -> None:
    with used.worker(lease=0.9, heartbeat=0.2):
        for number in range(3):
            child = Child(lambda: used.tasks["quick"].enqueue(7).id)
            assert used.tasks["quick"].enqueue(number).get_result(timeout=10) == number
            assert used.jobs.get(child.result()).get_result(timeout=10) == 7  # type: ignore[arg-type]


def test_multiprocessing_with_fork(path: Path) -> None:
    """In a process of its own: a fork copies the locks that any thread holds, also those of other tests."""
    program = f"from tests.faults.test_fork import fork_a_pool; fork_a_pool({str(path)!r})"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=50)


def fork_a_pool(path: str) -> None:
    used = Turnspit(f"sqlite:///{path}")
    assert insert(used) == 1
    with multiprocessing.get_context("fork").Pool(3) as pool:
        ids = pool.map(_insert_in, [str(used.engine.location)] * 30)
    assert sorted(ids) == list(range(2, 32))
    assert insert(used) == 32


_apps: dict[str, Turnspit] = {}


def _insert_in(location: str) -> int:
    app = _apps.setdefault(location, Turnspit(f"sqlite:///{location}"))
    return insert(app)


def test_a_fork_inside_a_running_event_loop(used: Turnspit) -> None:
    async def fork() -> list[int]:
        ids = [(await used.engine.awrite(used.engine.insert_job, NEW)).id]
        waiting = asyncio.ensure_future(used.engine.awrite(used.engine.insert_job, NEW))
        await asyncio.sleep(0)
        ids.append(in_child(lambda: insert(used)))
        ids.append((await waiting).id)
        return ids

    assert sorted(asyncio.run(fork())) == [2, 3, 4]


def test_a_child_leaves_no_sockets_or_files_of_its_parent_open(used: Turnspit, path: Path) -> None:
    used.engine.wakeups.listen(lambda wake: None)

    def open_files() -> list[str]:
        links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
        return [os.readlink(link) for link in links if os.path.lexists(link)]

    seen: Callable[[], list[str]] = lambda: [name for name in open_files() if name.startswith(str(path))]  # noqa: E731
    assert seen()
    assert in_child(seen) == []


def test_a_writer_that_waits_for_others_does_not_hold_up_a_fork_for_long(
    used: Turnspit, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its turn at the lock must not live on in the child, which may outlive the parent."""
    monkeypatch.setattr("turnspit.engines.calls._JOIN_TIMEOUT", 0.2)
    engine = used.engine
    assert isinstance(engine, SqliteEngine)

    async def fork_while_waiting() -> int:
        with lock_held(path) as holder:
            waiting = asyncio.ensure_future(engine.awrite(engine.insert_job, NEW))
            await asyncio.sleep(0.1)  # nothing tells that a thread waits for a lock
            turns = in_child(lambda: [each._fd for each in _turnstiles])
            assert set(turns) == {None}
            with pytest.raises(AssertionError, match=r"forked while a call of its parent waited for the store's lock"):
                in_child(lambda: insert(used))  # and does not wait for a lock that nobody gives back
            release(holder)
            return (await waiting).id

    assert asyncio.run(fork_while_waiting()) == 2
    assert insert(used) == 3


def test_several_loops_one_after_another(used: Turnspit) -> None:
    """As pytest and notebooks have them."""

    async def enqueue() -> int:
        job = await used.tasks["quick"].aenqueue(1)
        return await job.aget_result(timeout=10)

    with used.worker():
        assert [asyncio.run(enqueue()) for _ in range(3)] == [1, 1, 1]
