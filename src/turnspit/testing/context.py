"""A job's context for a unit test of its function.

>>> with context(attempt=2) as job:
...     job.progress(0.5, "rendering")
>>> job.reported
[Progress(fraction=0.5, message='rendering', data=None)]
"""

from collections.abc import Mapping, Sequence
from contextvars import Token
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple

from turnspit.clock import to_moment, utc_now
from turnspit.codec import decode, encode
from turnspit.context import JobContext, activate_job
from turnspit.errors import TurnspitError
from turnspit.records import Claim
from turnspit.tasks import Task
from turnspit.workflows import WorkflowBuilder

__all__ = ["Finished", "Line", "Progress", "TestContext", "context"]


class Progress(NamedTuple):
    """What ``job.progress(...)`` was called with."""

    fraction: float
    message: str | None
    data: Any = None


class Line(NamedTuple):
    """What ``job.log(...)`` was called with."""

    level: str
    message: str


class Finished(NamedTuple):
    """What ``job.finish(...)`` or ``job.afinish(...)`` was called with."""

    tx: object
    result: Any


class _Recorder:
    def __init__(self) -> None:
        self.reported: list[Progress] = []
        self.logged: list[Line] = []
        self.finished: list[Finished] = []

    def report_progress(self, claim: Claim, progress: float, message: str | None, data: str | None) -> None:
        self.reported.append(Progress(progress, message, None if data is None else decode(data)))

    def report_cursor(self, claim: Claim, cursor: str) -> None:
        """No later attempt goes on from it."""

    def report_log(self, claim: Claim, level: str, message: str) -> None:
        self.logged.append(Line(level, message))

    def finish_in(self, tx: object, claim: Claim, result: Any) -> None:
        self.finished.append(Finished(tx, result))

    async def afinish_in(self, tx: object, claim: Claim, result: Any) -> None:
        self.finish_in(tx, claim, result)

    def extend_workflow(self, claim: Claim) -> WorkflowBuilder:
        raise TurnspitError(f"{claim.task} runs in a unit test without a store, so it has no workflow to add jobs to")


class TestContext(JobContext):
    """A ``JobContext`` that remembers what was reported. Made by ``turnspit.testing.context``.

    As a context manager it is the job that is running: ``current_job()`` finds it, and a plain call of a task that
    takes a ``JobContext`` receives it.
    """

    __test__ = False

    def __init__(self, claim: Claim, resources: Mapping[str, Any]) -> None:
        self._recorder = _Recorder()
        self._tokens: list[Token[JobContext]] = []
        super().__init__(claim, self._recorder, resources)

    @property
    def reported(self) -> list[Progress]:
        """Every progress that was reported, oldest first, as ``(fraction, message, data)``."""
        return self._recorder.reported

    @property
    def logged(self) -> list[Line]:
        """Every line that was logged, oldest first, as ``(level, message)``."""
        return self._recorder.logged

    @property
    def finished(self) -> list[Finished]:
        """Every ``job.finish(tx, result)``, as ``(tx, result)``; nothing was written."""
        return self._recorder.finished

    def __enter__(self) -> "TestContext":
        self._tokens.append(activate_job(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        token = self._tokens.pop()
        token.var.reset(token)


def context(
    task: Task[Any, Any] | str = "test",
    *,
    id: int = 1,  # noqa: A002  (the context's own word)
    attempt: int = 1,
    queue: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    resources: Mapping[str, Any] | None = None,
    created_at: datetime | None = None,
    stop_reason: str | None = None,
) -> TestContext:
    """A context for calling a task's function in a unit test: no store, no worker.

    :param task: the task whose context it is, or its name.
    :param resources: what the app's lifespan would provide.
    :param created_at: when the job was enqueued; now by default.
    :param stop_reason: ``"cancelled"``, ``"timeout"`` or ``"shutdown"`` for a job that was told to stop;
        ``job.stop(reason)`` tells it later.

    ::

        with testing.context(resources={"printer": printer}) as job:
            make_invoice(order_id=7)
        assert job.reported[-1] == (1.0, "printed", None)
    """
    name, default_queue = (task.name, task.queue) if isinstance(task, Task) else (task, "default")
    moment = to_moment(utc_now() if created_at is None else created_at, "created_at")
    claim = Claim(
        id=id,
        fence=attempt,
        task=name,
        queue=queue or default_queue,
        args="{}",
        attempt=attempt,
        crashes=0,
        priority=0,
        created_at=moment,
        run_at=moment,
        started_at=moment,
        retry=None,
        timeout=None,
        tags=encode(list(tags), what="tags") if tags else None,
        metadata=encode(dict(metadata), what="metadata") if metadata else None,
    )
    job = TestContext(claim, resources or {})
    if stop_reason is not None:
        job.stop(stop_reason)
    return job
