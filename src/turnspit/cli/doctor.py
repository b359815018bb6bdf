"""``turnspit doctor``: what is wrong with a store and its workers, what matters most first, and what to do."""

import typer
from rich.table import Table
from rich.text import Text

from turnspit.cli.doctor_jobs import (
    FAILING_MINUTES,
    examine_crashes,
    examine_dead,
    examine_failures,
    examine_limits,
    examine_loads,
    examine_workflows,
    failing_tasks,
    recovered_tasks,
)
from turnspit.cli.doctor_workers import (
    Finding,
    examine,
    examine_blocked,
    examine_late,
    examine_progress,
    examine_schedules,
    examine_time_outs,
)
from turnspit.cli.loading import Target, find_store
from turnspit.cli.options import AsJson, StoreArgument
from turnspit.cli.output import line, plain, print_json, print_table
from turnspit.contract import Engine
from turnspit.errors import EngineError
from turnspit.jobs import JobFilter
from turnspit.loads import LOAD_MOST
from turnspit.records import JobRecord
from turnspit.states import JobState

__all__ = ["EXAMPLES", "doctor", "excuse_workers"]

_MOST = 1000
"""Running jobs that are looked at for their workers, and workflows that stand still."""
_MOST_TASKS = 3
"""Failing tasks that are named."""
_REACHED = ("connection", "file")
"""If one of these fails, the store cannot be reached: asking it for its jobs would only wait."""
_TAKES_NOTHING = ("lock", "locks", "role", "disk")
"""If one of these fails, the store is read and not written."""
_FIRST = (
    *_REACHED, "lock", "locks", "schema", "move", "role", "privileges", "disk", "workers", "connections", "event loop",
    "paused", "queues", "tasks", "progress", "time-outs", "failing", "workflows", "schedules", "lost worker", "limits",
    "oldest ready", "dead letters",
)  # fmt: skip
"""The order of findings: first what may stop all jobs. A subject that is not named comes after these."""
_MARKS = {"fault": ("✘", "bold red", "red"), "notable": ("!", "bold yellow", "yellow"), "well": ("✔", "green", "")}
EXAMPLES = ("turnspit doctor shop.jobs:app", "turnspit doctor sqlite:///shop.db --json")


def doctor(app: StoreArgument = None, as_json: AsJson = False) -> None:
    """Look for what is wrong with a store and its workers, and say what to do. Exits with 1 if something is.

    What stops jobs comes first: ✘ is wrong, ! is worth a look, ✔ is well.
    """
    target = find_store(app, must_exist=False)
    engine = target.app.engine
    findings = [Finding(*found, is_notable=found[0] == "advice") for found in engine.diagnose()]
    if all(finding.ok for finding in findings if finding.subject in _REACHED):
        findings += _look_at_work(target)
    findings = excuse_workers(findings)
    findings.sort(key=_weight)
    is_well = all(finding.ok for finding in findings)
    if as_json:
        print_json({"store": engine.location, "ok": is_well, "findings": [_document(found) for found in findings]})
    else:
        line("store ", (plain(engine.location), "cyan"))
        print_table(_table(findings))
    raise typer.Exit(int(not is_well))


def excuse_workers(findings: list[Finding]) -> list[Finding]:
    """Say of workers that look dead that they may live, where the store takes no heartbeat of theirs."""
    hinder = next((found.subject for found in findings if not found.ok and found.subject in _TAKES_NOTHING), None)
    excuse = f"; or one lives, and only looks so because of what is said of {hinder}: then it goes on by itself"
    return [
        found._replace(detail=found.detail + excuse)
        if hinder is not None and not found.ok and found.subject in ("workers", "lost worker")
        else found
        for found in findings
    ]


def _weight(finding: Finding) -> tuple[int, int]:
    """Faults first, then what is notable, both in the order of ``_FIRST``; what is well stays in its own order."""
    place = _FIRST.index(finding.subject) if finding.subject in _FIRST else len(_FIRST)
    level = list(_MARKS).index(finding.level)
    return level, place if finding.level != "well" else 0


def _document(finding: Finding) -> dict[str, object]:
    return {"subject": finding.subject, "ok": finding.ok, "level": finding.level, "detail": finding.detail}


def _look_at_work(target: Target) -> list[Finding]:
    """The findings about jobs and workers; none if there is no usable schema, which ``engine.diagnose`` reports."""
    engine, hint = target.app.engine, target.hint
    try:
        status = engine.schema_status()
        if not status.current or status.is_too_new or status.missing:
            return []
        move = engine.read(engine.get_move)
        if move is not None and move.closes:  # what else would be said of its jobs is to be done elsewhere
            return [Finding("move", False, move.closes)]
        tasks, queues = engine.read(engine.list_tasks), engine.read(engine.list_queues)
        workers, pauses = engine.read(engine.list_workers), engine.read(engine.list_pauses)
        running = engine.read(engine.list_jobs, JobFilter(state=JobState.RUNNING), _MOST, None)
        counts = engine.read(engine.count_queues, LOAD_MOST)
        now, limited = counts.now, sum(queue.limited for queue in counts.queues)
        counters = engine.read(engine.list_counters, FAILING_MINUTES, 1)
        failing = failing_tasks(counters)
        named = {task: failing[task] for task in list(failing)[:_MOST_TASKS]}
        newest = {task: _newest_failure(engine, task) for task in named}
        dead = engine.read(engine.group_recent_dead, LOAD_MOST, 0).groups
        return [
            *examine(tasks, queues, workers, hint, pauses),
            *examine_late(workers, now),
            *examine_blocked(workers, running, now, hint),
            *examine_progress(running, queues, workers, pauses, now, hint),
            *examine_time_outs(running, target.time_outs, workers, now, hint),
            *examine_crashes(counters, running, hint),
            *examine_failures(named, newest, recovered_tasks(counters), hint),
            *examine_workflows(engine.read(engine.find_standing_workflows, _MOST), hint),
            *examine_schedules(engine.read(engine.list_schedules), workers, now, tasks, hint),
            *examine_limits(target.app.limits.full_keys(_MOST), limited, hint),
            *examine_loads(target.app.queues.loads(), pauses),
            *examine_dead(dead, sum(task.dead for task in tasks), now, hint),
        ]
    except EngineError as error:
        return [Finding("work", False, f"jobs and workers cannot be looked at: {error}")]


def _newest_failure(engine: Engine, task: str) -> JobRecord | None:
    """A job of a task that waits for its next attempt, or is dead, among those that were enqueued last."""
    for state in (JobState.SCHEDULED, JobState.DEAD):
        found = engine.read(engine.search_jobs, JobFilter(task=task, state=state), _MOST, None, LOAD_MOST)
        failed = next((record for record in found.records if record.error_type), None)
        if failed is not None:
            return failed
    return None


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark, colour, style = _MARKS[finding.level]
        table.add_row(Text(mark, colour), finding.subject, Text(plain(finding.detail), style))
    return table
