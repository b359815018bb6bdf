"""``app.workflow`` and ``app.chain``: where the building of a workflow begins."""

from abc import abstractmethod
from typing import Any

from turnspit.clock import Duration, to_duration
from turnspit.codec import check_text
from turnspit.errors import ConfigurationError
from turnspit.records import NewJob, NewWorkflow
from turnspit.sending import AddedMetadata
from turnspit.workflow_store import WorkflowWriter
from turnspit.workflows import WorkflowBuilder

__all__ = ["WorkflowDeclarer"]


class WorkflowDeclarer:
    """``app.workflow`` and ``app.chain``."""

    added_metadata: list[AddedMetadata]

    @property
    @abstractmethod
    def workflow_writer(self) -> WorkflowWriter:
        """Where their jobs go."""

    def workflow(
        self,
        name: str,
        *,
        on_complete: NewJob[Any] | None = None,
        on_success: NewJob[Any] | None = None,
        on_failure: NewJob[Any] | None = None,
        deadline: Duration | None = None,
        idempotency_key: str | None = None,
        tx: object | None = None,
    ) -> WorkflowBuilder:
        """Jobs that wait for each other: added inside the block, stored together when it ends, or not at all.

        ``async with`` in async code. More than some thousand jobs are stored in portions, and none runs before all are.

        :param name: for people; several may have the same.
        :param on_complete: a job that is enqueued when the workflow ends, however it ends; made by ``task.new(...)``.
        :param on_success: a job that is enqueued when it ends and all its jobs completed.
        :param on_failure: a job that is enqueued when it ends and one of its jobs is dead or was cancelled.
        :param deadline: seconds or ``timedelta`` after which the rest of it is cancelled.
        :param idempotency_key: of a request that may be repeated: until this workflow has ended, and for a day after it
            was stored, another one of its name and key stores nothing and has its ``id``; ``flow.created`` is false
            then. At most 5,000 jobs can be stored so.
        :param tx: as for ``using(tx=)``: it exists if and only if that transaction commits.

        ::

            with app.workflow("fulfil", on_failure=call_somebody.new()) as flow:
                charge = flow.add(charge_payment.new(order_id=7))
                reserve = flow.add(reserve_stock.new(order_id=7))
                flow.add(ship.new(order_id=7, receipt=charge.result), after=[reserve])
        """
        hooks = {"on_complete": on_complete, "on_success": on_success, "on_failure": on_failure}
        for hook, job in hooks.items():
            if job is not None and (not isinstance(job, NewJob) or job.results):
                raise ConfigurationError(
                    f"{hook} takes what task.new(...) returns, without others' results, not {job!r}"
                )
        new = NewWorkflow(
            check_text(name, "a workflow's name"),
            tuple((hook, self._with_metadata(job)) for hook, job in hooks.items() if job is not None),
            None if deadline is None else to_duration(deadline, "deadline"),
            None if idempotency_key is None else check_text(idempotency_key, "an idempotency key"),
        )
        return WorkflowBuilder(self.workflow_writer, new, tx=tx)

    def _with_metadata(self, job: NewJob[Any]) -> NewJob[Any]:
        """The job with the app's metadata, which must be added now: when it is stored, there is no caller any more."""
        for added in self.added_metadata:
            [job] = added.add([job])
        return job

    def chain(
        self, *jobs: NewJob[Any], name: str = "chain", idempotency_key: str | None = None, tx: object | None = None
    ) -> int:
        """Store jobs of which each waits for the one before; the id of their workflow.

        :param name: for people.
        :param idempotency_key: as for ``workflow``.
        :param tx: as for ``using(tx=)``.
        :raises ConfigurationError: without any job.

        ::

            app.chain(fetch.new(url), convert.new(path), publish.new(path))
        """
        with self.workflow(name, idempotency_key=idempotency_key, tx=tx) as flow:
            _add_chain(flow, jobs)
        return flow.id

    async def achain(
        self, *jobs: NewJob[Any], name: str = "chain", idempotency_key: str | None = None, tx: object | None = None
    ) -> int:
        """``chain`` for async code."""
        async with self.workflow(name, idempotency_key=idempotency_key, tx=tx) as flow:
            _add_chain(flow, jobs)
        return flow.id


def _add_chain(flow: WorkflowBuilder, jobs: tuple[NewJob[Any], ...]) -> None:
    if not jobs:
        raise ConfigurationError("a chain needs jobs, made by task.new(...)")
    before = None
    for job in jobs:
        before = flow.add(job, after=[] if before is None else [before])
