"""A worker in a process of its own, and how it ends."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.behaviour import worker_program
from tests.behaviour.support import DEADLINE, url_of, wait_until
from turnspit import Job, Turnspit

ROOT = Path(__file__).parents[2]
SIGNALS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


class WorkerProcess:
    """``worker_program`` on a store, its output a line at a time."""

    def __init__(self, app: Turnspit, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.behaviour.worker_program", url_of(app), *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def wait_for(self, *lines: str) -> None:
        """Read until all of these lines came, in whatever order."""
        assert self.process.stdout is not None
        missing, said = set(lines), []
        while missing:
            line = self.process.stdout.readline()
            assert line, f"{missing} never came; there were {said}"
            said.append(line.rstrip("\n"))
            missing.discard(said[-1])

    def let_jobs_end(self) -> None:
        """Every waiting job of the process ends now."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> tuple[int, list[str]]:
        """Wait for its end: the exit code and what it still said."""
        out, err = self.process.communicate(timeout=DEADLINE)
        assert "Traceback" not in err, err
        return self.process.returncode, out.splitlines()


Start = Callable[..., WorkerProcess]


@pytest.fixture
def start(app: Turnspit) -> Iterator[Start]:
    """Starts workers on ``app``, and ends those that a test left."""
    worker_program.declare(app)
    started: list[WorkerProcess] = []

    def begin(*options: str) -> WorkerProcess:
        app.migrate()
        started.append(WorkerProcess(app, *options))
        started[-1].wait_for("started")
        return started[-1]

    yield begin
    for worker in started:
        worker.process.kill()
        worker.process.communicate()


def enqueue(app: Turnspit, *names: str) -> list[Job[object]]:
    return [app.tasks[name].enqueue() for name in names]


@pytest.mark.parametrize("number", SIGNALS)
def test_an_idle_worker_ends_promptly_with_exit_0(app: Turnspit, start: Start, number: signal.Signals) -> None:
    worker = start()
    worker.process.send_signal(number)
    assert worker.end() == (0, ["stopping", "lifespan closed", "exit 0"])
    [record] = app.engine.read(app.engine.list_workers)
    assert (record.live, record.stopped_at is not None) == (False, True)


@pytest.mark.parametrize("number", SIGNALS)
def test_running_jobs_may_end_within_the_grace_time(app: Turnspit, start: Start, number: signal.Signals) -> None:
    worker = start()
    jobs = enqueue(app, "on_loop", "in_thread")
    worker.wait_for("on_loop began", "in_thread began")
    worker.process.send_signal(number)
    worker.wait_for("stopping")
    later = app.tasks["quick"].enqueue(1)
    worker.let_jobs_end()
    assert worker.end() == (0, ["lifespan closed", "exit 0"])
    assert [job.get_result(0) for job in jobs] == ["on_loop", "in_thread"]
    assert (later.refresh().state, later.attempt) == ("ready", 0)


def test_after_the_grace_time_running_jobs_are_handed_back_and_cost_no_attempt(app: Turnspit, start: Start) -> None:
    worker = start("grace=0.1")
    jobs = enqueue(app, "on_loop", "gives_in")
    worker.wait_for("on_loop began", "gives_in began")
    worker.process.send_signal(signal.SIGTERM)
    code, said = worker.end()
    assert (code, said) == (0, ["stopping", "on_loop cancelled", "lifespan closed", "exit 0"])
    for job in jobs:
        job.refresh()
        assert (job.state, job.attempt, job.attempts, job.crashes, job.worker) == ("ready", 0, (), 0, None)


def test_a_second_signal_hands_back_at_once(app: Turnspit, start: Start) -> None:
    worker = start("grace=60")
    jobs = enqueue(app, "on_loop", "in_thread")
    worker.wait_for("on_loop began", "in_thread began")
    worker.process.send_signal(signal.SIGTERM)
    worker.process.send_signal(signal.SIGINT)
    code, said = worker.end()
    assert (code, said[:3]) == (0, ["stopping", "on_loop cancelled", "lifespan closed"])
    assert [(job.refresh().state, job.attempt) for job in jobs] == [("ready", 0)] * 2


