"""Workflows, and the graph of one."""

from turnspit.operations import is_id
from turnspit.web.graphs import MOST_DRAWN
from turnspit.web.rendering import Screen, View
from turnspit.web.screens.jobs import PAGE
from turnspit.web.site import Site

__all__ = ["workflow", "workflows"]

_FINISHED = {"running": False, "ended": True}


async def workflows(site: Site, view: View) -> Screen:
    """The newest workflows, a page at a time."""
    name, state = view.params.get("name", "").strip() or None, view.params.get("state", "")
    before = view.params.get("before", "")
    after = before if is_id(before) else None
    page = await site.workflows.list(name=name, finished=_FINISHED.get(state), limit=PAGE, after=after)
    context = {"page": page, "name": name, "state": state, "before": before}
    return Screen("workflows.html", "Workflows", context)


async def workflow(site: Site, view: View) -> Screen:
    """One workflow: its graph, and its jobs."""
    number = int(view.path.split("/")[2])
    after = view.params.get("after", "")
    found = await site.workflows.get(number, int(after) if is_id(after) else 0)
    is_drawn = found.total <= MOST_DRAWN and len(found.jobs) == found.total
    return Screen("workflow.html", f"Workflow {number}", {"flow": found, "is_drawn": is_drawn})
