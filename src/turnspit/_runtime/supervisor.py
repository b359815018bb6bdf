"""Several worker processes of one app: starts them, watches them, replaces them, stops them.

``Supervisor._round`` is its table of contents. It looks at everything again whenever something happened, so that no
event can be missed: a child that ended, that said something, a signal, a time that came.
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from turnspit._runtime.children import Child, describe_exit
from turnspit._runtime.health import Health, HealthReport, HealthService, Pulse
from turnspit._runtime.memory import can_measure_memory, memory_of
from turnspit.clock import monotonic
from turnspit.errors import ConfigurationError

__all__ = ["Adder", "Supervisor", "SupervisorSettings"]

logger = logging.getLogger("turnspit")

_LOOK = 1.0
_SETTLED = 10.0
"""Seconds after which a process that began to work counts as well started."""
_FAILING = 3
_SILENCE = 3.0
"""Seconds beyond the allowed lag: a process says every second how it is."""
_LEASES, _LEAST_SILENCE = 4, 10.0
"""Leases, and seconds, for which a process may say nothing: it renews no lease either, and others have had its jobs."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0
_MARGIN = 25.0
"""Seconds that a worker may need after its grace time: cancelled coroutines clean up, the last work is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorSettings:
    """How a supervisor works. Durations are seconds, sizes bytes."""

    processes: int
    grace: float
    lease: float = 15.0
    until_empty: bool = False
    max_jobs: int | None = None
    max_memory: int | None = None
    health: Health = field(default_factory=Health)

    @property
    def are_wanted(self) -> bool:
        """Whether they need a supervisor: one process that is never replaced needs none."""
        return self.processes > 1 or self.max_jobs is not None or self.max_memory is not None


class Adder(Protocol):
    """Who wants to hear what the processes count."""

    def heard(self, process: int, counts: Mapping[tuple[str, ...], Sequence[float]]) -> None:
        """A process said what it has counted so far, where that has changed."""
        ...

    def ended(self, process: int) -> None:
        """A process has ended."""
        ...


class Slot:
    """The place of one process: who works there, and who is about to."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.current: Child | None = None
        self.next: Child | None = None
        """The one that takes over as soon as it is registered."""
        self.failures = 0
        self.start_at = 0.0
        self.renew = False
        self.is_done = False
        self.how = ""
        """How its last process ended."""

    @property
    def is_failing(self) -> bool:
        """Whether its processes die soon after their start, again and again."""
        settled = self.current is not None and self.current.is_registered and self.current.age >= _SETTLED
        return self.failures >= _FAILING and not settled

    def count_failure(self, age: float) -> float:
        """Count a process that ended uncalled; seconds until the next one: 0 the first time, then more and more."""
        self.failures = 1 if age >= _SETTLED else self.failures + 1
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(self.failures - 2, 10))
        pause = random.uniform(longest / 2, longest) if self.failures > 1 else 0.0  # noqa: S311
        self.start_at = monotonic() + pause
        return pause


