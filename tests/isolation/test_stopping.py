"""A process is killed where a thread could only be asked: time-out, cancellation, a lost claim, shutdown, kill -9."""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.behaviour.support import DEADLINE, change, wait_until
from tests.isolation import tasks
from tests.isolation.conftest import is_alive
from turnspit import JobCancelled, JobContext, JobDead, JobTimeout, Retry, Snooze, Turnspit
from turnspit._runtime.worker import processes as processes_module
from turnspit._runtime.worker.processes import Processes
from turnspit.context import claim_of
from turnspit.records import NewJob
from turnspit.reporting import Silent


@pytest.fixture
def processes(app: Turnspit) -> Iterator[Processes]:
    """Those of a worker, without the rest of it."""
    found = Processes(app.worker_parts())
    yield found
    found.close()


def context_of(new: NewJob[Any]) -> JobContext:
    """The context of a claimed job."""
    return JobContext(claim_of(JobContext.detached(new.task))._replace(args=new.args), Silent(), {})


def began(folder: Path) -> list[int]:
    """The processes of the hanging task: its own, and one that it started."""
    wait_until((folder / "began").exists, "the beginning of the task")
    return [int(pid) for pid in (folder / "began").read_text().split()]


def assert_gone(pids: list[int], since: float, within: float = 1.0) -> None:
    """All have ended by now, and soon after the reason."""
    wait_until(lambda: not any(map(is_alive, pids)), "the end of the processes")
    assert time.monotonic() - since < within + 4.0  # a busy machine; the process itself has half a second


def test_a_time_out_kills_it_with_all_it_started_and_tells_where_it_was(app: Turnspit, tmp_path: Path) -> None:
    with app.worker(concurrency=1):
        assert tasks.end.enqueue("well").get_result(DEADLINE) == "well"  # its process has started
        job = tasks.hang.using(timeout=3, retry=Retry(attempts=1)).enqueue(str(tmp_path))
        pids = began(tmp_path)
        with pytest.raises(JobDead, match=r"JobTimeout: stopped after \d"):
            job.get_result(DEADLINE)
        assert not any(map(is_alive, pids[:1]))
        wait_until(lambda: not is_alive(pids[1]), "the end of what it started")
        assert tasks.end.enqueue("well").get_result(DEADLINE) == "well"
    traceback = job.refresh().attempts[0].traceback or ""
    assert "in hang\n    deep(folder)\n" in traceback
    assert "in deep\n    time.sleep(600)\n" in traceback


@pytest.mark.skipif(sys.platform == "win32", reason="no fork there")
@pytest.mark.parametrize(
    ("ends", "error"), [(True, "ProcessDied: its process died: exit code 3"), (False, "JobTimeout")]
)
def test_a_daemon_that_outlives_it_keeps_no_attempt_from_ending(
    app: Turnspit, tmp_path: Path, ends: bool, error: str
) -> None:
    try:
        with app.worker(concurrency=1):
            assert tasks.end.enqueue("well").get_result(DEADLINE) == "well"  # its process has started
            job = tasks.leaves_a_daemon.using(timeout=60 if ends else 3).enqueue(str(tmp_path), ends)
            with pytest.raises(JobDead, match=error):
                job.get_result(DEADLINE)
            assert is_alive(began(tmp_path)[0])
    finally:
        os.kill(began(tmp_path)[0], signal.SIGKILL)


def test_a_cancelled_job_is_killed_with_all_it_started(app: Turnspit, tmp_path: Path) -> None:
    with app.worker(concurrency=1):
        job = tasks.hang.enqueue(str(tmp_path))
        pids = began(tmp_path)
        cancelled = time.monotonic()
        app.jobs.cancel(job.id)
        with pytest.raises(JobCancelled):
            job.get_result(DEADLINE)
        assert_gone(pids, cancelled)
    assert "in deep\n    time.sleep(600)\n" in (job.refresh().attempts[0].traceback or "")


def test_a_job_that_looks_is_told_before_it_is_killed(
    app: Turnspit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "_LAST_WORDS", 5.0)  # a busy machine may be slow to hear them
    with app.worker(concurrency=1):
        job = tasks.gives_in.enqueue(str(tmp_path))
        wait_until((tmp_path / "began").exists, "the beginning of the task")
        app.jobs.cancel(job.id)
        with pytest.raises(JobCancelled):
            job.get_result(DEADLINE)
    assert "job.raise_if_cancelled()" in (job.refresh().attempts[0].traceback or "")


