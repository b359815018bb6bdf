"""A job as code that enqueues it again.

>>> as_python("send", {"to": "ada", "ok": True}, {"queue": "mail"})
"send.using(queue='mail').enqueue(to='ada', ok=True)"
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any

__all__ = ["as_command", "as_python"]


def as_python(task: str, arguments: Any, options: Mapping[str, Any]) -> str:
    """A line of Python."""
    name = task.rpartition(".")[2]
    using = f".using({_keywords(options)})" if options else ""
    if not isinstance(arguments, Mapping) or not all(str(key).isidentifier() for key in arguments):
        return f"{name}{using}.enqueue(**{arguments!r})"
    return f"{name}{using}.enqueue({_keywords(arguments)})"


def as_command(app: str, task: str, arguments: Any, options: Mapping[str, Any]) -> str:
    """A line for a shell."""
    words = ["turnspit", "enqueue", app, task, "--args", json.dumps(arguments, ensure_ascii=False)]
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [part for each in values for part in (f"--{name.removesuffix('s')}", str(each))]
    return shlex.join(words)


def _keywords(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
