"""Building workflows: jobs that wait for jobs.

::

    with app.workflow("fulfil") as flow:
        charge = flow.add(charge_payment.new(order_id=7))
        reserve = flow.add(reserve_stock.new(order_id=7))
        flow.add(ship.new(order_id=7, receipt=charge.result), after=[reserve])
"""

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import AsyncIterable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from itertools import islice
from types import TracebackType
from typing import Any, Literal, TypeVar, get_args

from turnspit.chunks import aeach
from turnspit.codec import check_text
from turnspit.errors import ConfigurationError, TurnspitError
from turnspit.placeholders import renamed
from turnspit.planned_jobs import AddedJob, PlannedJob, PlannedJobs, sorted_by_dependencies, used_jobs
from turnspit.records import NewJob, NewWorkflow, NewWorkflowJob
from turnspit.workflow_steps import StoredStep, WorkflowStep, WorkflowStore

__all__ = ["OnFailure", "WorkflowBuilder"]

R = TypeVar("R")

OnFailure = Literal["cancel", "run", "wait"]

_AT_ONCE = 5000
"""A workflow of no more jobs is stored by one transaction; of a larger one, so many are kept in memory."""
_PORTION = 1000
"""Of a larger one, each transaction stores so many jobs."""
_MOST_EDGES = 10_000

Dependencies = Iterable[PlannedJob[Any] | PlannedJobs[Any] | str]


class _Block(Enum):
    """Where a builder's ``with`` block is."""

    BEFORE = auto()
    OPEN = auto()
    ENDED = auto()