class Supervisor:
    """Runs worker processes until a signal, or until all have ended with nothing left to do.

    :param command: the words that start a worker process, from its slot's number and the file descriptor of its line.
    :param adder: hears what the processes count.
    """

    def __init__(
        self, settings: SupervisorSettings, command: Callable[[int, int], list[str]], adder: Adder | None = None
    ) -> None:
        if sys.platform == "win32":
            raise ConfigurationError(
                "several processes under one supervisor need a system with signals, which Windows is not: start "
                "`turnspit worker` several times there, as services for example; they share the work all the same"
            )
        if settings.max_memory is not None and not can_measure_memory():
            raise ConfigurationError("max_memory needs psutil on this system: pip install psutil")
        self._settings = settings
        self._command = command
        self._adder = adder
        self._slots = [Slot(number) for number in range(1, settings.processes + 1)]
        self._children: dict[int, Child] = {}
        self._dead: set[int] = set()
        """Workers that died and whose jobs no sibling has returned yet."""
        self._stopping = False
        self._kill_at = 0.0
        self._looked_at = monotonic()
        self._exit_code = 0
        self._pulse: Pulse | None = None

    def run(self) -> int:
        """Supervise; the exit code: 1 if a process had to be killed or ended badly when it was told to stop."""
        return asyncio.run(self._live())

    async def _live(self) -> int:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._pulse = Pulse(self._loop)
        service = HealthService(self._settings.health, self.report)
        service.start()
        if service.address is not None:
            logger.info("health is shown at http://%s:%s/livez and /readyz", *service.address)
        self._hear_signals()
        try:
            while not self._is_over():
                self._changed.clear()
                self._round()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._pause()):
                        await self._changed.wait()
        finally:
            service.stop()
            self._pulse.stop()
        logger.info("all processes have ended")
        return self._exit_code

    def _round(self) -> None:
        self._reap()
        for slot in self._slots:
            if not self._stopping:
                self._recycle(slot)
                self._fill(slot)
        self._pass_on_deaths()
        if self._stopping:
            self._kill_late()
        else:
            self._kill_silent()

    def _is_over(self) -> bool:
        return not self._children and (self._stopping or all(slot.is_done for slot in self._slots))

    def _pause(self) -> float:
        waiting = [slot.start_at for slot in self._slots if slot.current is None and not slot.is_done]
        return max(0.0, min([_LOOK, *(moment - monotonic() for moment in waiting)]))

    # Signals

    def _hear_signals(self) -> None:
        self._loop.add_signal_handler(signal.SIGCHLD, self._changed.set)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop)
        if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
            return  # as nohup wants it
        # A terminal that closes is the end; for a service, SIGHUP means to begin anew, with new code.
        self._loop.add_signal_handler(signal.SIGHUP, self._stop if sys.stderr.isatty() else self._renew)

    def _stop(self) -> None:
        """The first time running jobs may end within the grace time; the second time they are handed back at once."""
        grace = 0.0 if self._stopping else self._settings.grace
        if self._stopping:
            logger.info("handing running jobs back at once")
        else:
            logger.info(
                "stopping; running jobs may take up to %g s, a second signal hands them back at once",
                self._settings.grace,
            )
        self._stopping = True
        self._kill_at = monotonic() + grace + _MARGIN
        for child in self._children.values():
            child.signal(signal.SIGTERM)
        self._changed.set()

    def _renew(self) -> None:
        logger.info("SIGHUP: replacing every process, one after the other")
        for slot in self._slots:
            slot.renew = True
        self._changed.set()

    def _kill_silent(self) -> None:
        """Kill processes that say nothing: C code that keeps Python's lock hangs all their threads.

        Time in which this process stood still is not counted: a paused container stands still with all of them.
        """
        limit = max(_LEASES * self._settings.lease, _LEAST_SILENCE)
        stood_still = max(0.0, monotonic() - self._looked_at - _LOOK)
        self._looked_at = monotonic()
        for child in self._children.values():
            child.heard_at += stood_still
            silent = monotonic() - child.heard_at
            if child.is_registered and silent > limit:
                logger.error("%s has said nothing for %.0f s: killing it", child.name, silent)
                child.signal(signal.SIGKILL)
                child.heard_at = monotonic()  # so that it is not killed again each second

    def _kill_late(self) -> None:
        if monotonic() >= self._kill_at:
            for child in self._children.values():
                logger.error("%s did not stop in time: killing it; others rescue its jobs", child.name)
                child.signal(signal.SIGKILL)
                self._exit_code = 1
            self._kill_at = monotonic() + _MARGIN

    # Ends

    def _reap(self) -> None:
        for pid, code in _ended(list(self._children)):
            child = self._children.pop(pid, None)
            if child is not None:  # else an orphan that process 1 inherits
                self._loop.remove_reader(child.line)
                child.ended(code)
                self._add_counts(child, has_ended=True)
                self._note_end(child, code)

    def _note_end(self, child: Child, code: int) -> None:
        if child.is_registered and (code or not child.is_over):
            self._dead.add(child.status.worker)
        slot = self._slots[child.slot - 1]
        if self._stopping:
            if code not in (0, -signal.SIGTERM):
                logger.error("%s %s while it was stopping", child.name, describe_exit(code))
                self._exit_code = 1
        elif child.is_draining:
            level = logging.WARNING if code else logging.INFO
            logger.log(level, "%s, which had been replaced, %s", child.name, describe_exit(code))
            return
        elif code == 0 and child.is_over and self._settings.until_empty:
            slot.is_done = child is slot.current
        else:
            self._note_failure(slot, child, code)
        if child is slot.next:
            slot.next = None
        elif child is slot.current:
            slot.current, slot.next = slot.next, None

    def _note_failure(self, slot: Slot, child: Child, code: int) -> None:
        slot.how = describe_exit(code)
        pause = slot.count_failure(child.age)
        when = f"in {pause:.1f} s" if pause else "now"
        if slot.failures < _FAILING:
            logger.warning("%s %s; another one starts %s", child.name, slot.how, when)
        else:
            logger.error("%s %s; %s. Another one starts %s", child.name, slot.how, _failing(slot), when)

    def _pass_on_deaths(self) -> None:
        """Siblings return the jobs of those that died: at once, for no lease has to run out. The first one does it."""
        for child in self._children.values():
            self._dead.difference_update(child.status.declared)
        for child in self._children.values():
            for worker in sorted(self._dead - child.told) if child.is_registered else ():
                if child.tell({"declare_dead": worker}):
                    child.told.add(worker)

    # Starts

    def _fill(self, slot: Slot) -> None:
        if slot.current is None and not slot.is_done and monotonic() >= slot.start_at:
            slot.current = self._start(slot)

    def _start(self, slot: Slot) -> Child | None:
        """Start a process; ``None`` where the system has none to give, as without memory. It is tried again later."""
        try:
            child = Child(slot.number, lambda line: self._command(slot.number, line))
        except OSError as error:
            slot.how = f"could not be started: {error}"
            pause = slot.count_failure(0.0)
            logger.error("process %s %s; trying again in %.1f s", slot.number, slot.how, pause)
            return None
        self._children[child.pid] = child
        self._loop.add_reader(child.line, self._hear, child)
        logger.info("%s started", child.name)
        return child

    def _hear(self, child: Child) -> None:
        if not child.read():
            self._loop.remove_reader(child.line)
        self._add_counts(child)
        self._changed.set()

    def _add_counts(self, child: Child, *, has_ended: bool = False) -> None:
        counts = child.take_counts()
        if self._adder is not None:
            self._adder.heard(child.pid, counts)
            if has_ended:
                self._adder.ended(child.pid)

    def _recycle(self, slot: Slot) -> None:
        """Replace a process, one in the whole fleet at a time: the new one works before the old one takes no more."""
        old, new = slot.current, slot.next
        if old is not None and new is not None and new.is_registered:
            old.is_draining = old.tell({"drain": True})
            if old.is_draining:
                slot.current, slot.next, slot.renew = new, None, False
        elif old is not None and new is None and old.is_registered and monotonic() >= slot.start_at:
            why = "it is to begin anew" if slot.renew else self._over_limit(old)
            why = "; ".join(old.status.problems) if old.status.is_hung else why
            if why and not any(each.next for each in self._slots):
                level = logging.ERROR if old.status.is_hung else logging.INFO
                logger.log(level, "%s is replaced: %s", old.name, why)
                slot.next = self._start(slot)

    def _over_limit(self, child: Child) -> str | None:
        settings = self._settings
        if settings.max_jobs is not None and child.status.jobs >= settings.max_jobs:
            return f"it has done {child.status.jobs} jobs"
        if settings.max_memory is not None:
            memory = memory_of(child.pid) or 0
            if memory >= settings.max_memory:
                return f"it has {memory / 1_000_000:.0f} MB of memory"
        return None

    # Health

    def report(self) -> HealthReport:
        """How the supervisor and its processes are; from any thread."""
        max_lag = self._settings.health.max_lag
        blocked = () if self._pulse is None else self._pulse.problems(max_lag, "the supervisor's")
        slots = [slot for slot in self._slots if not slot.is_done]
        found = [_slot_report(slot, max_lag) for slot in slots]
        problems = [*blocked, *(problem for each in found for problem in each.problems)]
        if self._stopping:
            problems.append("it is stopping")
        nothing_works = bool(slots) and all(slot.is_failing for slot in slots)
        live = not blocked and not nothing_works and all(each.live for each in found)
        return HealthReport(live=live, ready=not problems and all(each.ready for each in found), problems=(*problems,))


