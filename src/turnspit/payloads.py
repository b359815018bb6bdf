"""Messages from producers that are not this app: ``{"task": "send_confirmation", "args": {...}}``."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, cast

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from turnspit.errors import ConfigurationError, InvalidArguments
from turnspit.signatures import describe_validation_error
from turnspit.tasks import Task

__all__ = ["Payloads"]


class Payloads:
    """All tasks of an app as one discriminated union.

    ``type`` is the pydantic type, for an annotation or a ``TypeAdapter``; ``json_schema()`` is for other
    languages; ``validate(message)`` checks a message.
    """

    def __init__(self, tasks: Iterable[Task[Any, Any]]) -> None:
        declared = list(tasks)
        self._names = sorted(name for task in declared for name in (task.name, *task.aliases))
        self._models = [_message_model(task) for task in declared]
        if not self._models:
            raise ConfigurationError("the app has no tasks yet, so there are no payloads")
        kind: Any = self._models[0]
        if len(self._models) > 1:
            kind = Annotated[Union[tuple(self._models)], Field(discriminator="task")]  # noqa: UP007
        self.type: Any = kind
        self._adapter = TypeAdapter[Any](kind)

    def json_schema(self) -> dict[str, Any]:
        """The union as JSON Schema (draft 2020-12)."""
        return self._adapter.json_schema()

    def validate(self, message: Mapping[str, Any] | str | bytes) -> tuple[str, dict[str, Any]]:
        """The task's name and the arguments of a message: a dict or JSON text.

        :raises InvalidArguments: if it names no task of the app or its arguments do not fit.
        """
        if not isinstance(message, (str, bytes, Mapping)):
            raise InvalidArguments(f"message: it is a dict or JSON text, not {type(message).__name__}")
        try:
            if isinstance(message, Mapping):
                checked = self._adapter.validator.validate_python(dict(message), by_alias=True, by_name=True)
            else:
                checked = self._adapter.validator.validate_json(message, by_alias=True, by_name=True)
        except ValidationError as error:
            raise InvalidArguments(f"message: {self._describe(error)}") from error
        return checked.task, cast("dict[str, Any]", checked.args)

    def _describe(self, error: ValidationError) -> str:
        problem = error.errors(include_url=False)[0]
        if problem["type"] == "union_tag_not_found":
            return "task: Field required"
        if problem["type"] == "union_tag_invalid" or (problem["type"], problem["loc"]) == ("literal_error", ("task",)):
            named = problem["ctx"]["tag"] if "tag" in problem["ctx"] else problem["input"]
            return f"no task is named {named!r}; there are {', '.join(self._names)}"
        return describe_validation_error(error)


def _message_model(task: Task[Any, Any]) -> type[BaseModel]:
    names: Any = Literal[(task.name, *task.aliases)]
    return create_model(
        f"{task.name} message",
        __config__=ConfigDict(extra="forbid", title=task.name),
        __doc__=(task.function.__doc__ or "").strip() or None,
        task=(names, ...),
        args=(task.signature.arguments, ...),
    )
