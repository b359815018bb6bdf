"""From a screen to HTML. What jobs carry is text, never markup."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from importlib.resources import files
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.datastructures import QueryParams

from turnspit.web import charts, wording
from turnspit.web.graphs import draw_graph
from turnspit.web.permissions import Permission
from turnspit.web.searching import quote_word

__all__ = ["Renderer", "Screen", "View", "static_files"]


_FILTERS = ("ago", "as_json", "count", "duration", "moment", "number", "rate", "share", "size")
_CHARTS = ("bars", "histogram", "lines", "sparkline")
_MOST_SHOWN = 20_000
"""Characters of JSON: a browser stands still over a megabyte that comes again with each live update."""


@dataclass(frozen=True, slots=True)
class View:
    """A request for a screen: its address, and what the person may do."""

    path: str
    """Below the place where the dashboard is mounted."""
    params: QueryParams
    permissions: frozenset[Permission]
    root: str = ""
    """Where the dashboard is mounted."""

    @property
    def address(self) -> str:
        """Path and query, as ``/live`` takes it."""
        return self.path + (f"?{self.params}" if self.params else "")


@dataclass(frozen=True, slots=True)
class Screen:
    """A template and the values that it shows."""

    template: str
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


class Renderer:
    """Draws screens: whole pages, or only their live part."""

    def __init__(self) -> None:
        self._environment = Environment(
            loader=PackageLoader("turnspit.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {name: getattr(wording, name) for name in _FILTERS}
        self._environment.globals |= {name: getattr(charts, name) for name in _CHARTS}
        self._environment.globals |= {"graph": draw_graph, "quoted": quote_word, "version": _version_of_static_files()}
        self._environment.globals["most_shown"] = _MOST_SHOWN

    def page(self, screen: Screen, view: View, now: datetime, **context: Any) -> str:
        """The whole page."""
        return self._environment.get_template(screen.template).render(self._context(screen, view, now, context))

    def live_part(self, screen: Screen, view: View, now: datetime, **context: Any) -> str:
        """The part that updates live: the template's block ``live``; empty if it has none."""
        template = self._environment.get_template(screen.template)
        block = template.blocks.get("live")
        if block is None:
            return ""
        return "".join(block(template.new_context(self._context(screen, view, now, context))))

    def _context(self, screen: Screen, view: View, now: datetime, more: Mapping[str, Any]) -> dict[str, Any]:
        tools: dict[str, Any] = {
            "url": partial(_url, view.root),
            "may": lambda permission: permission in view.permissions,
            "now": now,
            "view": view,
        }
        ui = self._environment.get_template("parts.html").make_module(tools)
        return {**tools, "ui": ui, "title": screen.title, **screen.context, **more}


def _url(root: str, path: str, **params: Any) -> str:
    given = {name: value for name, value in params.items() if value not in (None, "")}
    separator = "&" if "?" in path else "?"
    return root + path + (separator + urlencode(given) if given else "")


def static_files() -> Iterator[tuple[str, bytes]]:
    """Names and contents of the static files."""
    for file in sorted(files("turnspit.web").joinpath("static").iterdir(), key=lambda each: each.name):
        yield file.name, file.read_bytes()


def _version_of_static_files() -> str:
    digest = hashlib.sha256()
    for name, content in static_files():
        digest.update(name.encode() + content)
    return digest.hexdigest()[:12]
