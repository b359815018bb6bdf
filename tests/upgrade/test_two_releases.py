"""Tomorrow's release has migrated the store, and today's processes still use it."""

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.upgrade.tomorrow import TODAY, tomorrow
from turnspit import Retry, Turnspit
from turnspit.engines import open_engine
from turnspit.errors import SchemaMismatch

pytestmark = pytest.mark.unprepared

SHOP = """
from turnspit import Turnspit

app = Turnspit({url!r})

@app.task
def note() -> None: ...
"""


@pytest.fixture
def app(store_url: str) -> Any:
    with Turnspit(store_url, retry=Retry(attempts=1)) as app:
        yield app


def upgrade(url: str, *, is_compatible: bool) -> None:
    with tomorrow(is_compatible=is_compatible):
        engine = open_engine(url)
        engine.migrate()
        engine.close()


@pytest.mark.parametrize("first", ["today", "tomorrow"])
def test_today_works_on_the_schema_of_tomorrow(app: Turnspit, store_url: str, first: str) -> None:
    """Everything a release does with a job, on a store with a column and a table more."""

    @app.task
    def double(number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return number * 2

    if first == "today":
        double.using(delay=timedelta(hours=1)).enqueue(0)
    upgrade(store_url, is_compatible=True)
    jobs = [double.enqueue(number) for number in (1, -1)]
    app.enqueue_many(double.new(number) for number in range(10))
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert jobs[0].get_result() == 2
    assert app.jobs.count(state="completed") == 11
    assert jobs[1].refresh().state == "dead"
    assert app.jobs.replay(state="dead") == 1
    assert app.jobs.replay(jobs[0].id) == 1
    assert app.jobs.cancel(jobs[1].id) == 1
    assert app.jobs.delete(state="completed") == 10
    assert {stats.queue for stats in app.queues.stats()} == {"default"}
    status = app.engine.schema_status()
    assert (status.is_newer, status.is_too_new, status.current) == (True, False, TODAY + 1)
    assert app.migrate() == ()


def test_a_worker_that_was_running_goes_on(app: Turnspit, store_url: str) -> None:
    @app.task
    def double(number: int) -> int:
        return number * 2

    with app.worker():
        assert double.enqueue(1).get_result(timeout=10) == 2
        upgrade(store_url, is_compatible=True)
        assert double.enqueue(2).get_result(timeout=10) == 4


def test_an_incompatible_schema_is_refused(app: Turnspit, store_url: str) -> None:
    upgrade(store_url, is_compatible=False)

    @app.task
    def note() -> None: ...

    for call in (note.enqueue, app.worker().__enter__, app.jobs.count, app.migrate):
        with pytest.raises(SchemaMismatch) as caught:
            call()
        assert str(caught.value) == (
            f"store {app.engine.location} has schema {TODAY + 1}, but this Turnspit knows {TODAY}: "
            "upgrade turnspit on this machine"
        )


def test_a_compatible_step_behind_an_incompatible_one_changes_nothing(app: Turnspit, store_url: str) -> None:
    upgrade(store_url, is_compatible=False)
    status = app.engine.schema_status()
    assert (status.works_with, status.is_too_new) == (TODAY + 1, True)


@pytest.mark.parametrize("words", [("worker",), ("enqueue", "note"), ("run", "1"), ("jobs", "list"), ("migrate",)])
def test_every_command_says_so_in_one_line(store_url: str, folder: Path, words: tuple[str, ...]) -> None:
    upgrade(store_url, is_compatible=False)
    (folder / "shop.py").write_text(SHOP.format(url=store_url))
    command = [sys.executable, "-m", "turnspit", words[0], *words[1:]]
    where = 3 if words[0] != "jobs" else 5
    command.insert(where + 1, "shop:app")
    answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.count("\n") == 1
    assert answer.stderr.endswith(": upgrade turnspit on this machine\n")


def test_the_command_tells_a_compatible_schema_from_another(store_url: str, folder: Path) -> None:
    answers = []
    for is_compatible in (True, False):
        if not is_compatible:
            with tomorrow(is_compatible=False):
                _forget_last_migration(store_url)
                open_engine(store_url).migrate()
        else:
            upgrade(store_url, is_compatible=True)
        command = [sys.executable, "-m", "turnspit", "migrate", store_url, "--check"]
        answers.append(subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=50, check=False))
    newer = f"schema {TODAY + 1} is newer than this Turnspit, which knows {TODAY}: "
    assert [answer.returncode for answer in answers] == [0, 1]
    assert answers[0].stdout.splitlines()[-1] == f"{newer}it works with this release all the same"
    assert answers[1].stdout.splitlines()[-1] == f"{newer}upgrade turnspit on this machine"


def _forget_last_migration(url: str) -> None:
    """As if the migration before had never been: only its record counts here."""
    import sqlite3

    import psycopg

    from tests.postgres import server_url

    if url.startswith("sqlite"):
        connection: Any = sqlite3.connect(url.removeprefix("sqlite:///"))
        connection.execute(f"DELETE FROM turnspit_schema WHERE version = {TODAY + 1}")
    else:
        connection = psycopg.connect(server_url(url))
        connection.execute(f"DELETE FROM {url.rpartition('schema=')[2]}.migrations WHERE version = {TODAY + 1}")
    connection.commit()
    connection.close()
