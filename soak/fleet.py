"""The processes of a soak, and the faults that they suffer."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import IO, TypeVar

from soak.ledger import Ledger
from soak.stores import Store
from soak.tasks import LEASE

__all__ = ["Fault", "Fleet"]

T = TypeVar("T")

_ROOT = Path(__file__).parent.parent
_LONGEST_RECOVERY = 60.0


@dataclass(slots=True)
class Fault:
    """One fault: ``seconds`` is how long it took until all was well again, ``None`` where that never came."""

    kind: str
    at: float
    seconds: float | None = None


class Fleet:
    """Workers and producers, each started again when it ends."""

    def __init__(self, store: Store, folder: Path, *, workers: int, rate: float, dice: Random) -> None:
        self.store = store
        self.folder = folder
        self.faults: list[Fault] = []
        self.unexpected: list[str] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.has_begun = time.monotonic()
        self._rate = rate
        self._dice = dice
        self._ledger = Ledger(folder)
        self._log: IO[bytes] = (folder / "output.log").open("ab")
        self._names = [f"worker {number}" for number in range(1, workers + 1)] + ["producer"]
        self.failed_starts = 0
        """Workers that ended at their start because the store was away, or because they were suspended beyond their
        deadline or told to stop before they could hear it, as they should, and were started again.
        """
        self._suspended_at_start: set[int] = set()
        self._started: dict[str, float] = {}
        self._out_until = 0.0
        self._busy: set[str] = set()
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._read: dict[str, tuple[int, int]] = {}
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Start them all."""
        for name in self._names:
            self._start(name)

    def _start(self, name: str) -> None:
        role = name.split(maxsplit=1)[0]
        command = [sys.executable, "-m", "soak.programs", role, self.store.url, str(self.folder)]
        command += [str(self._dice.random())] + ([str(self._rate)] if role == "producer" else [])
        self.processes[name] = subprocess.Popen(command, cwd=_ROOT, stdout=self._log, stderr=self._log)
        self._started[name] = time.monotonic()

    def look_after(self) -> None:
        """Restart processes that ended by themselves, which is unexpected unless the store was away."""
        with self._lock:
            for name, process in self.processes.items():
                if name not in self._busy and process.poll() is not None:
                    if self._started[name] < self._out_until or process.pid in self._suspended_at_start:
                        self.failed_starts += 1
                    else:
                        self.unexpected.append(f"{name} ended by itself with {process.returncode}")
                    self._ledger.write("exited", detail=str(process.pid))
                    self._start(name)

    def rss(self) -> dict[str, float]:
        """Resident memory of each process in MB."""
        found = {}
        for name, process in list(self.processes.items()):
            try:
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
            except (OSError, IndexError):
                continue
            found[name] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
        return found

    def strike(self) -> Fault | None:
        """Cause one fault at random, in a thread of its own; ``None`` if all its victims suffer another one already."""
        kinds: dict[str, tuple[int, Callable[[Fault, str], None]]] = {
            "worker killed": (6, self._kill),
            "worker suspended": (3, self._suspend),
            "worker restarted": (3, self._restart),
            "producer killed": (1, self._kill),
            "all workers suspended": (1, self._suspend_all),
        }
        outages = self.store.outages()
        names = [*kinds, *outages]
        kind = self._dice.choices(names, [*(weight for weight, _ in kinds.values()), *[1] * len(outages)])[0]
        with self._lock:
            victim = self._choose(kind)
            if victim is None:
                return None
            self._busy |= victim
        fault = Fault(kind, time.monotonic() - self.has_begun)
        name = next(iter(victim), "")
        act = kinds[kind][1] if kind in kinds else lambda fault, _: self._outage(fault, outages[kind])
        thread = threading.Thread(target=self._run, args=(act, fault, name, victim), daemon=True)
        self._threads.append(thread)
        self.faults.append(fault)
        thread.start()
        return fault

    def _choose(self, kind: str) -> set[str] | None:
        everyone = {name for name in self._names if name.startswith("worker")}
        if kind == "producer killed":
            return None if "producer" in self._busy else {"producer"}
        if kind == "all workers suspended":
            return None if self._busy & everyone else everyone
        if not kind.startswith("worker"):
            return set()
        free = sorted(everyone - self._busy)
        # One worker stays unharmed: somebody has to notice the fault.
        return {self._dice.choice(free)} if len(free) > 1 else None

    def _run(self, act: Callable[[Fault, str], None], fault: Fault, name: str, victims: set[str]) -> None:
        try:
            act(fault, name)
        except Exception as error:
            self.unexpected.append(f"{fault.kind}: {type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._busy -= victims

    def _kill(self, fault: Fault, name: str) -> None:
        process = self.processes[name]
        began = time.monotonic()
        # Before, so that no rescue is earlier than its fault; and after, so that each run that it cut off has an end.
        self._ledger.write("killed", detail=str(process.pid))
        process.kill()
        process.wait()
        self._ledger.write("killed", detail=str(process.pid))
        claims = self._asked(lambda: self.store.running_of(process.pid))
        time.sleep(self._dice.uniform(0, 2))
        self._start(name)
        self._await(fault, began, lambda: not self.store.running_of(process.pid) & claims)

    def _suspend(self, fault: Fault, name: str) -> None:
        process = self.processes[name]
        began = time.monotonic()
        self._ledger.write("suspended", detail=str(process.pid))
        with self._stopped(process):
            time.sleep(self._dice.uniform(0.3, 2.5) * LEASE)
        # Asked only now: while a suspended process holds the file's lock, this question has to wait as well.
        claims = self._asked(lambda: self.store.running_of(process.pid))
        self._await(fault, began, lambda: not self.store.running_of(process.pid) & claims)

    def _suspend_all(self, fault: Fault, name: str) -> None:
        """Not written to the ledger as a fault of each worker: none of them may lose a job to another because of it."""
        processes = [self.processes[each] for each in self._names if each.startswith("worker")]
        self._dice.shuffle(processes)
        with contextlib.ExitStack() as stopped:
            for process in processes:
                stopped.enter_context(self._stopped(process))
            time.sleep(self._dice.uniform(1.1, 2) * LEASE)
        self._await_progress(fault)

    @contextlib.contextmanager
    def _stopped(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Suspend a process inside the block."""
        with self._shut() if self.store.is_shut_by_stopped else contextlib.nullcontext():
            process.send_signal(signal.SIGSTOP)
            if not self._has_begun(process):
                self._suspended_at_start.add(process.pid)
            try:
                yield
            finally:
                process.send_signal(signal.SIGCONT)

    def _has_begun(self, process: subprocess.Popen[bytes]) -> bool:
        """Whether a worker has registered: that is the first thing that it writes down."""
        ledger = self.folder / f"{process.pid}.ledger"
        return ledger.exists() and ledger.stat().st_size > 0

    def _restart(self, fault: Fault, name: str) -> None:
        process = self.processes[name]
        began = time.monotonic()
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            self.unexpected.append(f"{name} did not stop within 30 s of SIGTERM")
            self._ledger.write("killed", detail=str(process.pid))
            process.kill()
            process.wait()
        else:
            self.note_stop(name, process)
        self._start(name)
        self._await(fault, began, lambda: not self.store.running_of(process.pid))

    def note_stop(self, name: str, process: subprocess.Popen[bytes]) -> None:
        """A worker that was told to stop has ended. Before it has begun it may die of the signal."""
        if process.returncode == -signal.SIGTERM and not self._has_begun(process):
            self.failed_starts += 1
        elif process.returncode != 0:
            self.unexpected.append(f"{name} ended with {process.returncode} after SIGTERM")

    def _outage(self, fault: Fault, befall: Callable[[float], None]) -> None:
        with self._shut():
            befall(self._dice.uniform(0.2, 2 * LEASE))
        self._await_progress(fault)

    @contextlib.contextmanager
    def _shut(self) -> Iterator[None]:
        """Inside the block the store may be away: a process that starts may end with an error, and is restarted."""
        self._out_until = time.monotonic() + _LONGEST_RECOVERY
        try:
            yield
        finally:
            self._out_until = time.monotonic()

    def _await_progress(self, fault: Fault) -> None:
        """The store or the workers are back: wait until another job has ended."""
        before = self.ended()
        self._await(fault, time.monotonic(), lambda: self.ended() > before)

    def ended(self) -> int:
        """How many ends the workers have written down."""
        with self._reading:
            return self._count_ends()

    def _count_ends(self) -> int:
        for path in self.folder.glob("*.ledger"):
            place, count = self._read.get(path.name, (0, 0))
            with path.open("rb") as file:
                file.seek(place)
                new = file.read()
            self._read[path.name] = (place + len(new), count + new.count(b"stored "))
        return sum(count for _, count in self._read.values())

    def _await(self, fault: Fault, began: float, is_well: Callable[[], bool]) -> None:
        until = time.monotonic() + _LONGEST_RECOVERY
        while time.monotonic() < until:
            if self._asked(is_well):
                fault.seconds = time.monotonic() - began
                return
            time.sleep(0.1)
        self.unexpected.append(f"{fault.kind} at {fault.at:.0f} s: not well after {_LONGEST_RECOVERY:g} s")

    @staticmethod
    def _asked(question: Callable[[], T]) -> T:
        """The store's answer, asked again while it is away."""
        until = time.monotonic() + _LONGEST_RECOVERY
        while True:
            try:
                return question()
            except Exception:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)

    def stop_producing(self) -> None:
        """No more faults, no more jobs."""
        for thread in self._threads:
            thread.join(2 * _LONGEST_RECOVERY)
        self._end("producer")

    def stop(self) -> None:
        """End everybody in order."""
        for name in list(self.processes):
            self._end(name)
        self._log.close()

    def _end(self, name: str) -> None:
        with self._lock:
            process = self.processes.pop(name)
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                self.unexpected.append(f"{name} did not stop within 30 s of SIGTERM")
                process.kill()
                process.wait()