def test_a_thread_that_will_not_end_does_not_keep_the_process(app: Turnspit, start: Start) -> None:
    worker = start("grace=0.1")
    [job] = enqueue(app, "in_thread")
    worker.wait_for("in_thread began")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.end() == (0, ["stopping", "lifespan closed"])
    assert (job.refresh().state, job.attempt) == ("ready", 0)


def test_the_job_of_a_thread_goes_back_when_its_process_has_nothing_more_to_do(app: Turnspit, start: Start) -> None:
    """Handed back earlier, it would run elsewhere beside its thread, for as long as the worker takes to close."""
    worker = start("grace=0.1", "hold=1")
    [job] = enqueue(app, "never_ends")
    worker.wait_for("never_ends began")
    worker.process.send_signal(signal.SIGTERM)
    worker.wait_for("lifespan closing")
    assert job.refresh().state == "running"
    worker.let_jobs_end()
    assert worker.end() == (0, ["lifespan closed"])
    assert (job.refresh().state, job.attempt, job.crashes, job.attempts) == ("ready", 0, 0, ())
    [record] = app.engine.read(app.engine.list_workers)
    assert record.stopped_at is not None


def test_a_thread_over_its_time_that_its_process_ends_has_failed(app: Turnspit, start: Start) -> None:
    """Handed back with its attempt, it would hang again and again, from deploy to deploy."""
    worker = start("grace=0.1")
    [job] = enqueue(app, "over_its_time")
    worker.wait_for("over_its_time began")
    wait_until(job.get_logs, "the time-out")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.end()[0] == 0
    assert (job.refresh().state, job.attempt) == ("scheduled", 1)
    [attempt] = job.attempts
    assert (attempt.outcome, attempt.error_type) == ("failed", "JobTimeout")
    assert "in over_its_time" in (attempt.traceback or "")


def test_a_thread_that_asyncio_waits_for_does_not_keep_the_process(app: Turnspit, start: Start) -> None:
    worker = start("grace=0.1", "close_time=0.1")
    [job] = enqueue(app, "to_thread")
    worker.wait_for("to_thread began")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.end() == (0, ["stopping", "lifespan closed"])
    assert (job.refresh().state, job.attempt) == ("ready", 0)


def test_a_thread_that_holds_the_lock_of_the_output_does_not_keep_the_process(app: Turnspit, start: Start) -> None:
    worker = start("grace=0.1")
    [job] = enqueue(app, "holds_output")
    worker.wait_for("holds_output began")
    worker.process.send_signal(signal.SIGTERM)
    worker.process.wait(DEADLINE)
    assert (job.refresh().state, job.attempt) == ("ready", 0)


def test_a_coroutine_that_will_not_end_does_not_keep_the_process(app: Turnspit, start: Start) -> None:
    worker = start("grace=0.1", "cancel_time=0.1")
    [job] = enqueue(app, "stubborn")
    worker.wait_for("stubborn began")
    worker.process.send_signal(signal.SIGTERM)
    code, said = worker.end()
    assert code == 0
    assert said[:3] == ["stopping", "stubborn stays", "lifespan closed"]
    assert (job.refresh().state, job.attempt) == ("ready", 0)


def test_a_task_that_blocks_the_event_loop_does_not_keep_the_process(app: Turnspit, start: Start) -> None:
    """No signal reached its worker. What had ended is stored, what runs beside it and what waits goes back."""
    worker = start("grace=60", "ask=0.1", "concurrency=2")
    quick, blocks = app.tasks["quick"], app.tasks["blocks"]
    done, blocking, waiting = (
        app.jobs.get(job) for job in app.enqueue_many([quick.new(1), blocks.new(), quick.new(2)])
    )
    worker.wait_for("blocks began")
    worker.process.send_signal(signal.SIGTERM)
    assert worker.process.stderr is not None
    told = next(line for line in worker.process.stderr if "is told to stop" in line)
    assert f"its event loop is blocked; 60 s are left to job {blocking.id} (blocks)" in told
    worker.process.send_signal(signal.SIGINT)
    _, err = worker.process.communicate(timeout=DEADLINE)
    assert worker.process.returncode == 0
    assert f"the event loop does not come back; leaving without job {blocking.id} (blocks), which is in\n" in err
    assert "in blocks\n    threading.Event().wait()" in err
    assert done.get_result(0) == 1
    for job in (blocking, waiting):
        assert (job.refresh().state, job.attempt, job.crashes, job.attempts) == ("ready", 0, 0, ())
    [record] = app.engine.read(app.engine.list_workers)
    assert record.stopped_at is not None


