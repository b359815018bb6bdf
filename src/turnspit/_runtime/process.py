"""A worker as a process of its own: signals, and a prompt end."""

import asyncio
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable

from turnspit._runtime.worker.settings import WorkerParts, WorkerSettings
from turnspit._runtime.worker.worker import Worker
from turnspit.errors import ConfigurationError

__all__ = ["run_worker_process"]

logger = logging.getLogger("turnspit")


def run_worker_process(
    parts: WorkerParts, settings: WorkerSettings, on_start: Callable[[Worker], None] | None = None
) -> int:
    """Run a worker until SIGTERM, SIGINT or ``until_empty``; the exit code.

    The first signal lets running jobs end within the grace time; a second hands them back at once.
    """
    _check_place()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        clean = runner.run(_live(parts, settings, on_start))
        if not clean:
            # Python would wait for threads and coroutines that nobody can stop; their jobs were handed back.
            logger.error("a job did not end in time: leaving without it")
            logging.shutdown()
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    return 0


def _check_place() -> None:
    """Signals reach the main thread only, and a running event loop would wait for the worker's end."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if threading.current_thread() is threading.main_thread():
            return
    raise ConfigurationError(
        "run_worker() needs a program's main thread, outside an event loop: elsewhere use `with app.worker():` or "
        "`async with app.worker():`"
    )


async def _live(parts: WorkerParts, settings: WorkerSettings, on_start: Callable[[Worker], None] | None) -> bool:
    worker = Worker(parts, settings)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, worker.request_stop)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(worker.request_stop))
    await worker.start()
    if on_start is not None:
        on_start(worker)
    await worker.stopping.wait()
    return await worker.stop()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  (optional extra)
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
