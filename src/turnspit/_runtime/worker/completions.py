"""What a task's value becomes in the store."""

from typing import Any

from turnspit.errors import InvalidPayload
from turnspit.records import Claim, Completion
from turnspit.tasks import Task

__all__ = ["completion_of"]


def completion_of(task: Task[Any, Any], claim: Claim, value: Any, max_result: int) -> Completion:
    """The completion of a claim. A value that cannot be stored leaves a note in its place: the work is done, and
    running it again for the sake of its result would do it twice.
    """
    if not task.keeps_result:
        return Completion(claim.id, claim.fence)
    try:
        result = task.signature.dump_result(value, max_result)
    except InvalidPayload as error:
        return Completion(claim.id, claim.fence, note=str(error))
    return Completion(claim.id, claim.fence, result, task.keep_result_for)
