"""Alerts: one worker of the fleet looks, and each is told once, again while it lasts, and when it is over."""

import asyncio
import logging
import threading

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import Alert, Retry, Turnspit
from turnspit._runtime.maintenance.watcher import Watcher
from turnspit.testing import TestStore

PATIENCE = 300


def look(t: TestStore, seconds: float = 15) -> None:
    """The next turn, and whoever comes too early for it."""
    t.advance(seconds)
    watcher = Watcher(t.app.engine, t.app.name, t.app.alert_rules)

    async def all_at_once() -> list[float]:
        return await asyncio.gather(*(watcher.run_once() for _ in range(3)))

    assert asyncio.run(all_at_once()) == pytest.approx([15, 15, 15])


def told(alerts: list[Alert]) -> list[tuple[str, str, str]]:
    found = [(alert.kind, alert.subject, alert.state) for alert in alerts]
    alerts.clear()
    return found


def test_each_is_told_once_while_it_lasts_and_when_it_is_over(t: TestStore) -> None:
    heard: list[Alert] = []
    where: list[threading.Thread] = []

    @t.app.alert(oldest=PATIENCE, repeat=600)
    def plain(alert: Alert) -> None:
        heard.append(alert)
        where.append(threading.current_thread())

    @t.app.alert(oldest=PATIENCE, queue="email", repeat=600)
    async def coroutine(alert: Alert) -> None:
        heard.append(alert)

    @t.app.task
    async def send() -> None: ...

    job = send.enqueue()
    look(t)
    assert told(heard) == []
    look(t, PATIENCE)
    assert heard[0].text.startswith("the oldest ready job of queue default has been due for 315 s (more than 300 s)")
    assert heard[0].value == 315
    assert told(heard) == [("oldest", "queue default", "begins")]
    assert where[0] is not threading.main_thread(), "a plain function may block"
    look(t)
    assert told(heard) == []
    look(t, 600)
    since = heard[0].since
    assert told(heard) == [("oldest", "queue default", "lasts")]
    send.using(queue="email").enqueue()
    t.app.jobs.cancel(job.id)
    look(t)
    assert (heard[0].since, heard[0].text, heard[0].value) == (since, "over: oldest of queue default", None)
    assert told(heard) == [("oldest", "queue default", "over")]
    look(t, PATIENCE)
    assert told(heard) == [("oldest", "queue email", "begins")] * 2, "to each who wanted it"


def test_dead_letters_are_told_of(t: TestStore) -> None:
    heard: list[Alert] = []
    t.app.alert(dead=1)(heard.append)

    @t.app.task(retry=Retry(attempts=1))
    async def fail() -> None:
        raise ValueError("no")

    fail.enqueue()
    t.drain()
    look(t)
    assert heard[0].text == "1 jobs of task fail became dead letters within 60 minutes: see turnspit dead groups"
    assert told(heard) == [("dead", "task fail", "begins")]
    look(t, 3700)
    assert told(heard) == [("dead", "task fail", "over")]


def test_a_function_that_fails_stops_nobody(t: TestStore, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[Alert] = []

    @t.app.alert(oldest=1)
    def broken(alert: Alert) -> None:
        raise OSError("no route to the pager")

    t.app.alert(oldest=1)(heard.append)

    @t.app.task
    async def send() -> None: ...

    send.enqueue()
    with caplog.at_level(logging.WARNING, "turnspit"):
        look(t)
    assert len(heard) == 1
    assert "the alert function tests.behaviour.test_alerts" in caplog.text
    assert "no route to the pager" in caplog.text
    assert "alert: the oldest ready job of queue default has been due" in caplog.text


def test_workers_look_and_only_one_of_them_tells(app: Turnspit) -> None:
    heard: list[Alert] = []
    first = threading.Event()

    @app.alert(no_worker=0)
    def page(alert: Alert) -> None:
        heard.append(alert)
        first.set()

    @app.task
    async def send() -> None: ...

    send.enqueue()
    with app.worker(queues=["other"]), app.worker(queues=["email"]):
        assert first.wait(DEADLINE)
    assert told(heard) == [("no_worker", "queue default", "begins")]


def test_a_web_process_can_look_where_no_worker_lives(app: Turnspit) -> None:
    heard: list[Alert] = []
    app.alert(no_worker=0)(heard.append)

    @app.task
    async def send() -> None: ...

    send.enqueue()
    assert app.check_alerts() == 15
    assert told(heard) == [("no_worker", "queue default", "begins")]
    assert 0 < asyncio.run(app.acheck_alerts()) <= 15
    assert heard == []


def test_an_app_without_alerts_has_no_such_duty(app: Turnspit) -> None:
    with app.worker() as embedded:
        worker = embedded._worker
        assert worker is not None
        assert "watcher" not in worker.services
