"""Hiding values in arguments, results and metadata, and in texts that quote them.

>>> Redaction(["*password*"], []).of("login", {"user": "ada", "Password": "x"})
{'user': 'ada', 'Password': '[hidden]'}
>>> Redaction(["*password*"], []).texts("login", {"user": "ada", "password": "hunter2"})("'hunter2' of ada is wrong")
"'[hidden]' of ada is wrong"
"""

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import translate
from functools import cached_property, lru_cache
from operator import is_
from typing import Any, overload

from turnspit.codec import check_text
from turnspit.errors import ConfigurationError

__all__ = ["DEFAULT_NAMES", "ELSEWHERE", "HIDDEN", "Redaction", "Texts"]

HIDDEN = "[hidden]"
ELSEWHERE = "[on the job's own page]"
"""In place of a text in a list that could quote a hidden value from behind the place where the arguments are cut."""
_NOTHING = object()
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
"""Names of fields that are hidden by default."""

_KNOWN_NAMES = 1000
_PLAIN = re.compile(r"[ !#-&(-\[\]-~]*")
"""Text that Python and JSON quote as it is: printable ASCII without quotation marks and backslashes."""
_SHORTEST = 4
"""Hidden values with fewer characters are not looked for in texts: they would be found everywhere."""


class Texts:
    """Shows errors, tracebacks, log lines and other texts of one job, without the job's hidden values.

    :param secrets: gives these values; called for the first text, as most jobs of a list have none.
    :param instead: shown in place of each text.
    """

    def __init__(self, secrets: Callable[[], Iterable[str]] = tuple, *, instead: str | None = None) -> None:
        self._instead = instead
        self._find = secrets

    @overload
    def __call__(self, text: str) -> str: ...
    @overload
    def __call__(self, text: str | None) -> str | None: ...
    def __call__(self, text: str | None) -> str | None:
        if not text:
            return text
        if self._instead is not None:
            return self._instead
        quoted = [secret for secret in self._secrets if len(secret) >= _SHORTEST and secret in text]
        return re.sub("|".join(map(re.escape, quoted)), HIDDEN, text) if quoted else text

    @cached_property
    def _secrets(self) -> Sequence[str]:
        """The longest first."""
        return sorted(set(self._find()) - {""}, key=len, reverse=True)

    def key(self, text: str | None) -> str | None:
        """A unique key. It is made of arguments, so all of it is hidden if the job has any hidden value."""
        return HIDDEN if text and (self._instead is not None or self._secrets) else text


class Redaction:
    """Hides values by the names of their fields, at any depth, and everything of some tasks.

    :param names: patterns like ``*secret*``, in any case.
    :param tasks: names of tasks of which every argument and every result is hidden.
    """

    def __init__(self, names: Iterable[str], tasks: Iterable[str]) -> None:
        patterns = [translate(check_text(name, "a redacted name").lower()) for name in names]
        self._names = re.compile("|".join(patterns)) if patterns else None
        self._tasks = frozenset(tasks)
        self._hides_name = lru_cache(_KNOWN_NAMES)(self._matches)  # arguments may have a name a hundred thousand times

    def hides(self, task: str | None, name: str) -> bool:
        """Whether the values of this field are hidden; then nobody may search by them either."""
        return self.hides_task(task) or self._hides_name(name)

    def hides_task(self, task: str | None) -> bool:
        """Whether everything of this task is hidden."""
        return task in self._tasks

    def _matches(self, name: str) -> bool:
        return self._names is not None and self._names.match(name.lower()) is not None

    @property
    def hides_some_task(self) -> bool:
        """Whether there is a task of which everything is hidden."""
        return bool(self._tasks)

    def of(self, task: str, value: Any) -> Any:
        """The value as it may be shown."""
        if task in self._tasks:
            return dict.fromkeys(value, HIDDEN) if isinstance(value, Mapping) else HIDDEN
        return self._of(value)

    def texts(self, task: str, *values: Any, is_cut: bool = False) -> Texts:
        """How texts of a job of this task are shown: not at all if the task is hidden, else without hidden values.

        :param values: the job's arguments, metadata and result, with nothing hidden yet.
        :param is_cut: there is more of them, in which there may be hidden values that are not known.
        """
        if task in self._tasks:
            return Texts(instead=HIDDEN)
        if is_cut and self._names is not None:
            return Texts(instead=ELSEWHERE)
        return Texts(lambda: (form for value in values for secret in self._secrets(value) for form in _forms(secret)))

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
        """The value itself where nothing of it is hidden: a copy of long arguments would be thousands of objects."""
        if isinstance(value, Mapping):
            shown = {name: HIDDEN if self.hides(None, str(name)) else self._of(each) for name, each in value.items()}
            return value if all(map(is_, shown.values(), value.values())) else shown
        if isinstance(value, list):
            items = [self._of(each) for each in value]
            return value if all(map(is_, items, value)) else items
        return value

    def limit_key(self, task: str, names: Collection[str] | None, key: str) -> str:
        """A limit's key as it may be shown: whole, or not at all.

        :param names: the arguments that it is made of; ``None`` if they are not known.

        >>> redaction = Redaction(["*password*"], [])
        >>> redaction.limit_key("login", ["user"], "[7]"), redaction.limit_key("login", None, "[7]")
        ('[7]', '[hidden]')
        """
        if not key or not (self._names or self._tasks):
            return key
        if names is None or any(self.hides(task, name) for name in names):
            return HIDDEN
        try:
            values = json.loads(key)
        except ValueError:  # a long key is cut and ends in a hash
            return HIDDEN if "{" in key else key
        return key if self._of(values) == values else HIDDEN

    def restore(self, shown: Any, original: Any) -> Any:
        """A value that a person edited, with each ``[hidden]`` that was left in it replaced by the original value.

        :raises ConfigurationError: for one that has no original value in its place.
        """
        if shown == HIDDEN:
            if original is _NOTHING:
                raise ConfigurationError(
                    f"a value is {HIDDEN} where the job that is copied has none (in a list that is longer or shorter "
                    "now, or below another name): type the value itself"
                )
            return original
        if isinstance(shown, Mapping):
            known = original if isinstance(original, Mapping) else {}
            return {name: self.restore(each, known.get(name, _NOTHING)) for name, each in shown.items()}
        if isinstance(shown, list):
            is_as_long = isinstance(original, list) and len(shown) == len(original)
            originals = original if is_as_long else [_NOTHING] * len(shown)
            return [self.restore(*pair) for pair in zip(shown, originals, strict=True)]
        return shown


def _forms(secret: str | float) -> set[str]:
    """How a value looks in a text: as it is, and as Python and JSON quote it."""
    forms = {str(secret)}
    if isinstance(secret, str) and not _PLAIN.fullmatch(secret):
        forms |= {repr(secret)[1:-1], json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    return forms
