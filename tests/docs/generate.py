"""Writes the pages of ``docs/`` that come from the code: ``python -m tests.docs.generate`` (``make docs``)."""

import ast
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import turnspit
from tests.cli.reference import cli_page
from tests.docs.docstrings import markdown
from tests.docs.grafana import grafana_page
from turnspit import errors, events
from turnspit._runtime.worker.embedded import EmbeddedWorker
from turnspit.batches import BatchItem
from turnspit.blueprints import Blueprint
from turnspit.engines import open_engine
from turnspit.jobs import Attempt, JobLog, Page
from turnspit.operations import (
    DeadGroup,
    FilterFields,
    Jobs,
    LimitInfo,
    Limits,
    Pause,
    Queues,
    QueueStats,
    Schedule,
    Schedules,
    WorkerInfo,
    Workers,
    WorkflowJob,
    Workflows,
)
from turnspit.payloads import Payloads
from turnspit.planned_jobs import PlannedJob, PlannedJobs
from turnspit.records import FullKey, NewJob, QueueLoad
from turnspit.states import FINAL_STATES, MEANINGS, MOVES, JobState
from turnspit.task_options import TaskOptions
from turnspit.tasks import BoundTask, Task
from turnspit.telemetry.metrics import METRICS, Metric

DOCS = Path(__file__).parents[2] / "docs"
ENGINES = DOCS.parent / "src" / "turnspit" / "engines"
OPERATIONS = {
    "jobs": Jobs,
    "queues": Queues,
    "schedules": Schedules,
    "limits": Limits,
    "workflows": Workflows,
    "workers": Workers,
}
DECLARED = (
    turnspit.Retry,
    turnspit.Rate,
    turnspit.Concurrency,
    turnspit.Queue,
    turnspit.Unique,
    turnspit.Debounce,
    turnspit.Cron,
    turnspit.Every,
)
RECORDS: tuple[type, ...] = (
    QueueStats,
    QueueLoad,
    Pause,
    Schedule,
    LimitInfo,
    FullKey,
    turnspit.Workflow,
    WorkflowJob,
    WorkerInfo,
    DeadGroup,
)
MODULES = re.compile(r"\b(?:[a-z_]+\.)+(?=[A-Z]|timedelta|datetime\b)")
"""Of types, as Python shows them."""
INNER = re.compile(r"[Cc]alled by the worker\.|For (the app|the worker|the test kit|framework adapters)\.")
"""What docstrings say of methods that are Turnspit's own."""
GENERATED = "<!-- Generated from the code by `make docs`. -->\n"


def states_page() -> str:
    """``docs/states.md``: the states, and a diagram of their moves."""
    lines = [GENERATED, "# States", "", "Where a job stands, and every move that exists.", "", "```mermaid"]
    lines += ["stateDiagram-v2", "    [*] --> scheduled: enqueued for later", "    [*] --> ready: enqueued"]
    lines += [f"    {state} --> {new}: {why}" for state, moves in MOVES.items() for new, why in moves.items()]
    lines += ["```", "", "| state | meaning | final |", "|---|---|---|"]
    lines += [f"| `{state}` | {MEANINGS[state]} | {'yes' if state in FINAL_STATES else ''} |" for state in JobState]
    lines += ["", "| from | to | when |", "|---|---|---|"]
    lines += [f"| `{state}` | `{new}` | {why} |" for state, moves in MOVES.items() for new, why in moves.items()]
    lines += [
        "",
        "A job in `scheduled` with attempts behind it is shown as retrying. `completed`, `cancelled` and `dead` are",
        "final: only a replay makes such a job live again, with its history.",
        "",
    ]
    return "\n".join(lines)