def _slot_report(slot: Slot, max_lag: float) -> HealthReport:
    name, child = f"process {slot.number}", slot.current
    if slot.is_failing:
        return HealthReport(live=True, ready=False, problems=(f"{name}: {_failing(slot)}, the last one {slot.how}",))
    if child is None or not child.is_registered:
        return HealthReport(live=True, ready=False, problems=(f"{name} is starting",))
    status, silent = child.status, monotonic() - child.heard_at
    if silent > max_lag + _SILENCE:
        return HealthReport(live=False, ready=False, problems=(f"{name} has said nothing for {silent:.1f} s",))
    problems = tuple(f"{name}: {problem}" for problem in status.problems)
    # One whose slots hang is replaced from here: whoever restarted all would only interrupt the others' jobs.
    is_replaced = status.is_hung and slot.failures < _FAILING
    return HealthReport(live=status.live or is_replaced, ready=status.ready, problems=problems)


def _failing(slot: Slot) -> str:
    return f"{slot.failures} in a row have ended within {_SETTLED:g} s of their start"


def _ended(children: list[int]) -> Iterator[tuple[int, int]]:
    """The process ids and exit codes of processes that ended. Process 1 also inherits and buries orphans."""
    for wanted in [-1] if os.getpid() == 1 else children:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(wanted, os.WNOHANG)
                if not pid:
                    break
                yield pid, os.waitstatus_to_exitcode(status)
