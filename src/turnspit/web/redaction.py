"""What nobody is shown of arguments, results and metadata.

>>> Redaction(["*password*"], []).of("login", {"user": "ada", "Password": "x"})
{'user': 'ada', 'Password': '[hidden]'}
"""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from turnspit.codec import check_text

__all__ = ["DEFAULT_NAMES", "HIDDEN", "Redaction"]

HIDDEN = "[hidden]"
DEFAULT_NAMES = (
    "*password*",
    "*passwd*",
    "*passphrase*",
    "*secret*",
    "*token*",
    "*api_key*",
    "*apikey*",
    "*private_key*",
    "*credential*",
    "authorization",
    "cookie",
    "card",
    "card_number",
    "cvc",
    "cvv",
    "iban",
    "pin",
    "ssn",
)
"""Names of fields that are hidden unless something else is said."""


class Redaction:
    """Hides values by the names of their fields, at any depth, and everything of some tasks.

    :param names: patterns as ``*secret*``, whatever the case.
    :param tasks: names of tasks of which every argument and every result is hidden.
    """

    def __init__(self, names: Iterable[str], tasks: Iterable[str]) -> None:
        self._patterns = tuple(check_text(name, "a redacted name").lower() for name in names)
        self._tasks = frozenset(tasks)

    def hides(self, task: str | None, name: str) -> bool:
        """Whether the values of this field are hidden: then nobody may look for them either."""
        return task in self._tasks or any(fnmatchcase(name.lower(), pattern) for pattern in self._patterns)

    @property
    def hides_some_task(self) -> bool:
        """Whether there is a task of which everything is hidden."""
        return bool(self._tasks)

    def hides_task(self, task: str) -> bool:
        """Whether everything of this task is hidden."""
        return task in self._tasks

    def of(self, task: str, value: Any) -> Any:
        """The value as it may be shown."""
        if task in self._tasks:
            return dict.fromkeys(value, HIDDEN) if isinstance(value, Mapping) else HIDDEN
        return self._of(value)

    def _of(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: HIDDEN if self.hides(None, str(name)) else self._of(each) for name, each in value.items()}
        return [self._of(each) for each in value] if isinstance(value, list) else value

    def restore(self, shown: Any, original: Any) -> Any:
        """What a person made of the shown value, with what was hidden put back where it was left as it is."""
        if shown == HIDDEN:
            return original
        if isinstance(shown, Mapping) and isinstance(original, Mapping):
            return {name: self.restore(each, original.get(name)) for name, each in shown.items()}
        if isinstance(shown, list) and isinstance(original, list) and len(shown) == len(original):
            return [self.restore(*pair) for pair in zip(shown, original, strict=True)]
        return shown
