"""Log records that say which job they are about.

``JobFilter`` puts ``job_id``, ``task``, ``queue``, ``attempt``, ``trace_id`` and ``span_id`` into every record that is
made inside a job, whoever makes it; ``JsonFormatter`` writes a record as one line of JSON.

>>> import logging
>>> handler = logging.StreamHandler()
>>> handler.addFilter(JobFilter())
>>> handler.setFormatter(logging.Formatter("%(message)s (job %(job_id)s, %(task)s)"))
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Any

from turnspit.context import JobContext, current_job
from turnspit.errors import TurnspitError

__all__ = ["FIELDS", "JobFilter", "JsonFormatter", "write_json"]

FIELDS = ("job_id", "task", "queue", "attempt", "trace_id", "span_id")
"""What a record says of its job; ``None`` outside of one. ``task`` is Turnspit's, not asyncio's."""

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JobFilter(logging.Filter):
    """Adds ``FIELDS`` to each record; what ``extra=`` gave stays. It lets every record through.

    Put it on a handler: a logger's own filters do not see the records of the loggers below it. With a
    ``QueueHandler`` it belongs there, where the job is still known.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add what is missing."""
        known = vars(record)
        if "job_id" not in known:
            known.update(_about_job())
        if "trace_id" not in known:
            known["trace_id"], known["span_id"] = _trace()
        for name in FIELDS:
            known.setdefault(name, None)
        return True


class JsonFormatter(logging.Formatter):
    """One line of JSON per record: ``time`` (UTC), ``level``, ``logger``, ``message``, the job, what ``extra=`` gave,
    and ``exception`` with the traceback. Values that JSON does not know are written as text.

    :param fields: further fields of every line, like ``{"service": "shop"}``.
    """

    def __init__(self, fields: dict[str, Any] | None = None) -> None:
        super().__init__()
        self._fields = fields or {}
        self._filter = JobFilter()

    def format(self, record: logging.LogRecord) -> str:
        """The record as its line."""
        self._filter.filter(record)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name)) is not None}
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD and name not in FIELDS}
        line |= self._fields
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        try:
            return json.dumps(line, default=str, allow_nan=False)
        except Exception:  # NaN, a key that is no text, a value that contains itself or has no text
            return json.dumps({name: _as_json(value) for name, value in line.items()})


def write_json(fields: dict[str, Any] | None = None) -> None:
    """Make the root logger's handlers write JSON. A worker calls this in its processes for ``isolate=True``, too."""
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter(fields))


def _as_json(value: Any) -> Any:
    """A value that JSON takes; its ``repr`` if it does not take it."""
    try:
        return json.loads(json.dumps(value, default=str, allow_nan=False))
    except Exception:
        try:
            return repr(value)
        except Exception as error:
            return f"<{type(value).__name__} without a repr: {type(error).__name__}>"


def _about_job() -> dict[str, Any]:
    try:
        job = current_job()
    except TurnspitError:
        return {}
    return {"job_id": job.id, "task": job.task, "queue": job.queue, "attempt": job.attempt}


def _trace() -> tuple[str | None, str | None]:
    """OpenTelemetry's current trace and span; without one, the trace in which the job was enqueued."""
    tracing: Any = sys.modules.get("opentelemetry.trace")  # if nobody has imported it, there is no span
    if tracing is not None:
        span = tracing.get_current_span().get_span_context()
        if span.is_valid:
            return f"{span.trace_id:032x}", f"{span.span_id:016x}"
    try:
        return _trace_of(current_job()), None
    except TurnspitError:
        return None, None


def _trace_of(job: JobContext) -> str | None:
    parent = str(job.metadata.get("traceparent", ""))  # version-trace-span-flags, as W3C writes it
    return parent.split("-")[1] if parent.count("-") >= 3 else None
