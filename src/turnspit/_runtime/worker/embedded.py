"""A worker inside a program: tests, notebooks, small apps."""

import asyncio
import contextlib
import threading
from concurrent.futures import Future
from types import TracebackType

from turnspit._runtime.worker.settings import WorkerParts, WorkerSettings
from turnspit._runtime.worker.worker import Worker

__all__ = ["EmbeddedWorker"]


class EmbeddedWorker:
    """``with app.worker():`` runs a worker in a thread of its own; ``async with`` on the running event loop.

    Its end does not wait for threads that will not end: ``Leftovers.keep`` says what becomes of their jobs.
    """

    def __init__(self, parts: WorkerParts, settings: WorkerSettings) -> None:
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
        self._started.result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._worker is not None
        with contextlib.suppress(RuntimeError):  # it has ended by itself
            self._started.result().call_soon_threadsafe(self._worker.request_stop)
        self.wait()

    def wait(self) -> None:
        """Wait until the worker has ended by itself, with ``until_empty=True``."""
        if self._thread is None:
            return
        if self._ended.result():
            self._thread.join()

    async def __aenter__(self) -> "EmbeddedWorker":
        self._worker = Worker(self._parts, self._settings)
        await self._worker.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._worker is not None:
            (await self._worker.stop()).keep()

    async def await_end(self) -> None:
        """Wait until the worker wants to end by itself, with ``until_empty=True``."""
        if self._worker is not None:
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
            self._ended.set_result(not left)
        except BaseException as error:
            self._ended.set_exception(error)
