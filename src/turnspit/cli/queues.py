"""``turnspit queues``: how much waits where, and what is paused."""

import textwrap
from collections.abc import Iterable

from turnspit.app import Turnspit
from turnspit.cli.documents import pause_document, queue_document
from turnspit.cli.errors import WrongUsage
from turnspit.cli.loading import find_store
from turnspit.cli.options import AsJson, Queue, StoreArgument, Tag, TaskName
from turnspit.cli.output import fits, line, new_table, note, out, plain, print_json, print_table, when
from turnspit.records import QueueRecord

__all__ = ["EXAMPLES", "HELP", "list_", "pause", "resume"]

HELP = "Look at queues, and pause and resume them."
EXAMPLES = {
    "list": ("turnspit queues list shop.jobs:app",),
    "pause": (
        "turnspit queues pause shop.jobs:app --queue email",
        "turnspit queues pause shop.jobs:app --tag import",
    ),
    "resume": ("turnspit queues resume shop.jobs:app --queue email",),
}

_WIDE = 100
_NARROWEST = 20


def list_(app: StoreArgument = None, as_json: AsJson = False) -> None:
    """Show every queue, what waits, runs and died, what ended within the last hour, and all pauses."""
    target = find_store(app)
    engine = target.app.engine
    found, pauses = engine.read(engine.list_queues), engine.read(engine.list_pauses)
    if as_json:
        loads = {load.queue: load for load in target.app.queues.loads()}
        document = {"queues": [queue_document(stats, loads.get(stats.queue)) for stats in found]}
        print_json(document | {"paused": [pause_document(pause) for pause in pauses]})
        return
    if found:
        _show(found)
    else:
        note(f"no queue has jobs at {engine.location}")
    for pause in pauses:
        note(f"paused: {pause.kind} {plain(pause.name)}, {when(pause.paused_at)}")


def _show(found: list[QueueRecord]) -> None:
    right = {"justify": "right"}
    headings = ("READY", "SCHEDULED", "RETRYING", "HELD", "RUNNING", "DEAD", "DONE", "FAILED")
    is_narrow = out().width < _WIDE
    name = ("QUEUE", {"max_width": 14 if is_narrow else 36})
    table = new_table([name, *((heading, right) for heading in headings), "OLDEST"], gap=1 if is_narrow else 2)
    for queue in found:
        cells = (f"{count:,}" if count else "·" for count in _counts(queue))
        table.add_row(plain(queue.queue), *cells, when(queue.oldest_ready_at))
    if fits(table):
        print_table(table)
    else:
        for queue in found:
            _show_alone(queue, headings)
    note("DONE and FAILED count the last hour; OLDEST: since when a ready job waits")


def _show_alone(queue: QueueRecord, headings: Iterable[str]) -> None:
    """A queue where the table is too wide for the terminal: its name, and below it each count that is not 0."""
    counts = zip(headings, _counts(queue), strict=True)
    facts = [f"{heading} {count:,}" for heading, count in counts if count]
    facts += [f"OLDEST {when(queue.oldest_ready_at)}"] if queue.oldest_ready_at is not None else []
    width = max(_NARROWEST, out().width)
    line((plain(queue.queue), "bold"))
    # No line may break inside a fact.
    together = ", ".join(fact.replace(" ", "\xa0") for fact in facts)
    for each in textwrap.wrap(together, width, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False):
        line(each.replace("\xa0", " "))


def _counts(queue: QueueRecord) -> tuple[int, ...]:
    counts = (queue.ready, queue.scheduled, queue.retrying, queue.held, queue.running, queue.dead)
    return (*counts, queue.completed_last_hour, queue.failed_last_hour)


def pause(app: StoreArgument = None, queue: Queue = None, task: TaskName = None, tag: Tag = None) -> None:
    """Pause a queue, a task or a tag: no worker starts a job of it until it is resumed."""
    name = _named(queue, task, tag)
    store = find_store(app).app
    changed = store.queues.pause(queue, task=task, tag=tag)
    line(f"{name} is paused; running jobs run on" if changed else f"{name} was paused already")
    if not _is_known(store, queue, task):
        note(f"no job is in it now and no worker names it: if {name} is not what was meant, resume it")


def resume(app: StoreArgument = None, queue: Queue = None, task: TaskName = None, tag: Tag = None) -> None:
    """End a pause of a queue, a task or a tag."""
    name = _named(queue, task, tag)
    changed = find_store(app).app.queues.resume(queue, task=task, tag=tag)
    line(f"{name} goes on" if changed else f"{name} was not paused")


def _is_known(app: Turnspit, queue: str | None, task: str | None) -> bool:
    """Whether any job or worker names this queue or task. A tag is always taken as known: any job may bring it."""
    engine = app.engine
    workers = engine.read(engine.list_workers)
    if queue is not None:
        return any(queue in (each.queues or ()) for each in workers) or queue in {q.queue for q in app.queues.stats()}
    if task is not None:
        return any(task in each.tasks for each in workers) or task in {t.task for t in engine.read(engine.list_tasks)}
    return True


def _named(queue: str | None, task: str | None, tag: str | None) -> str:
    given = [f"{kind} {name}" for kind, name in (("queue", queue), ("task", task), ("tag", tag)) if name is not None]
    if len(given) != 1:
        raise WrongUsage("name what is meant: one of --queue, --task and --tag")
    return plain(given[0])
