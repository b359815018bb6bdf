"""Making a dashboard, and refusing to make one that is open to everybody by mistake."""

import os
from collections.abc import Callable, Iterable
from importlib import metadata

from starlette.requests import Request

from turnspit.errors import ConfigurationError
from turnspit.web.copying import CommandLine
from turnspit.web.dashboard import Dashboard
from turnspit.web.guard import Access
from turnspit.web.permissions import Authorize
from turnspit.web.redaction import DEFAULT_NAMES
from turnspit.web.served import Served

__all__ = ["SHORTEST_TOKEN", "TOKEN", "check_token", "make_dashboard"]

TOKEN = "TURNSPIT_DASHBOARD_TOKEN"  # noqa: S105  (its name)
"""The environment variable that holds the token."""

SHORTEST_TOKEN = 16


def make_dashboard(
    app: Served,
    *,
    authorize: Authorize | None = None,
    token: str | None = None,
    read_only: bool = False,
    identify: Callable[[Request], str | None] | None = None,
    redact: Iterable[str] | None = None,
    redact_tasks: Iterable[str] = (),
    title: str = "",
    command_line: CommandLine | None = None,
    only_loopback: bool = False,
) -> Dashboard:
    """The dashboard of an app; see ``Turnspit.dashboard``.

    :param command_line: how people type the command line where this app is served, for commands to copy.
    :param only_loopback: without token and hook, let in every request whose Host is this machine, and no other.
    :raises ConfigurationError: if it would be open to everybody.
    """
    token = check_token(token or os.environ.get(TOKEN) or None)
    if authorize is None and token is None and not only_loopback:
        raise ConfigurationError(
            "who may see the dashboard? Give app.dashboard(authorize=...) or token=..., or set "
            f"{TOKEN}; authorize=lambda request, action: True opens it to everybody who can reach it"
        )
    if authorize is not None and not callable(authorize):
        raise ConfigurationError(f"authorize is a function of a request and an action, not {authorize!r}")
    access = Access(
        token=token,
        authorize=authorize,
        only_loopback=only_loopback and token is None,
        read_only=read_only,
        identify=identify,
    )
    return Dashboard(
        app,
        access,
        title=title,
        command_line=command_line or CommandLine(),
        redact=DEFAULT_NAMES if redact is None else redact,
        redact_tasks=redact_tasks,
        version=metadata.version("turnspit"),
    )


def check_token(token: str | None) -> str | None:
    """The token, if it is long enough.

    :raises ConfigurationError: if it is so short that it could be guessed.
    """
    if token is not None and len(token) < SHORTEST_TOKEN:
        raise ConfigurationError(
            f"the dashboard's token has at least {SHORTEST_TOKEN} characters: "
            'python -c "import secrets; print(secrets.token_urlsafe())" makes one'
        )
    return token
