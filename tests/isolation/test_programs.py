"""Tasks with processes of their own in a fleet of workers, in Django, and through ``turnspit run``."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from tests.behaviour.support import DEADLINE, wait_until
from tests.contrib.programs import manage, write_settings
from tests.faults.fleet import Fleet
from tests.isolation import tasks
from tests.isolation.test_stopping import assert_gone, began
from tests.programs import running
from turnspit import Turnspit

OPTIONS = ("--processes", "2", "--concurrency", "1", "--lease", "60", "--grace", "0")


def worker_of(pid: int) -> int:
    """The worker process above an isolated one."""
    return psutil.Process(pid).ppid()


def test_a_killed_worker_of_a_fleet_takes_its_processes_along_and_a_sibling_runs_the_job_again(
    app: Turnspit, tmp_path: Path
) -> None:
    app.migrate()
    with Fleet("tests.isolation.tasks:app", *OPTIONS) as fleet:
        fleet.wait_started(2)
        job = tasks.hang.enqueue(str(tmp_path))
        first = began(tmp_path)
        (tmp_path / "began").unlink()
        killed, victim = time.monotonic(), worker_of(first[0])
        os.kill(victim, signal.SIGKILL)
        assert_gone(first, killed)
        second = began(tmp_path)
        assert worker_of(second[0]) != victim
        assert (job.refresh().state, job.attempt, job.crashes) == ("running", 1, 1)
        fleet.signal(signal.SIGTERM)
        fleet.end()
        assert_gone(second, time.monotonic())
    assert (job.refresh().state, job.attempt, job.crashes) == ("ready", 0, 1)
    assert [attempt.outcome for attempt in job.attempts] == ["crashed"]


def test_an_app_that_is_named_by_its_file(app: Turnspit, store_url: str, tmp_path: Path) -> None:
    (tmp_path / "pictures.py").write_text(
        "import os\nfrom turnspit import Turnspit\n"
        f"app = Turnspit({store_url!r})\n"
        "@app.task(isolate=True)\n"
        "def where() -> int:\n    return os.getppid()\n"
    )
    app.migrate()
    with Fleet(f"{tmp_path}/pictures.py:app", *OPTIONS) as fleet:
        fleet.wait_started(2)
        with Turnspit(store_url) as here:
            here.task(name="where")(_where)
            assert here.tasks["where"].enqueue().get_result(DEADLINE) in fleet.children()
        fleet.signal(signal.SIGTERM)
        fleet.end()


def _where() -> int:
    return 0


@pytest.mark.on_sqlite
def test_the_late_transaction_of_a_process_whose_worker_was_suspended_changes_nothing(
    app: Turnspit, tmp_path: Path
) -> None:
    """Its worker stands still and can tell it nothing. It goes on, and finds out when it wants to finish its job."""
    command = [sys.executable, "-m", "tests.isolation.worker_program", f"sqlite:///{app.engine.location}"]
    with running(*command) as worker:
        job = tasks.charge_late.enqueue(str(app.engine.location), str(tmp_path))
        wait_until((tmp_path / "began").exists, "the beginning of the task")
        worker.send_signal(signal.SIGSTOP)
        with app.worker(concurrency=1, lease=1.5):
            wait_until(lambda: job.refresh().crashes == 1, "the rescue")
            (tmp_path / "go").touch()
            assert job.get_result(DEADLINE) == "charged"
            wait_until((tmp_path / "LostClaim").exists, "the late write")
        payments = sqlite3.connect(app.engine.location).execute("SELECT job FROM payments").fetchall()
        assert payments == [(job.id,)], "once, though two processes tried"
        assert [attempt.outcome for attempt in job.attempts] == ["crashed", "completed"]


DJANGO_TASK = """
import os
from examples.django_shop.shop.jobs import app
from examples.django_shop.shop.models import Order

@app.task(isolate=True)
def order() -> int:
    Order.objects.create(email=f"{os.getpid()}@{os.getppid()}")
    return Order.objects.count()
"""


@pytest.mark.on_sqlite
@pytest.mark.parametrize("processes", [[], ["--processes", "2"]])
def test_django_is_set_up_in_each_process(tmp_path: Path, processes: list[str]) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "__init__.py").touch()
    (tmp_path / "more" / "tasks.py").write_text(DJANGO_TASK)
    write_settings(tmp_path, f"sqlite:///{tmp_path}/shop.db", "INSTALLED_APPS.append('more')")
    assert manage(tmp_path, "migrate", "-v0").returncode == 0
    code = "from more.tasks import order; [order.enqueue() for _ in range(2)]"
    assert manage(tmp_path, "shell", "-v0", "-c", code).returncode == 0
    worked = manage(tmp_path, "turnspit", "worker", "--until-empty", *processes)
    assert worked.returncode == 0, worked.stderr
    with Turnspit(f"sqlite:///{tmp_path}/shop.db") as store:
        assert [(job.state, job.reason) for job in store.jobs.list()] == [("completed", None)] * 2
    with sqlite3.connect(tmp_path / "shop.db") as connection:
        orders = [email for (email,) in connection.execute("SELECT email FROM shop_order")]
    connection.close()
    assert len(orders) == 2


@pytest.mark.on_sqlite
def test_turnspit_run_runs_it_in_the_process_that_a_debugger_sees(app: Turnspit) -> None:
    app.migrate()
    job = tasks.where.using(metadata={"a": 1}).enqueue(when=datetime(2026, 1, 2, tzinfo=UTC))
    command = [sys.executable, "-m", "turnspit", "run", "tests.isolation.tasks:app", str(job.id)]
    with running(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as program:
        said, complaints = program.communicate(timeout=DEADLINE)
    assert program.returncode == 0, complaints
    told = json.loads(said)
    assert (told["pid"], told["same_job"], told["wrapped"]) == (program.pid, True, f"wrapped {program.pid}")
    assert job.refresh().state == "ready", "nothing was written"
