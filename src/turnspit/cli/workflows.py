"""``turnspit workflows``: jobs that wait for jobs, and what a person does with them."""

from typing import Annotated

import typer
from rich.text import Text

from turnspit.cli.documents import workflow_document
from turnspit.cli.launching import program
from turnspit.cli.loading import Target, find_store
from turnspit.cli.options import After, AsJson, StoreAndId, StoreArgument, check_cursor, read_id, split_name
from turnspit.cli.output import (
    count_of,
    line,
    new_facts,
    new_table,
    note,
    plain,
    print_json,
    print_table,
    state_text,
    when,
)
from turnspit.operations import Workflow, WorkflowJob
from turnspit.states import JobState

__all__ = ["EXAMPLES", "HELP", "cancel", "list_", "replay", "show"]

HELP = "Look at workflows, and cancel or replay them."
EXAMPLES = {
    "list": ("turnspit workflows list shop.jobs:app", "turnspit workflows list --running --json"),
    "show": ("turnspit workflows show shop.jobs:app 7",),
    "cancel": ("turnspit workflows cancel shop.jobs:app 7 --reason 'the order was withdrawn'",),
    "replay": ("turnspit workflows replay shop.jobs:app 7", "turnspit workflows replay shop.jobs:app 7 --whole"),
}

_MOST = 1000


def list_(
    app: StoreArgument = None,
    name: Annotated[str | None, typer.Option("--name", help="Only those of this name.", metavar="NAME")] = None,
    running: Annotated[bool, typer.Option("--running", help="Only those that have not ended.")] = False,
    limit: Annotated[int, typer.Option("--limit", "-n", metavar="N", help="How many at most.", min=1, max=_MOST)] = 20,
    after: After = None,
    as_json: AsJson = False,
) -> None:
    """List the newest workflows, with their progress."""
    target = find_store(app)
    found = target.app.workflows.list(
        name=name, finished=False if running else None, limit=limit, after=check_cursor(after)
    )
    if as_json:
        print_json({"workflows": [workflow_document(each) for each in found], "next": found.next})
        return
    if not found:
        note(f"no workflows at {target.app.engine.location}")
        return
    table = new_table(["ID", ("WORKFLOW", {"max_width": 30}), "STATE", "DONE", "JOBS", "DEAD", "CANCELLED", "CREATED"])
    for each in found:
        counts = (each.total - each.unfinished, each.total, each.dead, each.cancelled)
        table.add_row(str(each.id), plain(each.name), _state(each), *map(str, counts), when(each.created_at))
    print_table(table)
    if found.next is not None:
        note(f"{count_of(len(found), 'workflow')} shown; the next ones: --after {found.next}")


def show(words: StoreAndId, as_json: AsJson = False) -> None:
    """Show a workflow: its jobs, what each waits for, and what became of them."""
    target, number = _find(words)
    workflow = target.app.workflows.get(number, limit=_MOST)
    if as_json:
        print_json(workflow_document(workflow, with_jobs=True))
        return
    line((f"workflow {workflow.id}", "bold"), f"  {plain(workflow.name)}  ", _state(workflow))
    facts = new_facts()
    for label, value in _facts(workflow):
        facts.add_row(f"  {label}", value)
    print_table(facts)
    line("")
    after = {job.id: [first for first, second in workflow.edges if second == job.id] for job in workflow.jobs}
    table = new_table(["JOB", ("NAME", {"max_width": 24}), ("TASK", {"max_width": 30}), "STATE", "ATTEMPT", "AFTER"])
    for job in workflow.jobs:
        table.add_row(str(job.id), *_cells(job), _ids(after[job.id]))
    print_table(table)
    if workflow.next is not None:
        rest = f"{program()} jobs list {target.hint}--workflow {workflow.id}"
        note(f"the first {_MOST:,} of {workflow.total:,} jobs; {rest} has the others")
    for place, hint in enumerate(_hints(workflow, target.hint)):
        line(f"{'' if place else chr(10)}→ {hint}")


def cancel(
    words: StoreAndId,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with each job.", metavar="TEXT")] = "",
) -> None:
    """Cancel what waits in a workflow, and ask what runs to stop."""
    target, number = _find(words)
    count = target.app.workflows.cancel(number, reason=reason)
    line(f"workflow {number} is cancelled, with {count_of(count, 'job')}")


def replay(
    words: StoreAndId,
    whole: Annotated[bool, typer.Option("--whole", help="Also the jobs that completed.")] = False,
) -> None:
    """Make the dead and cancelled jobs of a workflow live again."""
    target, number = _find(words)
    count = target.app.workflows.replay(number, whole=whole)
    line(f"workflow {number} goes on: {count_of(count, 'job')} live again")


def _find(words: list[str]) -> tuple[Target, int]:
    typed, number = split_name(words, "workflow")
    workflow = read_id(number, "workflow")
    return find_store(typed), workflow


def _hints(workflow: Workflow, hint: str) -> list[str]:
    """Commands worth a look: why a job ended badly and how the workflow goes on, or else the job that is next."""
    ended = [job.id for job in workflow.jobs if job.state is JobState.DEAD]
    ended += [job.id for job in workflow.jobs if job.state is JobState.CANCELLED and workflow.finished_at is None]
    if ended:
        return [f"{program()} jobs show {hint}{ended[0]}", f"{program()} workflows replay {hint}{workflow.id}"]
    waiting = [job.id for job in workflow.jobs if job.state in (JobState.READY, JobState.HELD, JobState.SCHEDULED)]
    return [f"{program()} jobs show {hint}{waiting[0]}"] if waiting else []


def _state(workflow: Workflow) -> Text:
    return state_text(workflow.state)


def _facts(workflow: Workflow) -> list[tuple[str, str]]:
    done = workflow.total - workflow.unfinished
    facts = [
        ("done", f"{done:,} of {workflow.total:,} jobs ({workflow.progress:.0%})"),
        ("ended badly", f"{workflow.dead:,} dead, {workflow.cancelled:,} cancelled"),
        ("created", when(workflow.created_at)),
    ]
    if workflow.idempotency_key is not None:
        facts.append(("idempotency key", plain(workflow.idempotency_key)))
    if workflow.deadline is not None:
        facts.append(("deadline", when(workflow.deadline)))
    if workflow.finished_at is not None:
        facts.append(("ended", when(workflow.finished_at)))
    if workflow.reason is not None:
        facts.append(("reason", plain(workflow.reason)))
    return facts


def _cells(job: WorkflowJob) -> tuple[str, str, Text, str]:
    state = Text("deleted", style="dim") if job.state is None else state_text(str(job.state))
    return plain(job.name or ""), plain(job.task or ""), state, "" if job.attempt is None else str(job.attempt)


def _ids(jobs: list[int]) -> str:
    shown = ", ".join(map(str, jobs[:5]))
    return shown if len(jobs) <= 5 else f"{shown} and {len(jobs) - 5:,} more"
