"""A workflow's graph as SVG: from left to right, each job behind those that it waits for.

>>> layers_of([1, 2, 3, 4], [(1, 3), (2, 3), (3, 4)])
[[1, 2], [3], [4]]
"""

from collections import defaultdict
from collections.abc import Callable, Sequence

from markupsafe import Markup, escape

from turnspit.web.models.workflows import WorkflowDetails, WorkflowJobDocument

__all__ = ["MOST_DRAWN", "draw_graph", "layers_of"]

MOST_DRAWN = 120
"""Larger workflows are shown as a table alone."""

_WIDE, _TALL = 176, 42
_GAP_X, _GAP_Y = 54, 16
_LONGEST_NAME = 22


def layers_of(jobs: Sequence[int], edges: Sequence[tuple[int, int]]) -> list[list[int]]:
    """The jobs in layers, each one layer after its last dependency, ordered within layers so that few edges cross."""
    known = set(jobs)
    before: dict[int, list[int]] = {job: [] for job in jobs}
    behind: dict[int, list[int]] = {job: [] for job in jobs}
    for job, dependant in edges:
        if job in known and dependant in known:
            before[dependant].append(job)
            behind[job].append(dependant)
    depth = dict.fromkeys(jobs, 0)
    waiting = {job: len(before[job]) for job in jobs}
    free = [job for job in jobs if not waiting[job]]
    while free:
        job = free.pop()
        for dependant in behind[job]:
            depth[dependant] = max(depth[dependant], depth[job] + 1)
            waiting[dependant] -= 1
            if not waiting[dependant]:
                free.append(dependant)
    layers: defaultdict[int, list[int]] = defaultdict(list)
    for job in jobs:
        layers[depth[job]].append(job)
    ordered = [layers[number] for number in sorted(layers)]
    for _ in range(3):
        _order(ordered[1:], ordered[:-1], before)
        _order(ordered[-2::-1], ordered[:0:-1], behind)
    return ordered


def _order(layers: Sequence[list[int]], beside: Sequence[list[int]], neighbours: dict[int, list[int]]) -> None:
    """Put each job of a layer near the middle of its neighbours in the layer beside it."""
    for layer, other in zip(layers, beside, strict=True):
        places = {job: place for place, job in enumerate(other)}
        middles = {}
        for place, job in enumerate(layer):
            found = [places[each] for each in neighbours[job] if each in places]
            middles[job] = sum(found) / len(found) if found else float(place)
        layer.sort(key=lambda job: middles[job])


def draw_graph(workflow: WorkflowDetails, url: Callable[[str], str]) -> Markup:
    """The graph, each job a link, in the colour of its state."""
    jobs = {job.id: job for job in workflow.jobs}
    edges = [(edge.job, edge.dependant) for edge in workflow.edges if edge.job in jobs and edge.dependant in jobs]
    layers = layers_of(list(jobs), edges)
    highest = max((len(layer) for layer in layers), default=1)
    width = len(layers) * (_WIDE + _GAP_X) - _GAP_X + 4
    step = _TALL + _GAP_Y
    height = highest * step - _GAP_Y + 4
    places = {
        job: (2 + number * (_WIDE + _GAP_X), (height - len(layer) * step + _GAP_Y) / 2 + row * step)
        for number, layer in enumerate(layers)
        for row, job in enumerate(layer)
    }
    shapes = [_edge(places[job], places[dependant], jobs[job]) for job, dependant in edges]
    shapes += [_node(jobs[job], *place, url) for job, place in places.items()]
    title = f"Workflow {workflow.id}: {len(jobs)} jobs and {len(edges)} dependencies"
    return Markup(  # noqa: S704  (of numbers, our own words, and escaped text)
        f'<svg class="graph" viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" '
        f'aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(shapes)}</svg>'
    )


def _edge(start: tuple[float, float], end: tuple[float, float], job: WorkflowJobDocument) -> str:
    x1, y1, x2, y2 = start[0] + _WIDE, start[1] + _TALL / 2, end[0], end[1] + _TALL / 2
    bend = (x2 - x1) / 2
    kind = "done" if job.state == "completed" else "open"
    path = f"M{x1:.0f} {y1:.1f}C{x1 + bend:.0f} {y1:.1f} {x2 - bend:.0f} {y2:.1f} {x2:.0f} {y2:.1f}"
    return f'<path class="edge {kind}" d="{path}"/>'


def _node(job: WorkflowJobDocument, x: float, y: float, url: Callable[[str], str]) -> str:
    name = job.name or job.task or f"job {job.id}"
    short = name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "\N{HORIZONTAL ELLIPSIS}"
    state = job.shown_state
    note = f"{state} {job.progress:.0%}" if state == "running" and job.progress is not None else state
    return (
        f'<a href="{escape(url(f"/jobs/{job.id}"))}" class="node {state}" data-key="node-{job.id}">'
        f"<title>{escape(f'{name}: {note}, job {job.id}')}</title>"
        f'<rect x="{x:.0f}" y="{y:.1f}" width="{_WIDE}" height="{_TALL}" rx="7"/>'
        f'<circle cx="{x + 14:.0f}" cy="{y + _TALL / 2:.1f}" r="5"/>'
        f'<text x="{x + 27:.0f}" y="{y + 18:.1f}" class="name">{escape(short)}</text>'
        f'<text x="{x + 27:.0f}" y="{y + 33:.1f}">{escape(note)}</text></a>'
    )
