"""What is kept of an exception: type, message, a bounded traceback, and the fingerprint that groups dead letters.

>>> normalise("order 17 of ada@example.com not found at 0x7f3a")
'order # of # not found at #'
"""

import hashlib
import re
import sysconfig
import traceback
from concurrent import futures
from pathlib import Path

from turnspit.records import ErrorRecord

__all__ = ["Foreign", "describe", "format_traceback", "in_one_line", "is_ours", "message_of", "normalise", "storable"]

_LONGEST_MESSAGE = 2_000
_LONGEST_TRACEBACK = 16_000
_OURS = (str(Path(__file__).parents[2]), str(Path(futures.__file__).parent), "<frozen", "<string>")
_LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_FRAME = re.compile(r'^ +File "(.+)", line (\d+)', re.MULTILINE)
_VARIABLE = re.compile(
    r"[\w.+-]+@[\w-]+\.[\w.-]+"  # e-mail addresses
    r"|\b[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\b"  # UUIDs
    r"|\b0x[0-9a-fA-F]+\b"
    r"|'[^']*'|\"[^\"]*\""
    r"|\b\d[\d.,:]*"
)


class Foreign(Exception):
    """The cause of an exception that came from another process: how it looked there."""

    def __init__(self, kind: str, message: str, traceback: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.traceback = traceback


def describe(error: BaseException, task: str) -> ErrorRecord:
    """The stored form of an exception."""
    origin = error.__cause__
    kind = origin.kind if isinstance(origin, Foreign) else type(error).__name__
    message = origin.message if isinstance(origin, Foreign) else message_of(error)
    identity = f"{task}\n{kind}\n{normalise(message)}"
    fingerprint = hashlib.sha256(identity.encode("utf-8", "replace")).hexdigest()[:12]
    return ErrorRecord(storable(kind), storable(message), storable(format_traceback(error)), fingerprint)


def in_one_line(error: ErrorRecord) -> str:
    """The error for the log, with the last line of the application's own code that its traceback passed through."""
    frames = _FRAME.findall(error.traceback or "")
    own = [frame for frame in frames if not frame[0].startswith(_LIBRARIES) and not is_ours(frame[0])]
    if not own:
        return error.text
    file, line = own[-1]
    return f"{error.text} ({file}, line {line})"


def normalise(message: str) -> str:
    """The message without what differs from job to job: numbers, addresses, quoted values."""
    return _VARIABLE.sub("#", message)


def is_ours(file: str) -> bool:
    """Whether a frame of this file is Turnspit's own, or Python's below it."""
    return file.startswith(_OURS)


def format_traceback(error: BaseException) -> str:
    """The traceback of an exception, from the task's function on and of bounded length."""
    if isinstance(error.__cause__, Foreign):
        return error.__cause__.traceback
    trace = error.__traceback__
    while trace is not None and is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next  # how Turnspit called the function helps nobody
    try:
        text = "".join(traceback.format_exception(type(error), error, trace))
    except Exception as failure:  # Python's own cannot format every exception, as a SyntaxError of other types
        return f"its traceback could not be made: {type(failure).__name__}\n"
    if len(text) <= _LONGEST_TRACEBACK:
        return text
    half = _LONGEST_TRACEBACK // 2
    return f"{text[:half]}\n... {len(text) - 2 * half} characters left out ...\n{text[-half:]}"


def message_of(error: BaseException) -> str:
    """The text of an exception, whatever its ``__str__`` does, and of bounded length."""
    try:
        text = str(error)
    except Exception as failure:  # the __str__ of a user's own exception
        return f"its text could not be made: {type(failure).__name__}"
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"


def storable(text: str) -> str:
    """The text without what a database cannot keep."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\\0")
