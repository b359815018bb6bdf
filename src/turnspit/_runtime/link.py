"""A supervised worker's side of the line to its supervisor.

It says how it is, hears what to do, and notices the supervisor's end: a killed supervisor closes the line, on every
system, and the worker stops in order. The line is a socket, lines of JSON in both directions.
"""

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from turnspit._runtime.health import HealthReport
from turnspit._runtime.worker.worker import Worker
from turnspit.clock import monotonic
from turnspit.errors import TurnspitError
from turnspit.records import RescueReport

__all__ = ["Counts", "Link"]

logger = logging.getLogger("turnspit")

_SAY = 1.0
_MOST = 65536
_LONGEST = 2000
"""Characters of counts in a line: one that is short is taken whole by a socket that takes anything."""

Counts = Callable[[], Mapping[tuple[str, ...], Sequence[float]]]


class Link:
    """Works in a thread of its own, so that a blocked event loop is told, and a sibling's jobs return all the same.

    :param on_round: called in that thread, once a second.
    """

    def __init__(
        self,
        connection: socket.socket,
        worker: Worker,
        report: Callable[[], HealthReport],
        counts: Counts | None = None,
        on_round: Callable[[], None] = lambda: None,
    ) -> None:
        self._connection = connection
        self._worker = worker
        self._report = report
        self._counts = counts
        self._on_round = on_round
        self._counted: dict[tuple[str, ...], Sequence[float]] = {}
        """The counts that the supervisor was told."""
        self._loop = asyncio.get_running_loop()
        self._saying = threading.RLock()
        self._stopping = threading.Event()
        self._heard = b""
        self._to_declare: dict[int, float] = {}
        """Workers whose jobs are to be returned, and from when on."""
        self._declared: set[int] = set()
        self._delayed: set[int] = set()
        """Those of which it was logged that the store did not take it yet."""
        self._declaring: threading.Thread | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._run, name="turnspit-link", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """The worker has ended in order, or did not begin."""
        self._say_counts()
        self._send({"over": True})
        self._stopping.set()
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)  # wakes the thread
        self._thread.join(_SAY)

    def say(self) -> None:
        """Tell the supervisor how this worker is; from any thread."""
        report = self._report()
        message = {
            "worker": self._worker.id,
            "jobs": self._worker.finisher.finished,
            "live": report.live,
            "ready": report.ready,
            "is_hung": report.is_hung,
            "problems": report.problems,
            "declared": sorted(self._declared),
        }
        self._send(message)

    def _say_counts(self) -> None:
        """Tell the supervisor which counts have changed."""
        with self._saying:  # from reading to sending, so that older counts never follow newer ones
            counts = {} if self._counts is None else self._counts()
            changed = {key: values for key, values in counts.items() if self._counted.get(key) != values}
            for portion in _portions(changed):
                if not self._send({"counts": portion}):
                    return
                self._counted.update((key, changed[key]) for key, _ in portion)

    def _send(self, message: dict[str, Any]) -> bool:
        """Send a line if the socket takes it now; whether it did. What a suspended supervisor misses is sent again."""
        with self._saying, contextlib.suppress(OSError):
            if select.select([], [self._connection], [], 0)[1]:
                self._connection.sendall(json.dumps(message).encode() + b"\n")
                return True
        return False

    def _run(self) -> None:
        while True:
            readable, _, _ = select.select([self._connection], [], [], _SAY)
            if self._stopping.is_set():
                return
            if readable and not self._hear():
                logger.warning("the supervisor is gone: stopping")
                os.kill(os.getpid(), signal.SIGTERM)  # also a blocked loop is to stop
                return
            self._begin_to_declare()
            self.say()
            self._say_counts()
            self._on_round()

    def _hear(self) -> bool:
        """Do what the supervisor says; ``False`` if it is gone."""
        try:
            piece = self._connection.recv(_MOST)
        except OSError:
            piece = b""
        *lines, self._heard = (self._heard + piece).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "declare_dead" in order:
                self._to_declare[order["declare_dead"]] = 0.0
            if "drain" in order:
                self._call(self._worker.drain)
        return bool(piece)

    def _begin_to_declare(self) -> None:
        """In another thread: while the store is away, the supervisor hears all the same that this worker lives."""
        is_due = any(monotonic() >= moment for moment in self._to_declare.values())
        if is_due and (self._declaring is None or not self._declaring.is_alive()):
            declaring = threading.Thread(target=self._declare, name="turnspit-declare-dead", daemon=True)
            with contextlib.suppress(RuntimeError):  # no thread can be started: a second later, perhaps
                declaring.start()
                self._declaring = declaring

    def _declare(self) -> None:
        """Return the jobs of siblings that died; what the store does not take now is tried again.

        Each is declared twice: the database may take a while to notice that the dead one's transactions are over.
        """
        for worker in [each for each, moment in list(self._to_declare.items()) if monotonic() >= moment]:
            try:
                report = self._worker.rescuer.declare_dead(worker)
            except TurnspitError as error:
                level = logging.DEBUG if worker in self._delayed else logging.WARNING
                self._delayed.add(worker)
                logger.log(level, "the jobs of worker %s, which died, could not be returned yet: %s", worker, error)
                return
            if worker in self._declared:
                del self._to_declare[worker]
            else:
                self._declared.add(worker)
                self._to_declare[worker] = monotonic() + _SAY
            self._call(self._tell, worker, report)
            self.say()

    def _tell(self, worker: int, report: RescueReport) -> None:
        if report.workers:
            logger.warning("worker %s is dead: its process ended", worker)
        task = asyncio.create_task(self._worker.rescuer.tell(report), name="turnspit declare dead")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _call(self, function: Callable[..., object], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the worker has ended
            self._loop.call_soon_threadsafe(function, *arguments)


def _portions(
    counts: Mapping[tuple[str, ...], Sequence[float]],
) -> Iterator[list[tuple[tuple[str, ...], Sequence[float]]]]:
    portion: list[tuple[tuple[str, ...], Sequence[float]]] = []
    length = 0
    for item in counts.items():
        portion.append(item)
        length += len(str(item))
        if length >= _LONGEST:
            yield portion
            portion, length = [], 0
    if portion:
        yield portion
