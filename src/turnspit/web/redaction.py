"""What nobody is shown of arguments, results and metadata, and of the texts that quote them.

>>> Redaction(["*password*"], []).of("login", {"user": "ada", "Password": "x"})
{'user': 'ada', 'Password': '[hidden]'}
>>> Redaction(["*password*"], []).texts("login", {"user": "ada", "password": "hunter2"})("'hunter2' of ada is wrong")
"'[hidden]' of ada is wrong"
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, overload

from turnspit.codec import check_text

__all__ = ["DEFAULT_NAMES", "HIDDEN", "Redaction", "Texts"]

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

_SHORTEST = 4
"""A hidden value of fewer characters is not looked for in texts: it would be found everywhere."""


class Texts:
    """Errors, tracebacks, log lines and other texts of one job as they may be shown."""

    def __init__(self, secrets: Iterable[str], *, hides_all: bool = False) -> None:
        longest_first = sorted(set(secrets), key=len, reverse=True)
        self.hides_all = hides_all
        self._secrets = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    @overload
    def __call__(self, text: str) -> str: ...
    @overload
    def __call__(self, text: str | None) -> str | None: ...
    def __call__(self, text: str | None) -> str | None:
        if not text:
            return text
        if self.hides_all:
            return HIDDEN
        return text if self._secrets is None else self._secrets.sub(HIDDEN, text)

    def key(self, text: str | None) -> str | None:
        """A unique key, which is made of arguments: where it may be, all of it is hidden."""
        return HIDDEN if text and (self.hides_all or self._secrets is not None) else text


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

    def texts(self, task: str, *values: Any) -> Texts:
        """The texts of a job of this task: nothing of them if the task is hidden, else without the hidden values.

        :param values: of the job: arguments, metadata, result, with nothing hidden yet.
        """
        if task in self._tasks:
            return Texts((), hides_all=True)
        return Texts(form for value in values for secret in self._secrets(value) for form in _forms(secret))

    def _secrets(self, value: Any, *, is_hidden: bool = False) -> Iterator[Any]:
        """Every text and number behind a hidden name, at any depth."""
        if isinstance(value, Mapping):
            for name, each in value.items():
                yield from self._secrets(each, is_hidden=is_hidden or self.hides(None, str(name)))
        elif isinstance(value, list):
            for each in value:
                yield from self._secrets(each, is_hidden=is_hidden)
        elif is_hidden and isinstance(value, str | int | float) and not isinstance(value, bool):
            yield value

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


def _forms(secret: str | float) -> Iterator[str]:
    """How a value looks in a text: as it is, and as Python and JSON quote it."""
    forms = {str(secret)}
    if isinstance(secret, str):
        forms |= {repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return (form for form in forms if len(form) >= _SHORTEST)