class WorkflowBuilder:
    """What ``with app.workflow(name) as flow:`` gives: jobs are added to it, and stored when the block ends."""

    def __init__(
        self,
        store: WorkflowStore,
        new: NewWorkflow | None,
        *,
        by: tuple[int, int] | None = None,
        tx: object | None = None,
    ) -> None:
        self._id: int | None = None
        self._store = store
        self._new = new
        self._by = by
        self._tx = tx
        self._ids = array("q")
        self._names: dict[str, int] = {}
        self._awaited: set[str] = set()  # names that jobs wait for and that are still to come
        self._buffer: list[AddedJob] = []
        self._content_names: dict[int, str] = {}
        self._repeats: Counter[str] = Counter()
        self._reserved: Counter[str] | None = Counter() if by is None else None
        self._block = _Block.BEFORE
        self._is_storing = False  # also after a part that could not be stored
        self.created = True
        """``False`` after the block if an earlier workflow holds the idempotency key. Nothing was stored; ``id`` is
        that workflow's, and a job with a name has the id of the job of that name there.
        """

    @property
    def id(self) -> int:
        """The workflow's id.

        :raises ConfigurationError: inside the ``with`` block, as long as nothing of it is stored.
        """
        if self._id is None:
            raise ConfigurationError(f"{self._title} has no id yet: the end of its with block stores it")
        return self._id

    @property
    def _title(self) -> str:
        return f"workflow {self._new.name}" if self._new is not None else "the workflow of this job"

    def add(
        self,
        new: NewJob[R],
        *,
        name: str | None = None,
        after: Dependencies = (),
        before: Iterable[str] = (),
        on_failure: OnFailure = "cancel",
    ) -> PlannedJob[R]:
        """Add a job, made by ``task.new(...)``.

        :param name: the job's name in the workflow; no other job of it may have the same.
        :param after: the jobs that it waits for: jobs that were added, or names, also of jobs that are added later. A
            job whose result is one of its arguments need not be listed.
        :param before: names of jobs of a running workflow that shall wait for it too; see ``job.extend_workflow()``.
        :param on_failure: what happens if a job that it waits for becomes dead or is cancelled: ``"cancel"`` it too,
            ``"run"`` it all the same, or ``"wait"`` until somebody replays that job.
        :raises ConfigurationError: outside of the block; for a taken name, a unique task, a job of another workflow.
        :raises InvalidArguments: if an argument is a result that its task does not take.
        """
        self._check(new, on_failure)
        number = len(self._ids)
        if name is not None:
            name = check_text(name, "the name of a job in a workflow")
            if name in self._names:
                raise ConfigurationError(f"{self._title} has two jobs named {name!r}: give each a name of its own")
        waits_for, groups = self._numbers(after, new)
        self._buffer.append(AddedJob(number, new, name, waits_for, groups, _names_of(before), on_failure))
        self._awaited.update(each for each in waits_for if isinstance(each, str))
        if name is not None:
            self._names[name] = number
            self._awaited.discard(name)
        self._ids.append(0)
        return PlannedJob(self, number, new.task)

    def add_many(
        self,
        jobs: Iterable[NewJob[R]],
        *,
        after: Dependencies = (),
        before: Iterable[str] = (),
        on_failure: OnFailure = "cancel",
    ) -> PlannedJobs[R]:
        """Add many jobs that wait for the same jobs; the parameters are those of ``add``. The iterable is streamed: a
        million take no more memory than some thousands, and none of them runs before all are stored.

        ::

            with app.workflow("month") as flow:
                parts = flow.add_many(count.new(day) for day in days)
                flow.add(add_up.new(parts.results))
        """
        first, task, waits_for, before = len(self._ids), "", self._common(after), _names_of(before)
        for new in jobs:
            if len(self._buffer) >= _AT_ONCE:
                self._flush()
            task = self.add(new, after=waits_for, before=before, on_failure=on_failure).task
        return PlannedJobs(self, first, len(self._ids) - first, task)

    async def aadd_many(
        self,
        jobs: Iterable[NewJob[R]] | AsyncIterable[NewJob[R]],
        *,
        after: Dependencies = (),
        before: Iterable[str] = (),
        on_failure: OnFailure = "cancel",
    ) -> PlannedJobs[R]:
        """``add_many`` for async code; also takes an async iterable."""
        first, task, waits_for, before = len(self._ids), "", self._common(after), _names_of(before)
        async for new in aeach(jobs):
            if len(self._buffer) >= _AT_ONCE:
                await self._aflush()
            task = self.add(new, after=waits_for, before=before, on_failure=on_failure).task
        return PlannedJobs(self, first, len(self._ids) - first, task)

    @property
    def job_ids(self) -> list[int]:
        """The ids of its jobs, in the order in which they were added; 0 for those that are not stored yet."""
        return self._ids.tolist()

    def id_of(self, number: int) -> int:
        """The id of a job of this workflow; 0 before it is stored. For the app."""
        return self._ids[number]

    def _check(self, new: NewJob[Any], on_failure: str) -> None:
        if not isinstance(new, NewJob):
            raise ConfigurationError(f"a workflow takes what task.new(...) returns, not {new!r}")
        if self._block is _Block.BEFORE:
            raise ConfigurationError(f"{self._title} is stored by the end of its with block, and this is in none")
        if self._block is _Block.ENDED:
            raise ConfigurationError(f"{self._title} is stored already: its with block has ended")
        if on_failure not in get_args(OnFailure):
            raise ConfigurationError(f"on_failure is {', '.join(get_args(OnFailure))}, not {on_failure!r}")
        if new.unique_key is not None:
            raise ConfigurationError(
                f"a job of {new.task} is unique by a key, so it could be another one than that of this workflow: use a "
                "task without unique= and no idempotency_key="
            )
        if new.results:
            self._store.check_job(new, on_failure)

    def _common(self, after: Dependencies) -> Dependencies:
        if isinstance(after, str):
            raise ConfigurationError(f"after= takes a list of jobs or names, not {after!r}")
        return [after] if isinstance(after, (PlannedJob, PlannedJobs)) else list(after)

    def _numbers(self, after: Dependencies, new: NewJob[Any]) -> tuple[set[int | str], tuple[range, ...]]:
        numbers: set[int | str] = set()
        groups: list[range] = []
        for each in (*self._common(after), *used_jobs(new)):
            if isinstance(each, str):
                numbers.add(self._names.get(each, each))
            elif not isinstance(each, (PlannedJob, PlannedJobs)) or each.flow is not self:
                raise ConfigurationError(f"a job waits for jobs of its own workflow, or names of them, not {each!r}")
            elif isinstance(each, PlannedJob):
                numbers.add(each.number)
            else:
                groups.append(each.numbers)
        return numbers, tuple(groups)

    def _steps(self, *, is_last: bool) -> Generator[WorkflowStep, StoredStep, None]:
        """Yield what to store, one transaction at a time, and receive what was stored."""
        if not is_last and self._awaited and self._by is None:
            return  # what others wait for is still to come
        waiting = self._sorted()
        wide = [] if self._by is not None else [each for each in waiting if each.most_edges > _MOST_EDGES]
        is_one_step = is_last and self._id is None and len(waiting) <= _AT_ONCE and not wide
        self._check_steps(is_one_step=is_one_step)
        self._is_storing = True
        size = _AT_ONCE if is_one_step else _PORTION
        parts = [waiting[place : place + size] for place in range(0, len(waiting), size)]
        if is_last and not parts and self._by is None:
            parts = [[]]  # a workflow without jobs, or all of whose jobs are stored
        for part in parts:
            stored = yield self._step(part, is_last=is_last and part is parts[-1] and not wide)
            self._note(part, stored)
        for edges in self._further_edges(wide):
            yield WorkflowStep(self._id, edges=edges, tx=self._tx)
        if wide and is_last:
            yield WorkflowStep(self._id, is_last=True, tx=self._tx)
        self._buffer, self._is_storing = [], False

    def _check_steps(self, *, is_one_step: bool) -> None:
        if not is_one_step and self._new is not None and self._new.idempotency_key is not None:
            raise ConfigurationError(
                f"{self._title} has an idempotency_key, and more jobs or edges than one transaction stores "
                f"({_AT_ONCE:,}, {_MOST_EDGES:,} each): let one of its jobs add the others, by job.extend_workflow()"
            )
        if self._is_storing:
            raise ConfigurationError(f"a part of {self._title} could not be stored: let that error end its with block")

    def _step(self, part: Sequence[AddedJob], *, is_last: bool) -> WorkflowStep:
        places = {each.number: place for place, each in enumerate(part)}
        jobs = tuple(self._stored(each, places) for each in part)
        new = self._new if self._id is None and self._by is None else None
        return WorkflowStep(self._id, new, jobs, (), is_last, self._by, self._tx, self._reserved)

    def _note(self, part: Sequence[AddedJob], stored: StoredStep) -> None:
        self.created = not stored.is_found  # first: what was found is not to be given up
        self._id = stored.workflow
        for added, job in zip(part, stored.jobs, strict=True):
            self._ids[added.number] = job

    def _further_edges(self, wide: Sequence[AddedJob]) -> Iterator[tuple[tuple[int, int], ...]]:
        """Of jobs with more dependencies than one call should store: the rest of their edges, in portions."""
        for each in wide:
            dependant, left = self._ids[each.number], islice(each.numbers(), _MOST_EDGES, None)
            while edges := tuple((self._ids[job], dependant) for job in islice(left, _MOST_EDGES)):
                yield edges

    def _sorted(self) -> list[AddedJob]:
        """The jobs in the buffer, each after those that it waits for."""
        buffer = [each._replace(after={self._known(job) for job in each.after}) for each in self._buffer]
        unknown = sorted({str(job) for each in buffer for job in each.after if isinstance(job, str)})
        if unknown and self._by is None:
            names = ", ".join(sorted(self._names)) or "none"
            raise ConfigurationError(f"{self._title} has no job named {unknown[0]!r}; its names are {names}")
        return sorted_by_dependencies(buffer, self._title)

    def _known(self, job: int | str) -> int | str:
        return self._names.get(job, job) if isinstance(job, str) else job

    def _stored(self, added: AddedJob, places: Mapping[int, int]) -> NewWorkflowJob:
        """The job as the store takes it: other jobs by their ids, or by their places in this part."""

        def number(job: int | str) -> int | str:
            return job if isinstance(job, str) else self._ids[job] or -places[job] - 1

        results = None
        if added.job.results:
            made = {
                name: renamed(template, lambda job: number(job.number)) for name, template in added.job.results.items()
            }
            results = {"limit": self._store.max_payload, "arguments": made}
        name = added.name
        if self._by is not None:
            name = self._content_names[added.number] = name or self._content_name(added)
        after = islice(added.numbers(), _MOST_EDGES if self._by is None else None)
        waits_for, job = (*map(number, after), *added.names()), added.job._replace(results=None)
        return NewWorkflowJob(job, name, waits_for, added.before, added.on_failure, results)

    def _content_name(self, added: AddedJob) -> str:
        """A name made of what the job is: another attempt of the job that adds it finds it, whatever else it adds."""
        names = self._content_names
        results = {
            name: renamed(template, lambda job: names[job.number])
            for name, template in (added.job.results or {}).items()
        }
        after = sorted([*(names[job] for job in added.numbers()), *added.names()])
        content = json.dumps([added.job.args, results, after])
        digest = hashlib.sha256(content.encode()).hexdigest()[:16]
        name = f"{self._by[0] if self._by else 0}/{added.job.task}/{digest}"
        self._repeats[name] += 1
        return name if self._repeats[name] == 1 else f"{name}/{self._repeats[name]}"

    def _flush(self, *, is_last: bool = False) -> None:
        steps = self._steps(is_last=is_last)
        step = next(steps, None)
        while step is not None:
            stored = self._store.store_step(step)
            try:
                step = steps.send(stored)
            except StopIteration:
                break

    async def _aflush(self, *, is_last: bool = False) -> None:
        steps = self._steps(is_last=is_last)
        step = next(steps, None)
        while step is not None:
            stored = await self._store.astore_step(step)
            try:
                step = steps.send(stored)
            except StopIteration:
                break

    def __enter__(self) -> "WorkflowBuilder":
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block = _Block.ENDED
        try:
            if error is None:
                self._flush(is_last=True)
        except BaseException as failed:
            error = failed
            raise
        finally:
            if self._reserved:
                self._store.release(self._reserved)
            if error is not None and self._must_give_up and self._id is not None:
                with self._noted(error):
                    self._store.give_up(self._id)

    async def __aenter__(self) -> "WorkflowBuilder":
        self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._block = _Block.ENDED
        try:
            if error is None:
                await self._aflush(is_last=True)
        except BaseException as failed:
            error = failed
            raise
        finally:
            if self._reserved:
                self._store.release(self._reserved)
            if error is not None and self._must_give_up and self._id is not None:
                with self._noted(error):
                    await self._store.agive_up(self._id)

    def _begin(self) -> None:
        if self._block is not _Block.BEFORE:
            raise ConfigurationError(f"{self._title} has had its with block: build another one")
        self._block = _Block.OPEN

    @contextmanager
    def _noted(self, error: BaseException) -> Iterator[None]:
        """Add to the error that ended the block that the workflow could not be cancelled either."""
        try:
            yield
        except TurnspitError as unreached:
            error.add_note(
                f"{self._title} is stored in part and could not be cancelled ({unreached}). None of its jobs runs: "
                f"app.workflows.cancel({self._id}) cancels them, or else a worker within a day"
            )

    @property
    def _must_give_up(self) -> bool:
        """Whether a part of a new workflow may be stored already, outside of a caller's transaction."""
        return self._by is None and self._tx is None and self.created


def _names_of(before: Iterable[str]) -> tuple[str, ...]:
    if isinstance(before, str):
        raise ConfigurationError(f"before= takes a list of names, not {before!r}")
    return tuple(before)
