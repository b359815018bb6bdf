"""How this command line starts itself in another process: in the same way as it was started itself.

Under a framework (``python manage.py turnspit worker``) the words before Turnspit's own set the framework up, so they
are repeated.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["as_typed", "command_for", "note_start", "program"]

# -P, because the installed command does not find modules in the working directory before Turnspit's own either.
_OWN = ("-P", "-m", "turnspit")
_prefix: tuple[str, ...] = _OWN
"""What follows the interpreter before Turnspit's own words."""


def note_start(words: Sequence[str] | None) -> None:
    """Remember how this process was started.

    :param words: Turnspit's own words, if a framework passed them on; ``None`` if Turnspit was called by its own name.
    """
    global _prefix  # noqa: PLW0603  (a process is started once)
    typed = sys.orig_argv[1:]
    own = list(words or ())
    start = len(typed) - len(own)
    is_passed_on = words is not None and typed[start:] == own and (bool(own) or typed[-1:] == ["turnspit"])
    _prefix = tuple(typed[:start]) if is_passed_on else _OWN


def command_for(*words: str) -> list[str]:
    """The command that runs Turnspit with these words, started in the same way."""
    return [sys.executable, *_prefix, *words]


def program() -> str:
    """What a person types before Turnspit's own words: ``turnspit``, or ``python manage.py turnspit``."""
    if _prefix == _OWN:
        return "turnspit"
    first, *rest = _prefix
    is_script = Path(first).parent == Path(sys.executable).parent  # like flask
    return shlex.join([Path(first).name, *rest] if is_script else ["python", *_prefix])


def as_typed(example: str) -> str:
    """An example of a command as it is typed here: a framework knows the app."""
    if _prefix == _OWN:
        return example
    return example.replace("turnspit", program(), 1).replace(" shop.jobs:app", "", 1)