def reference_page() -> str:
    """``docs/reference.md``: everything public, from its docstring."""
    lines = [GENERATED, "# Reference", "", "Everything that `import turnspit` exposes, and what it leads to.", ""]
    lines += _class("Turnspit", turnspit.Turnspit, show_init=True) + _class("EmbeddedWorker", EmbeddedWorker)
    for noun, verbs in OPERATIONS.items():
        lines += _class(f"app.{noun}", verbs)
    lines += _fields("FilterFields", FilterFields)
    lines += _class("Task", Task) + _class("BoundTask", BoundTask) + _fields("TaskOptions", TaskOptions)
    lines += _class("Blueprint", Blueprint, show_init=True)
    lines += _head("NewJob", NewJob) + _class("Payloads", Payloads)
    lines += _class("Job", turnspit.Job) + _states("JobState") + _fields("Attempt", Attempt) + _fields("JobLog", JobLog)
    lines += _head("Page", Page) + _class("JobContext", turnspit.JobContext)
    lines += _function("current_job", turnspit.current_job)
    lines += _class("Batch", turnspit.Batch) + _class("BatchItem", BatchItem)
    lines += _class("WorkflowBuilder", turnspit.WorkflowBuilder)
    lines += _class("PlannedJob", PlannedJob) + _class("PlannedJobs", PlannedJobs)
    for declared in DECLARED:
        lines += _head(declared.__name__, declared, show_init=True)
    for outcome in (turnspit.Snooze, turnspit.RetryAfter, turnspit.RateLimited, turnspit.Cancel, turnspit.GiveUp):
        lines += _class(outcome.__name__, outcome, show_init=True)
    lines += _fields("Event", events.Event) + _fields("Alert", turnspit.Alert)
    lines += _class("Health", turnspit.Health, show_init=True)
    for record in RECORDS:
        lines += _fields(record.__name__, record)
    lines += ["## Errors", "", "```text", *_tree(), "```", ""]
    for name in errors.__all__:
        lines += [f"**`{name}`** {markdown(getattr(errors, name))}", ""]
    return "\n".join(lines).rstrip() + "\n"


def schema_page() -> str:
    """``engines/sqlite/schema.sql``: the sum of the migrations."""
    return _schema("sqlite:///schema.db")


def postgres_schema_page() -> str:
    """``engines/postgres/schema.sql``, for the schema's default name."""
    return _schema("postgresql://localhost/schema")


def _schema(url: str) -> str:
    return "-- Generated from migrations/ by `make docs`.\n\n" + open_engine(url).schema_sql()


def metrics_page() -> str:
    """``docs/metrics.md``: every metric."""
    lines = [
        GENERATED,
        "# Metrics",
        "",
        "See [the guide](guide/metrics.md) for how to get them, and what to ask them.",
        "",
    ]
    for origin, what in (
        ("process", "Of the process that is asked, or of all processes of the supervisor that is asked: `sum` them."),
        ("store", "Of the whole fleet, from the store, the same whoever is asked: take one, as with `max`."),
    ):
        lines += [what, "", "| metric | kind | labels | meaning |", "|---|---|---|---|"]
        lines += [_metric_row(metric) for metric in METRICS if metric.origin == origin]
        lines.append("")
    return "\n".join(lines)


def _metric_row(metric: Metric) -> str:
    buckets = f" Buckets: {', '.join(f'{bound:g}' for bound in metric.buckets)} s." if metric.buckets else ""
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help}{buckets} |"


PAGES: dict[Path, Callable[[], str]] = {
    DOCS / "states.md": states_page,
    DOCS / "cli.md": cli_page,
    DOCS / "reference.md": reference_page,
    DOCS / "metrics.md": metrics_page,
    DOCS / "grafana.json": grafana_page,
    ENGINES / "sqlite" / "schema.sql": schema_page,
    ENGINES / "postgres" / "schema.sql": postgres_schema_page,
}


def _class(title: str, cls: type, *, show_init: bool = False) -> list[str]:
    lines = _head(title, cls, show_init=show_init)
    for name, member in _members(cls):
        if isinstance(member, property):
            lines += [f"**`{name}`** {markdown(member)}", ""]
        else:
            prefix = "await " if inspect.iscoroutinefunction(member) else ""
            lines += [f"**`{prefix}{name}{_signature(member)}`**", "", markdown(member), ""]
    return lines


def _head(title: str, cls: type, *, show_init: bool = False) -> list[str]:
    call = ["```python", f"{cls.__name__}{_signature(cls)}", "```", ""] if show_init else []
    return [f"## {title}", "", *call, markdown(cls), ""]


def _members(cls: type) -> Iterator[tuple[str, Any]]:
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith("turnspit"):
            continue
        for name, member in vars(base).items():
            shown = isinstance(member, property) or inspect.isfunction(member)
            doc = inspect.getdoc(member) if shown and not name.startswith("_") else None
            if doc and not INNER.search(doc) and vars(cls).get(name, member) is member:
                yield name, member


