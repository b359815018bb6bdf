"""Stores a workflow while it is built: implements ``workflow_steps.WorkflowStore`` over an engine."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from turnspit.backlog import Backlogs
from turnspit.contract import Engine
from turnspit.contract.verbs import Verb
from turnspit.errors import ConfigurationError, InvalidArguments
from turnspit.placeholders import Placeholder, parts_used
from turnspit.records import NewJob
from turnspit.result_types import allows_null, mismatch
from turnspit.sending import Sender, Sendings
from turnspit.tasks import Task
from turnspit.workflow_steps import StoredStep, WorkflowStep

__all__ = ["WorkflowWriter"]

T = TypeVar("T")

_PORTION = 1000
_GIVEN_UP = "the with block that built it raised"


class WorkflowWriter:
    """Checks and stores what a builder gives it.

    :param engine: the store, asked for anew at each use.
    :param senders: see new jobs before they are stored.
    :param backlogs: the bounded queues, which may have no room for a new workflow.
    """

    def __init__(
        self,
        engine: Callable[[], Engine],
        tasks: Mapping[str, Task[Any, Any]],
        max_payload: int,
        senders: Sequence[Sender] = (),
        backlogs: Backlogs | None = None,
    ) -> None:
        self._engine = engine
        self._senders = senders
        self._backlogs = backlogs
        self._tasks = tasks
        self.max_payload = max_payload

    def check_job(self, new: NewJob[Any], on_failure: str) -> None:
        """Check that the results that a job takes as arguments have types that its task accepts.

        :raises InvalidArguments: if one has not.
        :raises ConfigurationError: if a result is not kept, or is used by a job that may run without it.
        """
        task = self._tasks.get(new.task)
        for argument, template in (new.results or {}).items():
            taken = {} if task is None else task.signature.argument_schema(argument)
            for job, path in parts_used(template):
                dependency = self._tasks.get(job.task)
                if dependency is None:
                    continue
                if not dependency.keeps_result:
                    raise ConfigurationError(f"{new.task} takes the result of {job.task}, whose keep_result is False")
                if template[0] != "result":
                    continue  # a part of a list or a dict is checked when it is known
                why = mismatch(dependency.signature.result_schema(), path, taken)
                if why is not None:
                    placeholder = Placeholder(job.task, job, tuple(path))
                    raise InvalidArguments(f"{new.task}: {argument} cannot be {placeholder!r}: {why}")
                if on_failure == "run" and not allows_null(taken):
                    raise InvalidArguments(
                        f'{new.task}: {argument} must take None, because on_failure="run" lets it run without the '
                        f"result of {job.task}"
                    )

    def store_step(self, step: WorkflowStep) -> StoredStep:
        """Store a part, unless an earlier workflow holds its idempotency key.

        :raises QueueFull: if a queue has no room for it; nothing of the part is stored.
        """
        if self._may_find_no_room(step) and (found := self._write(_find_step, step)) is not None:
            return found
        with Sendings(self._senders if step.jobs else ()) as sent:
            step = _sent(step, sent)
            if self._backlogs is not None and step.reserved is not None:
                step.reserved.update(self._backlogs.reserve(*_needs(step), tx=step.tx, has=step.reserved))
            stored = self._write(_store_step, step)
            sent.stored([] if stored.is_found else stored.jobs)
        return stored

    async def astore_step(self, step: WorkflowStep) -> StoredStep:
        """``store_step`` for async code."""
        if self._may_find_no_room(step) and (found := await self._awrite(_find_step, step)) is not None:
            return found
        with Sendings(self._senders if step.jobs else ()) as sent:
            step = _sent(step, sent)
            if self._backlogs is not None and step.reserved is not None:
                step.reserved.update(await self._backlogs.areserve(*_needs(step), tx=step.tx, has=step.reserved))
            stored = await self._awrite(_store_step, step)
            sent.stored([] if stored.is_found else stored.jobs)
        return stored

    def _may_find_no_room(self, step: WorkflowStep) -> bool:
        """Whether a full queue could turn away a workflow that is stored already."""
        has_key = step.new is not None and step.new.idempotency_key is not None
        return has_key and self._backlogs is not None and self._backlogs.are_bounded(each.job for each in step.jobs)

    def _write(self, verb: Callable[[Engine, WorkflowStep], Verb[T]], step: WorkflowStep) -> T:
        engine = self._engine()
        if step.tx is not None:
            return engine.write_in(step.tx, verb, engine, step)
        return engine.write(verb, engine, step)

    async def _awrite(self, verb: Callable[[Engine, WorkflowStep], Verb[T]], step: WorkflowStep) -> T:
        engine = self._engine()
        if step.tx is not None:
            return await engine.awrite_in(step.tx, verb, engine, step)
        return await engine.awrite(verb, engine, step)

    def release(self, reserved: Counter[str]) -> None:
        """Let go of the room that was reserved for a workflow, which is stored, or will not be."""
        if self._backlogs is not None:
            self._backlogs.release(reserved)

    def give_up(self, workflow: int) -> None:
        """Cancel what has been stored of a workflow."""
        engine = self._engine()
        while engine.write(engine.cancel_workflow, workflow, _GIVEN_UP, _PORTION):
            pass

    async def agive_up(self, workflow: int) -> None:
        """``give_up`` for async code."""
        engine = self._engine()
        while await engine.awrite(engine.cancel_workflow, workflow, _GIVEN_UP, _PORTION):
            pass


def _sent(step: WorkflowStep, sent: Sendings) -> WorkflowStep:
    """The step as its senders want it stored."""
    jobs = sent.begin([each.job for each in step.jobs])
    return step._replace(jobs=tuple(each._replace(job=job) for each, job in zip(step.jobs, jobs, strict=True)))


def _needs(step: WorkflowStep) -> tuple[list[NewJob[Any]], list[NewJob[Any]]]:
    """The jobs that a workflow begins with, and those that wait for others first."""
    begin = [each.job for each in step.jobs if not each.after]
    return begin, [each.job for each in step.jobs if each.after]


def _find_step(engine: Engine, step: WorkflowStep) -> Verb[StoredStep | None]:
    """The earlier workflow that holds the idempotency key."""
    if step.new is None or step.new.idempotency_key is None:
        return None
    names = [each.name or "" for each in step.jobs]
    found = yield from engine.find_workflow(step.new.name, step.new.idempotency_key, names)
    return None if found is None else StoredStep(found.id, [found.jobs.get(name, 0) for name in names], is_found=True)


def _store_step(engine: Engine, step: WorkflowStep) -> Verb[StoredStep]:
    """A part of a workflow, in one transaction. One that is new and complete needs no sealing."""
    workflow, is_complete = step.workflow, step.is_last and bool(step.jobs)
    found = yield from _find_step(engine, step)
    if found is not None:
        return found
    if step.new is not None:
        for each in step.jobs:  # first: a caller who catches the error may commit what was stored before it
            engine.check_new(each.job)
        workflow = yield from engine.insert_workflow(step.new, is_sealed=is_complete)
    jobs: list[int] = []
    if step.jobs or step.edges:
        jobs = yield from engine.extend_workflow(workflow, step.jobs, edges=step.edges, by=step.by)
    if step.is_last and step.by is None and not (step.new is not None and is_complete):
        assert workflow is not None
        yield from engine.seal_workflow(workflow)
    return StoredStep(workflow or 0, jobs)
