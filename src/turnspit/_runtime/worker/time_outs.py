"""Tells jobs that their time is over, and knows those that do not end all the same.

A coroutine is cancelled, and a process is killed. A thread can only be told: it keeps its slot until it ends.
"""

import asyncio
import logging
from collections.abc import Container, Mapping

from turnspit._runtime.worker.alarm import Alarm
from turnspit._runtime.worker.loop_watch import stack_of
from turnspit._runtime.worker.running import Running
from turnspit.clock import monotonic
from turnspit.reporting import Reporter

__all__ = ["TimeOuts"]

logger = logging.getLogger("turnspit")

_NAMED = 5
_CLEAN_UP = 5.0
"""Seconds that a cancelled coroutine has, until it counts as one that does not end."""


class TimeOuts:
    """Those of one worker's jobs. Its properties are asked from other threads too.

    :param running: the jobs that run now, by their id.
    :param slots: how many may run at once.
    :param batch_tasks: the names of tasks whose jobs wait for the answer of a call that they share.
    """

    def __init__(
        self, running: Mapping[int, Running], reporter: Reporter, slots: int, batch_tasks: Container[str]
    ) -> None:
        self._running = running
        self._reporter = reporter
        self._slots = slots
        self._batch_tasks = batch_tasks
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(self._stop_late)

    def limit(self, running: Running, seconds: float) -> None:
        """Tell a job to stop when it has run for so long."""
        running.deadline = running.started + seconds
        self._alarm.set(seconds)

    def _stop_late(self) -> None:
        now = monotonic()
        waiting = []
        for running in self._running.values():
            if running.deadline is None:
                continue
            if running.deadline <= now + 0.001:
                running.deadline, running.overdue_at = None, now
                running.stop("timeout")
                self._report(running)
            else:
                waiting.append(running.deadline)
        if waiting:
            self._alarm.set(min(waiting) - now)

    def _report(self, running: Running) -> None:
        if running.is_isolated:
            how = "told to stop, and its process is killed"
        else:
            how = "cancelled" if running.is_async else "told to stop; its thread keeps its slot until it ends"
        stack = stack_of(running.context.thread)
        if stack:
            how += f"; it is in\n{stack}"
            self._reporter.report_log(running.claim, "warning", f"over its time-out, in a thread that is in\n{stack}")
        logger.warning("job %s (%s) is over its time-out: %s", running.claim.id, running.claim.task, how)

    @property
    def is_loop_hung(self) -> bool:
        """Whether the event loop is in a job that is over its time-out: nobody can cancel it."""
        task, now = asyncio.current_task(self._loop), monotonic()
        running = [each for each in list(self._running.values()) if task is not None and each.task is task]
        return any(each.deadline is not None and each.deadline < now for each in running)

    @property
    def stuck(self) -> list[Running]:
        """Jobs that were told to stop and did not end: each keeps its slot."""
        told = [each for each in list(self._running.values()) if each.context.stop_reason is not None]
        return [running for running in told if self._goes_on(running)]

    def _goes_on(self, running: Running) -> bool:
        """Whether it keeps its slot: in a thread, or as a coroutine for longer than a clean-up takes."""
        if running.context.thread is not None:
            return True
        late = 0.0 if running.overdue_at is None else monotonic() - running.overdue_at
        return late > _CLEAN_UP and running.is_async and running.claim.task not in self._batch_tasks

    @property
    def trouble(self) -> str | None:
        """Why nothing more can begin here, if jobs that do not end are why."""
        stuck = self.stuck
        if len({running.context.thread or running for running in stuck}) < self._slots:
            return None
        jobs = ", ".join(str(running.claim.id) for running in stuck[:_NAMED])
        return f"all its slots are taken by jobs that were told to stop and do not end ({jobs})"

    @property
    def all_hung_for(self) -> float:
        """For how many seconds every slot has been taken by a job over its time-out; 0.0 where it is not so.

        Threads that were told to stop for another reason, as after an outage of the store, have time left to end in.
        """
        overdue = {
            running.context.thread or running: running.overdue_at
            for running in self.stuck
            if running.overdue_at is not None
        }
        return monotonic() - max(overdue.values()) if len(overdue) >= self._slots else 0.0

    def close(self) -> None:
        """Forget the timer."""
        self._alarm.clear()
