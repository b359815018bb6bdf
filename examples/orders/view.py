"""What the demo shows while it runs: live bars in a terminal, plain lines anywhere else."""

import sys
from io import TextIOWrapper
from time import monotonic
from types import TracebackType
from typing import NamedTuple

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.text import Text

_LINE_EVERY = 3.0
STAGES = ("paid", "invoiced", "shipped", "confirmed")


class Counts(NamedTuple):
    """How far the shop is, in orders; ``retrying`` and ``dead`` are jobs."""

    paid: int
    invoiced: int
    shipped: int
    confirmed: int
    retrying: int
    dead: int


def open_console() -> Console:
    """Standard output, also where it cannot show every character."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


class View:
    """Times are minutes and seconds since it was made.

    :param total: how many orders there are.
    """

    def __init__(self, total: int) -> None:
        self._began = monotonic()
        self._next_line = _LINE_EVERY
        self._total = total
        self._console = open_console()
        self._bars = Progress(TextColumn("{task.description:>12}"), BarColumn(), MofNCompleteColumn())
        self._bar_of = {name: self._bars.add_task(name, total=total) for name in STAGES}
        self._live = Live(console=self._console, transient=True)

    def __enter__(self) -> "View":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text)

    def event(self, text: str) -> None:
        """Print a line with the time."""
        self.say(f"{self._clock()}   {text}")

    def show(self, counts: Counts) -> None:
        """Show how far the shop is: in a terminal at once, else a line every three seconds."""
        troubles = f"{counts.retrying} retrying, {counts.dead} dead"
        if self._console.is_terminal:
            for name, bar in self._bar_of.items():
                self._bars.update(bar, completed=getattr(counts, name))
            self._live.update(Group(self._bars, Text(f"{self._clock():>12} {troubles}")))
        elif monotonic() - self._began >= self._next_line:
            self._next_line += _LINE_EVERY
            self.event(
                f"{counts.paid:3} paid, {counts.invoiced:3} invoiced, {counts.shipped:3} shipped, "
                f"{counts.confirmed:3} confirmed of {self._total}, {troubles}"
            )

    def _clock(self) -> str:
        minutes, seconds = divmod(int(monotonic() - self._began), 60)
        return f"{minutes:02}:{seconds:02}"
