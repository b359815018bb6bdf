"""One job in full, for people."""

import json
from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from turnspit.cli.launching import program
from turnspit.cli.loading import Target
from turnspit.cli.obstacles import find_obstacle
from turnspit.cli.output import (
    absolute,
    count_of,
    describe_duration,
    new_facts,
    new_table,
    out,
    plain,
    print_table,
    state_name,
    state_text,
    when,
)
from turnspit.codec import decode_list, stored_value
from turnspit.records import AttemptRecord, JobRecord, LogLine
from turnspit.states import JobState

__all__ = ["show_job"]


def show_job(record: JobRecord, logs: list[LogLine], target: Target) -> None:
    """Print a job: what it is, its attempts, its last traceback, its log lines, and what can be done."""
    console = out()
    head = Text.assemble((f"job {record.id}", "bold"), f"  {plain(record.task)}  ", _state(record))
    console.print(head, soft_wrap=True)
    print_table(_facts(record, find_obstacle(record, target.app.engine, target.hint)))
    if record.attempts:
        _print_attempts(console, record)
    if logs:
        _print_heading(console, "log")
        for line in logs:
            text = f"{absolute(line.at).partition(' (')[0]}  attempt {line.attempt}  {line.level}  {line.message}"
            # Further lines are indented, so that none can look like another one.
            console.print(Text(f"  {plain(text)}".replace("\n", "\n    ")), soft_wrap=True)
    for number, hint in enumerate(_hints(record, target)):
        console.print(Text(f"{'' if number else chr(10)}→ {hint}", style="dim"), soft_wrap=True)


def _state(record: JobRecord) -> Text:
    text = state_text(state_name(record.state, record.attempt))
    if record.cancel_requested_at is not None and record.state is JobState.RUNNING:
        text.append(", asked to stop", style="yellow")
    return text


def _facts(record: JobRecord, obstacle: str) -> Table:
    table = new_facts()
    for label, value in [*_rows(record), ("waits for", Text(plain(obstacle), "yellow") if obstacle else "")]:
        if value:
            table.add_row(f"  {label}", value if isinstance(value, Text) else Text(plain(value)))
    return table


def _rows(record: JobRecord) -> Iterator[tuple[str, str | Text]]:
    reason = ": ".join(part for part in (record.error_type, record.reason) if part)
    yield "error" if record.error_type else "reason", Text(plain(reason), "red" if record.error_type else "")
    yield "queue", f"{record.queue}, priority {record.priority}"
    yield "arguments", _pretty(record.args)
    yield "tags", ", ".join(map(str, decode_list(record.tags)))
    yield "metadata", _pretty(record.metadata) if record.metadata else ""
    yield "enqueued", absolute(record.created_at)
    yield "due", absolute(record.run_at) if record.run_at != record.created_at else ""
    yield "expires", absolute(record.expires_at)
    yield "started", absolute(record.started_at)
    yield "ended", absolute(record.finished_at)
    yield "worker", record.worker or ""
    yield "crashes", f"{count_of(record.crashes, 'worker')} died while running it" if record.crashes else ""
    if record.progress is not None:
        yield "progress", f"{record.progress:.0%} {record.progress_message or ''}"
    yield "time-out", describe_duration(record.timeout / 1_000_000) if record.timeout is not None else ""
    yield "retry", record.retry or ""
    yield "group", record.fingerprint or "" if record.state is JobState.DEAD else ""
    if record.state is JobState.COMPLETED:
        yield "result", _pretty(record.result) if record.result is not None else "not kept"


def _pretty(text: str) -> str:
    """JSON on one line; if it is a long object, each of its fields on a line."""
    value = stored_value(text)
    short = json.dumps(value, ensure_ascii=False)
    if len(short) <= 60 or not isinstance(value, dict):
        return short
    fields = (f"  {json.dumps(key, ensure_ascii=False)}: {json.dumps(value[key], ensure_ascii=False)}" for key in value)
    return "{\n" + ",\n".join(fields) + "\n}"


def _print_attempts(console: Console, record: JobRecord) -> None:
    _print_heading(console, "attempts")
    table = new_table([("", {"justify": "right"}), "OUTCOME", "STARTED", "TOOK", ("ERROR", {"ratio": 1})])
    table.expand = True
    for attempt in record.attempts:
        error = ": ".join(part for part in (attempt.error_type, attempt.error_message) if part)
        text = Text(plain(" ".join(error.split())))
        table.add_row(
            f"  {attempt.number}", state_text(attempt.outcome), when(attempt.started_at), _took(attempt), text
        )
    print_table(table)
    last = next((attempt for attempt in reversed(record.attempts) if attempt.traceback), None)
    if last is not None and last.traceback:
        _print_heading(console, f"traceback of attempt {last.number}")
        indented = "\n".join(f"  {line}" for line in last.traceback.rstrip().splitlines())
        console.print(Text(plain(indented)), soft_wrap=True)


def _took(attempt: AttemptRecord) -> str:
    if attempt.started_at is None or attempt.finished_at is None:
        return ""
    return describe_duration((attempt.finished_at - attempt.started_at) / 1_000_000)


def _print_heading(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"))


def _hints(record: JobRecord, target: Target) -> Iterator[str]:
    if record.state is JobState.DEAD:
        yield f"{program()} jobs replay {target.hint}{record.id}"
        if target.has_code:
            yield f"{program()} run {target.hint}{record.id} --pdb"
