"""``turnspit workers``: which workers there are, what each runs now, and stopping one in order."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import typer
from rich.text import Text

from turnspit.cli.documents import worker_document
from turnspit.cli.loading import Target, find_store
from turnspit.cli.options import AsJson, StoreAndId, StoreArgument, read_id, split_name
from turnspit.cli.output import (
    describe_duration,
    describe_size,
    line,
    new_table,
    note,
    out,
    plain,
    print_json,
    print_table,
    state_text,
    when,
)
from turnspit.clock import to_moment, utc_now
from turnspit.jobs import JobFilter
from turnspit.records import JobRecord, WorkerRecord
from turnspit.states import JobState

__all__ = ["EXAMPLES", "HELP", "list_", "quiet", "stop"]

HELP = "Look at workers, and stop them."
EXAMPLES = {
    "list": ("turnspit workers list shop.jobs:app", "turnspit workers list sqlite:///shop.db --live --json"),
    "quiet": ("turnspit workers quiet shop.jobs:app 7",),
    "stop": ("turnspit workers stop shop.jobs:app 7",),
}

_MOST = 1000
"""Running jobs that are looked at for their workers."""
_WIDE = 110


def list_(
    app: StoreArgument = None,
    live: Annotated[bool, typer.Option("--live", help="Only live workers: those whose lease is running.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show live workers, and below them those that ended within the last hour: what each runs, memory, heartbeat."""
    engine = find_store(app).app.engine
    found = [record for record in engine.read(engine.list_workers) if record.live or not live]
    found.sort(key=lambda record: record.stopped_at is not None)
    running = engine.read(engine.list_jobs, JobFilter(state=JobState.RUNNING), _MOST, None) if found else []
    jobs = {record.id: [job for job in running if job.worker == record.name] for record in found}
    now = engine.clock.now() or to_moment(utc_now())
    if as_json:
        print_json({"workers": [worker_document(record, jobs[record.id], now) for record in found]})
    elif found:
        _show(found, jobs, now)
    else:
        note(f"no worker is alive at {engine.location}" + ("" if live else ", and none ended within the last hour"))


def quiet(words: StoreAndId) -> None:
    """Let a worker claim no more jobs; it ends when its last one has. A supervisor starts another one in its place."""
    target, worker = _find(words)
    target.app.workers.quiet(worker)
    line(f"worker {worker} takes no more jobs, and ends with its last one")


def stop(words: StoreAndId) -> None:
    """Stop a worker as SIGTERM does: running jobs may go on for its grace time. A supervisor starts another one."""
    target, worker = _find(words)
    target.app.workers.stop(worker)
    line(f"worker {worker} stops; its running jobs may go on for its grace time")


def _find(words: list[str]) -> tuple[Target, int]:
    typed, number = split_name(words, "worker")
    worker = read_id(number, "worker")
    return find_store(typed), worker


def _show(found: Sequence[WorkerRecord], jobs: Mapping[int, Sequence[JobRecord]], now: int) -> None:
    is_wide = out().width >= _WIDE
    right = {"justify": "right"}
    worker = ("WORKER", {"max_width": 36 if is_wide else 18})
    table = new_table(
        [("ID", right), worker, "STATE", "VERSION", ("MEMORY", right), "HEARTBEAT", ("RUNS", {"ratio": 1})],
        gap=2 if is_wide else 1,
    )
    table.expand = True
    for record in found:
        memory = "" if record.memory is None else describe_size(record.memory)
        table.add_row(
            str(record.id),
            plain(f"{record.host}:{record.pid}"),
            _state(record, now),
            plain(record.version),
            memory,
            when(record.renewed_at),
            plain(_runs(record, jobs[record.id], now)),
        )
    print_table(table)


def _state(record: WorkerRecord, now: int) -> Text:
    state = record.state_at(now)
    asked = {"quiet": "quiet", "stop": "stopping"}.get(record.asked_to or "") if record.stopped_at is None else None
    if state == "blocked":  # which is no fault of a job's
        return Text(state, "bold red")
    return state_text(asked if state == "live" and asked else state)


def _runs(record: WorkerRecord, jobs: Sequence[JobRecord], now: int) -> str:
    if record.stopped_at is not None:
        return f"ended {when(record.stopped_at)}"
    if record.live and record.blocked_since is not None:
        silent = describe_duration(max(0, now - record.blocked_since) / 1_000_000)
        return f"nothing for {silent}: {record.blocked_by}"
    named = ", ".join(f"{job.id} {job.task}" for job in jobs)
    return f"{record.running} of {record.concurrency}" + (named and f": {named}")
