"""The processes of a soak: ``python -m soak.programs worker|producer URL LEDGER SEED [RATE]``."""

import os
import random
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg

from soak.ledger import Ledger
from soak.stores import open_own
from soak.tasks import LEASE, declare_limited, ledger_in, make_app
from turnspit import Turnspit
from turnspit._runtime.worker.finisher import Finisher, Portion
from turnspit._runtime.worker.registration import Registration
from turnspit.errors import TurnspitError
from turnspit.records import Completion, Confirmation, FinishReport

_BACKLOG = 20_000
_BATCH = 200


def worker(url: str, folder: str, seed: str) -> None:
    """A worker that also writes to the ledger which ends of jobs the store accepted."""
    ledger = ledger_in(folder)
    write_down_ends(ledger)
    app = make_app(url, ledger)
    declare_limited(app, ledger)
    app.run_worker(concurrency=20, lease=LEASE, heartbeat=LEASE / 4, grace=3)


def write_down_ends(ledger: Ledger, replace: Callable[[type, str, Any], None] = setattr) -> None:
    """Wrap two methods of the worker, so that the ledger learns what the store accepted, and which process it is."""
    settle, register = Finisher.settle, Registration.register

    def settle_and_write(self: Finisher, portion: Portion, report: FinishReport) -> None:
        lost = set(report.lost) | report.undecided
        ended = []
        for finish in portion.finishes:
            if (finish.id, finish.fence) in lost:
                continue
            is_completed = isinstance(finish, Completion | Confirmation) and finish.id not in report.states
            state = "completed" if is_completed else str(report.states[finish.id])
            if state in ("completed", "dead", "cancelled"):
                ended.append((finish.id, finish.fence, state))
        ledger.write_many("stored", ended)
        ledger.write_many("refused", [(job, fence, "-") for job, fence in report.lost])
        settle(self, portion, report)

    async def register_and_write(self: Registration) -> None:
        await register(self)
        ledger.write("worker", self.id, 0, str(os.getpid()))

    replace(Finisher, "settle", settle_and_write)
    replace(Registration, "register", register_and_write)


class Producer:
    """Enqueues at a rate, mostly in bulk, and writes to the ledger what was accepted."""

    def __init__(self, app: Turnspit, url: str, ledger: Ledger, dice: random.Random) -> None:
        self._app = app
        self._url = url
        self._ledger = ledger
        self._dice = dice

    def accepted(self, ids: list[int]) -> int:
        self._ledger.write_many("accepted", [(job, 0, "-") for job in ids])
        return len(ids)

    def bulk(self) -> int:
        """Many at once: most are quick, some are not."""
        return self.accepted(self._app.enqueue_many([self._any_job() for _ in range(_BATCH)]))

    def _any_job(self) -> Any:
        dice, tasks = self._dice, self._app.tasks
        kind = dice.random()
        if kind < 0.93:
            task: Any = tasks["quick"]
            if kind < 0.03:
                task = task.using(delay=dice.uniform(0.1, 8))
            elif kind < 0.1:
                task = task.using(priority=dice.randint(-5, 5), queue=dice.choice(["slow", "threads", "more"]))
            return task.new()
        if kind < 0.945:
            return tasks["slow"].new(dice.expovariate(4))
        if kind < 0.96:
            return tasks["threaded"].new(dice.expovariate(5))
        if kind < 0.975:
            return tasks["flaky"].new(dice.randint(1, 4))
        if kind < 0.985:
            return tasks["snoozing"].new()
        if kind < 0.99:
            return tasks["ends_otherwise"].new(dice.choice(["dead", "cancelled"]))
        if kind < 0.993:
            return tasks["booking"].new(dice.randint(1, 5))
        return tasks["charge"].new() if kind < 0.998 else tasks["too_slow"].new()

    def one_by_one(self) -> int:
        """Single jobs, some cancelled before or while they run."""
        for number in range(10):
            job = self._app.tasks["quick"].enqueue()
            self.accepted([job.id])
            if number == 0:
                delayed = self._app.tasks["slow"].using(delay=self._dice.uniform(0, 1)).enqueue(2.0)
                self.accepted([delayed.id])
                self._app.jobs.cancel(delayed.id)
            elif number == 1:
                running = self._app.tasks["slow"].using(priority=9).enqueue(1.0)
                self.accepted([running.id])
                time.sleep(0.05)
                self._app.jobs.cancel(running.id)
        return 12

    def in_transaction(self) -> int:
        """In transactions of their own: some commit, some do not."""
        with open_own(self._url) as own:
            for number in range(5):
                is_kept = number % 2 == 0
                own.begin()
                task = self._app.tasks["ordered" if is_kept else "never"]
                ids = [task.using(tx=own.tx).enqueue().id for _ in range(2)]
                if is_kept:
                    own.commit()
                    self.accepted(ids)
                else:
                    own.rollback()
        return 6

    def run(self, rate: float) -> None:
        """Until SIGTERM."""
        stopping = False

        def stop(*_: object) -> None:
            nonlocal stopping
            stopping = True

        signal.signal(signal.SIGTERM, stop)
        began, produced = time.monotonic(), 0
        while not stopping:
            ways = (self.bulk, self.one_by_one, self.in_transaction)
            try:
                produced += self._dice.choices(ways, (90, 5, 5))[0]()
                while not stopping and self._app.jobs.count(state="ready") > _BACKLOG:
                    time.sleep(0.2)
            except Exception as error:  # the store is away; the proof allows the last batch either way
                if not isinstance(error, TurnspitError | sqlite3.OperationalError | psycopg.OperationalError):
                    raise
                self._ledger.write("unavailable", 0, 0, type(error).__name__)
                time.sleep(0.2)
            behind = produced / rate - (time.monotonic() - began)
            if behind > 0:
                time.sleep(min(behind, 1.0))
            elif behind < -1:
                began, produced = time.monotonic(), 0  # do not catch up after an outage with a flood of jobs


def producer(url: str, folder: str, seed: str, rate: str) -> None:
    """A producer until SIGTERM."""
    ledger = ledger_in(folder)
    app = make_app(url, ledger)
    declare_limited(app, ledger)
    Producer(app, url, ledger, random.Random(seed)).run(float(rate))


if __name__ == "__main__":
    random.seed(sys.argv[4])
    globals()[sys.argv[1]](*sys.argv[2:])
