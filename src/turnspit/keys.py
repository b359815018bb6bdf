"""Keys made of a job's arguments, for unique jobs, limits and fairness."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from turnspit.codec import encode
from turnspit.errors import ConfigurationError

__all__ = ["Key", "Keyed", "bounded", "key_values"]

Key = str | Sequence[str] | Callable[..., Any] | None

_LONGEST_KEY = 200


class Keyed:
    """A base for options that have a key made of a job's arguments."""

    what: ClassVar[str]
    """What the key is called in messages."""
    key: Key

    def _settle_key(self) -> None:
        """Check the key, and make a tuple of a single name.

        :raises ConfigurationError: if it is not a key.
        """
        if isinstance(self.key, str):
            object.__setattr__(self, "key", (self.key,))
        names = isinstance(self.key, Sequence) and all(isinstance(name, str) for name in self.key)
        if not (self.key is None or callable(self.key) or names):
            raise ConfigurationError(
                f"key is an argument's name, a list of names, or a function of the arguments, not {self.key!r}"
            )

    def check_names(self, task: str, names: Collection[str]) -> None:
        """Refuse a key of arguments that the task does not take.

        :raises ConfigurationError: naming them.
        """
        unknown = [] if self.key is None or callable(self.key) else [name for name in self.key if name not in names]
        if unknown:
            raise ConfigurationError(f"task {task}: its {self.what} names {', '.join(unknown)}, which it does not take")

    def key_of(self, task: str, arguments: Mapping[str, Any]) -> str:
        """The key of a call with these arguments, which must include defaults."""
        values = _ordered(key_values(sorted(arguments) if self.key is None else self.key, arguments))
        return bounded(f"{task} {encode(values, what=f'the {self.what} of {task}')}")


def key_values(key: Sequence[str] | Callable[..., Any], arguments: Mapping[str, Any]) -> Any:
    """The values of which a key is made, in a call with these arguments."""
    return key(**arguments) if callable(key) else [arguments[name] for name in key]


def _ordered(value: Any) -> Any:
    """Equal values as equal JSON: dicts by their names, whatever the order in which they were filled; sets too."""
    if isinstance(value, Mapping):
        return {name: _ordered(value[name]) for name in sorted(value, key=str)}
    if isinstance(value, (set, frozenset)):
        return sorted(map(_ordered, value), key=repr)
    return [_ordered(each) for each in value] if isinstance(value, (list, tuple)) else value


def bounded(key: str) -> str:
    """The key, cut to 200 characters if it is longer; it then ends in a hash of the whole."""
    if len(key) <= _LONGEST_KEY:
        return key
    return f"{key[: _LONGEST_KEY - 65]}~{hashlib.sha256(key.encode()).hexdigest()}"
