"""``turnspit queues``: how much waits where."""

from turnspit.cli.documents import queue_document
from turnspit.cli.loading import find_store
from turnspit.cli.options import AsJson, StoreArgument
from turnspit.cli.output import new_table, note, out, plain, print_json, print_table, when

__all__ = ["EXAMPLES", "queues"]

_WIDE = 100
EXAMPLES = ("turnspit queues shop.jobs:app",)


def queues(app: StoreArgument = None, as_json: AsJson = False) -> None:
    """Show every queue: what waits, runs and died, and what ended within the last hour."""
    target = find_store(app)
    found = target.app.queues.stats()
    if as_json:
        print_json({"queues": [queue_document(stats) for stats in found]})
        return
    if not found:
        note(f"no queue has jobs at {target.app.engine.location}")
        return
    right = {"justify": "right"}
    headings = ("READY", "SCHEDULED", "RETRYING", "HELD", "RUNNING", "DEAD", "DONE", "FAILED")
    is_narrow = out().width < _WIDE
    name = ("QUEUE", {"max_width": 14 if is_narrow else 36})
    table = new_table([name, *((heading, right) for heading in headings), "OLDEST"], gap=1 if is_narrow else 2)
    for queue in found:
        counts = (queue.ready, queue.scheduled, queue.retrying, queue.held, queue.running, queue.dead)
        hour = (queue.completed_last_hour, queue.failed_last_hour)
        cells = (f"{count:,}" if count else "·" for count in (*counts, *hour))
        table.add_row(plain(queue.queue), *cells, when(queue.oldest_ready_at))
    print_table(table)
    note("DONE and FAILED count the last hour; OLDEST: since when a ready job waits")
