"""Many jobs changed from the command line, portion by portion: with progress, and an orderly end at Ctrl-C."""

import signal
from types import FrameType, TracebackType
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from turnspit.cli.output import count_of, err, note
from turnspit.clock import monotonic, thread_sleep
from turnspit.contract import Engine
from turnspit.operations import Portions

__all__ = ["work_through"]

_LOOK = 0.1
_TELL = 60.0
"""Seconds between two lines of progress where no terminal shows a bar."""


def work_through(engine: Engine, portions: Portions, expected: int, done: str) -> int | None:
    """Change all jobs, or as many as can be until a signal comes: its number.

    :param done: the change's participle.
    """
    with _Signals() as signals, _Progress(expected, done) as progress:
        while signals.number is None:
            if not portions.take(engine.write(*portions.next())):
                return None
            progress.show(portions.changed)
            signals.wait(portions.rest())
        return signals.number


class _Signals:
    """SIGINT and SIGTERM, noted until the portion is stored; a second one ends the program at once."""

    def __init__(self) -> None:
        self.number: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._restore()

    def wait(self, seconds: float) -> None:
        """Wait, but for no longer than until a signal comes."""
        until = monotonic() + seconds
        while self.number is None and (rest := until - monotonic()) > 0:
            thread_sleep(min(rest, _LOOK))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())


class _Progress:
    """How far it has come: a bar at a terminal, else a line a minute."""

    def __init__(self, expected: int, done: str) -> None:
        self._expected, self._done = expected, done
        self._bar: Progress | None = None
        self._told = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def show(self, changed: int) -> None:
        """Show it, unless this is nearly the end."""
        if changed >= self._expected:
            return
        if err().is_terminal:
            self._draw(changed)
        elif monotonic() - self._told >= _TELL:
            self._told = monotonic()
            note(f"{changed:,} of {count_of(self._expected, 'job')} {self._done}")

    def _draw(self, changed: int) -> None:
        if self._bar is None:
            columns = (TextColumn(self._done), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=err(), transient=True)
            self._bar.add_task("", total=self._expected, completed=changed)
            self._bar.start()
        self._bar.update(self._bar.task_ids[0], completed=changed)
