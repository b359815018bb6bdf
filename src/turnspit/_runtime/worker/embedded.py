"""A worker inside a program: tests, notebooks, small apps."""

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType

from turnspit._runtime.worker.remaining import tell_what_remains
from turnspit._runtime.worker.settings import WorkerParts, WorkerSettings
from turnspit._runtime.worker.worker import Worker
from turnspit.context import current_job
from turnspit.errors import ConfigurationError, TurnspitError

__all__ = ["EmbeddedWorker"]


class EmbeddedWorker:
    """``with app.worker():`` runs a worker in a thread of its own; ``async with`` on the running event loop.

    Its end does not wait for threads that will not end: ``Leftovers.keep`` says what becomes of their jobs.
    """

    def __init__(self, parts: WorkerParts, settings: WorkerSettings) -> None:
        if settings.until_empty:
            _refuse_in_job(parts, settings)
        self._parts = parts
        self._settings = settings
        self._worker: Worker | None = None
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._ended: Future[bool] = Future()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "EmbeddedWorker":
        self._started, self._ended = Future(), Future()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._live()), name="turnspit-worker", daemon=True)
        self._thread.start()
        try:
            self._started.result()
        except KeyboardInterrupt:  # there is no with to end it
            self._started.add_done_callback(lambda _: self._request_stop())
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._request_stop()
        self.wait()

    def _request_stop(self) -> None:
        assert self._worker is not None
        if self._started.exception() is None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                self._started.result().call_soon_threadsafe(self._worker.request_stop)

    def wait(self) -> None:
        """Wait until the worker has ended by itself, with ``until_empty=True``.

        :raises ConfigurationError: if it has not been started by ``with``.
        """
        if self._thread is None:
            raise ConfigurationError(
                "wait() is for inside `with app.worker(until_empty=True) as worker:`, where the worker runs; inside "
                "`async with` write await worker.await_end()"
            )
        if self._ended.result():
            self._thread.join()

    async def __aenter__(self) -> "EmbeddedWorker":
        self._worker = Worker(self._parts, replace(self._settings, shares_loop=True))
        await self._worker.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            await self._end(self._worker)

    async def _end(self, worker: Worker) -> None:
        """Stop it. Who is cancelled meanwhile waits all the same, but gives running jobs no more time: a worker whose
        end was left half-way kept its lease, and with it its jobs, until the program ended.
        """
        worker.stopping.set()
        ending = asyncio.create_task(worker.stop(), name="turnspit stop")
        interrupted: asyncio.CancelledError | None = None
        while not ending.done():
            try:
                await asyncio.wait([ending])
            except asyncio.CancelledError as error:
                interrupted = error
                worker.request_stop()
        try:
            ending.result().keep()
        except BaseException:  # also where the event loop ends, and cancels whatever is left of it
            worker.registration.let_go()
            raise
        if interrupted is not None:
            raise interrupted
        await tell_what_remains(self._parts, self._settings)

    async def await_end(self) -> None:
        """Wait until the worker wants to end by itself, with ``until_empty=True``.

        :raises ConfigurationError: if it has not been started by ``async with``.
        """
        if self._worker is None or self._thread is not None:
            raise ConfigurationError(
                "await_end() is for inside `async with app.worker(until_empty=True) as worker:`, where it runs; "
                "inside `with` write worker.wait()"
            )
        await self._worker.stopping.wait()

    async def _live(self) -> None:
        try:
            self._worker = Worker(self._parts, self._settings)
            await self._worker.start()
        except BaseException as error:
            self._started.set_exception(error)
            return
        self._started.set_result(asyncio.get_running_loop())
        try:
            await self._worker.stopping.wait()
            left = await self._worker.stop()
            left.keep()
            await tell_what_remains(self._parts, self._settings)
            self._ended.set_result(not left)
        except BaseException as error:
            self._ended.set_exception(error)


def _refuse_in_job(parts: WorkerParts, settings: WorkerSettings) -> None:
    """Refuse a worker that ends when nothing runs any more where it would wait for the job that starts it."""
    try:
        job = current_job()
    except TurnspitError:
        return
    executors = [executor for each in parts.app.executors.valuerefs() if (executor := each()) is not None]
    running = [each for executor in executors if (each := executor.running.get(job.id)) is not None]
    is_served = settings.queues is None or job.queue in settings.queues
    if is_served and any(each.context is job for each in running):
        raise ConfigurationError(
            f"job {job.id} ({job.task}) starts a worker with until_empty=True, which would wait for the end of that "
            "job too: start it outside of a job, or leave until_empty out and await the results of the jobs it is for"
        )
