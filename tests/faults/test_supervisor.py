"""``turnspit worker --processes``: real processes, real signals, both engines."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.support import wait_until
from tests.cli.gate import Gate
from tests.faults.fleet import Fleet, ask, make_app, write_app
from tests.programs import running
from turnspit import Job, JobState, Turnspit

LONG_LEASE = "--lease=60"
AS_PROCESS_1 = ["unshare", "--pid", "--fork", "--kill-child"]


@pytest.fixture
def app(store_url: str) -> Iterator[Turnspit]:
    with make_app(store_url) as app:
        yield app


@pytest.fixture
def name(folder: Path, store_url: str) -> str:
    return write_app(folder, store_url)


@pytest.fixture
def gate(folder: Path) -> Iterator[Gate]:
    with Gate(folder) as gate:
        yield gate


def arrival(gate: Gate) -> int:
    """Wait until a job comes to the gate; the process in which it runs."""
    gate.wait_for_job()
    return int(gate.last().recv(20))


def test_the_jobs_of_a_killed_process_run_again_before_its_lease_runs_out(app: Turnspit, name: str, gate: Gate) -> None:
    """Its supervisor saw it die, and told a sibling. The lease is three times as long as the gate waits for anybody.
    The crash counts all the same.
    """
    job = app.tasks["hold"].enqueue(gate=gate.path)
    with Fleet(name, "--processes", "2", LONG_LEASE) as fleet:
        fleet.wait_started(2)
        victim = arrival(gate)
        for _ in range(2):
            os.kill(victim, signal.SIGKILL)
            victim = arrival(gate)
            fleet.wait_started(1)
        gate.open()
        wait_until(lambda: job.refresh().state == "completed", "completed")
        fleet.signal(signal.SIGTERM)
        fleet.end()
    assert (job.crashes, job.attempt) == (2, 1)
    assert [attempt.outcome for attempt in job.attempts] == ["crashed", "crashed", "completed"]


def test_a_process_that_is_the_only_one_is_replaced_at_once(app: Turnspit, name: str, gate: Gate) -> None:
    """Its successor returns its jobs."""
    job = app.tasks["hold"].enqueue(gate=gate.path)
    with Fleet(name, "--max-jobs", "1000", LONG_LEASE) as fleet:
        os.kill(arrival(gate), signal.SIGKILL)
        arrival(gate)
        gate.open()
        wait_until(lambda: job.refresh().state == "completed", "completed")
        fleet.signal(signal.SIGTERM)
        fleet.end()
    assert job.crashes == 1


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(0)"])
def test_a_job_that_keeps_killing_its_processes_is_stopped(
    app: Turnspit, folder: Path, store_url: str, end: str
) -> None:
    """Also by an end that looks like an orderly one."""
    deadly = f"\n@app.task\ndef deadly() -> None:\n    {end}\n"
    name = write_app(folder, store_url, deadly.replace("app.task", "app.task(on_dead=lambda job, error: print(error))"))

    @app.task
    def deadly() -> None: ...

    job = deadly.enqueue()
    with Fleet(name, "--processes", "2", LONG_LEASE) as fleet:
        fleet.hear(f"job {job.id} (deadly) is dead: WorkerDied: crashed its worker 3 times")
        fleet.hear("crashed its worker 3 times")
        fleet.signal(signal.SIGTERM)
        fleet.end()
    assert (job.refresh().state, job.crashes) == ("dead", 4)


def test_a_process_that_did_its_jobs_is_replaced_and_interrupts_none(app: Turnspit, name: str, gate: Gate) -> None:
    """Longer than the grace time: only a stop has that."""
    held = app.tasks["hold"].enqueue(gate=gate.path)
    with Fleet(name, "--max-jobs", "1", "--grace", "0.1") as fleet:
        old = arrival(gate)
        app.tasks["quick"].enqueue()
        assert f"(pid {old}) is replaced: it has done 1 jobs" in fleet.hear("is replaced")
        fleet.hear("takes no more jobs; it ends with its last one (1)")
        assert app.tasks["quick"].enqueue().get_result(timeout=20) != old
        assert held.refresh().state == "running"
        gate.open()
        assert held.get_result(timeout=20) == old
        assert f"(pid {old}), which had been replaced, ended with exit code 0" in fleet.hear("which had been replaced")
        fleet.signal(signal.SIGTERM)
        fleet.end()
    assert (held.refresh().attempt, held.crashes) == (1, 0)


@pytest.mark.on_sqlite
def test_a_process_that_grew_is_replaced(app: Turnspit, name: str) -> None:
    app.tasks["grow"].enqueue(megabytes=300)
    with Fleet(name, "--max-memory", "300MB") as fleet:
        assert "MB of memory" in fleet.hear("is replaced: it has 3")
        fleet.hear("which had been replaced, ended with exit code 0")
        fleet.signal(signal.SIGTERM)
        fleet.end()


@pytest.mark.on_sqlite
def test_sighup_replaces_every_process_one_after_the_other(app: Turnspit, name: str) -> None:
    with Fleet(name, "--processes", "2") as fleet:
        fleet.wait_started(2)
        before = fleet.children()
        fleet.signal(signal.SIGHUP)
        for _ in range(2):
            fleet.hear("is replaced: it is to begin anew")
            fleet.hear("started: pid")
        fleet.wait_gone(before)
        fleet.signal(signal.SIGTERM)
        fleet.end()
        assert len(fleet.children()) == 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_lets_running_jobs_end(app: Turnspit, name: str, gate: Gate, number: signal.Signals) -> None:
    """Ctrl-C reaches the whole group of the terminal; for the workers it must not be a second signal."""
    job = app.tasks["hold"].enqueue(gate=gate.path)
    with Fleet(name, "--processes", "2") as fleet:
        arrival(gate)
        fleet.wait_started(2 - fleet.so_far().count("started: pid"))
        os.killpg(fleet.pid, number)
        fleet.hear("stopping; running jobs (1) may take up to 25 s")
        gate.open()
        assert fleet.wait(20) == 0
        assert "at once" not in fleet.rest().rpartition("hands them back at once")[2]
    assert (job.refresh().state, job.attempt) == ("completed", 1)


def test_a_second_signal_hands_running_jobs_back_at_once(app: Turnspit, name: str, gate: Gate) -> None:
    job = app.tasks["hold"].enqueue(gate=gate.path)
    with Fleet(name, "--processes", "2", "--grace", "10m") as fleet:
        arrival(gate)
        fleet.signal(signal.SIGTERM)
        fleet.hear("stopping; running jobs (1)")
        fleet.signal(signal.SIGTERM)
        assert fleet.wait(20) == 0, fleet.rest()
    assert (job.refresh().state, job.attempt, job.crashes) == (JobState.READY, 0, 0)


def test_when_the_supervisor_is_killed_its_processes_stop_in_order(app: Turnspit, name: str, gate: Gate) -> None:
    job = app.tasks["hold"].enqueue(gate=gate.path)
    with Fleet(name, "--processes", "2") as fleet:
        arrival(gate)
        fleet.wait_started(2 - fleet.so_far().count("started: pid"))
        fleet.signal(signal.SIGKILL)
        fleet.hear("the supervisor is gone: stopping")
        gate.open()
        fleet.wait_gone(fleet.children())
    assert (job.refresh().state, job.attempt, job.crashes) == ("completed", 1, 0)


@pytest.mark.on_sqlite
def test_processes_that_die_at_their_start_are_tried_again_slowly(folder: Path, store_url: str) -> None:
    broken = "\n@app.lifespan\nasync def lifespan(app):\n    raise KeyError('SMTP_PORT')\n    yield\n"
    with Fleet(write_app(folder, store_url, broken), "--max-jobs", "9", "--health-port", "0") as fleet:
        assert "ended with exit code 1; another one starts now" in fleet.hear("exit code 1;")
        assert "ended with exit code 1; another one starts in 0." in fleet.hear("exit code 1;")
        assert "3 in a row have ended within 10 s of their start. Another one starts in" in fleet.hear("exit code 1;")
        assert ask(fleet.address, "/livez") == (
            503,
            {
                "live": False,
                "ready": False,
                "problems": [
                    "process 1: 3 in a row have ended within 10 s of their start, the last one ended with exit code 1"
                ],
            },
        )
        fleet.signal(signal.SIGTERM)
        assert "KeyError: 'SMTP_PORT'" in fleet.end()


def test_until_empty_ends_with_the_work(app: Turnspit, name: str) -> None:
    jobs = [app.tasks["quick"].enqueue() for _ in range(100)]
    with Fleet(name, "--processes", "2", "--until-empty") as fleet:
        said = fleet.end()
    assert {job.refresh().state for job in jobs} == {JobState.COMPLETED}
    assert "  processes    2\n" in said
    assert said.splitlines()[-1].endswith("all processes have ended")


def test_a_task_that_blocks_the_loop_beyond_its_time_out_ends_its_process(
    app: Turnspit, folder: Path, store_url: str
) -> None:
    """Nobody can cancel it, and nothing else in its process would ever go on."""
    more = (
        "\nimport threading\nfrom turnspit import Retry\n"
        "@app.task(timeout=0.2, retry=Retry(attempts=1))\nasync def hog() -> None:\n    threading.Event().wait()\n"
    )

    @app.task
    def hog() -> None: ...

    late, behind = app.enqueue_many([hog.new(), app.tasks["quick"].new()])
    with Fleet(write_app(folder, store_url, more), "--max-jobs", "9", LONG_LEASE) as fleet:
        fleet.hear(f"the event loop does not come back; leaving without job {late} (hog)")
        fleet.hear("ended with exit code 1; another one starts now")
        assert app.jobs.get(behind).get_result(timeout=20) > 0
        fleet.signal(signal.SIGTERM)
        fleet.end()
    job = app.jobs.get(late)
    assert (job.state, job.attempt, job.crashes, job.error_type) == ("dead", 1, 0, "JobTimeout")
    assert "in hog" in (job.attempts[0].traceback or "")


STUCK = """
from turnspit import Retry

