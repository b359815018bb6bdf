"""``turnspit jobs``: look at jobs and change what happens to them."""

import sys
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from turnspit.cli import bulk
from turnspit.cli.details import show_job
from turnspit.cli.documents import job_details, job_document
from turnspit.cli.errors import WrongUsage
from turnspit.cli.filters import takes_filter
from turnspit.cli.loading import find_store
from turnspit.cli.options import (
    After,
    All,
    AsJson,
    JobsASecond,
    StoreAndIds,
    StoreArgument,
    Yes,
    check_cursor,
    split_ids,
)
from turnspit.cli.output import (
    count_of,
    new_table,
    note,
    out,
    plain,
    print_json,
    print_table,
    state_name,
    state_text,
    when,
)
from turnspit.errors import JobNotFound
from turnspit.operations import FilterFields, make_filter
from turnspit.records import JobRecord
from turnspit.states import JobState

__all__ = ["EXAMPLES", "HELP", "cancel", "delete", "list_", "replay", "run_now", "show"]

HELP = "Look at jobs, and run now, replay, cancel or delete them."
EXAMPLES = {
    "list": (
        "turnspit jobs list sqlite:///shop.db --state dead --args order_id=7",
        "turnspit jobs list shop.jobs:app --json | jq '.jobs[].id'",
    ),
    "show": ("turnspit jobs show shop.jobs:app 113",),
    "run-now": (
        "turnspit jobs run-now shop.jobs:app 113",
        "turnspit jobs run-now shop.jobs:app --task call_partner --rate 50",
    ),
    "replay": (
        "turnspit jobs replay shop.jobs:app 113",
        "turnspit jobs replay shop.jobs:app --error SMTPServerDisconnected",
    ),
    "cancel": ("turnspit jobs cancel shop.jobs:app --queue email --state scheduled",),
    "delete": ("turnspit jobs delete shop.jobs:app --state cancelled --created-before 30d",),
}

_WIDE = 110


@takes_filter()
def list_(
    app: StoreArgument = None,
    *,
    fields: FilterFields,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", min=1, max=1000, help="How many at most.")] = 20,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """List the newest jobs that match, live and final ones."""
    cursor = check_cursor(after)
    target = find_store(app)
    engine = target.app.engine
    records = engine.read(engine.list_jobs, make_filter(fields), limit, None if cursor is None else int(cursor))
    following = str(records[-1].id) if len(records) == limit else None
    if as_json:
        print_json({"jobs": [job_document(record) for record in records], "next": following})
        return
    if not records:
        note(f"no job matches at {engine.location}" if fields else f"no jobs at {engine.location}")
        return
    print_table(_table(records, wide=out().width >= _WIDE))
    if following is not None:
        note(f"{count_of(len(records), 'job')} shown; the next ones: --after {following}")


def show(words: StoreAndIds = None, as_json: AsJson = False) -> None:
    """Show everything about a job: arguments, attempts, errors, log lines and result."""
    name, ids = split_ids(words)
    if not ids:
        raise WrongUsage("which job? Name its id, as in: turnspit jobs show shop.jobs:app 113")
    if as_json and len(ids) > 1:
        raise WrongUsage("--json shows one job at a time; for several use: turnspit jobs list --json")
    target = find_store(name)
    engine = target.app.engine
    for number, job_id in enumerate(ids):
        record = engine.read(engine.get_job, job_id)
        if record is None:
            raise JobNotFound(f"there is no job {job_id} at {engine.location}: never enqueued, deleted or pruned")
        logs = engine.read(engine.list_logs, job_id)
        if as_json:
            print_json(job_details(record, logs))
        else:
            sys.stdout.write("\n" if number else "")
            show_job(record, logs, target)


@takes_filter()
def replay(
    words: StoreAndIds = None,
    *,
    fields: FilterFields,
    rate: JobsASecond = None,
    all_: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make final jobs live again, with their history: by id, by filter, or all. Without --state: dead letters."""
    bulk.carry_out(bulk.REPLAY, words, fields, rate=rate, all_=all_, yes=yes, as_json=as_json)


@takes_filter(without=["fingerprint"])
def run_now(
    words: StoreAndIds = None,
    *,
    fields: FilterFields,
    rate: JobsASecond = None,
    all_: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Make waiting jobs ready, whatever their time: by id, by filter, or all. Without --state: scheduled ones.

    Also those that wait for their next attempt, for example after an outage of what they call; attempts made so far
    still count.
    """
    bulk.carry_out(bulk.RUN_NOW, words, fields, rate=rate, all_=all_, yes=yes, as_json=as_json)


@takes_filter(without=["fingerprint"])
def cancel(
    words: StoreAndIds = None,
    *,
    fields: FilterFields,
    reason: Annotated[str, typer.Option("--reason", metavar="TEXT", help="Kept with the jobs.")] = "",
    all_: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Cancel waiting jobs and request the end of running ones: by id, by filter, or all."""
    bulk.carry_out(bulk.cancel_because(reason), words, fields, all_=all_, yes=yes, as_json=as_json)


@takes_filter()
def delete(
    words: StoreAndIds = None,
    *,
    fields: FilterFields,
    all_: All = False,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Remove jobs that are not running, for good: by id, by filter, or all."""
    bulk.carry_out(bulk.DELETE, words, fields, all_=all_, yes=yes, as_json=as_json)


def _table(records: list[JobRecord], *, wide: bool) -> Table:
    ids = ("ID", {"justify": "right"})
    about = ("ABOUT", {"ratio": 1})
    if wide:
        table = new_table(
            [ids, "STATE", ("TASK", {"max_width": 36}), ("QUEUE", {"max_width": 20}), "ATTEMPT", "WHEN", about]
        )
    else:
        table = new_table([ids, "STATE", ("TASK", {"max_width": 22}), ("QUEUE", {"max_width": 9}), "WHEN", about])
    table.expand = True
    for record in records:
        cells: list[str | Text] = [
            str(record.id),
            state_text(state_name(record.state, record.attempt)),
            plain(record.task),
            plain(record.queue),
            str(record.attempt or ""),
            when(_decisive_moment(record)),
            _about(record),
        ]
        table.add_row(*(cells if wide else cells[:4] + cells[5:]))
    return table


def _decisive_moment(record: JobRecord) -> int | None:
    """The moment that matters in its state: when it ended, began or is due."""
    if record.state.is_final:
        return record.finished_at
    return record.started_at if record.state is JobState.RUNNING else record.run_at


def _about(record: JobRecord) -> Text:
    """Why the job is in its state, or else its arguments."""
    if record.error_type:
        text = f"{record.error_type}: {record.reason or ''}"
    elif record.reason:
        text = record.reason
    elif record.progress is not None and record.state is JobState.RUNNING:
        text = f"{record.progress:.0%} {record.progress_message or ''}"
    else:
        text = record.args
    return Text(plain(" ".join(text.split())), style="" if record.error_type or record.reason else "dim")
