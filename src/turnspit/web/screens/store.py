"""Dead letters, queues, schedules, workers and metrics."""

from collections.abc import Sequence

from turnspit.web.models import QueueDocument
from turnspit.web.reading.store import SPANS
from turnspit.web.rendering import Screen, View
from turnspit.web.site import Site

__all__ = ["busiest", "dead", "metrics", "queue", "queues", "schedules", "workers"]

_MOST_SCHEDULES = 200
_MOST_QUEUES = 200
"""With a queue for each customer, a page of all would take seconds to draw, in which nothing else is served."""


def busiest(queues: Sequence[QueueDocument]) -> Sequence[QueueDocument]:
    """The queues that are shown: those with the most jobs, by name."""
    if len(queues) <= _MOST_QUEUES:
        return queues
    ordered = sorted(queues, key=lambda each: (each.ready + each.held + each.running + each.dead).count, reverse=True)
    return sorted(ordered[:_MOST_QUEUES], key=lambda each: each.name)


async def dead(site: Site, view: View) -> Screen:
    """Dead letters by what went wrong."""
    return Screen("dead.html", "Dead letters", {"found": await site.store.newest_dead_groups()})


async def queues(site: Site, view: View) -> Screen:
    """All queues."""
    found = await site.store.queues()
    context = {
        "queues": busiest(found),
        "all_queues": len(found),
        "pauses": await site.store.pauses(),
        "limits": await site.limits.all(),
        "full": await site.limits.full_keys(),
    }
    return Screen("queues.html", "Queues", context)


async def queue(site: Site, view: View) -> Screen:
    """One queue, with its latencies."""
    name = view.params.get("name", "")
    found = next((each for each in await site.store.queues() if each.name == name), None)
    limits = [each for each in await site.limits.all() if each.name == f"queue {name}"]
    full = [each for each in await site.limits.full_keys() if each.name == f"queue {name}"]
    figures = await site.store.metrics(60, name)
    context = {"name": name, "queue": found, "figures": figures, "limits": limits, "full": full}
    return Screen("queue.html", f"Queue {name}", context)


async def schedules(site: Site, view: View) -> Screen:
    """Schedules, the next tick first."""
    found, count = await site.store.next_schedules(_MOST_SCHEDULES)
    return Screen("schedules.html", "Schedules", {"schedules": found, "all_schedules": count})


async def workers(site: Site, view: View) -> Screen:
    """Every worker, with what it runs."""
    return Screen("workers.html", "Workers", {"workers": await site.store.workers()})


async def metrics(site: Site, view: View) -> Screen:
    """Throughput, latency, errors by task."""
    given = view.params.get("span", "60")
    span = int(given) if given in {str(each) for each in SPANS} else 60
    context = {"figures": await site.store.metrics(span), "span": span, "spans": list(SPANS)}
    return Screen("metrics.html", "Metrics", context)
