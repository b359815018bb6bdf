"""Worker processes, as their supervisor sees them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from turnspit.clock import monotonic

__all__ = ["Child", "Status", "describe_exit"]

_MOST = 65536


@dataclass(frozen=True, slots=True)
class Status:
    """What a child said of itself last; ``worker`` is 0 until it is registered with the store."""

    worker: int = 0
    jobs: int = 0
    live: bool = True
    ready: bool = False
    is_hung: bool = False
    problems: tuple[str, ...] = ()
    declared: tuple[int, ...] = ()


class Child:
    """A worker process: a fresh interpreter in a process group of its own, so that Ctrl-C reaches its supervisor only.

    :param command: the words that start it, made from the number of the file descriptor of its line.
    """

    def __init__(self, slot: int, command: Callable[[int], list[str]]) -> None:
        self.slot = slot
        self.status = Status()
        self.told: set[int] = set()
        """The workers of which it was told that they died."""
        self.counts: dict[tuple[str, ...], list[float]] = {}
        """What it counted, as it has said since ``take_counts`` was called last."""
        self.is_draining = False
        self.is_over = False
        """Whether it said that its worker has ended: a task may end its process with exit code 0 too."""
        self.started_at = self.heard_at = monotonic()
        self.line, theirs = socket.socketpair()
        try:
            with theirs:
                self._process = subprocess.Popen(  # noqa: S603  (our own command)
                    command(theirs.fileno()), stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], process_group=0
                )
        except OSError:
            self.line.close()
            raise
        self.line.setblocking(False)
        self._heard = b""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def name(self) -> str:
        """How log lines call it."""
        return f"process {self.slot} (pid {self.pid})"

    @property
    def is_registered(self) -> bool:
        """Whether it has begun to work."""
        return self.status.worker != 0

    @property
    def age(self) -> float:
        """Seconds since it was started."""
        return monotonic() - self.started_at

    def read(self) -> bool:
        """Take in what it said; ``False`` if it says nothing more."""
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    piece = self.line.recv(_MOST)
                except ConnectionError:
                    piece = b""
                if not piece:
                    return False
                *lines, self._heard = (self._heard + piece).split(b"\n")
                for line in lines:
                    self._take_in(json.loads(line))
        return True

    def _take_in(self, said: dict[str, Any]) -> None:
        if "counts" in said:
            self.counts.update((tuple(key), values) for key, values in said["counts"])
        elif "over" in said:
            self.is_over = True
        else:
            self.heard_at, self.status = monotonic(), _status(said)

    def take_counts(self) -> dict[tuple[str, ...], list[float]]:
        """What it said of its counts since the last time."""
        counts, self.counts = self.counts, {}
        return counts

    def tell(self, order: dict[str, Any]) -> bool:
        """Give it an order; whether it could be given."""
        try:
            # A line is far shorter than the buffer of a socket: it is taken whole, or not at all.
            self.line.sendall(json.dumps(order).encode() + b"\n")
        except OSError:
            return False
        return True

    def signal(self, number: int) -> None:
        """Send it a signal, if it is still there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def ended(self, code: int) -> None:
        """Its process was reaped: take in its last words, and let go of it."""
        self._process.returncode = code
        self.read()
        self.line.close()


def _status(said: dict[str, Any]) -> Status:
    return Status(
        said["worker"],
        said["jobs"],
        said["live"],
        said["ready"],
        said["is_hung"],
        tuple(said["problems"]),
        tuple(said["declared"]),
    )


def describe_exit(code: int) -> str:
    """How a process ended, for people."""
    if code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"
    return f"ended with exit code {code}"
