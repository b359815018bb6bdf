"""The dashboard as an ASGI app: screens, buttons, live updates, and the JSON API."""

from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from turnspit.clock import from_moment, sleep, utc_now
from turnspit.errors import TurnspitError
from turnspit.web.api import api_routes
from turnspit.web.buttons import FLASH, Buttons, back_to
from turnspit.web.copying import CommandLine
from turnspit.web.forms import read_form, read_id
from turnspit.web.guard import Access, Guard
from turnspit.web.live import Broadcaster
from turnspit.web.paths import local_path, path_below_root, root_of
from turnspit.web.permissions import find_permissions
from turnspit.web.problems import is_for_program, problem, status_of
from turnspit.web.redaction import DEFAULT_NAMES
from turnspit.web.rendering import Renderer, Screen, View, static_files
from turnspit.web.screens import find_screen
from turnspit.web.screens.job import FormError, duplicate, read_new_job
from turnspit.web.searching import suggest
from turnspit.web.served import Served
from turnspit.web.sessions import COOKIE, LIFETIME, is_token, make_session
from turnspit.web.site import Site
from turnspit.web.wsgi import WsgiApp

__all__ = ["Dashboard"]

THEME = "turnspit_theme"
_YEAR = 31_536_000
_PAUSE_AFTER_A_WRONG_TOKEN = 0.5
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Dashboard:
    """An ASGI app, to be served or mounted; made by ``app.dashboard()``."""

    def __init__(
        self,
        app: Served,
        access: Access,
        *,
        title: str = "",
        command_line: CommandLine,
        redact: Iterable[str] = DEFAULT_NAMES,
        redact_tasks: Iterable[str] = (),
        version: str = "",
    ) -> None:
        self._access = access
        self._site = Site.of(app, title=title or app.name, command_line=command_line, names=redact, tasks=redact_tasks)
        self._renderer = Renderer()
        self._version = version
        self._broadcaster = Broadcaster()
        self._static = dict(static_files())
        self._app = Guard(self._make(), access)
        self.wsgi = WsgiApp(self)
        """The same as a WSGI app."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    def _make(self) -> Starlette:
        buttons = Buttons(self._site)
        routes = [
            Route("/static/{name}", self._send_static),
            Route("/login", self._login, methods=["GET", "POST"]),
            Route("/logout", self._logout, methods=["POST"]),
            Route("/theme", self._set_theme, methods=["POST"]),
            Route("/live", self._watch),
            Route("/suggest", self._suggest),
            Route("/jobs/bulk", buttons.bulk, methods=["POST"]),
            Route("/jobs/chosen", buttons.chosen, methods=["POST"]),
            Route("/jobs/{id}/update", buttons.update, methods=["POST"]),
            Route("/jobs/{id}/duplicate", self._duplicate, methods=["POST"]),
            Route("/jobs/{id}/{verb}", buttons.job, methods=["POST"]),
            Route("/workflows/{id}/{verb}", buttons.workflow, methods=["POST"]),
            Route("/workers/{id}/{verb}", buttons.worker, methods=["POST"]),
            Route("/bulk/{id}/stop", buttons.stop_bulk, methods=["POST"]),
            Route("/schedules/{verb}", buttons.schedule, methods=["POST"]),
            Route("/queues/{verb}", buttons.pause, methods=["POST"]),
            Route("/limits/{verb}", buttons.limit, methods=["POST"]),
            *api_routes(self._site, self._version),
            Route("/{path:path}", self._show),
        ]
        handlers = {HTTPException: self._explain_refusal, TurnspitError: self._explain_error}
        return Starlette(routes=routes, exception_handlers=handlers)

    async def _show(self, request: Request) -> Response:
        view = await _view_of(request)
        maker = find_screen(view.path)
        if maker is None:
            raise HTTPException(404, f"there is no page {view.path[:80]}")
        return self._draw(request, await maker(self._site, view), view)

    def _draw(self, request: Request, screen: Screen, view: View) -> Response:
        kind, _, text = unquote(request.cookies.get(FLASH, "")).partition(":")
        theme = request.cookies.get(THEME)
        html = self._renderer.page(
            screen,
            view,
            self._now(),
            site=self._site,
            flash={"kind": kind, "text": text} if text else None,
            theme=theme if theme in ("dark", "light") else None,
            has_token=self._access.token is not None,
            read_only=self._access.read_only,
            polls="turnspit.wsgi" in request.scope,
            location=self._site.app.engine.location,
        )
        response = HTMLResponse(html, screen.status)
        if text:
            response.delete_cookie(FLASH, path=view.root or "/")
        return response

    async def _watch(self, request: Request) -> Response:
        view = _looked_at(request.query_params.get("page", "/"), await _view_of(request))
        maker = find_screen(view.path)
        if maker is None:
            raise HTTPException(404, "there is no such page to watch")

        async def draw() -> str:
            return self._renderer.live_part(await maker(self._site, view), view, self._now(), site=self._site)

        if "once" in request.query_params or "turnspit.wsgi" in request.scope:
            key = ("live", view.address, view.permissions, view.root)
            return HTMLResponse(await self._site.store.cache.get(key, 2.0, draw))
        stream = self._broadcaster.watch((view.address, view.permissions, view.root), draw)
        headers = {"X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def _suggest(self, request: Request) -> Response:
        text = request.query_params.get("q", "")[:500]
        queues = [queue.name for queue in await self._site.store.queues()]
        tasks = {task.name for task in self._site.app.tasks.tasks} | await self._site.store.task_names()
        return Response("\n".join(suggest(text, tasks, queues)), media_type="text/plain")

    async def _duplicate(self, request: Request) -> Response:
        view, job_id = await _view_of(request), read_id(request)
        try:
            fields, given = await read_new_job(self._site, request, job_id)
        except FormError as error:
            return self._draw(request, await duplicate(self._site, view, str(error), error.given), view)
        try:
            job = await self._site.changes.enqueue(request, fields, copy_of=job_id)
        except TurnspitError as error:
            said = await self._site.jobs.shown_text(job_id, str(error))  # the error may quote hidden values
            return self._draw(request, await duplicate(self._site, view, said, given), view)
        return back_to(request, f"job {job.id} enqueued, a copy of job {job_id}", path=f"/jobs/{job.id}")

    async def _login(self, request: Request) -> Response:
        view = View("/login", request.query_params, frozenset(), root_of(request.scope))
        token = self._access.token
        back = request.query_params.get("next", "/")
        if token is None:
            return RedirectResponse(view.root + "/", 303)
        if request.method != "POST":
            return self._draw(request, Screen("login.html", "Sign in", {"next": back, "error": None}), view)
        form = await read_form(request)
        if not is_token(form.get("token", ""), token):
            await sleep(_PAUSE_AFTER_A_WRONG_TOKEN)
            context = {"next": form.get("next", "/"), "error": "that is not the token"}
            return self._draw(request, Screen("login.html", "Sign in", context, 403), view)
        response = RedirectResponse(view.root + local_path(form.get("next", "/")), 303)
        response.set_cookie(
            COOKIE,
            make_session(token, int(utc_now().timestamp())),
            max_age=LIFETIME,
            path=view.root or "/",
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )
        return response

    async def _logout(self, request: Request) -> Response:
        root = root_of(request.scope)
        response = RedirectResponse(f"{root}/login", 303)
        response.delete_cookie(COOKIE, path=root or "/")
        return response

    async def _set_theme(self, request: Request) -> Response:
        form = await read_form(request)
        root, theme = root_of(request.scope), form.get("theme", "")
        response = RedirectResponse(root + local_path(form.get("back", "/")), 303)
        if theme in ("dark", "light"):
            response.set_cookie(THEME, theme, max_age=_YEAR, path=root or "/", httponly=True, samesite="strict")
        else:
            response.delete_cookie(THEME, path=root or "/")
        return response

    async def _send_static(self, request: Request) -> Response:
        name = request.path_params["name"]
        content = self._static.get(name)
        if content is None:
            raise HTTPException(404, "there is no such file")
        headers = {"Cache-Control": f"public, max-age={_YEAR}, immutable"}
        return Response(content, headers=headers, media_type=_TYPES[name.rpartition(".")[2]])

    async def _explain_refusal(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return await self._explain(request, error.status_code, str(error.detail), dict(error.headers or {}))

    async def _explain_error(self, request: Request, error: Exception) -> Response:
        assert isinstance(error, TurnspitError)
        return await self._explain(request, status_of(error), str(error), {})

    async def _explain(self, request: Request, status: int, detail: str, headers: dict[str, str]) -> Response:
        if is_for_program(request) or "text/html" not in request.headers.get("accept", ""):
            return problem(request, status, detail, headers)
        context = {"status": status, "phrase": HTTPStatus(status).phrase, "detail": detail}
        response = self._draw(
            request, Screen("problem.html", HTTPStatus(status).phrase, context, status), await _view_of(request)
        )
        response.headers.update(headers)
        return response

    def _now(self) -> datetime:
        return from_moment(self._site.store.now())


async def _view_of(request: Request) -> View:
    path, root = path_below_root(request.scope), root_of(request.scope)
    return View(path, request.query_params, await find_permissions(request), root)


def _looked_at(address: str, view: View) -> View:
    """The view of the page at this address, which asks for its live part."""
    path, _, query = address.partition("?")
    return View(path, QueryParams(query), view.permissions, view.root)
