"""A job as code that enqueues it again.

>>> as_python("send", {"to": "ada", "ok": True}, {"queue": "mail"})
"send.using(queue='mail').enqueue(to='ada', ok=True)"
"""

import json
import shlex
from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["CommandLine", "as_command", "as_python"]


class CommandLine(NamedTuple):
    """How people type Turnspit's command line where this app is served: for commands to copy."""

    program: str = "turnspit"
    app: str | None = "APP"
    """The app's name on the command line; ``None`` if the program knows its app, as ``manage.py`` does."""

    def say(self, command: str) -> str:
        """A command that begins with ``turnspit`` and names ``APP``, as a person types it here.

        >>> CommandLine("python manage.py turnspit", None).say("turnspit worker APP --queues email")
        'python manage.py turnspit worker --queues email'
        """
        app = f" {shlex.quote(self.app)}" if self.app else ""
        verb, _, rest = command.removeprefix("turnspit").partition(" APP")
        return f"{self.program}{verb}{app}{rest}"


def as_python(task: str, arguments: Any, options: Mapping[str, Any]) -> str:
    """A line of Python."""
    name = task.rpartition(".")[2]
    using = f".using({_keywords(options)})" if options else ""
    if not isinstance(arguments, Mapping) or not all(str(key).isidentifier() for key in arguments):
        return f"{name}{using}.enqueue(**{arguments!r})"
    return f"{name}{using}.enqueue({_keywords(arguments)})"


def as_command(line: CommandLine, task: str, arguments: Any, options: Mapping[str, Any]) -> str:
    """A line for a shell."""
    words = [task, "--args", json.dumps(arguments, ensure_ascii=False)]
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        words += [part for each in values for part in (f"--{name.removesuffix('s')}", str(each))]
    return line.say(f"turnspit enqueue APP {shlex.join(words)}")


def _keywords(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
