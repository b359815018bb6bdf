"""Short words for an engine's verbs, on a clock that the test owns."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from turnspit.contract import Engine
from turnspit.contract.verbs import Verb, Wake
from turnspit.jobs import JobFilter
from turnspit.records import (
    Claim,
    ClaimRequest,
    Completion,
    Ending,
    EndingMove,
    ErrorRecord,
    FinishReport,
    JobRecord,
    NewJob,
    NewWorker,
    RescueReport,
)
from turnspit.states import JobState

SECOND = 1_000_000
LEASE = 15 * SECOND
TASKS = frozenset({"send", "print"})
_ROOM = 1 << 30
BOOM = ErrorRecord("ValueError", "boom", "Traceback ...", "f1")


@contextlib.contextmanager
def folder_in_memory() -> Iterator[Path]:
    """A temporary folder, in memory where the system has such a place: nothing here pulls the plug, and at every commit
    to wait for a disk took longer than the rest of a test.
    """
    memory = Path("/dev/shm")
    is_usable = os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > _ROOM
    place = memory if is_usable else None
    with tempfile.TemporaryDirectory(prefix="turnspit-", dir=place, ignore_cleanup_errors=True) as name:
        yield Path(name)


class OwnedClock:
    """Time stands still until the test moves it."""

    def __init__(self) -> None:
        self.moment = 1_700_000_000 * SECOND

    def now(self) -> int:
        return self.moment

    def advance(self, seconds: float) -> int:
        self.moment += round(seconds * SECOND)
        return self.moment


class Store:
    """An engine, and the moves that tests make with it."""

    def __init__(self, engine: Engine, clock: OwnedClock) -> None:
        self.engine = engine
        self.clock = clock

    def insert(self, task: str = "send", queue: str = "default", **fields: Any) -> int:
        return self.engine.write(self.engine.insert_job, NewJob(task, queue, fields.pop("args", "{}"), **fields)).id

    def insert_many(self, count: int, task: str = "send", queue: str = "default") -> list[int]:
        return self.engine.write(self.engine.insert_jobs, [NewJob(task, queue, "{}")] * count)

    def worker(self, tasks: Iterable[str] = TASKS, *, lease: int = LEASE) -> int:
        new = NewWorker("host", 1, "1.0", None, frozenset(tasks), 10, lease)
        return self.engine.write(self.engine.register_worker, new)

    @cached_property
    def default_worker(self) -> int:
        return self.worker()

    def claim(
        self,
        limit: int = 1,
        *,
        worker: int | None = None,
        tasks: Iterable[str] = TASKS,
        queues: tuple[str, ...] | None = None,
        after: str = "",
        job: int | None = None,
    ) -> list[Claim]:
        worker = self.default_worker if worker is None else worker
        request = ClaimRequest(worker, limit, frozenset(tasks), queues, after, job)
        return self.engine.write(self.engine.claim_jobs, request)

    def claim_one(self, **options: Any) -> Claim:
        [claim] = self.claim(1, **options)
        return claim

    def complete(self, *claims: Claim, result: str | None = "null", keep: int | None = None) -> FinishReport:
        finishes = [Completion(claim.id, claim.fence, result, keep) for claim in claims]
        return self.engine.write(self.engine.finish_jobs, finishes)

    def end(
        self,
        claim: Claim,
        move: EndingMove = EndingMove.RETRY,
        *,
        delay: float = 0,
        patience: float = 0,
        error: ErrorRecord = BOOM,
    ) -> FinishReport:
        ending = Ending(claim.id, claim.fence, move, error, round(delay * SECOND), round(patience * SECOND))
        return self.engine.write(self.engine.finish_jobs, [ending])

    def kill(self, job: int | None = None, error: ErrorRecord = BOOM) -> int:
        """A dead letter; its id."""
        job = self.insert() if job is None else job
        self.end(self.claim_one(job=job), EndingMove.DEAD, error=error)
        return job

    def give_back(self, *claims: Claim) -> list[int]:
        return self.engine.write(self.engine.return_jobs, [(claim.id, claim.fence) for claim in claims])

    def promote(self, limit: int = 100) -> tuple[int, int | None]:
        return self.engine.write(self.engine.promote_jobs, limit)

    def cancel(self, job: int | None = None, reason: str = "not needed", **fields: Any) -> list[tuple[int, JobState]]:
        return self.engine.write(self.engine.cancel_jobs, JobFilter(id=job, **fields), reason, 0, 100)

    def replay(self, job: int | None = None, **fields: Any) -> list[int]:
        replayed = self.engine.write(self.engine.replay_jobs, JobFilter(id=job, **fields), 0, 100)
        return [job for job, state in replayed if not state.is_final]

    def delete(self, job: int | None = None, **fields: Any) -> list[int]:
        return self.engine.write(self.engine.delete_jobs, JobFilter(id=job, **fields), 0, 100)

    def renew(self, worker: int, lease: int = LEASE) -> bool:
        return self.engine.write(self.engine.renew_lease, worker, lease) is not None

    def rescue(self, worker: int, max_crashes: int = 3) -> RescueReport:
        return self.engine.write(self.engine.rescue_jobs, worker, max_crashes)

    def outlive(self, worker: int, seconds: float = 16) -> None:
        """Time passes in which only this worker renews its lease, without a gap."""
        until = self.clock.moment + round(seconds * SECOND)
        while self.clock.moment < until:
            self.clock.advance(min(4.0, (until - self.clock.moment) / SECOND))
            assert self.renew(worker)

    def crash(self, claim: Claim, rescuer: int) -> RescueReport:
        """The worker of this claim dies and is noticed."""
        self.outlive(rescuer)
        return self.rescue(rescuer)

    def job(self, job: int) -> JobRecord:
        record = self.engine.read(self.engine.get_job, job)
        assert record is not None, f"there is no job {job}"
        return record

    def find(self, job: int) -> JobRecord | None:
        return self.engine.read(self.engine.get_job, job)

    def state(self, job: int) -> JobState:
        return self.job(job).state

    def ids(self, limit: int = 100, before: int | None = None, **fields: Any) -> list[int]:
        records = self.engine.read(self.engine.list_jobs, JobFilter(**fields), limit, before)
        return [record.id for record in records]

    def count(self, **fields: Any) -> int:
        return self.engine.read(self.engine.count_jobs, JobFilter(**fields))

    def outcomes(self, job: int) -> list[str]:
        return [attempt.outcome for attempt in self.job(job).attempts]

    def wakes(self, verb: Callable[..., Verb[Any]], *args: Any) -> list[Wake]:
        """The hints that a verb gives."""
        heard: list[Wake] = []

        def listening() -> Verb[Any]:
            running = verb(*args)
            rows: list[Any] = []
            try:
                step = next(running)
                while True:
                    if isinstance(step, Wake):
                        heard.append(step)
                    elif step.wake is not None:
                        heard.append(step.wake)
                    rows = yield step
                    step = running.send(rows)
            except StopIteration as end:
                return end.value

        self.engine.write(listening)
        return heard
