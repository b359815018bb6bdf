"""What a worker logs while it works: one line per event, on stderr."""

import logging
import sys
from typing import Any, ClassVar

from turnspit._runtime.worker.processes import prepare_processes
from turnspit.app import Turnspit
from turnspit.cli.output import describe_duration, plain
from turnspit.events import Event
from turnspit.telemetry.logs import write_json

__all__ = ["FORMATS", "LEVELS", "set_up_logging"]

FORMATS = ("text", "json")
LEVELS = ("debug", "info", "warning", "error")

_INDENT = 18

logger = logging.getLogger("turnspit")


class _Lines(logging.Formatter):
    """``12:00:31 warning  message``; the logger's name where it is not Turnspit's own."""

    _colours: ClassVar[dict[str, str]] = {
        "debug": "\x1b[2m",
        "warning": "\x1b[33m",
        "error": "\x1b[31m",
        "critical": "\x1b[1;31m",
    }

    def __init__(self, *, coloured: bool, label: str) -> None:
        super().__init__(datefmt="%H:%M:%S")
        self._label = label
        self._coloured = coloured

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line, and the traceback below it if it has one."""
        level = record.levelname.lower()
        colour = self._colours.get(level, "") if self._coloured else ""
        is_own = record.name.partition(".")[0] == "turnspit"
        source = self._label if is_own else f"{self._label}{record.name}: "
        # Further lines are indented, so that no message can look like another record.
        message = plain(record.getMessage()).replace("\n", "\n" + " " * _INDENT)
        text = f"{self.formatTime(record, self.datefmt)} {level:<8} {source}{message}"
        if record.exc_info:
            text += "\n" + plain(self.formatException(record.exc_info))
        return f"{colour}{text}\x1b[0m" if colour else text


def set_up_logging(
    app: Turnspit, level: str, *, coloured: bool, process: str | None = None, as_json: bool = False
) -> None:
    """Show log records from ``level`` on, and how each job ended where that level shows it.

    An app that set up logging itself keeps its own handlers; ``as_json`` makes them write JSON.

    :param process: the number of this process, where several write to the same stderr.
    """
    number = logging.getLevelNamesMapping()[level.upper()]
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler(sys.stderr)
        label = "" if process is None else f"process {process}: "
        handler.setFormatter(_Lines(coloured=coloured, label=label))
        root.addHandler(handler)
        root.setLevel(number)
    if as_json:
        write_json({} if process is None else {"process": int(process)})
        prepare_processes(app, "turnspit.telemetry.logs:write_json")
    logger.setLevel(number)
    if number <= logging.INFO:
        app.on("completed", "snoozed", "cancelled")(_log_end)
    if number <= logging.DEBUG:
        app.on("started")(_log_start)


def _log_start(event: Event) -> None:
    logger.debug("job %s (%s) started, attempt %s", event.job_id, event.task, event.attempt, extra=_about(event))


def _log_end(event: Event) -> None:
    took = "" if event.seconds is None else f" after {describe_duration(event.seconds)}"
    why = f": {event.error_message}" if event.error_message else ""
    about = _about(event) | {"seconds": event.seconds}
    logger.info("job %s (%s) %s%s%s", event.job_id, event.task, event.name, took, why, extra=about)


def _about(event: Event) -> dict[str, Any]:
    return {"job_id": event.job_id, "task": event.task, "queue": event.queue, "attempt": event.attempt}
