"""Access control: who is let in, which headers protect the pages, and which writes are refused."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from turnspit.clock import utc_now
from turnspit.web.origins import SAFE_METHODS, find_foreign_origin, is_loopback_host
from turnspit.web.paths import path_below_root, root_of
from turnspit.web.permissions import Authorize, Permission, find_permissions
from turnspit.web.problems import problem
from turnspit.web.sessions import COOKIE, is_session, is_token

__all__ = ["Access", "Guard"]

_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who is let in. At least one of the first three is given."""

    token: str | None = None
    authorize: Authorize | None = None
    only_loopback: bool = False
    """Answer only requests whose Host is this machine (``localhost``, ``127.0.0.1`` or ``::1``)."""
    read_only: bool = False
    identify: Callable[[Request], str | None] | None = None


class Guard:
    """ASGI middleware around the whole dashboard."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        access = self._access
        scope["turnspit.authorize"] = access.authorize
        scope["turnspit.read_only"] = access.read_only
        scope["turnspit.identify"] = access.identify
        scope["turnspit.has_token"] = access.token is not None

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = await self._refusal(Request(scope, receive))
        await (refusal or self._app)(scope, receive, send_guarded)

    async def _refusal(self, request: Request) -> Response | None:
        """The response to a request that is not let in; ``None`` if it is."""
        if self._access.only_loopback and not is_loopback_host(request.headers):
            return problem(request, 421, "this dashboard answers to localhost only: start it with --token for others")
        if request.method not in SAFE_METHODS and (foreign := find_foreign_origin(request.headers)):
            return problem(request, 403, foreign)
        path = path_below_root(request.scope)
        if path == "/login" or path.startswith("/static/"):  # open to strangers, who may do and see nothing
            request.scope["turnspit.permissions"] = frozenset[Permission]()
            return None
        return await self._refusal_by_identity(request)

    async def _refusal_by_identity(self, request: Request) -> Response | None:
        """The response to a request that shows no token, or whose sender may not read; ``None`` if it is let in."""
        path = path_below_root(request.scope)
        is_page = not path.startswith("/api") and path != "/live" and request.method in SAFE_METHODS
        if not self._is_known(request):
            if not is_page:
                return problem(request, 401, "show the token: Authorization: Bearer ...")
            back = quote(path + (f"?{request.url.query}" if request.url.query else ""), safe="")
            return RedirectResponse(f"{root_of(request.scope)}/login?next={back}", 303)
        if Permission.READ not in await find_permissions(request):
            refusal: Response | None = request.scope.get("turnspit.refusal") if is_page else None
            return refusal or problem(request, 403, "you may not look at this dashboard")
        return None

    def _is_known(self, connection: HTTPConnection) -> bool:
        token = self._access.token
        if token is None:
            return True
        scheme, _, given = connection.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            return is_token(given.strip(), token)
        return is_session(connection.cookies.get(COOKIE, ""), token, int(utc_now().timestamp()))
