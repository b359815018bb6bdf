"""What a task's value becomes in the store."""

import sys
from dataclasses import dataclass
from types import CoroutineType
from typing import Any

from turnspit.errors import InvalidPayload
from turnspit.outcomes import GiveUp
from turnspit.records import Claim, Completion
from turnspit.tasks import Task

__all__ = ["NotStorable", "ResultText", "completion_of", "is_unchanged", "refuse_coroutine"]


@dataclass(frozen=True, slots=True)
class NotStorable:
    """Stands for the value of a task in another process that could not be stored."""

    note: str


@dataclass(frozen=True, slots=True)
class ResultText:
    """Stands for the value of a task in another process, which is text already: made once more, it could differ."""

    text: str


def completion_of(task: Task[Any, Any], claim: Claim, value: Any, max_result: int) -> Completion:
    """The completion of a claim. A value that cannot be stored leaves a note in its place: the work is done, and
    running it again for the sake of its result would do it twice.
    """
    if not task.keeps_result:
        return Completion(claim.id, claim.fence)
    if isinstance(value, NotStorable):
        return Completion(claim.id, claim.fence, note=value.note)
    if isinstance(value, ResultText):
        return Completion(claim.id, claim.fence, value.text, task.keep_result_for)
    try:
        result = task.signature.dump_result(value, max_result)
    except InvalidPayload as error:
        return Completion(claim.id, claim.fence, note=str(error))
    return Completion(claim.id, claim.fence, result, task.keep_result_for)


def is_unchanged(task: Task[Any, Any], value: Any, text: str) -> bool:
    """Whether a value that middleware has seen is still what came as this text."""
    try:
        came = task.signature.load_result(text)
        return task.signature.dump_result(value, sys.maxsize) == task.signature.dump_result(came, sys.maxsize)
    except InvalidPayload:
        return False


def refuse_coroutine(task: Task[Any, Any], value: Any) -> None:
    """A plain function that hands out a coroutine has done nothing yet.

    :raises GiveUp: if it did.
    """
    if isinstance(value, CoroutineType):
        value.close()
        raise GiveUp(
            f"{task.name} returned a coroutine that nobody awaited: declare the task with async def, "
            "and await what it calls"
        )
