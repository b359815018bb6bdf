"""What a job's producer could not know and a worker fills in before the job begins: its unique key and its lane."""

from collections.abc import Callable
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

from turnspit._runtime.worker.arguments import load_arguments
from turnspit._runtime.worker.executor import Executor
from turnspit._runtime.worker.lanes import Lanes
from turnspit.blueprints import TaskRegistry
from turnspit.contract import Engine
from turnspit.events import LISTENER_ERRORS
from turnspit.records import OPEN_KEY, Claim, OpenClaim
from turnspit.tasks import BoundTask, Task

__all__ = ["Admission"]

T = TypeVar("T")


class Admission:
    """Decides which claimed jobs may begin."""

    def __init__(self, engine: Engine, lanes: Lanes, executor: Executor, *, tasks: Callable[[], TaskRegistry]) -> None:
        self._engine = engine
        self._lanes = lanes
        self._executor = executor
        self._tasks = tasks

    async def admit(self, claims: list[Claim]) -> list[Claim]:
        """Those that may begin now, of each queue in turn.

        One whose keys cannot be made is among them: its attempt fails and says why.
        """
        try:
            admitted = await self._put_in_lanes(await self._settle_keys(claims))
        except BaseException:
            self._executor.conditions.forget(*claims)  # they do not begin here: whoever looks for them hands them back
            raise
        return _by_turns(admitted)

    def _try(self, claim: Claim, make: Callable[[], T]) -> T | None:
        """What functions of the application's own make of a job's arguments; ``None`` where one raises."""
        try:
            return make()
        except LISTENER_ERRORS as error:  # it concerns this job alone, and not those that were claimed with it
            self._executor.conditions.refuse(claim, error)
            return None

    async def _settle_keys(self, claims: list[Claim]) -> list[Claim]:
        """A job that came from SQL holds its unique key from here on, or is told who holds it."""
        tasks = self._tasks()
        waiting = []
        for claim in claims:
            if claim.unique_key == OPEN_KEY:
                task = tasks.get(claim.task)
                arguments = None if task is None or task.unique is None else _arguments(task, claim)
                if task is not None and arguments is not None:
                    new = self._try(claim, partial(_new_job, task, claim, arguments))
                    if new is not None:
                        waiting.append(OpenClaim(claim.id, claim.fence, new))
        if not waiting:
            return claims
        going_on = await self._engine.awrite(self._engine.settle_keys, waiting)
        stopped = {each.id for each in waiting}.difference(going_on)
        return [claim for claim in claims if claim.id not in stopped]

    async def _put_in_lanes(self, claims: list[Claim]) -> list[Claim]:
        """Jobs that came without a lane, though their task has limits, go into it: what enqueued them could not know
        it, or their queue was changed.
        """
        tasks = self._tasks()
        lanes = []
        for claim in claims:
            task = tasks.get(claim.task)
            if self._executor.conditions.refusal_of(claim) is not None:
                continue
            if claim.lane is None and task is not None and task.is_limited(claim.queue):
                arguments = _arguments(task, claim)
                lane = None if arguments is None else self._try(claim, partial(task.lane_of, claim.queue, arguments))
                if lane is not None:
                    lanes.append((claim.id, claim.fence, lane))
        if not lanes:
            return claims
        await self._engine.awrite(self._engine.assign_lanes, lanes)
        self._lanes.look_soon()
        held = {job for job, _, _ in lanes}
        return [claim for claim in claims if claim.id not in held]


def _arguments(task: Task[Any, Any], claim: Claim) -> dict[str, Any] | None:
    """What a stored job is called with; ``None`` where its payload does not validate, which its attempt will say."""
    try:
        return load_arguments(task, claim.args)
    except LISTENER_ERRORS:  # a validator of the user's own may raise anything
        return None


def _new_job(task: Task[Any, Any], claim: Claim, arguments: dict[str, Any]) -> Any:
    """The job as its task would have enqueued it, with what its producer asked for."""
    new = BoundTask(task).new_validated(arguments)
    return new._replace(
        queue=claim.queue,
        args=claim.args,
        priority=claim.priority,
        retry=claim.retry,
        timeout=claim.timeout,
        tags=claim.tags,
        metadata=claim.metadata,
        lane=task.lane_of(claim.queue, arguments),
    )


def _by_turns(claims: list[Claim]) -> list[Claim]:
    """One claim of each queue in turn, so that no queue's jobs wait behind all of another's."""
    lines: dict[str, list[Claim]] = {}
    for claim in claims:
        lines.setdefault(claim.queue, []).append(claim)
    if len(lines) <= 1:
        return claims
    return [claim for turn in zip_longest(*lines.values()) for claim in turn if claim is not None]
