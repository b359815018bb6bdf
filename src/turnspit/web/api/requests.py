"""What programs send: queries and bodies, checked before anything is done."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from turnspit.errors import ConfigurationError
from turnspit.jobs import JobFilter
from turnspit.operations import make_filter
from turnspit.records import LARGEST_ID
from turnspit.states import FilterState

__all__ = [
    "BulkRequest",
    "CancelRequest",
    "CountQuery",
    "EnqueueRequest",
    "JobsQuery",
    "LimitRequest",
    "MetricsQuery",
    "NameRequest",
    "PauseRequest",
    "QueueQuery",
    "ReplayRequest",
    "UpdateRequest",
    "WorkflowQuery",
    "WorkflowsQuery",
]

Name = Annotated[str, Field(min_length=1, max_length=255)]


class Request(BaseModel):
    """Unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = ConfigDict(extra="forbid")


class CountQuery(Request):
    """Which jobs are meant; all that is given must match."""

    id: Annotated[int, Field(ge=1, le=LARGEST_ID)] | None = None
    state: FilterState | None = None
    queue: Name | None = None
    task: Name | None = None
    tag: Name | None = None
    error: Name | None = Field(None, description="The type of the last error, like `TimeoutError`.")
    workflow: Annotated[int, Field(ge=1, le=LARGEST_ID)] | None = None
    group: Name | None = Field(None, description="The fingerprint of a group of dead letters.")
    idempotency_key: Name | None = Field(None, description="The job of this `task` that holds the key.")
    args: str | None = Field(None, max_length=10_000, description='Arguments as a JSON object, like `{"order_id": 7}`.')
    created_after: AwareDatetime | None = None
    created_before: AwareDatetime | None = None

    def filter(self) -> JobFilter:
        """The filter that is meant.

        :raises ConfigurationError: if ``args`` is no JSON object.
        """
        fields: dict[str, Any] = {
            "state": self.state,
            "queue": self.queue,
            "task": self.task,
            "tag": self.tag,
            "error": self.error,
            "fingerprint": self.group,
            "workflow": self.workflow,
            "idempotency_key": self.idempotency_key,
            "args": None if self.args is None else _object(self.args),
            "created_after": self.created_after,
            "created_before": self.created_before,
        }
        return make_filter({name: value for name, value in fields.items() if value is not None}, self.id)


class JobsQuery(CountQuery):
    """A page of jobs, the newest first."""

    limit: int = Field(50, ge=1, le=500, description="A page also ends where its arguments come to 8 MB.")
    before: int | None = Field(None, ge=1, le=LARGEST_ID, description="The `next` of the page before.")


class MetricsQuery(Request):
    """Which figures."""

    minutes: Literal["60", "360", "1440"] = Field("60", description="How far back.")
    queue: Name | None = None


class QueueQuery(Request):
    """Which queue."""

    name: Name


class EnqueueRequest(Request):
    """A job to store. Where the app declares its task, the arguments are checked now, else by the worker."""

    task: Name
    args: dict[str, Any] = {}
    queue: Name | None = None
    priority: int | None = Field(None, ge=-32768, le=32767)
    delay: float | None = Field(None, ge=0, le=3_000_000_000, description="Seconds from now.")
    at: AwareDatetime | None = None
    timeout: float | None = Field(None, gt=0, le=3_000_000_000, description="Seconds that one attempt may take.")
    tags: list[Name] | None = Field(None, max_length=100)
    metadata: dict[str, Any] | None = None
    idempotency_key: Name | None = Field(
        None,
        description="Makes the request safe to repeat: another one with the same key returns the first one's job.",
    )


class CancelRequest(Request):
    """Why."""

    reason: str = Field("", max_length=1000)


class UpdateRequest(Request):
    """What changes; what is left out stays."""

    priority: int | None = Field(None, ge=-32768, le=32767)
    queue: Name | None = None
    delay: float | None = Field(None, ge=0, le=3_000_000_000, description="Seconds from now.")
    at: AwareDatetime | None = None


class BulkRequest(CountQuery):
    """A change to all jobs that match, worked through in the background."""

    verb: Literal["replay", "cancel", "run", "delete"]
    rate: float | None = Field(None, gt=0, le=100_000, description="At most this many jobs a second.")


class WorkflowsQuery(Request):
    """A page of workflows, the newest first."""

    name: Name | None = None
    finished: bool | None = Field(None, description="Only those that have ended, or only those that have not.")
    limit: int = Field(50, ge=1, le=500)
    before: int | None = Field(None, ge=1, le=LARGEST_ID, description="The `next` of the page before.")


class WorkflowQuery(Request):
    """A page of a workflow's jobs, the oldest first."""

    after: int = Field(0, ge=0, le=LARGEST_ID, description="The `next` of the page before.")


class ReplayRequest(Request):
    """How much."""

    whole: bool = Field(False, description="Also what completed; only where it has ended.")


class PauseRequest(Request):
    """What is paused or resumed."""

    kind: Literal["queue", "task", "tag"]
    name: Name


class NameRequest(Request):
    """Which one."""

    name: Name


class LimitRequest(Request):
    """A limit for the whole fleet; with `per` a rate, without it a concurrency."""

    name: Name
    allowed: int = Field(ge=1, le=1_000_000_000)
    per: float | None = Field(None, ge=0.001, le=3_000_000_000, description="Seconds.")
    burst: int | None = Field(None, ge=1, le=1_000_000_000)


def _object(text: str) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise ConfigurationError('args is one JSON object, as {"order_id": 7}')
    return value
