"""``turnspit enqueue``: store a job."""

import difflib
import sys
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from turnspit.app import Turnspit
from turnspit.cli.connecting import telling_of_waits
from turnspit.cli.documents import job_document
from turnspit.cli.errors import WrongUsage
from turnspit.cli.loading import find_app
from turnspit.cli.options import AsJson, option
from turnspit.cli.output import absolute, line, print_json, state_text
from turnspit.cli.values import parse_duration, parse_moment, parse_object, parse_pairs, split_pair
from turnspit.errors import InvalidArguments
from turnspit.jobs import Job
from turnspit.states import JobState
from turnspit.tasks import Task

__all__ = ["EXAMPLES", "enqueue"]

EXAMPLES = (
    "turnspit enqueue shop.jobs:app send_confirmation to=ada@example.com order_id=7",
    "turnspit enqueue shop.jobs:app close_day --idempotency-key 2030-12-31",
    "turnspit enqueue shop.jobs:app report --args '{\"days\": [1, 2]}' --delay 2h",
)


Words = Annotated[
    list[str],
    typer.Argument(
        metavar="[APP] TASK [KEY=VALUE]...",
        help="The app (default: $TURNSPIT_APP), the task's name, and its arguments; a value that is not JSON is text.",
    ),
]
JsonArgs = Annotated[str | None, option("--args", "JSON", "The arguments as a JSON object; - reads it from stdin.")]
QueueName = Annotated[str | None, option("--queue", "NAME", "Another queue than the task's own.")]
Priority = Annotated[int | None, option("--priority", "N", "Larger runs first.")]
Delay = Annotated[str | None, option("--delay", "TIME", "Run it this much later: seconds, or like 5m, 1h30m.")]
At = Annotated[str | None, option("--at", "TIME", "Run it at this moment: 2030-12-31T09:00, local or with a zone.")]
Expires = Annotated[
    str | None, option("--expires", "TIME", "Cancel it if it has not begun by then; written like --delay or --at.")
]
TimeOut = Annotated[str | None, option("--timeout", "TIME", "How long one attempt may take.")]
Tags = Annotated[list[str] | None, option("--tag", "TAG", "A tag; repeat it for more.")]
Metadata = Annotated[list[str] | None, option("--metadata", "KEY=VALUE", "Kept with the job; repeat it for more.")]

IdempotencyKey = Annotated[
    str | None,
    option(
        "--idempotency-key", "KEY", "Store it once, however often this is called: until it has ended, and for a day."
    ),
]


def enqueue(
    words: Words,
    args: JsonArgs = None,
    queue: QueueName = None,
    priority: Priority = None,
    delay: Delay = None,
    at: At = None,
    expires: Expires = None,
    timeout: TimeOut = None,
    tag: Tags = None,
    metadata: Metadata = None,
    idempotency_key: IdempotencyKey = None,
    as_json: AsJson = False,
) -> None:
    """Check the arguments against the task's signature and store a job.

    Once the command has returned, the job survives a power cut. Nothing is stored if an argument does not fit.
    """
    app, task, pairs = _app_and_task(words)
    if delay is not None and at is not None:
        raise WrongUsage("--delay and --at exclude each other")
    bound = task.using(
        queue=queue,
        priority=priority,
        delay=None if delay is None else parse_duration(delay, "--delay"),
        at=None if at is None else parse_moment(at, "--at is"),
        timeout=None if timeout is None else parse_duration(timeout, "--timeout"),
        expires=None if expires is None else _expiry(expires),
        tags=tag,
        metadata=parse_pairs(metadata, "--metadata") if metadata else None,
        idempotency_key=idempotency_key,
    )
    arguments = _arguments(task, args, pairs)
    with telling_of_waits(app):
        job = bound.enqueue(**arguments)
    _show(app, job, as_json)


def _expiry(text: str) -> timedelta | datetime:
    """How long from now, or a moment."""
    try:
        return parse_duration(text)
    except WrongUsage:
        return parse_moment(text, "--expires is a time from now, as 5m, or")


def _show(app: Turnspit, job: Job[Any], as_json: bool) -> None:
    if as_json:
        record = app.engine.read(app.engine.get_job, job.id)
        assert record is not None
        print_json({**job_document(record), "created": job.created})
        return
    due = f", due {absolute(job.run_at)}" if job.state is JobState.SCHEDULED else ""
    stored = "is" if job.created else "was stored before, and is"
    line(f"job {job.id} ({job.task}) {stored} ", state_text(job.state), f" in queue {job.queue}{due}")


def _app_and_task(words: list[str]) -> tuple[Turnspit, Task[Any, Any], list[str]]:
    names = [word for word in words[:2] if "=" not in word]
    if not names or "=" in words[0]:
        raise WrongUsage("enqueue takes an app and a task, as in: turnspit enqueue shop.jobs:app send_confirmation")
    *apps, name = names
    app = find_app(apps[0] if apps else None).app
    if name not in app.tasks:
        near = difflib.get_close_matches(name, app.tasks, n=1)
        known = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(app.tasks)) or 'none'}"
        raise WrongUsage(f"the app has no task {name!r}: {known}")
    return app, app.tasks[name], words[len(names) :]


def _arguments(task: Task[Any, Any], text: str | None, pairs: list[str]) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    if text is not None:
        arguments = parse_object(sys.stdin.read() if text == "-" else text, "--args")
    texts = dict(split_pair(pair, "an argument") for pair in pairs)
    arguments |= parse_pairs(pairs)
    # "name=7" is a JSON number: where the signature wants text, it gets the text as typed.
    as_text = {key: texts[key] for key in _misfits(task, arguments) if key in texts}
    unhelped = _misfits(task, arguments | as_text)
    return arguments | {key: text for key, text in as_text.items() if key not in unhelped}


def _misfits(task: Task[Any, Any], arguments: dict[str, Any]) -> set[Any]:
    """The arguments that do not fit the task's signature."""
    try:
        task.signature.bind((), arguments)
    except InvalidArguments as error:
        cause = error.__cause__
        problems = cause.errors() if isinstance(cause, ValidationError) else []
        return {problem["loc"][0] for problem in problems if problem["loc"]}
    return set()
