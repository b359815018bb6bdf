"""What a running job knows about itself."""

import threading
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from turnspit import JobCancelled, JobContext, JobTimeout, TurnspitError, current_job
from turnspit.context import activate_job
from turnspit.records import Claim

CLAIM = Claim(7, 3, "send", "email", "{}", 2, 0, 5, 1_000_000, 0, 0, None, None, '["a","b"]', '{"source":"web"}')


class Reporter:
    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def report_progress(self, claim: Claim, progress: float, message: str | None, data: str | None) -> None:
        self.said.append((claim.id, progress, message, data))

    def report_log(self, claim: Claim, level: str, message: str) -> None:
        self.said.append((claim.id, level, message))


@pytest.fixture
def context() -> JobContext:
    return JobContext(CLAIM, Reporter(), {"printer": "laser"})


def test_it_says_who_it_is(context: JobContext) -> None:
    assert (context.id, context.task, context.queue, context.attempt) == (7, "send", "email", 2)
    assert (context.tags, context.metadata) == (("a", "b"), {"source": "web"})
    assert context.resources == {"printer": "laser"}
    assert context.created_at.isoformat() == "1970-01-01T00:00:01+00:00"
    assert repr(context) == "<JobContext job=7 task='send' attempt=2>"


def test_the_idempotency_key_is_the_same_for_every_attempt(context: JobContext) -> None:
    later = JobContext(CLAIM._replace(attempt=9, fence=12), Reporter(), {})
    assert context.idempotency_key == later.idempotency_key == "turnspit-send-7"


def test_progress_and_log_lines_are_reported(context: JobContext) -> None:
    context.progress(0.5, "half", data={"page": 4})
    context.progress(1)
    context.log("done", "warning")
    assert context._reporter.said == [(7, 0.5, "half", '{"page":4}'), (7, 1, None, None), (7, "warning", "done")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("fraction", [True, Decimal(1), Fraction(1)])
def test_progress_is_a_float_for_the_store(fraction: Any) -> None:
    """Any other number was refused by it, again and again, and with it all that its worker had to store."""
    reporter = Reporter()
    JobContext(CLAIM, reporter, {}).progress(fraction)
    assert [(type(said[1]), said[1]) for said in reporter.said] == [(float, 1.0)]


@pytest.mark.parametrize("fraction", [-0.1, 1.1, float("nan")])
def test_progress_is_a_fraction(context: JobContext, fraction: float) -> None:
    with pytest.raises(ValueError, match=r"^progress is a fraction from 0 to 1, not "):
        context.progress(fraction)


def test_a_log_level_is_known(context: JobContext) -> None:
    with pytest.raises(ValueError, match=r"^a log level is one of debug, info, warning, error, not 'loud'$"):
        context.log("x", "loud")


def test_a_detached_context_reports_to_nobody() -> None:
    context = JobContext.detached("send", {"printer": "laser"})
    context.progress(0.5)
    context.log("x")
    assert (context.id, context.attempt, context.tags, context.metadata) == (0, 1, (), {})
    assert not context.cancelled


@pytest.mark.parametrize(
    ("reason", "error", "message"),
    [
        ("timeout", JobTimeout, "job 7 (send) stopped itself after its time-out"),
        ("cancelled", JobCancelled, "job 7 (send) was told to stop: cancelled"),
        ("shutdown", JobCancelled, "job 7 (send) was told to stop: shutdown"),
    ],
)
def test_a_job_that_was_told_to_stop_can_raise(
    context: JobContext, reason: str, error: type[Exception], message: str
) -> None:
    context.raise_if_cancelled()
    context.stop(reason)
    assert context.cancelled
    with pytest.raises(error) as raised:
        context.raise_if_cancelled()
    assert str(raised.value) == message


def test_the_first_reason_to_stop_counts(context: JobContext) -> None:
    context.stop("timeout")
    context.stop("shutdown")
    assert context.stop_reason == "timeout"


def test_a_thread_can_wait_to_be_told(context: JobContext) -> None:
    assert not context.wait_cancelled(0.001)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(context.wait_cancelled(30)))
    thread.start()
    context.stop("cancelled")
    thread.join(10)
    assert answers == [True]
    assert context.wait_cancelled(30)


def test_current_job_is_found_below_and_nowhere_else(context: JobContext) -> None:
    with pytest.raises(TurnspitError, match=r"^current_job\(\) was called outside a job$"):
        current_job()
    token = activate_job(context)
    assert current_job() is context
    token.var.reset(token)
