"""The arguments and options that several commands share, and what they mean together."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from turnspit.cli.errors import WrongUsage
from turnspit.cli.launching import program
from turnspit.cli.loading import is_job_id
from turnspit.operations import is_id
from turnspit.states import FILTER_STATES

__all__ = [
    "After",
    "All",
    "AppAndName",
    "AppArgument",
    "Args",
    "AsJson",
    "CreatedAfter",
    "CreatedBefore",
    "Error",
    "Fingerprint",
    "JobsASecond",
    "OfWorkflow",
    "Queue",
    "State",
    "StoreAndId",
    "StoreAndIds",
    "StoreAndName",
    "StoreArgument",
    "Tag",
    "TaskName",
    "WithKey",
    "Yes",
    "check_cursor",
    "option",
    "read_id",
    "split_ids",
    "split_name",
]

_FILTERS = "Which jobs"
_APP_OR_STORE = "The app or a store (default: $TURNSPIT_APP, then $TURNSPIT_URL)"


def _complete_state(incomplete: str) -> list[str]:
    return [state for state in FILTER_STATES if state.startswith(incomplete)]


def option(name: str, metavar: str, text: str, heading: str | None = None, **more: Any) -> Any:
    """An option that takes a value.

    :param heading: the part of the help in which it stands; by default the general one.
    :param more: what ``typer.Option`` takes besides.
    """
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=heading, **more)


def _argument(metavar: str, text: str) -> Any:
    return typer.Argument(metavar=metavar, help=text)


def _filter(*names: str, text: str, metavar: str, complete: Callable[[str], list[str]] | None = None) -> Any:
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=_FILTERS, autocompletion=complete)


AppArgument = Annotated[
    str | None, _argument("[APP]", "The app, like shop.jobs:app or shop/jobs.py:app. Default: $TURNSPIT_APP.")
]
StoreArgument = Annotated[
    str | None,
    _argument("[APP]", "The app, or a store like sqlite:///shop.db. Default: $TURNSPIT_APP, then $TURNSPIT_URL."),
]
StoreAndIds = Annotated[list[str] | None, _argument("[APP] [ID]...", f"{_APP_OR_STORE}, then jobs by their ids.")]
AppAndName = Annotated[list[str], _argument("[APP] NAME", "The app (default: $TURNSPIT_APP), then the name.")]
StoreAndName = Annotated[list[str], _argument("[APP] NAME", f"{_APP_OR_STORE}, then the name.")]
StoreAndId = Annotated[list[str], _argument("[APP] ID", f"{_APP_OR_STORE}, then the id.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
After = Annotated[
    str | None,
    typer.Option("--after", metavar="CURSOR", help="The next page: the cursor that the last one ended with."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
JobsASecond = Annotated[
    float | None,
    typer.Option(
        "--rate", metavar="N", help="At most N jobs a second. Ctrl-C ends it; the same command goes on with the rest."
    ),
]
All = Annotated[bool, typer.Option("--all", help="Every job that the command can change.", rich_help_panel=_FILTERS)]
State = Annotated[
    str | None,
    _filter(
        "--state", metavar="STATE", text="Jobs in this state, like ready, retrying or dead.", complete=_complete_state
    ),
]
Queue = Annotated[str | None, _filter("--queue", metavar="NAME", text="Jobs of this queue.")]
TaskName = Annotated[str | None, _filter("--task", metavar="NAME", text="Jobs of this task.")]
Tag = Annotated[str | None, _filter("--tag", metavar="TAG", text="Jobs with this tag.")]
Error = Annotated[str | None, _filter("--error", metavar="TYPE", text="Jobs whose last error has this type.")]
Fingerprint = Annotated[
    str | None, _filter("--group", "--fingerprint", metavar="ID", text="Jobs of this group (see dead groups).")
]
OfWorkflow = Annotated[int | None, _filter("--workflow", metavar="ID", text="Jobs of this workflow.")]
WithKey = Annotated[
    str | None, _filter("--idempotency-key", metavar="KEY", text="The job that holds this key; with --task.")
]
Args = Annotated[
    list[str] | None,
    _filter(
        "--args", metavar="KEY=VALUE", text="Jobs with this argument; repeat it for more. The value is JSON or text."
    ),
]
CreatedAfter = Annotated[
    str | None,
    _filter("--created-after", metavar="TIME", text="Jobs enqueued since then: 2030-12-31T09:00, or 2h (ago)."),
]
CreatedBefore = Annotated[
    str | None, _filter("--created-before", metavar="TIME", text="Jobs enqueued before then: a time, or how long ago.")
]


def check_cursor(after: str | None) -> str | None:
    """See that ``--after`` is a cursor.

    :raises WrongUsage: if it is not.
    """
    if after is not None and not is_id(after):
        raise WrongUsage(f"--after takes the cursor that a page ended with, not {after!r}")
    return after


def read_id(word: str, kind: str) -> int:
    """The id of a job, a workflow or a worker.

    :raises WrongUsage: if no store gives such an id.
    """
    if not is_id(word):
        raise WrongUsage(f"a {kind} is named by its id, a number, not {word!r}; {program()} {kind}s list shows them")
    return int(word)


def split_ids(words: Iterable[str] | None) -> tuple[str | None, list[int]]:
    """The words behind a command as the app, if the first one is no number, and jobs' ids.

    :raises WrongUsage: if a later word is no id.
    """
    rest = list(words or ())
    name = rest.pop(0) if rest and not is_job_id(rest[0]) else None
    for word in rest:
        if not is_id(word):
            raise WrongUsage(f"{word!r} is no job's id: ids are numbers, as `{program()} jobs list` shows them")
    return name, list(dict.fromkeys(int(word) for word in rest))


def split_name(words: list[str], what: str) -> tuple[str | None, str]:
    """The words behind a command as the app, if there are two, and a name.

    :raises WrongUsage: if there are more.
    """
    match words:
        case [name]:
            return None, name
        case [app, name]:
            return app, name
    raise WrongUsage(f"this takes an app and one {what}, not {len(words)} words: put a name of several in quotes")