@app.task(timeout=0.5, retry=Retry(attempts=1))
def stuck(gate: str) -> int:
    hang.function(gate)
    return os.getpid()
"""


@pytest.fixture
def stuck(app: Turnspit, folder: Path, store_url: str, gate: Gate) -> tuple[str, Job[int]]:
    """An app, and a job of it whose thread nobody can end."""

    @app.task
    def stuck(gate: str) -> int: ...

    return write_app(folder, store_url, STUCK), stuck.enqueue(gate=gate.path)


def test_a_process_whose_slots_are_all_taken_by_hung_threads_is_replaced_and_ends_in_order(
    app: Turnspit, stuck: tuple[str, Job[int]], gate: Gate
) -> None:
    """What waits goes on in another one, while the threads have the grace time to end in."""
    name, late = stuck
    with Fleet(name, "--max-jobs", "9", "-c", "1", "--max-lag", "0.2", "--grace", "10m", LONG_LEASE) as fleet:
        gate.wait_for_job()
        behind = app.tasks["quick"].enqueue()
        why = f"is replaced: all its slots are taken by jobs that were told to stop and do not end ({late.id})"
        assert why in fleet.hear("is replaced")
        fleet.hear("takes no more jobs; it ends with its last one (1)")
        [old, new] = fleet.children()
        assert behind.get_result(timeout=20) == new
        assert late.refresh().state == "running"
        gate.open()
        assert late.get_result(timeout=20) == old
        assert f"(pid {old}), which had been replaced, ended with exit code 0" in fleet.hear("which had been replaced")
        fleet.signal(signal.SIGTERM)
        fleet.end()
    assert (late.refresh().attempt, late.crashes) == (1, 0)


def test_a_replaced_process_leaves_without_the_threads_that_do_not_end(stuck: tuple[str, Job[int]], gate: Gate) -> None:
    """Their attempts end as what they are: over their time-out, with the stack."""
    name, late = stuck
    with Fleet(name, "--max-jobs", "9", "-c", "1", "--max-lag", "0.2", "--grace", "0", LONG_LEASE) as fleet:
        gate.wait_for_job()
        fleet.hear("is replaced: all its slots are taken")
        fleet.hear("what follows did not end in time: leaving without it")
        assert f"job {late.id} (stuck), in a thread that is in" in fleet.hear("job")
        gate.wait_until_gone()
        fleet.hear("which had been replaced, ended with exit code 0")
        fleet.signal(signal.SIGTERM)
        fleet.end()
    assert (late.refresh().state, late.attempt, late.crashes, late.error_type) == ("dead", 1, 0, "JobTimeout")
    assert "in hang" in (late.attempts[0].traceback or "")


@pytest.mark.on_sqlite
def test_until_empty_does_not_take_a_jobs_exit_for_the_end(app: Turnspit, folder: Path, store_url: str) -> None:
    more = "\napp._max_crashes = 1\n@app.task\ndef deadly() -> None:\n    os._exit(0)\n"

    @app.task
    def deadly() -> None: ...

    job = deadly.enqueue()
    with Fleet(write_app(folder, store_url, more), "--max-jobs", "9", "--until-empty", LONG_LEASE) as fleet:
        fleet.end()
    assert (job.refresh().state, job.crashes) == ("dead", 2)


def _can_unshare() -> bool:
    return shutil.which("unshare") is not None and not subprocess.run([*AS_PROCESS_1, "true"], check=False).returncode


@pytest.mark.on_sqlite
@pytest.mark.skipif(not _can_unshare(), reason="this machine lets nobody be process 1 of a namespace")
def test_as_process_1_it_buries_orphans_and_stops_in_order(app: Turnspit, name: str) -> None:
    """As in a container without an init. What a task left behind becomes its child, and would stay a zombie."""
    job = app.tasks["orphan"].enqueue()
    command = [*AS_PROCESS_1, sys.executable, "-m", "turnspit", "worker", name, "--processes", "2"]
    with running(*command, stderr=subprocess.PIPE) as outside:
        assert outside.stderr is not None
        started = (line for line in outside.stderr if "started: pid" in line)
        assert next(started)
        assert next(started)
        [inside] = children_of(outside.pid)
        wait_until(lambda: job.refresh().state == "completed", "completed")
        wait_until(lambda: len(children_of(inside)) == 2, "no child but the workers")
        os.kill(inside, signal.SIGTERM)
        _, err = outside.communicate(timeout=20)
    assert outside.returncode == 0
    assert err.endswith("all processes have ended\n")


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
