"""What a project declares with ``django.tasks``. Its models may import that before the app can be found."""

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from inspect import BoundArguments, Parameter
from typing import Any

from turnspit import Blueprint, Event

__all__ = ["CallSignature", "DeclaredTask", "blueprint", "declared", "listeners", "takes_by_name"]

_POSITIONAL = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
_AS_WRITTEN: dict[str, Any] = {}
if sys.version_info >= (3, 14):
    from annotationlib import Format

    _AS_WRITTEN["annotation_format"] = Format.FORWARDREF  # Django does not need to know the types, and nor do we


class CallSignature:
    """How a function is called, and its arguments by name, as a job keeps them. Their types are not looked at.

    >>> def copy(source, /, *targets, **options): ...
    >>> signature = CallSignature(copy, takes_context=False)
    >>> arguments = signature.by_name(("a", "b", "c"), {"force": True})
    >>> arguments
    {'source': 'a', 'targets': ('b', 'c'), 'options': {'force': True}}
    >>> signature.call(arguments)
    (('a', 'b', 'c'), {'force': True})
    """

    def __init__(self, function: Callable[..., Any], *, takes_context: bool) -> None:
        signature = inspect.signature(function, **_AS_WRITTEN)
        parameters = list(signature.parameters.values())[1 if takes_context else 0 :]
        self._signature = signature.replace(parameters=parameters)
        self._positional = [each.name for each in parameters if each.kind in _POSITIONAL]
        self._more = next((each.name for each in parameters if each.kind is each.VAR_POSITIONAL), "")
        self._others = next((each.name for each in parameters if each.kind is each.VAR_KEYWORD), "")

    @property
    def parameters(self) -> Iterable[Parameter]:
        """All without the context."""
        return self._signature.parameters.values()

    def by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call.

        :raises TypeError: if Python would not make that call.
        """
        return dict(self._signature.bind(*args, **kwargs).arguments)

    def call(self, arguments: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The call that has these arguments."""
        bound = BoundArguments(self._signature, arguments)
        return bound.args, bound.kwargs

    def as_given(self, arguments: Mapping[str, Any], count: int) -> tuple[list[Any], dict[str, Any]]:
        """The call as it was written, with so many positional arguments."""
        named = dict(arguments)
        more, others = named.pop(self._more, ()), named.pop(self._others, {})
        positional = [named.pop(name) for name in self._positional[:count] if name in named]
        return [*positional, *more], {**named, **others}


@dataclass(frozen=True, slots=True)
class DeclaredTask:
    """A task of ``django.tasks``, as it was declared."""

    task: Any
    options: Mapping[str, Any]
    signature: CallSignature

    def is_of(self, task: Any) -> bool:
        """Whether ``task`` is it, or one that ``using()`` made of it."""
        return self.task.func is task.func and bool(self.task.takes_context == task.takes_context)


blueprint = Blueprint("django.tasks")
"""They are named by their module paths, so that its own name stands nowhere."""
declared: dict[str, DeclaredTask] = {}
"""The same by their names."""
listeners: list[Callable[[Event], Awaitable[None]]] = []
"""What the back end wants to hear of, if the project has one: that a job has ended."""


def takes_by_name(function: Callable[..., Any], parameters: Iterable[Parameter]) -> None:
    """Declare that a function takes these parameters by name, of whatever kind and type they are."""
    defaults: dict[Any, Any] = {Parameter.VAR_POSITIONAL: (), Parameter.VAR_KEYWORD: {}}
    by_name = [
        Parameter(each.name, Parameter.KEYWORD_ONLY, default=defaults.get(each.kind, each.default))
        for each in parameters
    ]
    setattr(function, "__signature__", inspect.Signature(by_name))  # noqa: B010  (inspect reads it there)
