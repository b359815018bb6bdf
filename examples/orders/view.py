"""What the demo shows while it runs: live bars in a terminal, plain lines anywhere else."""

from time import monotonic
from types import TracebackType
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

_LINE_EVERY = 3.0


class Counts(NamedTuple):
    """How far the shop is, in orders; ``retrying`` and ``dead`` are jobs."""

    confirmed: int
    invoiced: int
    paid: int
    retrying: int
    dead: int


class View:
    """Times are minutes and seconds since it was made.

    :param total: how many orders there are.
    """

    def __init__(self, total: int) -> None:
        self._began = monotonic()
        self._next_line = _LINE_EVERY
        self._total = total
        self._console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        columns = (TextColumn("{task.description:>14}"), BarColumn(), MofNCompleteColumn())
        self._bars = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._of = {name: self._bars.add_task(name, total=total) for name in ("confirmed", "invoiced", "paid")}
        self._troubles = self._bars.add_task("retrying", total=total)

    def __enter__(self) -> "View":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line."""
        self._console.print(text)

    def event(self, text: str) -> None:
        """Print a line with the time."""
        minutes, seconds = divmod(int(monotonic() - self._began), 60)
        self.say(f"{minutes:02}:{seconds:02}   {text}")

    def show(self, counts: Counts) -> None:
        """Show how far the shop is; outside a terminal every three seconds."""
        for name, bar in self._of.items():
            self._bars.update(bar, completed=getattr(counts, name))
        self._bars.update(self._troubles, completed=counts.retrying)
        if not self._console.is_terminal and monotonic() - self._began >= self._next_line:
            self._next_line += _LINE_EVERY
            self.event(
                f"{counts.confirmed:3} confirmed, {counts.invoiced:3} invoiced, {counts.paid:3} paid of {self._total}, "
                f"{counts.retrying} retrying, {counts.dead} dead"
            )
