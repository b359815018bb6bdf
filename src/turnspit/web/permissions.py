"""What a person may do on the dashboard, one word each."""

import inspect
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import TypeAlias

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from turnspit.errors import ConfigurationError

__all__ = ["Authorize", "Permission", "check_permission", "find_permissions"]


class Permission(StrEnum):
    """What ``authorize(request, action)`` is asked for."""

    READ = "read"
    """Look at everything but what is redacted."""
    ENQUEUE = "enqueue"
    """Store new jobs, copies of old ones among them."""
    REPLAY = "replay"
    CANCEL = "cancel"
    DELETE = "delete"
    EDIT = "edit"
    """Change a waiting job's priority, queue or time."""
    RUN = "run"
    """Run a waiting job or a schedule now."""
    PAUSE = "pause"
    """Pause and resume schedules and queues."""
    LIMIT = "limit"
    """Change limits at run time."""
    WORKER = "worker"
    """Quiet and stop workers."""


Authorize: TypeAlias = Callable[[Request, str], bool | Response | Awaitable[bool | Response]]
"""The host application's hook: whether this request may do this. A response means no, and where to sign in."""


async def _allows(request: Request, permission: Permission) -> bool:
    authorize: Authorize | None = request.scope["turnspit.authorize"]
    if authorize is None:
        return True
    answer: object = authorize(request, str(permission))
    if inspect.isawaitable(answer):
        answer = await answer
    if isinstance(answer, Response):
        request.scope.setdefault("turnspit.refusal", answer)
        return False
    if hasattr(answer, "status_code"):  # of another framework: true, as every object, and surely not meant as yes
        raise ConfigurationError(
            f"authorize answers True, False or a Starlette response, as in RedirectResponse('/login'), not {answer!r}"
        )
    return bool(answer)


async def check_permission(request: Request, permission: Permission) -> None:
    """See that the request may do this.

    :raises HTTPException: 403 if it may not.
    """
    if permission not in await find_permissions(request):
        raise HTTPException(403, f"you may not {permission} here")


async def find_permissions(request: Request) -> frozenset[Permission]:
    """All that the request may do; the hook is asked once per request."""
    found: frozenset[Permission] | None = request.scope.get("turnspit.permissions")
    if found is None:
        allowed = set(Permission) if not request.scope["turnspit.read_only"] else {Permission.READ}
        found = frozenset([each for each in Permission if each in allowed and await _allows(request, each)])
        request.scope["turnspit.permissions"] = found
    return found
