"""All that matters, on one page."""

from turnspit.web.rendering import Screen, View
from turnspit.web.screens.store import busiest
from turnspit.web.site import Site

__all__ = ["overview"]


async def overview(site: Site, view: View) -> Screen:
    """What needs attention first, then each queue."""
    store = await site.store.overview()
    return Screen("overview.html", "Overview", {"store": store, "queues": busiest(store.queues)})
