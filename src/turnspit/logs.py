"""Turnspit's loggers. What is logged must not decide what becomes of a job.

A filter or handler of the application's own may raise, and ``logging`` passes that on to whoever logs: in a worker, the
end of an attempt, a rescue or the event loop itself would be lost with it.
"""

import logging
import traceback

__all__ = ["guarded_logger"]

_guarded: set[str] = set()


def guarded_logger(name: str = "turnspit") -> logging.Logger:
    """The logger of this name. From now on, what its filters and handlers raise is printed and goes no further.

    ``logging.getLogger`` returns the same logger.
    """
    logger = logging.getLogger(name)
    if name not in _guarded:
        _guarded.add(name)
        handle = logger.handle

        def handle_guarded(record: logging.LogRecord) -> None:
            try:
                handle(record)
            except Exception:
                if logging.raiseExceptions:
                    traceback.print_exc()

        vars(logger)["handle"] = handle_guarded
    return logger
