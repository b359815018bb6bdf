"""The dashboard among a Django project's own pages, for the project's users.

::

    from turnspit.contrib.django.dashboard import dashboard_urls

    urlpatterns = [path("turnspit/", include(dashboard_urls()))]
"""

from collections.abc import Callable, Iterable
from contextvars import Context
from functools import cache
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

from asgiref.sync import ThreadSensitiveContext
from django import conf
from django.db.transaction import non_atomic_requests
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import URLPattern, re_path
from django.views.decorators.csrf import csrf_exempt
from starlette.types import Receive, Scope, Send

from turnspit.contrib.django.lending import alent, connections_of_test
from turnspit.contrib.django.settings import read_settings
from turnspit.web import CommandLine, Permission, make_dashboard
from turnspit.web.wsgi import WsgiApp

__all__ = ["dashboard_urls"]

_ALLOWED = "turnspit.django.allowed"
_USER = "turnspit.django.user"
_COMMAND_LINE = CommandLine("python manage.py turnspit", app=None)


def dashboard_urls(
    authorize: Callable[[HttpRequest, str], bool] | None = None,
    *,
    read_only: bool = False,
    redact: Iterable[str] | None = None,
    redact_tasks: Iterable[str] = (),
    title: str = "",
) -> list[URLPattern]:
    """The dashboard of the project's app, for ``include(...)``, on WSGI and on ASGI. Needs ``turnspit[dashboard]``.

    Users who have not signed in are sent to ``LOGIN_URL``. Templates link to it by ``{% url "turnspit" path="" %}``.

    :param authorize: ``authorize(request, action)``, a plain function: whether the request's user may do this. The
        actions are those of ``Turnspit.dashboard``. By default staff may look, and superusers may do everything.

    The other parameters are those of ``Turnspit.dashboard``.

    ::

        def may_operate(request: HttpRequest, action: str) -> bool:
            return request.user.has_perm("shop.view_jobs" if action == "read" else "shop.change_jobs")

        urlpatterns = [path("turnspit/", include(dashboard_urls(may_operate, title="Shop")))]
    """
    may = authorize or _by_rank

    @cache
    def find_dashboard() -> WsgiApp:
        dashboard = make_dashboard(
            read_settings().load_app(),
            authorize=lambda request, action: action in request.scope["turnspit.wsgi"][_ALLOWED],
            identify=lambda request: request.scope["turnspit.wsgi"][_USER],
            read_only=read_only,
            redact=redact,
            redact_tasks=redact_tasks,
            title=title,
            command_line=_COMMAND_LINE,
        )

        async def apart(scope: Scope, receive: Receive, send: Send) -> None:
            async with ThreadSensitiveContext(), alent(connections_of_test()):
                await dashboard(scope, receive, send)

        return WsgiApp(apart)

    def show(request: HttpRequest, path: str) -> HttpResponse:
        # Asked here, because Django's users need sync code, and the dashboard runs on an event loop.
        allowed = frozenset(str(action) for action in Permission if may(request, str(action)))
        user = getattr(request, "user", None)
        is_stranger = user is not None and not user.is_authenticated
        if is_stranger and Permission.READ not in allowed and request.accepts("text/html"):
            login = resolve_url(conf.settings.LOGIN_URL)
            back = urlencode({"next": request.get_full_path()}, safe="/")
            return HttpResponseRedirect(f"{login}{'&' if '?' in login else '?'}{back}")
        name = None if user is None or is_stranger else user.get_username()
        return _ask(find_dashboard(), _environ(request, path) | {_ALLOWED: allowed, _USER: name})

    # The dashboard checks the origin of writes itself, and reads the store in a thread of its own.
    view = csrf_exempt(non_atomic_requests(show))
    return [re_path(r"^(?P<path>.*)$", view, name="turnspit")]


def _by_rank(request: HttpRequest, action: str) -> bool:
    user = request.user
    return bool(user.is_active and (user.is_superuser or (user.is_staff and action == Permission.READ)))


def _environ(request: HttpRequest, path: str) -> dict[str, Any]:
    """The request as WSGI has it, also where an ASGI server received it."""
    body = request.body
    root = request.path.removesuffix(path).rstrip("/")
    return {name: value for name, value in request.META.items() if isinstance(value, str)} | {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": f"/{path}".encode().decode("latin-1"),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": BytesIO(body),
        "wsgi.url_scheme": request.scheme,
    }


def _ask(dashboard: WsgiApp, environ: dict[str, Any]) -> HttpResponse:
    response = HttpResponse()

    def start_response(status: str, headers: list[tuple[str, str]]) -> None:
        response.status_code = int(status.partition(" ")[0])
        for name, value in headers:
            if name.lower() == "set-cookie":
                response.cookies.load(value)
            else:
                response.headers[name] = value

    # In an empty context: in the request's own, sync code of the dashboard would be sent to the thread that runs this
    # request, which is waiting here: a deadlock.
    response.content = b"".join(Context().run(dashboard, environ, start_response))
    return response
