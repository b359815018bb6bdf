"""One job in full, and what can be done with it."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from starlette.requests import Request

from turnspit.codec import decode, decode_object, stored_value
from turnspit.errors import ConfigurationError, InvalidPayload
from turnspit.web.changes import NewJobFields
from turnspit.web.copying import as_command, as_python
from turnspit.web.forms import read_form
from turnspit.web.models import JobDetails
from turnspit.web.rendering import Screen, View
from turnspit.web.site import Site

__all__ = ["FormError", "duplicate", "job", "read_new_job"]


class FormError(ConfigurationError):
    """A form has a mistake; ``given`` is the form as it was sent, to be shown again."""

    def __init__(self, message: str, given: dict[str, str]) -> None:
        super().__init__(message)
        self.given = given


@dataclass(frozen=True, slots=True)
class Moment:
    """Something that happened to a job."""

    at: datetime
    what: str
    kind: str
    """A state or an outcome, for its colour."""
    note: str = ""
    seconds: float | None = None
    """How long it took."""


async def job(site: Site, view: View) -> Screen:
    """Arguments, timeline, errors, log, result."""
    details = await site.jobs.details(_id(view))
    options = _options(details)
    context = {
        "job": details,
        "timeline": _timeline(details),
        "python": as_python(details.task, details.args, options),
        "command": as_command(site.command_line, details.task, details.args, options),
        "last_error": next((each for each in reversed(details.attempts) if each.traceback), None),
    }
    return Screen("job.html", f"Job {details.id}", context)


async def duplicate(site: Site, view: View, error: str | None = None, given: dict[str, str] | None = None) -> Screen:
    """A form with the job's fields, to store another one like it."""
    details = await site.jobs.details(_id(view))
    fields = given or {
        "args": json.dumps(details.args, indent=2, ensure_ascii=False),
        "queue": details.queue,
        "priority": str(details.priority),
        "delay": "",
        "tags": ", ".join(map(str, details.tags)),
    }
    context = {"job": details, "fields": fields, "error": error}
    return Screen("duplicate.html", f"Duplicate job {details.id}", context, 422 if error else 200)


async def read_new_job(site: Site, request: Request, job_id: int) -> tuple[NewJobFields, dict[str, str]]:
    """The new job that the form describes, with hidden values put back; and the form as it was sent.

    :raises FormError: if the form has a mistake.
    """
    record = await site.jobs.record(job_id)
    form = await read_form(request)
    given = {name: str(form.get(name, "")) for name in ("args", "queue", "priority", "delay", "tags")}
    try:
        args = decode(given["args"])
    except InvalidPayload as error:
        raise FormError(f"the arguments are one JSON object: {error}", given) from None
    try:
        args = site.redaction.restore(args, stored_value(record.args))
    except ConfigurationError as error:
        raise FormError(str(error), given) from None
    if not isinstance(args, dict):
        raise FormError('the arguments are one JSON object, as in {"order_id": 7}', given)
    try:
        fields = NewJobFields(
            task=record.task,
            args=args,
            queue=given["queue"].strip() or None,
            priority=int(given["priority"]) if given["priority"].strip() else None,
            delay=float(given["delay"]) if given["delay"].strip() else None,
            tags=[tag.strip() for tag in given["tags"].split(",") if tag.strip()] or None,
            timeout=None if record.timeout is None else record.timeout / 1_000_000,
            metadata=decode_object(record.metadata),
        )
    except ValueError:
        raise FormError("priority is a whole number, and delay a number of seconds", given) from None
    return fields, given


def _id(view: View) -> int:
    return int(view.path.split("/")[2])


def _options(details: JobDetails) -> dict[str, Any]:
    options: dict[str, Any] = {"queue": details.queue}
    if details.priority:
        options["priority"] = details.priority
    if details.timeout is not None:
        options["timeout"] = details.timeout
    if details.tags:
        options["tags"] = details.tags
    return options


def _timeline(details: JobDetails) -> list[Moment]:
    """What happened, the newest last."""
    found = [Moment(details.created_at, "enqueued", "scheduled", f"to queue {details.queue}")]
    for attempt in details.attempts:
        error = ": ".join(part for part in (attempt.error_type, attempt.error_message) if part)
        if attempt.started_at is not None:
            worker = f"on {attempt.worker}" if attempt.worker else ""
            found.append(Moment(attempt.started_at, f"attempt {attempt.number} began", "running", worker))
        if attempt.finished_at is not None:
            what = f"attempt {attempt.number} {attempt.outcome}"
            found.append(Moment(attempt.finished_at, what, attempt.outcome, error, attempt.seconds))
    ended_by_attempt = bool(details.attempts) and details.attempts[-1].outcome == details.state
    if details.state in ("cancelled", "dead") and details.finished_at is not None and not ended_by_attempt:
        found.append(Moment(details.finished_at, str(details.state), str(details.state), details.reason or ""))
    if details.state == "scheduled":
        found.append(Moment(details.run_at, "due", "scheduled"))
    return found
