"""A function's signature as the schema of its payload.

>>> def greet(name: str, times: int = 1) -> str:
...     return " ".join(["Hello", name] * times)
>>> signature = Signature(greet, "greet")
>>> signature.dump(signature.bind((), {"name": "Ada"}), limit=1000)
'{"name":"Ada"}'
>>> signature.load('{"name": "Ada", "times": "2"}')
{'name': 'Ada', 'times': 2}
"""

import dataclasses
import inspect
import sys
import typing
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pydantic import ConfigDict, Secret, SecretBytes, SecretStr, TypeAdapter, ValidationError
from pydantic.errors import (
    PydanticInvalidForJsonSchema,
    PydanticSchemaGenerationError,
    PydanticUndefinedAnnotation,
    PydanticUserError,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaMode
from pydantic_core import CoreConfig, PydanticSerializationError, SchemaSerializer, SchemaValidator
from typing_extensions import TypedDict

from turnspit.codec import decode, encode
from turnspit.context import JobContext
from turnspit.errors import ConfigurationError, InvalidArguments, InvalidPayload
from turnspit.other_queues import tell_using

if sys.version_info < (3, 14):
    _parameters = inspect.signature
else:  # leaves annotations unread: they may name what only a type checker imports
    from annotationlib import Format

    _parameters = partial(inspect.signature, annotation_format=Format.STRING)

__all__ = ["Signature", "check_function", "check_isolated", "check_parameters", "describe_validation_error"]

_CONFIG = ConfigDict(extra="forbid", arbitrary_types_allowed=False, allow_inf_nan=False)
_SECRETS = (Secret, SecretStr, SecretBytes)
_STORED_AS_STARS = (
    "holds a secret type, which would be stored as stars: pass a name by which the task finds the secret, "
    "or a plain str if the store may hold it"
)
_NO_SCHEMA = ("metadata", "default", "expected")
"""Keys in a pydantic schema that hold the application's own values, not schemas."""

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
            self._hints = hints = typing.get_type_hints(function, include_extras=True)
        except (NameError, SyntaxError, TypeError, AttributeError) as error:
            raise ConfigurationError(f"task {task}: an annotation cannot be resolved: {error}") from error
        self._partly: dict[frozenset[str], Callable[[Mapping[str, Any]], Any]] = {}
        parameters = list(_parameters(function).parameters.values())
        self.takes_context = bool(parameters) and hints.get(parameters[0].name) is JobContext
        if self.takes_context:
            parameters = parameters[1:]
        self._refuse(parameters)
        self._inspected = inspect.Signature(parameters)
        self._positional_only = {p.name: p for p in parameters if p.kind is p.POSITIONAL_ONLY}
        self._positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
        self.arguments = self._arguments_type(parameters, hints)
        self._adapter = self._adapt(self.arguments, "its arguments", {p.name: hints.get(p.name) for p in parameters})
        # Stored by name and read by name or alias, so that a model with aliases comes back as it went.
        self._validate = _validator(self._adapter)
        self._validate_json = partial(self._adapter.validator.validate_json, by_alias=True, by_name=True)
        self._what = f"arguments of {task}"
        self._simplify = _simplifier(self._adapter)
        self._result = self._adapt(hints.get("return", Any), "its result")
        self._simplify_result = _simplifier(self._result)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments of a call, validated, by name.

        :raises InvalidArguments: naming each field that does not fit.
        """
        given = self._by_name(args, kwargs) if args else kwargs
        try:
            arguments: dict[str, Any] = self._validate(given)
        except ValidationError as error:
            if args:
                self._refuse_call(args, kwargs)  # says better which are missing
            told = tell_using(self._task, given.keys() - self.names)
            raise InvalidArguments(f"{self._task}: {describe_validation_error(error)}{told}") from error
        return arguments

    def _by_name(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Mapping[str, Any]:
        given = {**dict(zip(self._positional, args, strict=False)), **kwargs}
        is_named = self._positional_only and self._positional_only.keys() & kwargs.keys()
        if is_named or len(given) < len(args) + len(kwargs):  # too many, or one of them twice
            self._refuse_call(args, kwargs)
        return given

    def _refuse_call(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Raise what is wrong with a call in Python's own words. Finding that takes long: not for calls that fit.

        :raises InvalidArguments: if Python would not make the call.
        """
        try:
            self._inspected.bind(*args, **kwargs)
        except TypeError as error:
            told = tell_using(self._task, kwargs.keys() - self.names)
            raise InvalidArguments(f"{self._task}: {error}; it takes {self._outline()}{told}") from None

    def bind_partly(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], is_later: Callable[[Any], bool]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """The arguments of a call, validated, by name; and those that are not known yet, as they are.

        :param is_later: whether an argument is one that is not known yet.
        :raises InvalidArguments: naming each field that does not fit.
        """
        try:
            given = self._inspected.bind_partial(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidArguments(f"{self._task}: {error}; it takes {self._outline()}") from None
        later = {name: value for name, value in given.items() if is_later(value)}
        known = {name: value for name, value in given.items() if name not in later}
        try:
            return self._validate_partly(frozenset(later), known), later
        except ValidationError as error:
            raise InvalidArguments(f"{self._task}: {describe_validation_error(error)}") from error

    def _validate_partly(self, later: frozenset[str], known: dict[str, Any]) -> dict[str, Any]:
        if later not in self._partly:
            parameters = [each for name, each in self._inspected.parameters.items() if name not in later]
            adapter = self._adapt(self._arguments_type(parameters, self._hints), "its arguments")
            self._partly[later] = _validator(adapter)
        return typing.cast("dict[str, Any]", self._partly[later](known))

    def simplify(self, value: Any) -> Any:
        """A value as JSON values, without an annotation that says how."""
        return decode(encode(value, what=self._what))

    def argument_schema(self, name: str) -> Mapping[str, Any]:
        """The JSON Schema of an argument; empty if its type has none."""
        return _json_schema(self._hints.get(name, Any), "validation")

    def result_schema(self) -> Mapping[str, Any]:
        """The JSON Schema of the result; empty if its type has none."""
        return _json_schema(self._hints.get("return", Any), "serialization")

    def dump(self, arguments: Mapping[str, Any], limit: int) -> str:
        """Validated arguments as JSON text.

        :raises InvalidPayload: if they are not JSON or over ``limit`` bytes.
        """
        return encode(arguments, what=self._what, limit=limit, simplify=self._simplify)

    @property
    def names(self) -> frozenset[str]:
        """The names of the arguments."""
        return frozenset(self._inspected.parameters)

    def complete(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Validated arguments and the defaults of those left out, as JSON values.

        :raises InvalidPayload: for a default that has no place in JSON.
        """
        defaults = {
            each.name: each.default for each in self._inspected.parameters.values() if each.default is not each.empty
        }
        try:
            return typing.cast("dict[str, Any]", self._simplify({**defaults, **arguments}))
        except PydanticSerializationError as error:
            raise InvalidPayload(f"a default of {self._task}, of which a key is made, is no JSON: {error}") from error

    def load(self, text: str) -> dict[str, Any]:
        """Stored JSON text as arguments for the function.

        :raises pydantic.ValidationError: if it does not fit the signature.
        """
        return typing.cast("dict[str, Any]", self._validate_json(text))

    def call(self, function: Callable[..., Any], context: JobContext, arguments: dict[str, Any]) -> Any:
        """Call ``function`` with these arguments, behind the context if it takes one."""
        positional: list[Any] = []
        if self._positional_only:
            positional, arguments = self._split(arguments)
        if self.takes_context:
            return function(context, *positional, **arguments)
        return function(*positional, **arguments)

    def _split(self, arguments: Mapping[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        """The positional-only arguments, with defaults where an earlier one was left out; and the rest."""
        rest = dict(arguments)
        only = list(self._positional_only.values())
        given = max((position for position, each in enumerate(only, 1) if each.name in rest), default=0)
        positional = [rest.pop(each.name, each.default) for each in only[:given]]
        return positional, rest

    def dump_result(self, value: Any, limit: int) -> str:
        """What the function returned, as JSON text.

        :raises InvalidPayload: if it is not JSON or over ``limit`` bytes.
        """
        if value is None:
            return "null"
        return encode(value, what=f"the result of {self._task}", limit=limit, simplify=self._simplify_result)

    def load_result(self, text: str) -> Any:
        """A stored result as what the function returned; as JSON values where it does not fit the annotation."""
        try:
            return self._result.validator.validate_json(text, by_alias=True, by_name=True)
        except ValidationError:
            return decode(text)

    def _outline(self) -> str:
        """The names of the arguments, as a person would declare them: ``(to, *, order_id=1)``."""
        parameters = self._inspected.parameters.values()
        return str(inspect.Signature([each.replace(annotation=each.empty) for each in parameters]))

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
            if isinstance(parameter.default, FieldInfo):
                raise ConfigurationError(
                    f"task {self._task}: {parameter.name} has Field(...) as its default, which the function itself "
                    f"would receive: write Annotated[<type>, Field(...)], and a plain default behind it"
                )
            required = parameter.default is inspect.Parameter.empty
            fields[parameter.name] = hint if required else typing.NotRequired[hint]
        arguments = TypedDict(f"{self._task} arguments", fields)  # type: ignore[misc]
        setattr(arguments, "__pydantic_config__", _CONFIG)  # noqa: B010  (pydantic reads it there)
        return arguments

    def _adapt(self, kind: Any, name: str, parts: Mapping[str, Any] | None = None) -> TypeAdapter[Any]:
        cause: Exception | None = None
        try:
            adapter: TypeAdapter[Any] = TypeAdapter(kind)
            problem = _STORED_AS_STARS if _holds_secret(adapter.core_schema) else None
        except (PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError, TypeError) as error:
            cause, reason = error, str(error).partition("\n")[0].partition(". ")[0]
            problem = f"cannot be stored as JSON ({reason}); annotate it with types that pydantic knows"
        if problem is None:
            return adapter
        for part, kind_of_part in (parts or {}).items():
            self._adapt(kind_of_part, part)  # raises for the one to blame
        raise ConfigurationError(f"task {self._task}: {name}: {kind!r} {problem}") from cause


def _json_schema(kind: Any, mode: JsonSchemaMode) -> Mapping[str, Any]:
    try:
        return TypeAdapter(kind).json_schema(by_alias=False, mode=mode)  # by name, as results are stored
    except (PydanticInvalidForJsonSchema, PydanticUserError):
        return {}


def _validator(adapter: TypeAdapter[Any]) -> Callable[[Mapping[str, Any]], Any]:
    """Checks the arguments of a call, and looks into dataclasses, which nobody checked when they were made."""
    schema = adapter.core_schema
    validator = SchemaValidator(_look_into_dataclasses(schema)) if _holds(schema, _can_look_into) else adapter.validator
    return partial(validator.validate_python, by_alias=True, by_name=True)


def _look_into_dataclasses(schema: Any) -> Any:
    if isinstance(schema, dict):
        changed = {key: value if key in _NO_SCHEMA else _look_into_dataclasses(value) for key, value in schema.items()}
        return {"revalidate_instances": "always", **changed} if _can_look_into(changed) else changed
    if type(schema) in (list, tuple):
        return type(schema)(map(_look_into_dataclasses, schema))
    return schema


def _can_look_into(schema: Mapping[str, Any]) -> bool:
    """Pydantic makes a dataclass anew to look into it, for which all its fields must be parameters."""
    return schema.get("type") == "dataclass" and all(field.init for field in dataclasses.fields(schema["cls"]))


def _simplifier(adapter: TypeAdapter[Any]) -> Callable[[Any], Any]:
    """Turns a value into dicts, lists, texts and numbers. NaN stays NaN, to be refused later: pydantic's own way to
    JSON, and its default configuration, would silently make it null.
    """
    serializer = SchemaSerializer(adapter.core_schema, CoreConfig(ser_json_inf_nan="constants"))
    simplify: Callable[[Any], Any] = partial(serializer.to_python, mode="json", round_trip=True, warnings=False)
    if not _holds(adapter.core_schema, lambda part: part.get("type") in ("set", "frozenset")):
        return simplify
    return lambda value: _in_order(value, simplify(value))


def _in_order(value: Any, simple: Any) -> Any:
    """JSON values with what was a set in an order of its own: Python's differs from process to process, and equal
    arguments would have different keys.
    """
    if isinstance(simple, list) and isinstance(value, (set, frozenset, list, tuple)) and len(value) == len(simple):
        parts = [_in_order(each, part) for each, part in zip(value, simple, strict=True)]
        return sorted(parts, key=repr) if isinstance(value, (set, frozenset)) else parts
    if isinstance(simple, dict):
        get = value.get if isinstance(value, Mapping) else partial(getattr, value)
        return {name: _in_order(get(name, None), part) for name, part in simple.items()}
    return simple


def _holds_secret(schema: Any) -> bool:
    return _holds(schema, lambda part: isinstance(part.get("cls"), type) and issubclass(part["cls"], _SECRETS))


def _holds(schema: Any, is_meant: Callable[[Mapping[str, Any]], bool]) -> bool:
    if isinstance(schema, Mapping):
        return is_meant(schema) or any(
            _holds(value, is_meant) for key, value in schema.items() if key not in _NO_SCHEMA
        )
    return isinstance(schema, (list, tuple)) and any(_holds(value, is_meant) for value in schema)


def check_function(function: Callable[..., Any], decorator: str) -> None:
    """Check that a function can be a task's: it has a name, needs nothing but its arguments, and returns.

    :param decorator: how it was declared, as ``@task``.
    :raises ConfigurationError: if it cannot.
    """
    if isinstance(function, type) or not callable(function) or not hasattr(function, "__qualname__"):
        raise ConfigurationError(f"{decorator} belongs on a function, not on {function!r}")
    if function.__name__ == "<lambda>":
        raise ConfigurationError(f"a lambda has no name to find it again by: give {decorator} a named function")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise ConfigurationError(
            f"{decorator} belongs on a function that returns: {function.__qualname__} has a yield, and nobody would "
            "run it to its end"
        )
    first = next(iter(_parameters(function).parameters.values()), None)
    if first is not None and first.name in ("self", "cls") and first.annotation is first.empty:
        raise ConfigurationError(
            f"{decorator} belongs on a function, not on a method: {function.__qualname__} takes {first.name}, and a "
            "worker has none; for the running job write job: JobContext there, and make other objects in the function"
        )


def check_parameters(function: Callable[..., Any], what: str, *names: str) -> None:
    """Check that a function can be called with so many arguments, before the first job finds out.

    :param what: how the error message begins.
    :param names: what the arguments are called in that message.
    :raises ConfigurationError: if it cannot.
    """
    try:
        _parameters(function).bind(*names)
    except ValueError:
        return  # one in C that does not say what it takes
    except TypeError as error:
        name = getattr(function, "__name__", repr(function))
        raise ConfigurationError(f"{what}, as in def {name}({', '.join(names)}): {error}") from None


def check_isolated(function: Callable[..., Any], task: str) -> None:
    """Check that a function can be found and called in another process.

    :raises ConfigurationError: if it cannot.
    """
    if inspect.iscoroutinefunction(function):
        raise ConfigurationError(f"task {task} is async: isolate=True is for a plain def, which runs in its process")
    if "<locals>" in function.__qualname__:
        raise ConfigurationError(
            f"task {task} is declared inside a function, where another process cannot find it: isolate=True needs "
            f"{function.__name__} at the top of its module"
        )


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
