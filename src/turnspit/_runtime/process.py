"""A worker as a process of its own: signals, and a prompt end."""

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from functools import partial

from turnspit._runtime.collector import Collector
from turnspit._runtime.health import Health, HealthReport, HealthService, Pulse
from turnspit._runtime.last_resort import LastResort
from turnspit._runtime.link import Counts, Link
from turnspit._runtime.worker.leftovers import Leftovers
from turnspit._runtime.worker.remaining import tell_what_remains
from turnspit._runtime.worker.settings import WorkerParts, WorkerSettings
from turnspit._runtime.worker.worker import Worker
from turnspit.context import is_inside_job
from turnspit.errors import ConfigurationError

__all__ = ["run_worker_process"]

logger = logging.getLogger("turnspit")

_CLOSE_TIME = 5.0
_FLUSH_TIME = 1.0
_HUNG = 3.0
"""Seconds for which a job that is over its time-out may block the loop, where a supervisor starts another process."""


def run_worker_process(
    parts: WorkerParts,
    settings: WorkerSettings,
    on_start: Callable[[Worker], None] | None = None,
    *,
    health: Health | None = None,
    supervisor: socket.socket | None = None,
    counts: Counts | None = None,
) -> int:
    """Run a worker until SIGTERM, SIGINT, SIGHUP or ``until_empty``; the exit code.

    The first signal lets running jobs end within the grace time; a second hands them back at once.

    :param supervisor: the line to the supervisor that started this process; SIGHUP is the supervisor's then.
    :param counts: what the supervisor is told of what this process counts.
    """
    _check_place()
    collector = Collector()
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_live(parts, settings, on_start, health or Health(), supervisor, counts, collector))
        leaving = threading.Timer(_CLOSE_TIME, _leave_without_threads)
        leaving.daemon = True
        leaving.start()
    leaving.cancel()
    collector.restore()
    return 0


def _leave_without_threads() -> None:
    """The loop waits for the threads of ``asyncio.to_thread``, also for those whose jobs were cancelled long ago."""
    names = ", ".join(sorted(each.name for each in threading.enumerate() if not each.daemon))
    logger.error("threads did not end within %g s (%s): leaving without them", _CLOSE_TIME, names)
    _flush()
    os._exit(0)


def _flush() -> None:
    """What was logged and printed, though a thread that still runs may hold the lock of it."""
    flushing = threading.Thread(target=_flush_all, daemon=True)
    flushing.start()
    flushing.join(_FLUSH_TIME)


def _flush_all() -> None:
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()


def _check_place() -> None:
    """Signals reach the main thread only, and a running event loop would wait for the worker's end. The main thread of
    a process in which a job runs by itself is that job's.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        if threading.current_thread() is threading.main_thread() and not is_inside_job():
            return
    raise ConfigurationError(
        "run_worker() needs a program's main thread, outside an event loop and outside a job: elsewhere use "
        "`with app.worker():` or `async with app.worker():`"
    )


async def _live(
    parts: WorkerParts,
    settings: WorkerSettings,
    on_start: Callable[[Worker], None] | None,
    health: Health,
    supervisor: socket.socket | None,
    counts: Counts | None,
    collector: Collector,
) -> None:
    worker = Worker(parts, settings, on_register=lambda: link.say() if link is not None else None)
    loop = asyncio.get_running_loop()
    last_resort = _last_resort(loop, parts, worker, settings.grace)
    _stop_on_signals(loop, worker, last_resort, is_supervised=supervisor is not None)
    worker.registration.stop_blocked = partial(_stop_blocked, worker)
    worker.claimer.prefetch.on_change = collector.follow
    pulse = Pulse(loop) if health.is_wanted or supervisor is not None else None

    def report() -> HealthReport:
        blocked = pulse.problems(health.max_lag) if pulse is not None else ()
        problems = (*blocked, *worker.troubles())
        # Only the end of this process frees such slots, as it does a blocked loop.
        is_hung = worker.executor.time_outs.all_hung_for > health.max_lag
        return HealthReport(live=not blocked and not is_hung, ready=not problems, problems=problems, is_hung=is_hung)

    link = None
    if supervisor is not None and pulse is not None:
        link = Link(supervisor, worker, report, counts, partial(_leave_if_hung, parts, worker, pulse))
    service = HealthService(health, report)
    service.start()
    last_resort.start()
    if service.address is not None:
        logger.info("health is shown at http://%s:%s/livez and /readyz", *service.address)
    if link is not None:
        link.start()
    try:
        await worker.start()
        collector.freeze()
        if on_start is not None and worker.id:
            on_start(worker)
        await worker.stopping.wait()
        left = await worker.stop()
        if left:
            # Python would wait for threads and coroutines that nobody can stop.
            logger.error("what follows did not end in time: leaving without it\n%s", left.describe())
            _flush()
            await left.hand_back()
            os._exit(0)
        await tell_what_remains(parts, settings)
    finally:
        last_resort.stop()
        service.stop()
        if link is not None:
            link.stop()
        if pulse is not None:
            pulse.stop()


def _last_resort(loop: asyncio.AbstractEventLoop, parts: WorkerParts, worker: Worker, grace: float) -> LastResort:
    def warn() -> None:
        text = "worker %s is told to stop, but its event loop is blocked; %g s are left to %s"
        logger.warning(text, worker.id, grace, worker.loop_watch.describe())

    def is_busy() -> bool:
        return bool(worker.executor.running)

    return LastResort(loop, grace, is_busy=is_busy, warn=warn, leave=lambda: _leave_blocked(parts, worker))


def _stop_blocked(worker: Worker) -> None:
    logger.info("worker %s was asked to stop", worker.id)
    os.kill(os.getpid(), signal.SIGTERM)  # which is heard between two steps of what blocks the loop


def _leave_if_hung(parts: WorkerParts, worker: Worker, pulse: Pulse) -> None:
    if pulse.lag > _HUNG and worker.executor.time_outs.is_loop_hung:
        _leave_blocked(parts, worker, 1)


def _leave_blocked(parts: WorkerParts, worker: Worker, code: int = 0) -> None:
    """What blocks the loop may do so for ever, and only the end of its process ends it."""
    logger.error(
        "worker %s: the event loop does not come back; leaving without %s", worker.id, worker.loop_watch.describe()
    )
    if worker.id:
        Leftovers(parts.engine, worker.registration, worker.executor, worker.finisher).hand_back_blocked()
    _flush()
    os._exit(code)


def _stop_on_signals(
    loop: asyncio.AbstractEventLoop, worker: Worker, last_resort: LastResort, *, is_supervised: bool
) -> None:
    for name in ("SIGTERM", "SIGINT", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
            continue  # as nohup wants it
        if name == "SIGHUP" and is_supervised:
            signal.signal(number, signal.SIG_IGN)
            continue
        try:
            loop.add_signal_handler(number, worker.request_stop)
            last_resort.hear(number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(worker.request_stop))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415  (optional extra)
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
