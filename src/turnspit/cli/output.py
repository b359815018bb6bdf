"""How results are shown: tables for people, one JSON document for pipes.

What jobs carry (names, errors, arguments) is never markup, and its control characters are made visible, so that no
payload can write to the terminal of the person who looks at it.
"""

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Literal, TextIO

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from turnspit.clock import from_moment, utc_now
from turnspit.states import JobState

__all__ = [
    "absolute",
    "color_system",
    "complain",
    "console_width",
    "count_of",
    "describe_duration",
    "describe_size",
    "err",
    "fits",
    "line",
    "new_facts",
    "new_table",
    "note",
    "out",
    "plain",
    "print_banner",
    "print_json",
    "print_table",
    "relative",
    "state_name",
    "state_text",
    "when",
]

_PIPE_WIDTH = 160
_ENDLESS = 10_000
_LONGEST_WORD, _SHOWN = 300, 80
"""Characters of a word of an error, and what is shown of a longer one."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_STYLES = {
    "blocked": "magenta",
    "scheduled": "cyan",
    "retrying": "yellow",
    "held": "magenta",
    "ready": "blue",
    "running": "bold blue",
    "completed": "green",
    "cancelled": "dim",
    "dead": "bold red",
    "failed": "yellow",
    "snoozed": "cyan",
    "crashed": "bold red",
    "live": "green",
    "late": "yellow",
    "lost": "bold red",
    "quiet": "cyan",
    "stopping": "cyan",
    "stopped": "dim",
    "invalid": "yellow",
}


def out() -> Console:
    """Where results go. A pipe has no width of its own: tables are 160 columns wide there."""
    return _console(stderr=False)


def err() -> Console:
    """Where everything else goes."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    width = console_width(sys.stderr if stderr else sys.stdout)
    return Console(
        stderr=stderr,
        width=width or _PIPE_WIDTH,
        color_system=color_system(),
        highlight=False,
        emoji=False,
        markup=False,
    )


def color_system() -> Literal["auto"] | None:
    """``None`` where ``$NO_COLOR`` is set: then nothing is even bold, and ``$FORCE_COLOR`` does not count."""
    return None if os.environ.get("NO_COLOR") else "auto"


def console_width(stream: TextIO) -> int | None:
    """The columns of the terminal behind a stream, or what ``$COLUMNS`` says; ``None`` for a pipe."""
    if stream.isatty() or os.environ.get("COLUMNS", "").isdecimal():
        return shutil.get_terminal_size().columns
    return None


def complain(message: str) -> None:
    """One line to stderr, begun with the program's name."""
    words = " ".join(_shorten(word) for word in message.split())
    sys.stderr.write(f"turnspit: {plain(words)}\n")


def _shorten(word: str) -> str:
    """A word as it was typed, but for the rest of one that would fill the screen."""
    return word if len(word) <= _LONGEST_WORD else f"{word[:_SHOWN]}..."


def note(text: str) -> None:
    """A line on stderr that is not part of the result."""
    err().print(Text(plain(text)), soft_wrap=True)


def print_banner(head: Text, rows: Mapping[str, Text]) -> None:
    """What a program says on stderr when it starts: a line, and labels with their values."""
    console = err()
    console.print(head, soft_wrap=True)
    for label, value in rows.items():
        console.print(Text.assemble(f"  {label:<13}", value), soft_wrap=True)


def line(*parts: str | Text | tuple[str, str]) -> None:
    """One line of the result, never wrapped; a part may be a text with its style."""
    out().print(Text.assemble(*(plain(part) if isinstance(part, str) else part for part in parts)), soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table, without the spaces behind its lines."""
    console = out()
    with console.capture() as captured:
        console.print(table)
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def fits(table: Table) -> bool:
    """Whether the terminal is wide enough to cut no cell beyond the columns' own maximum widths."""
    console = out()
    return Measurement.get(console, console.options.update(max_width=_ENDLESS), table).maximum <= console.width


def new_facts() -> Table:
    """A table of labels and values; a long value is folded within its column."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="dim")
    table.add_column(overflow="fold")
    return table


def print_json(document: Any) -> None:
    """One JSON document on stdout."""
    is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    indent = 2 if sys.stdout.isatty() else None
    sys.stdout.write(json.dumps(document, ensure_ascii=not is_utf8, indent=indent) + "\n")


def plain(text: str) -> str:
    """Text with its control characters made visible; line ends and tabs stay."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class _OneLineTable(Table):
    """A line end in a name must not begin what looks like another row."""

    def add_row(self, *cells: Any, **options: Any) -> None:
        super().add_row(*(cell.replace("\n", "\\n") if isinstance(cell, str) else cell for cell in cells), **options)


def new_table(columns: Iterable[str | tuple[str, Mapping[str, Any]]], *, gap: int = 2) -> Table:
    """A table without frame whose cells stay on one line; each column is a heading, or one with its options."""
    table = _OneLineTable(box=None, pad_edge=False, padding=(0, gap, 0, 0), header_style="bold")
    for column in columns:
        heading, options = (column, {}) if isinstance(column, str) else column
        table.add_column(heading, no_wrap=True, overflow="ellipsis", **options)
    return table


def state_text(name: str) -> Text:
    """A state or an outcome in its colour."""
    return Text(name, style=_STYLES.get(name, ""))


def when(moment: int | datetime | None) -> str:
    """How far from now, in words: ``3 min ago``, ``in 12 s``."""
    return "" if moment is None else relative(_aware(moment) - utc_now())


def absolute(moment: int | datetime | None) -> str:
    """Local date and time with its zone, and how far from now."""
    if moment is None:
        return ""
    aware = _aware(moment)
    try:
        local = aware.astimezone()
    except OverflowError:  # the last day of 9999
        local = aware
    return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()} ({when(moment)})"


def relative(distance: timedelta) -> str:
    """A distance from now in words.

    >>> relative(timedelta(seconds=-200)), relative(timedelta(hours=30))
    ('3 min ago', 'in 30 h')
    """
    seconds = distance.total_seconds()
    if abs(seconds) < 1:
        return "now"
    words = _about(abs(seconds))
    return f"in {words}" if seconds > 0 else f"{words} ago"


def describe_duration(seconds: float) -> str:
    """How long something took.

    >>> describe_duration(0.0123), describe_duration(75)
    ('12 ms', '75 s')
    """
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else _about(seconds)


def describe_size(count: int) -> str:
    """Bytes as mebibytes.

    >>> describe_size(1_500_000_000)
    '1,431 MiB'
    """
    return f"{count / 2**20:,.0f} MiB"


def count_of(number: int, noun: str) -> str:
    """A number with its noun.

    >>> count_of(1, "job"), count_of(1200, "job")
    ('1 job', '1,200 jobs')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def state_name(state: JobState, attempt: int) -> str:
    """A state as people call it: ``scheduled`` with attempts behind it is retrying."""
    return "retrying" if state is JobState.SCHEDULED and attempt else str(state)


def _about(seconds: float) -> str:
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{int(seconds / size)} {unit}"
    return f"{int(seconds / 86400)} days"


def _aware(moment: int | datetime) -> datetime:
    return from_moment(moment) if isinstance(moment, int) else moment
