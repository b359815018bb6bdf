"""A function in a forked child: quicker than a program, and what some programs do."""

import contextlib
import faulthandler
import os
import pickle
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import TypeVar

from tests.faults.program import PATIENCE

T = TypeVar("T")


class Child:
    """A forked process that runs a function and ends."""

    def __init__(self, function: Callable[[], object]) -> None:
        reader, writer = os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(reader)
            _live(function, writer)
        os.close(writer)
        self._reader = reader

    def result(self) -> object:
        """What the function returned; raises what it raised. One that hangs says where it is, on standard error."""
        data, until = b"", time.monotonic() + PATIENCE
        with open(self._reader, "rb", buffering=0) as reader:
            while select.select([reader], [], [], max(0.0, until - time.monotonic()))[0]:
                piece = reader.read(1 << 20)
                data += piece
                if not piece:
                    break
            else:
                self._kill()
                raise AssertionError(f"the child said nothing for {PATIENCE:g} s: its stack is on standard error")
        _, status = os.waitpid(self.pid, 0)
        assert data, f"the child ended with {os.waitstatus_to_exitcode(status)} and said nothing"
        is_well, value = pickle.loads(data)
        assert is_well, value
        return value

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGUSR1)
            time.sleep(0.5)  # it writes, though it may hang in C
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def _live(function: Callable[[], object], writer: int) -> None:
    try:
        faulthandler.register(signal.SIGUSR1, sys.__stderr__ or 2)
        try:
            answer = True, function()
        except BaseException:
            answer = False, traceback.format_exc()
        with open(writer, "wb") as pipe:
            pickle.dump(answer, pipe)
    finally:
        os._exit(0)


def in_child(function: Callable[[], T]) -> T:
    """What the function returns in a forked child."""
    return Child(function).result()  # type: ignore[return-value]