def _states(title: str) -> list[str]:
    about = "Where a job stands, as text; [states](states.md) has every move."
    lines = [f"## {title}", "", about, "", "| state | meaning |", "|---|---|"]
    return [*lines, *(f"| `{state}` | {MEANINGS[state]} |" for state in JobState), ""]


def _function(title: str, function: Callable[..., Any]) -> list[str]:
    return [f"## {title}", "", f"**`{function.__name__}{_signature(function)}`**", "", markdown(function), ""]


def _fields(title: str, record: type) -> list[str]:
    lines = [f"## {title}", "", markdown(record), ""]
    meanings = _meanings(record)
    names, rule = "| field | type | default |", "|---|---|---|"
    lines += [f"{names} meaning |", f"{rule}---|"] if meanings else [names, rule]
    for name, kind, default in _typed(record):
        meaning = f" {meanings.get(name, '')} |" if meanings else ""
        lines.append(f"| `{name}` | {_type(kind)} | {default} |{meaning}")
    lines.append("")
    for name, member in _members(record):
        if isinstance(member, property):
            lines += [f"**`{name}`** {markdown(member)}", ""]
    return lines


def _typed(record: type) -> Iterator[tuple[str, Any, str]]:
    """Each field with its type and, as Markdown, its default."""
    if dataclasses.is_dataclass(record):
        for field in dataclasses.fields(record):
            yield field.name, field.type, "" if field.default is dataclasses.MISSING else f"`{field.default!r}`"
        return
    defaults = getattr(record, "_field_defaults", {})
    for name, kind in record.__annotations__.items():
        yield name, kind, f"`{defaults[name]!r}`" if name in defaults else ""


def _meanings(record: type) -> dict[str, str]:
    """What stands below each field in the source, on one line."""
    found = {}
    for field, below in pairwise(_definition(record).body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = " ".join(text.split()).replace("``", "`").replace("|", "\\|")
    return found


def _definition(cls: type) -> ast.ClassDef:
    """Its source. A public class names the package as its module, so the one that has it is looked for."""
    for name, module in [*sys.modules.items()]:
        if name.startswith("turnspit") and vars(module).get(cls.__name__) is cls:
            for statement in ast.parse(inspect.getsource(module)).body:
                if isinstance(statement, ast.ClassDef) and statement.name == cls.__name__:
                    return statement
    raise LookupError(cls)


def _type(kind: Any) -> str:
    text = kind if isinstance(kind, str) else getattr(kind, "__name__", str(kind))
    if not isinstance(kind, type):
        text = str(kind)
    return f"`{_as_later(MODULES.sub('', text))}`".replace("|", "\\|")


def _signature(function: Callable[..., Any]) -> str:
    text = str(inspect.signature(function))
    text = MODULES.sub("", text)
    text = re.sub(r"Unpack\[([\w.]+)\]", r"\1", text)
    text = _as_later(text)
    text = text.replace("~", "")  # what a type variable is marked with
    text = text.replace("function: None = None, /, ", "")  # only there to be refused
    text = re.sub(r"\(self: [\w.]+(\[[^\]]*\])?, ", "(", text)
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)  # annotations that were written as text
    text = re.sub(r'\*<class "(\w+)">', r"\1", text.replace("'", '"'))
    return text.replace("(self, ", "(").replace("(self)", "()")


def _as_later(text: str) -> str:
    """A type as Python 3.14 says it."""
    text = re.sub(r"Optional\[((?:[^][]|\[[^]]*\])*)\]", r"\1 | None", text)
    return re.sub(r"Union\[((?:[^][]|\[[^]]*\])*)\]", _alternatives, text)


def _alternatives(union: re.Match[str]) -> str:
    return " | ".join(re.split(r", (?![^[]*\])", union[1]))


def _tree() -> list[str]:
    tree = (errors.__doc__ or "").split("::\n", 1)[1].split("\n\nEach", 1)[0]
    return inspect.cleandoc(tree).splitlines()


def main() -> None:
    """Write every generated page."""
    for path, make in PAGES.items():
        path.write_text(make(), encoding="utf-8")
        print(f"wrote {path}")  # noqa: T201


if __name__ == "__main__":
    main()