def test_a_worker_whose_event_loop_is_blocked_is_stopped_from_anywhere(app: Turnspit, start: Start) -> None:
    """Its loop asks nobody what it is to do; the thread that renews its lease does."""
    worker = start("grace=0.1", "ask=0.1", "lease=1.5")
    [job] = enqueue(app, "blocks")
    worker.wait_for("blocks began")
    [info] = app.workers.list()
    app.workers.stop(info.id)
    _, err = worker.process.communicate(timeout=DEADLINE)
    assert worker.process.returncode == 0, err
    assert (job.refresh().state, job.attempt, job.crashes) == ("ready", 0, 0)


def test_one_that_blocks_it_for_longer_than_its_time_has_failed(app: Turnspit, start: Start) -> None:
    """Handed back with its attempt, it would block worker after worker."""
    worker = start("grace=0.1", "ask=0.1")
    [job] = enqueue(app, "blocks_too_long")
    worker.wait_for("blocks began")
    worker.process.send_signal(signal.SIGTERM)
    _, err = worker.process.communicate(timeout=DEADLINE)
    assert worker.process.returncode == 0, err
    assert (job.refresh().state, job.attempt, job.crashes) == ("scheduled", 1, 0)
    [attempt] = job.attempts
    assert (attempt.outcome, attempt.error_type) == ("failed", "JobTimeout")
    assert "in blocks" in (attempt.traceback or "")


def test_what_was_claimed_ahead_goes_back_with_its_attempt(app: Turnspit, start: Start) -> None:
    worker = start("concurrency=1", "grace=60", "stale=60")
    quick, block = app.tasks["quick"], app.tasks["in_thread"]
    ids = app.enqueue_many([*(quick.new(n) for n in range(500)), block.new(), *(quick.new(n) for n in range(5))])
    worker.wait_for("in_thread began")
    wait_until(lambda: app.jobs.count(state="running") == 6, "the claim ahead")
    worker.process.send_signal(signal.SIGTERM)
    wait_until(lambda: app.jobs.count(state="ready") == 5, "the return")
    worker.let_jobs_end()
    assert worker.end()[0] == 0
    assert app.jobs.get(ids[500]).state == "completed"
    for job in ids[501:]:
        assert (app.jobs.get(job).state, app.jobs.get(job).attempt) == ("ready", 0)
    with app.worker(until_empty=True) as second:
        second.wait()
    assert [app.jobs.get(job).attempt for job in ids[501:]] == [1] * 5


def test_a_job_handed_back_is_finished_by_the_next_worker(app: Turnspit, start: Start) -> None:
    first = start("grace=0.1")
    [job] = enqueue(app, "on_loop")
    first.wait_for("on_loop began")
    first.process.send_signal(signal.SIGTERM)
    second = start()
    second.wait_for("on_loop began")
    second.let_jobs_end()
    assert job.get_result(DEADLINE) == "on_loop"
    assert (job.attempt, [each.outcome for each in job.attempts]) == (1, ["completed"])


def test_the_jobs_of_a_killed_worker_are_finished_by_another(app: Turnspit, start: Start) -> None:
    first, second = start("lease=0.5"), start("lease=0.5")
    jobs = enqueue(app, "in_thread") + enqueue(app, "in_thread")
    both = app.jobs.list(task="in_thread")
    wait_until(lambda: all(job.refresh().state == "running" for job in both), "both claims")
    first.process.kill()
    second.let_jobs_end()
    for job in jobs:
        assert job.get_result(DEADLINE) == "in_thread"
        assert job.attempt == 1
    assert sum(job.crashes for job in jobs) == sum(each.outcome == "crashed" for job in jobs for each in job.attempts)