@pytest.mark.on_sqlite
def test_a_job_that_has_ended_is_told_to_stop_and_the_next_one_in_its_process_is_not(
    app: Turnspit, processes: Processes, tmp_path: Path
) -> None:
    """The worker's event loop may hear of an end a moment after the process took its next job."""
    ended, next_ = context_of(tasks.end.new("well")), context_of(tasks.gives_in.new(str(tmp_path)))
    assert processes.run(tasks.end, ended) == "well"
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(processes.run, tasks.gives_in, next_)
        wait_until((tmp_path / "began").exists, "the beginning of the task")
        ended.stop("timeout")
        next_.stop("cancelled")
        with pytest.raises(JobCancelled):
            call.result(DEADLINE)


@pytest.mark.on_sqlite
def test_where_no_thread_can_be_started_it_is_killed_at_once(
    app: Turnspit, processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_of(tasks.gives_in.new(str(tmp_path)))

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with ThreadPoolExecutor(1) as threads, monkeypatch.context() as patch:
        call = threads.submit(processes.run, tasks.gives_in, context)
        wait_until((tmp_path / "began").exists, "the beginning of the task")
        patch.setattr(threading.Thread, "start", refuse)
        context.ask_to_yield()
        context.stop("timeout")
        with pytest.raises(JobTimeout):
            call.result(DEADLINE)


@pytest.mark.on_sqlite
def test_a_job_whose_worker_began_to_stop_while_its_process_started_gives_way(
    app: Turnspit, processes: Processes
) -> None:
    context = context_of(tasks.walk.new(100))
    context.ask_to_yield()
    with pytest.raises(Snooze):
        processes.run(tasks.walk, context)


def test_a_lost_claim_kills_it_and_the_job_runs_again(app: Turnspit, tmp_path: Path) -> None:
    with app.worker(concurrency=1, lease=3, heartbeat=0.3):
        job = tasks.hang.enqueue(str(tmp_path))
        pids = began(tmp_path)
        (tmp_path / "began").unlink()
        lost = time.monotonic()
        change(app, "UPDATE {workers} SET stopped_at = 1")  # what another worker's rescue does
        assert_gone(pids, lost, within=2)
        again = began(tmp_path)
        assert not set(again) & set(pids)
        assert (job.refresh().state, job.attempt, job.crashes) == ("running", 1, 1)
        app.jobs.cancel(job.id)
        with pytest.raises(JobCancelled):
            job.get_result(DEADLINE)
    assert [attempt.outcome for attempt in job.refresh().attempts] == ["crashed", "cancelled"]


def test_after_the_grace_time_a_shutdown_kills_it_and_costs_no_attempt(app: Turnspit, tmp_path: Path) -> None:
    with app.worker(concurrency=1, grace=0):
        job = tasks.hang.enqueue(str(tmp_path))
        pids = began(tmp_path)
        stopped = time.monotonic()
    assert_gone(pids, stopped)
    assert (job.refresh().state, job.attempt) == ("ready", 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
@pytest.mark.parametrize("how", ["hang", "hang_with_the_lock"])
def test_it_dies_with_its_worker_also_by_kill_9(app: Turnspit, store_url: str, tmp_path: Path, how: str) -> None:
    program = subprocess.Popen([sys.executable, "-m", "tests.isolation.worker_program", store_url])
    try:
        app.tasks[how].enqueue(str(tmp_path))
        began(tmp_path)
        processes = psutil.Process(program.pid).children(recursive=True)
        program.send_signal(signal.SIGKILL)
        program.wait()
        killed = time.monotonic()
        assert_gone([process.pid for process in processes], killed)
    finally:
        program.kill()
        program.wait()


@pytest.mark.on_sqlite
@pytest.mark.skipif(sys.platform != "linux", reason="only there can another than process 1 inherit orphans")
def test_a_worker_that_is_process_1_buries_what_its_processes_had_started(processes: Processes) -> None:
    inherit_orphans = partial(ctypes.CDLL(None).prctl, 36)
    assert inherit_orphans(1) == 0
    try:
        assert processes.run(tasks.end, context_of(tasks.end.new("well"))) == "well"
        assert psutil.Process().children(recursive=True)
        processes.close()
        wait_until(lambda: not psutil.Process().children(), "the end and the burial of all processes")
    finally:
        inherit_orphans(0)
