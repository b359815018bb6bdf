"""Two workers on a store that goes away for longer than their lease, and what must be so afterwards, on any engine."""

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack

import pytest

from tests.behaviour.support import DEADLINE, wait_until
from turnspit import JobContext, Turnspit

__all__ = ["outlive"]

_LEASE = 1.5
_BEGINS, _ENDS = "running jobs go on", "the store answers again"


class _Work:
    """Jobs that last until they may end, and what was done with them."""

    def __init__(self, apps: list[Turnspit]) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.may_end = [threading.Event() for _ in range(4)]

        def hold(job: JobContext, number: int) -> int:
            self.begun.append(job.id)
            assert self.may_end[number].wait(DEADLINE)
            self.ended.append(job.id)
            return number

        for app in apps:
            app.task(name="hold")(hold)


def outlive(
    url: str, outage: Callable[[], AbstractContextManager[None]], caplog: pytest.LogCaptureFixture, *, is_whole: bool
) -> None:
    """Handlers run on and end, their finishes are stored, nobody robs another, and little is said.

    :param is_whole: no call at all comes through meanwhile: it is one outage, not many.
    """
    caplog.set_level(logging.WARNING, "turnspit")
    with ExitStack() as stack:
        apps = [stack.enter_context(Turnspit(url, deadline=0.5)) for _ in range(2)]
        patient = stack.enter_context(Turnspit(url))
        work = _Work([*apps, patient])
        for app in apps:
            app.jobs.count()
            stack.enter_context(app.worker(concurrency=2, lease=_LEASE, heartbeat=_LEASE / 4))
        jobs = [patient.tasks["hold"].enqueue(number) for number in range(4)]
        wait_until(lambda: len(work.begun) == 4, "running jobs")
        since = len(caplog.records)
        with outage():
            wait_until(lambda: len(_who_said(caplog, _BEGINS)) == 2, "a word of each worker")
            work.may_end[0].set()
            until = time.monotonic() + 1.2 * _LEASE
            wait_until(lambda: time.monotonic() > until, "the end of every lease")
            work.may_end[1].set()
            wait_until(lambda: len(work.ended) == 2, "handlers that end meanwhile")
        wait_until(lambda: len(_who_said(caplog, _ENDS)) == 2, "a word of each worker")
        said = [record.getMessage() for record in caplog.records[since:]]
        for event in work.may_end:
            event.set()
        for number, job in enumerate(jobs):
            wait_until(lambda job=job: job.refresh().state == "completed", "its finish")  # type: ignore[misc]
            assert job.get_result(DEADLINE) == number
    assert Counter(work.begun) == Counter(job.id for job in jobs), "each ran once"
    assert not re.search("is dead: it stopped|declared dead|returned .* jobs", caplog.text)
    if is_whole:  # the workers' short deadline may pass before and afterwards too, where a machine has much else to do
        assert all(sum(words in each for each in said) <= 2 for words in (_BEGINS, _ENDS)), caplog.text
        assert len(said) <= 8, caplog.text


def _who_said(caplog: pytest.LogCaptureFixture, words: str) -> set[str]:
    """The workers that did, by their numbers."""
    said = [re.match(r"worker (\d+)", record.getMessage()) for record in _records(caplog, words)]
    return {number[1] for number in said if number is not None}


def _records(caplog: pytest.LogCaptureFixture, words: str) -> list[logging.LogRecord]:
    return [record for record in list(caplog.records) if words in record.getMessage()]
