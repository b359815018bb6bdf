"""Programs that are restarted whenever a file changes."""

import os
import signal
import subprocess
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from turnspit.cli.errors import WrongUsage
from turnspit.cli.launching import command_for
from turnspit.cli.output import note

__all__ = ["Program", "Reloader"]

_LOOK = 250
_MARGIN = 5.0


class Program:
    """A ``turnspit`` command that runs as a child process.

    :param name: what messages call it.
    :param words: the command's words behind ``turnspit``.
    :param grace: seconds that it may take to stop.
    """

    def __init__(self, name: str, words: Sequence[str], grace: float) -> None:
        self.name = name
        self._command = command_for(*words)
        self._patience = grace + _MARGIN
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Begin. It stays in this process group, so that a terminal's Ctrl-C reaches it."""
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)  # noqa: S603  (our own command)

    def look(self) -> None:
        """Say so, once, if it has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            note(f"the {self.name} ended with exit code {self._process.returncode}: waiting for a change")
            self._process = None

    def signal(self, number: int) -> None:
        """Pass a signal on."""
        if self._process is not None:
            self._process.send_signal(number)

    def wait(self) -> None:
        """Wait until it has ended; it is killed when that takes too long."""
        if self._process is None:
            return
        try:
            self._process.wait(self._patience)
        except subprocess.TimeoutExpired:
            note(f"the {self.name} did not stop in time: killing it")
            self._process.kill()
            self._process.wait()
        self._process = None


class Reloader:
    """Runs programs, and restarts them whenever a Python file below these paths changes.

    :raises WrongUsage: without watchfiles.
    """

    def __init__(self, programs: Sequence[Program], paths: Iterable[Path]) -> None:
        self._programs = programs
        self._paths = tuple(paths)
        self._watchfiles = _import_watchfiles()
        self._stopping = threading.Event()

    def run(self) -> None:
        """Run them until SIGINT or SIGTERM, and return when all have ended."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        changes = self._changes()
        next(changes, None)  # watch before the programs read their code, so that no change to it is missed
        for program in self._programs:
            self._start(program)
        for changed in changes:
            if changed:
                note(f"{_named({path for _, path in changed})} changed: starting again")
                self._restart()
            for program in self._programs:
                program.look()
        for program in self._programs:
            program.wait()

    def _changes(self) -> Iterator[Any]:
        """Sets of what changed; an empty set each time that nothing did for 250 ms."""
        watching: Iterator[Any] = self._watchfiles.watch(
            *self._paths,
            watch_filter=self._watchfiles.PythonFilter(),
            stop_event=self._stopping,
            rust_timeout=_LOOK,
            yield_on_timeout=True,
            raise_interrupt=False,
        )
        return (changed for changed in watching if not self._stopping.is_set())

    def _restart(self) -> None:
        for program in self._programs:
            program.signal(signal.SIGTERM)
        for program in self._programs:
            program.wait()
            if not self._stopping.is_set():
                self._start(program)

    def _start(self, program: Program) -> None:
        program.start()
        if self._stopping.is_set():  # the signal came before there was a process to pass it on to
            program.signal(signal.SIGTERM)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping.set()
        if number != signal.SIGINT or not os.isatty(0):  # a terminal sends Ctrl-C to the programs itself
            for program in self._programs:
                program.signal(signal.SIGTERM)


def _named(paths: set[str]) -> str:
    first, *others = sorted(paths)
    name = os.path.relpath(first)
    return f"{name} and {len(others)} more" if others else name


def _import_watchfiles() -> Any:
    try:
        import watchfiles  # noqa: PLC0415  (optional extra)
    except ImportError:
        raise WrongUsage("turnspit dev needs watchfiles: pip install 'turnspit[dev]'") from None
    return watchfiles
