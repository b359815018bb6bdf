"""``turnspit doctor``: what is wrong with a store and its workers, and what to do."""

import typer
from rich.table import Table
from rich.text import Text

from turnspit.cli.diagnosis import Finding, examine, examine_move, examine_progress, examine_schedules
from turnspit.cli.loading import Target, find_store
from turnspit.cli.options import AsJson, StoreArgument
from turnspit.cli.output import line, plain, print_json, print_table
from turnspit.errors import EngineError
from turnspit.jobs import JobFilter
from turnspit.states import JobState

__all__ = ["EXAMPLES", "doctor"]

_MOST = 1000
"""Running jobs that are looked at for their workers."""
_REACHED = ("connection", "file")
"""What fails where the store cannot be reached: looking at its jobs would then only wait for it."""
EXAMPLES = ("turnspit doctor shop.jobs:app", "turnspit doctor sqlite:///shop.db --json")


def doctor(app: StoreArgument = None, as_json: AsJson = False) -> None:
    """Look for what is wrong with a store and its workers, and say what to do. Exits with 1 if something is."""
    target = find_store(app, must_exist=False)
    engine = target.app.engine
    findings = [Finding(*found) for found in engine.diagnose()]
    if all(finding.ok for finding in findings if finding.subject in _REACHED):
        findings += _look_at_work(target)
    is_well = all(finding.ok for finding in findings)
    if as_json:
        print_json({"store": engine.location, "ok": is_well, "findings": [found._asdict() for found in findings]})
    else:
        line("store ", (plain(engine.location), "cyan"))
        print_table(_table(findings))
    raise typer.Exit(int(not is_well))


def _look_at_work(target: Target) -> list[Finding]:
    """Nothing where there is no schema to read: ``engine.diagnose`` has said why."""
    engine = target.app.engine
    try:
        status = engine.schema_status()
        if not status.current or status.is_too_new or status.missing:
            return []
        tasks, queues = engine.read(engine.list_tasks), engine.read(engine.list_queues)
        workers, pauses = engine.read(engine.list_workers), engine.read(engine.list_pauses)
        running = engine.read(engine.list_jobs, JobFilter(state=JobState.RUNNING), _MOST, None)
        now = engine.read(engine.count_queues, 1).now
        return [
            *examine_move(engine.read(engine.get_move)),
            *examine(tasks, queues, workers, target.hint, pauses),
            *examine_progress(running, queues, workers, pauses, now, target.hint),
            *examine_schedules(engine.read(engine.list_schedules), workers, now),
        ]
    except EngineError as error:
        return [Finding("work", False, f"jobs and workers cannot be looked at: {error}")]


def _table(findings: list[Finding]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        mark = Text("✔", "green") if finding.ok else Text("✘", "bold red")
        table.add_row(mark, finding.subject, Text(plain(finding.detail), "" if finding.ok else "red"))
    return table
