"""A function's signature as the schema of its payload.

>>> def greet(name: str, times: int = 1) -> str:
...     return " ".join(["Hello", name] * times)
>>> signature = Signature(greet, "greet")
>>> signature.dump(signature.bind((), {"name": "Ada"}), limit=1000)
'{"name":"Ada"}'
>>> signature.load('{"name": "Ada", "times": "2"}')
{'name': 'Ada', 'times': 2}
"""

import inspect
import typing
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from typing_extensions import TypedDict

from turnspit.codec import encode
from turnspit.context import JobContext
from turnspit.errors import ConfigurationError, InvalidArguments

__all__ = ["Signature", "describe_validation_error"]

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=False, allow_inf_nan=False, ser_json_inf_nan="constants")
_REFUSED = {
    inspect.Parameter.VAR_POSITIONAL: "*{name}: give every argument a name",
    inspect.Parameter.VAR_KEYWORD: "**{name}: give every argument a name",
}


class Signature:
    """What a task takes and returns, and the way to JSON and back.

    :raises ConfigurationError: if the signature cannot be a payload.
    """

    def __init__(self, function: Callable[..., Any], task: str) -> None:
        self._task = task
        try:
            hints = typing.get_type_hints(function, include_extras=True)
        except NameError as error:
            raise ConfigurationError(f"task {task}: an annotation cannot be resolved: {error}") from error
        parameters = list(inspect.signature(function).parameters.values())
        self.takes_context = bool(parameters) and hints.get(parameters[0].name) is JobContext
        if self.takes_context:
            parameters = parameters[1:]
        self._refuse(parameters)
        self._inspected = inspect.Signature(parameters)
        self.positional_only = tuple(p.name for p in parameters if p.kind is p.POSITIONAL_ONLY)
        self.arguments = self._arguments_type(parameters, hints)
        self._adapter = self._adapt(self.arguments)
        self._validate = self._adapter.validator.validate_python
        self._validate_json = self._adapter.validator.validate_json
        self._to_json = self._adapter.serializer.to_json
        self._result = self._adapt(hints.get("return", Any))

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call, validated, by name.

        :raises InvalidArguments: naming each field that does not fit.
        """
        if args:
            try:
                kwargs = self._inspected.bind(*args, **kwargs).arguments
            except TypeError as error:
                raise InvalidArguments(f"{self._task}: {error}") from None
        try:
            return typing.cast("dict[str, Any]", self._validate(dict(kwargs)))
        except ValidationError as error:
            raise InvalidArguments(f"{self._task}: {describe_validation_error(error)}") from error

    def dump(self, arguments: Mapping[str, Any], limit: int) -> str:
        """Validated arguments as JSON text.

        :raises InvalidPayload: if they are not JSON or over ``limit`` bytes.
        """
        return encode(arguments, what=f"arguments of {self._task}", limit=limit, serializer=self._to_json)

    def load(self, text: str) -> dict[str, Any]:
        """Stored JSON text as arguments for the function.

        :raises pydantic.ValidationError: if it does not fit the signature.
        """
        return typing.cast("dict[str, Any]", self._validate_json(text))

    def call(self, function: Callable[..., Any], context: JobContext, arguments: dict[str, Any]) -> Any:
        """Call ``function`` as it wants to be called."""
        positional = [arguments.pop(name) for name in self.positional_only if name in arguments]
        if self.takes_context:
            return function(context, *positional, **arguments)
        return function(*positional, **arguments)

    def dump_result(self, value: Any, limit: int) -> str:
        """What the function returned, as JSON text.

        :raises InvalidPayload: if it is not JSON or over ``limit`` bytes.
        """
        if value is None:
            return "null"
        return encode(value, what=f"the result of {self._task}", limit=limit, serializer=self._result.dump_json)

    def load_result(self, text: str) -> Any:
        """A stored result as what the function returned."""
        return self._result.validate_json(text)

    def _refuse(self, parameters: list[inspect.Parameter]) -> None:
        for parameter in parameters:
            if parameter.kind in _REFUSED:
                reason = _REFUSED[parameter.kind].format(name=parameter.name)
                raise ConfigurationError(f"task {self._task} takes {reason}, so that its payload can be checked")

    def _arguments_type(self, parameters: list[inspect.Parameter], hints: dict[str, Any]) -> Any:
        fields: dict[str, Any] = {}
        for parameter in parameters:
            hint = hints.get(parameter.name, Any)
            if hint is JobContext:
                raise ConfigurationError(f"task {self._task}: JobContext must be the first parameter")
            required = parameter.default is inspect.Parameter.empty
            fields[parameter.name] = hint if required else typing.NotRequired[hint]
        arguments = TypedDict(f"{self._task} arguments", fields)  # type: ignore[misc]
        setattr(arguments, "__pydantic_config__", _CONFIG)  # noqa: B010  (pydantic reads it there)
        return arguments

    def _adapt(self, kind: Any) -> TypeAdapter[Any]:
        try:
            return TypeAdapter(kind)
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError, TypeError) as error:
            reason = str(error).partition("\n")[0]
            raise ConfigurationError(
                f"task {self._task}: {kind!r} cannot be stored as JSON ({reason}); "
                "annotate it with types that pydantic knows"
            ) from error


def describe_validation_error(error: ValidationError) -> str:
    """A pydantic error in one line: each field and what is wrong with it."""
    problems = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"]) or "payload"
        given = "" if problem["type"] in ("missing", "json_invalid") else f" (got {_short(problem['input'])})"
        problems.append(f"{place}: {problem['msg']}{given}")
    return "; ".join(problems)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
