"""Errors reported to Sentry, with the job that they are of."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import pytest

from tests.behaviour.support import wait_until
from turnspit import Cancel, ConfigurationError, Event, JobTimeout, Retry, Snooze, Turnspit
from turnspit.telemetry.sentry import report_errors

pytestmark = pytest.mark.on_sqlite

ONCE = Retry(attempts=1)


class Scope:
    """As far as it is used."""

    def __init__(self) -> None:
        self.tags: dict[str, str] = {}
        self.contexts: dict[str, dict[str, Any]] = {}
        self.transaction = ""
        self.breadcrumbs: list[str] = []
        self.level = ""

    def set_level(self, level: str) -> None:
        self.level = level

    def set_tag(self, key: str, value: str) -> None:
        self.tags[key] = value

    def set_context(self, key: str, value: dict[str, Any]) -> None:
        self.contexts[key] = value

    def set_transaction_name(self, name: str, source: str) -> None:
        self.transaction = f"{source}:{name}"


class FakeSdk:
    """``sentry_sdk`` with a transport that keeps what it is given."""

    def __init__(self) -> None:
        self.reports: list[dict[str, Any]] = []
        self.scope: ContextVar[Scope] = ContextVar("scope")

    @contextmanager
    def isolation_scope(self) -> Iterator[Scope]:
        token = self.scope.set(Scope())
        yield self.scope.get()
        self.scope.reset(token)

    def add_breadcrumb(self, message: str) -> None:
        self.scope.get().breadcrumbs.append(message)

    def capture_exception(self, error: BaseException | None = None, *, scope: Any = None) -> None:
        self.reports.append({"error": error, "scope": scope, "level": scope.level})

    def capture_message(self, message: str, *, scope: Any = None) -> None:
        self.reports.append({"message": message, "scope": scope, "level": scope.level})


@pytest.fixture
def sdk() -> FakeSdk:
    return FakeSdk()


def work(app: Turnspit) -> None:
    with app.worker(until_empty=True) as worker:
        worker.wait()


def test_a_dead_letter_is_reported_with_its_job(app: Turnspit, sdk: FakeSdk) -> None:
    report_errors(app, sdk)

    @app.task(queue="email", retry=ONCE)
    def fail(order_id: int) -> None:
        sdk.add_breadcrumb(f"order {order_id}")
        raise ValueError("no")

    jobs = [fail.using(tags=["vip"], metadata={"customer": 3}).enqueue(order_id=number) for number in (7, 8)]
    work(app)
    assert sorted(str(report["scope"].breadcrumbs) for report in sdk.reports) == ["['order 7']", "['order 8']"]
    report = min(sdk.reports, key=lambda each: each["scope"].contexts["turnspit"]["job"])
    assert (type(report["error"]), str(report["error"]), report["level"]) == (ValueError, "no", "error")
    assert report["error"].__traceback__ is not None
    scope = report["scope"]
    assert (scope.transaction, scope.tags) == ("task:fail", {"turnspit.task": "fail", "turnspit.queue": "email"})
    assert scope.contexts["turnspit"] == {
        "job": jobs[0].id,
        "attempt": 1,
        "created_at": jobs[0].created_at.isoformat(),
        "tags": ["vip"],
        "metadata": {"customer": 3},
    }


class Refused(Exception):
    """Frozen as attrs does it."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in ("__cause__", "__context__", "__traceback__"):
            raise AttributeError(f"{name} cannot be set")
        super().__setattr__(name, value)


def test_an_exception_that_takes_no_attribute_stays_what_it_is(app: Turnspit, sdk: FakeSdk) -> None:
    report_errors(app, sdk)

    @app.task(retry=ONCE)
    async def fail() -> None:
        raise Refused

    job = fail.enqueue()
    work(app)
    assert job.refresh().error_type == "Refused"
    [report] = sdk.reports
    assert type(report["error"]) is Refused
    assert report["scope"].contexts["turnspit"]["job"] == job.id


@pytest.mark.parametrize(("retried", "levels"), [(True, ["warning", "error"]), (False, ["error"])])
def test_what_is_tried_again_is_a_warning(app: Turnspit, sdk: FakeSdk, retried: bool, levels: list[str]) -> None:
    report_errors(app, sdk, retried=retried, arguments=True)
    times = iter(range(2))

    @app.task(retry=Retry(attempts=2, base=0.001, cap=0.001))
    async def fail(order_id: int) -> None:
        raise ValueError(next(times))

    fail.enqueue(order_id=7)
    with app.worker():
        wait_until(lambda: app.jobs.list(state="dead"), "dead")
    assert [report["level"] for report in sdk.reports] == levels
    assert sdk.reports[-1]["scope"].contexts["turnspit"]["arguments"] == {"order_id": 7}


def test_outcomes_are_no_errors_and_a_time_out_is_one(app: Turnspit, sdk: FakeSdk) -> None:
    report_errors(app, sdk)

    @app.task
    async def snooze() -> None:
        raise Snooze(3600)

    @app.task
    async def cancel() -> None:
        raise Cancel

    @app.task(timeout=0.05, retry=ONCE)
    async def sleep() -> None:
        sdk.add_breadcrumb("asleep")
        await asyncio.Event().wait()

    for task in (snooze, cancel, sleep):
        task.enqueue()
    work(app)
    [report] = sdk.reports
    assert isinstance(report["error"], JobTimeout)
    assert report["scope"].breadcrumbs == ["asleep"]


def test_a_job_that_killed_its_worker_is_reported_too(app: Turnspit, sdk: FakeSdk) -> None:
    report_errors(app, sdk)
    event = Event("dead", 7, "send", "email", 1, "WorkerDied", "worker 3 died")
    asyncio.run(app.bus.send(event))
    [report] = sdk.reports
    assert (report["message"], report["level"]) == ("job 7 (send) is dead: WorkerDied: worker 3 died", "error")
    assert report["scope"].contexts["turnspit"] == {"job": 7, "attempt": 1}


def test_a_circle_of_causes_is_followed_once(app: Turnspit, sdk: FakeSdk) -> None:
    """``raise first from last`` makes one; without a scope in it, the handler never ended, and nor did its worker."""
    first, last = ValueError("first"), ValueError("last")
    first.__cause__, last.__context__ = last, first
    report_errors(app, sdk)
    asyncio.run(app.bus.send(Event("dead", 7, "send", "email", 1, error=first)))
    assert [report["error"] for report in sdk.reports] == [first]


def test_an_sdk_that_fails_harms_no_job(app: Turnspit, sdk: FakeSdk, caplog: pytest.LogCaptureFixture) -> None:
    report_errors(app, sdk)

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("no route to Sentry")

    sdk.capture_exception = broken  # type: ignore[method-assign]

    @app.task(retry=ONCE)
    async def fail() -> None:
        raise ValueError("no")

    job = fail.enqueue()
    with caplog.at_level(logging.ERROR, "turnspit"):
        work(app)
    assert job.refresh().state == "dead"
    assert "no route to Sentry" in caplog.text


def test_without_the_sdk_it_says_what_to_install(app: Turnspit) -> None:
    with pytest.raises(ConfigurationError, match="report_errors needs sentry_sdk: pip install sentry-sdk"):
        report_errors(app)
