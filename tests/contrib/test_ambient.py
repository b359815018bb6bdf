"""Who joins a framework's transaction and who does not."""

import threading
from collections.abc import Callable
from typing import Any, NoReturn

from tests.behaviour.support import DEADLINE
from turnspit import Turnspit
from turnspit.testing import override


class Forbidden:
    """Transactions that nobody may ask for."""

    def current(self) -> NoReturn:
        raise AssertionError("it was asked")

    async def acall(self, function: Callable[[], Any]) -> NoReturn:
        raise AssertionError("it was asked")


def test_a_worker_asks_for_no_transaction(app: Turnspit) -> None:
    """What it stores about its jobs is its own, whatever context it was started in."""

    @app.task
    async def task() -> None: ...

    task.enqueue()
    ended = threading.Event()
    app.on("completed")(lambda _: ended.set())
    app.join(Forbidden())
    with app.worker():
        assert ended.wait(DEADLINE)
    app.join(None)
    assert app.jobs.count(state="completed") == 1


def test_neither_does_a_test_s_private_store(app: Turnspit) -> None:
    @app.task
    def task() -> int:
        return 7

    app.join(Forbidden())
    with override(app) as t:
        task.enqueue()
        [job] = t.drain()
        assert job.state == "completed"
