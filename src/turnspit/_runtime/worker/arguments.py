"""Stored arguments as what a task's function takes."""

from typing import Any

from pydantic import ValidationError

from turnspit._runtime.worker.failures import message_of
from turnspit.codec import decode, encode
from turnspit.signatures import describe_validation_error
from turnspit.tasks import Task

__all__ = ["Unreadable", "load_arguments"]


class Unreadable(Exception):
    """The stored payload does not fit the task's signature."""


def load_arguments(task: Task[Any, Any], text: str) -> dict[str, Any]:
    """The arguments of a claim, upgraded where they are an older release's.

    :raises Unreadable: if they do not fit the task's signature.
    """
    try:
        return task.signature.load(text)
    except ValidationError as error:
        return _upgrade(task, text, error)


def _upgrade(task: Task[Any, Any], text: str, error: ValidationError) -> dict[str, Any]:
    if task.upgrade is None:
        raise Unreadable(describe_validation_error(error)) from error
    try:
        return task.signature.load(encode(task.upgrade(decode(text)), what="the upgraded payload"))
    except Exception as failure:
        reason = (
            describe_validation_error(failure)
            if isinstance(failure, ValidationError)
            else f"{type(failure).__name__}: {message_of(failure)}"
        )
        raise Unreadable(f"{describe_validation_error(error)}; upgrade: {reason}") from failure
