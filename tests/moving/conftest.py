"""Two stores, in each direction."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import new_schema
from turnspit import Cron, Retry, Turnspit, Unique
from turnspit.operations import Moved, move_store

DIRECTIONS = [("sqlite", "postgres"), ("postgres", "sqlite"), ("sqlite", "sqlite"), ("postgres", "postgres")]


def add_tasks(app: Turnspit) -> Any:
    @app.task
    def double(number: int) -> int:
        if number < 0:
            raise ValueError("negative")
        return number * 2

    @app.task(unique=Unique(within=3600))
    def once(name: str) -> None: ...

    @app.task
    def tidy() -> None: ...

    return double


@pytest.fixture(params=DIRECTIONS, ids="-to-".join)
def urls(request: pytest.FixtureRequest, folder: Path) -> Iterator[tuple[str, str]]:
    with new_schema(18) as one, new_schema(18) as other:
        schemas = iter((one, other))
        files = iter((f"sqlite:///{folder}/old.db", f"sqlite:///{folder}/new.db"))
        old, new = (next(files) if kind == "sqlite" else next(schemas) for kind in request.param)
        yield old, new


@pytest.fixture
def old(urls: tuple[str, str]) -> Iterator[Turnspit]:
    with Turnspit(urls[0], retry=Retry(attempts=2, delay=0)) as app:
        add_tasks(app)
        yield app


@pytest.fixture
def new(urls: tuple[str, str]) -> Iterator[Turnspit]:
    with Turnspit(urls[1], retry=Retry(attempts=2, delay=0)) as app:
        add_tasks(app)
        yield app


@pytest.fixture
def filled(old: Turnspit) -> Turnspit:
    """A store with a bit of everything."""
    double = old.tasks["double"]
    for number in (1, 2, -1):
        double.using(tags=["a"], metadata={"é": "ü"}).enqueue(number)
    work_off(old)
    old.jobs.cancel(double.using(delay=100).enqueue(3).id)
    double.using(delay=3600, priority=7).enqueue(4)
    old.enqueue_many(double.new(number) for number in range(20))
    old.tasks["once"].enqueue("ada")
    old.schedules.create("yearly", old.tasks["tidy"], Cron("0 3 1 1 *"))
    old.queues.pause("unused")
    return old


def work_off(app: Turnspit) -> None:
    with app.worker(until_empty=True) as worker:
        worker.wait()


def move(old: Turnspit, new: Turnspit, *, with_history: bool = True, wait: float = 0) -> Moved:
    return move_store(old.engine, new.engine, with_history=with_history, wait=wait)


def everything(app: Turnspit) -> list[Any]:
    """Each job with its attempts and log lines."""
    engine = app.engine
    found = []
    for job in app.jobs.list(limit=1000):
        found.append((engine.read(engine.get_job, job.id), engine.read(engine.list_logs, job.id)))
    return found
