"""Paths: where the dashboard is mounted, and which of its pages a request is for."""

from collections.abc import Mapping
from typing import Any

__all__ = ["local_path", "path_below_root", "root_of"]


def root_of(scope: Mapping[str, Any]) -> str:
    """The path at which the dashboard is mounted; empty if it is served alone."""
    return str(scope.get("root_path", ""))


def path_below_root(scope: Mapping[str, Any]) -> str:
    """The path of a request below the one at which the dashboard is mounted.

    >>> path_below_root({"root_path": "/turnspit", "path": "/turnspit/jobs"})
    '/jobs'
    """
    return str(scope["path"]).removeprefix(root_of(scope)) or "/"


def local_path(path: str) -> str:
    """The path if it leads to this dashboard, else that of the first screen.

    >>> local_path("/jobs?q=state:dead"), local_path("//elsewhere.example")
    ('/jobs?q=state:dead', '/')
    """
    is_local = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_local else "/"
