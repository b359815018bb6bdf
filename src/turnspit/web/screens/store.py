"""Dead letters, queues, schedules, workers and metrics."""

from turnspit.web.reading.store import SPANS
from turnspit.web.rendering import Screen, View
from turnspit.web.site import Site

__all__ = ["dead", "metrics", "queue", "queues", "schedules", "workers"]


async def dead(site: Site, view: View) -> Screen:
    """Dead letters by what went wrong."""
    return Screen("dead.html", "Dead letters", {"found": await site.store.dead_groups()})


async def queues(site: Site, view: View) -> Screen:
    """All queues."""
    context = {
        "queues": await site.store.queues(),
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
    """Every schedule, the next tick first."""
    found = await site.store.schedules()
    ordered = sorted(found, key=lambda each: (each.next_tick is None, each.next_tick, each.name))
    return Screen("schedules.html", "Schedules", {"schedules": ordered})


async def workers(site: Site, view: View) -> Screen:
    """Every worker, with what it runs."""
    return Screen("workers.html", "Workers", {"workers": await site.store.workers()})


async def metrics(site: Site, view: View) -> Screen:
    """Throughput, latency, errors by task."""
    given = view.params.get("span", "60")
    span = int(given) if given in {str(each) for each in SPANS} else 60
    context = {"figures": await site.store.metrics(span), "span": span, "spans": list(SPANS)}
    return Screen("metrics.html", "Metrics", context)
