"""What a logger writes, as lines of JSON."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from turnspit.telemetry.logs import JobFilter, JsonFormatter

__all__ = ["json_lines"]


@contextmanager
def json_lines(logger: logging.Logger, fields: dict[str, Any] | None = None) -> Iterator[list[str]]:
    """What a handler with both of them writes meanwhile, from INFO on."""
    written: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append(self.format(record))

    handler, before = Handler(), logger.level
    handler.addFilter(JobFilter())
    handler.setFormatter(JsonFormatter(fields))
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    yield written
    logger.removeHandler(handler)
    logger.setLevel(before)
