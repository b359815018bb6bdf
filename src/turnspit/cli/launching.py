"""How this command line starts itself in another process: in the way in which it was started.

Under a framework, as with ``manage.py turnspit``, the words before Turnspit's own set that framework up.
"""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

__all__ = ["command_for", "note_start", "program"]

# -P: the working directory is searched after Turnspit was found, as the installed command does.
_OWN = ("-P", "-m", "turnspit")
_way: tuple[str, ...] = _OWN


def note_start(words: Sequence[str] | None) -> None:
    """Turnspit runs these words, which a framework passed on; ``None`` if it was called by its own name."""
    global _way  # noqa: PLW0603  (a process is started once)
    known = sys.orig_argv[1:]
    is_passed_on = bool(words) and known[-len(words or ()) :] == list(words or ())
    _way = tuple(known[: -len(words or ())]) if is_passed_on else _OWN


def command_for(*words: str) -> list[str]:
    """The command that runs other words of Turnspit in the same way."""
    return [sys.executable, *_way, *words]


def program() -> str:
    """What a person types before Turnspit's own words: ``turnspit``, or ``python manage.py turnspit``."""
    if _way == _OWN:
        return "turnspit"
    first, *rest = _way
    is_script = Path(first).parent == Path(sys.executable).parent  # as flask
    return shlex.join([Path(first).name, *rest] if is_script else ["python", *_way])
