"""Other processes, as the fault tests start, watch and kill them."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, Queue
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]
PATIENCE = 20.0
"""Seconds until something that must happen counts as not happening; far more than it takes."""


class Program:
    """A Python program in a process of its own, which talks by lines."""

    def __init__(self, *command: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._queue: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @classmethod
    def of(cls, name: str, *arguments: object) -> "Program":
        """One of ``tests/faults/programs.py``."""
        return cls("-m", "tests.faults.programs", name, *map(str, arguments))

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def suspend(self) -> None:
        """Stop it until SIGCONT. The signal alone is on its way for a moment, in which it could begin to write."""
        self.signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    def wait_for(self, text: str) -> str:
        """The next line that begins so."""
        while True:
            try:
                line = self._queue.get(timeout=PATIENCE)
            except Empty:
                raise AssertionError(f"no {text!r} after {PATIENCE:g} s; it said {self.lines}") from None
            assert line is not None, f"it ended before {text!r}; it said {self.lines}"
            self.lines.append(line)
            if line.startswith(text):
                return line

    def hear(self, text: str) -> str:
        """The next line in which it stands."""
        while text not in (line := self.wait_for("")):
            pass
        return line

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")

    def signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """As the kernel does when memory runs out, or an operator in a hurry."""
        self.signal(signal.SIGKILL)
        self._process.wait(PATIENCE)

    def wait(self, seconds: float) -> int:
        """Wait until it has ended; its exit code, negative for a signal."""
        return self._process.wait(seconds)

    def end(self) -> str:
        """Wait until it ends by itself; everything it said."""
        assert self._process.wait(PATIENCE) == 0, self.rest()
        return self.rest()

    def so_far(self) -> str:
        """Everything it has said until now."""
        with contextlib.suppress(Empty):
            while (line := self._queue.get_nowait()) is not None:
                self.lines.append(line)
        return "\n".join(self.lines)

    def rest(self) -> str:
        """Everything it said, once it has ended."""
        self._reader.join(PATIENCE)
        return self.so_far()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.kill()
        self._reader.join(PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


@contextlib.contextmanager
def lock_held(path: Path, *, mode: str = "IMMEDIATE") -> Iterator[Program]:
    """Another process holds the file's write lock; a line to it ends that."""
    holder = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)\n"
        "connection.execute('BEGIN ' + sys.argv[2])\n"
        "print('locked', flush=True)\n"
        "sys.stdin.readline()\n"
        "connection.execute('ROLLBACK')\n"
        "connection.close()\n"
        "print('released', flush=True)\n"
    )
    with Program("-S", "-c", holder, str(path), mode) as program:
        program.wait_for("locked")
        yield program
        if "released" not in program.lines:
            release(program)


def release(program: Program) -> None:
    program.say("go on")
    program.wait_for("released")
