"""``turnspit.contrib.flask``: contexts around jobs, factories that run again, the command line."""

import threading
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, current_app, g
from sqlalchemy import create_engine, text
from sqlalchemy.orm import scoped_session, sessionmaker

from tests.behaviour.support import DEADLINE
from tests.examples.programs import run
from turnspit import ConfigurationError, Turnspit
from turnspit.contrib.flask import init_app


def make(tasks: Turnspit, greeting: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(GREETING=greeting, **config)
    init_app(app, tasks)
    return app


@pytest.mark.parametrize("is_async", [True, False])
def test_each_job_has_an_application_context_of_its_own(app: Turnspit, is_async: bool) -> None:
    web = make(app, "hello")
    ended: list[int] = []

    @web.teardown_appcontext
    def end(error: BaseException | None) -> None:
        ended.append(threading.get_ident())

    def plain() -> tuple[bool, str, int]:
        was_fresh = "user" not in g
        g.user = "ada"
        return was_fresh, current_app.config["GREETING"], threading.get_ident()

    async def on_loop() -> tuple[bool, str, int]:
        return plain()

    task = app.task(name="task")(on_loop if is_async else plain)  # type: ignore[arg-type]
    with app.worker(concurrency=1):
        answers = [task.enqueue().get_result(DEADLINE) for _ in range(2)]
    assert [answer[:2] for answer in answers] == [(True, "hello")] * 2
    assert ended == [answer[2] for answer in answers], "each ends in the thread that ran the job"


def test_a_factory_that_runs_again_leaves_the_jobs_to_the_newest_application(app: Turnspit) -> None:
    @app.task
    def greet() -> str:
        return str(current_app.config["GREETING"])

    make(app, "old")
    newest = make(app, "new")
    with app.worker():
        assert greet.enqueue().get_result(DEADLINE) == "new"
    assert newest.extensions["turnspit"] is app


def test_the_url_may_be_set_later_or_elsewhere(folder: Any) -> None:
    tasks = Turnspit(f"sqlite:///{folder}/first.db")
    make(tasks, "hello")
    assert tasks.engine.location == f"{folder}/first.db"
    make(tasks, "hello", TURNSPIT_URL=f"sqlite:///{folder}/second.db")
    assert tasks.engine.location == f"{folder}/second.db"


@pytest.mark.on_sqlite
def test_a_scoped_session_as_flask_sqlalchemy_has_it_is_a_tx(app: Turnspit, store_url: str) -> None:
    @app.task
    def send(order_id: int) -> None: ...

    app.migrate()
    database = create_engine(store_url)
    session = scoped_session(sessionmaker(database))
    for commits in (False, True):
        session.execute(text("CREATE TABLE IF NOT EXISTS orders (id INTEGER)"))
        send.using(tx=session).enqueue(1)
        session.commit() if commits else session.rollback()
        session.remove()
        assert app.jobs.count() == commits
    database.dispose()


def test_the_command_line_needs_the_app_by_a_name(app: Turnspit) -> None:
    with pytest.raises(ConfigurationError, match="is in no module by a name"):
        make(app, "hello").test_cli_runner().invoke(args=["turnspit", "jobs", "list"], catch_exceptions=False)


SITE = """
from flask import Flask, current_app
from turnspit import Turnspit
from turnspit.contrib.flask import init_app

tasks = Turnspit()

@tasks.task
def greet(name: str) -> str:
    greet_alone.enqueue(name)
    return f"{current_app.config['GREETING']}, {name}"

@tasks.task(isolate=True)
def greet_alone(name: str) -> str:
    return f"{current_app.config['GREETING']}, {name}"

def create_app():
    app = Flask(__name__)
    app.config.update(GREETING="Good day", TURNSPIT_URL="sqlite:///jobs.db")
    init_app(app, tasks)
    return app
"""


@pytest.mark.on_sqlite
def test_each_process_of_a_supervisor_has_the_application(tmp_path: Path) -> None:
    (tmp_path / "site_of_greetings.py").write_text(SITE)
    flask = ("-m", "flask", "--app", "site_of_greetings", "turnspit")
    assert run(tmp_path, *flask, "enqueue", "greet", "name=Ada").returncode == 0
    worked = run(tmp_path, *flask, "worker", "--processes", "2", "--until-empty")
    assert worked.returncode == 0, worked.stderr
    with Turnspit(f"sqlite:///{tmp_path}/jobs.db") as store:
        assert [store.jobs.get(job).get_result(0) for job in (1, 2)] == ["Good day, Ada"] * 2
