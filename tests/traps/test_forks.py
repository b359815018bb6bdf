"""A process that has used its app and then forks or spawns others."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.behaviour.support import DEADLINE, url_of
from turnspit import Turnspit

PROGRAM = """
import asyncio, os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 and newer warn of every fork beside a thread
from turnspit import Turnspit

app = Turnspit(sys.argv[1])

@app.task
def note(who: str) -> str:
    return who

"""

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def run(app: Turnspit, folder: Path, code: str) -> str:
    """Run a program with the app of ``PROGRAM``; what it prints."""
    program = folder / "program.py"
    program.write_text(PROGRAM + textwrap.dedent(code))
    done = subprocess.run(
        [sys.executable, str(program), url_of(app)],
        capture_output=True,
        text=True,
        timeout=3 * DEADLINE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def names(app: Turnspit) -> list[str]:
    """The arguments of all stored jobs."""
    return sorted(job.args["who"] for job in app.jobs.list(limit=1000))


@needs_fork
def test_children_of_a_preloaded_server_and_their_parent_all_enqueue(app: Turnspit, folder: Path) -> None:
    """As gunicorn --preload: the master has used the app before it forks its workers."""
    run(
        app,
        folder,
        """
        note.enqueue("master before")
        app.jobs.count()
        children = []
        for child in range(4):
            pid = os.fork()
            if not pid:
                for number in range(25):
                    note.enqueue(f"child {child} {number}")
                asyncio.run(note.aenqueue(f"child {child} async"))
                assert app.jobs.count() >= 26
                os._exit(0)
            children.append(pid)
        for number in range(25):
            note.enqueue(f"master {number}")
        assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
        note.enqueue("master after")
        """,
    )
    expected = ["master before", "master after", *(f"master {number}" for number in range(25))]
    for child in range(4):
        expected += [f"child {child} async", *(f"child {child} {number}" for number in range(25))]
    assert names(app) == sorted(expected)


@needs_fork
def test_a_fork_beside_a_running_worker_leaves_the_worker_alone(app: Turnspit, folder: Path) -> None:
    said = run(
        app,
        folder,
        """
        with app.worker():
            assert note.enqueue("before").get_result(10) == "before"
            pid = os.fork()
            if not pid:
                job = note.enqueue("from the child")
                answer = job.get_result(10)      # done by the parent's worker
                os._exit(0 if answer == "from the child" else 1)
            assert os.waitpid(pid, 0)[1] == 0
            assert note.enqueue("after").get_result(10) == "after"
        print("done")
        """,
    )
    assert said == "done\n"
    assert app.jobs.count(state="completed") == 3


@needs_fork
def test_a_child_may_run_a_worker_of_its_own(app: Turnspit, folder: Path) -> None:
    run(
        app,
        folder,
        """
        jobs = [note.enqueue(str(number)) for number in range(20)]
        children = []
        for _ in range(2):
            pid = os.fork()
            if not pid:
                code = app.run_worker(until_empty=True)
                os._exit(code)
            children.append(pid)
        assert all(os.waitpid(pid, 0)[1] == 0 for pid in children)
        assert [job.get_result(0) for job in jobs] == [str(number) for number in range(20)]
        """,
    )


@pytest.mark.parametrize("method", [pytest.param("fork", marks=needs_fork), "spawn"])
def test_multiprocessing(app: Turnspit, folder: Path, method: str) -> None:
    run(
        app,
        folder,
        f"""
        import multiprocessing

        def work(number):
            job = note.enqueue(f"process {{number}}")
            return job.id, app.jobs.get(job.id).args["who"]

        if __name__ == "__main__":
            note.enqueue("parent")
            with multiprocessing.get_context({method!r}).Pool(2) as pool:
                answers = pool.map(work, range(10))
            assert sorted(who for _, who in answers) == [f"process {{number}}" for number in range(10)]
            assert len({{id for id, _ in answers}}) == 10
            note.enqueue("parent after")
        """,
    )
    assert len(names(app)) == 12


@needs_fork
def test_a_job_may_fork(app: Turnspit, folder: Path) -> None:
    run(
        app,
        folder,
        """
        import subprocess, multiprocessing

        def in_child(queue):
            queue.put(note.enqueue("grandchild").id)

        @app.task
        def forks() -> int:
            context = multiprocessing.get_context("fork")
            queue = context.SimpleQueue()
            process = context.Process(target=in_child, args=(queue,))
            process.start()
            process.join(10)
            assert subprocess.run(["true"]).returncode == 0
            return queue.get()

        with app.worker():
            assert app.jobs.get(forks.enqueue().get_result(20)).get_result(20) == "grandchild"
        """,
    )
