"""What the buttons of the screens do: each posts a form, and is answered with a redirect to the screen it came from."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import quote

from starlette.datastructures import MultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from turnspit.errors import ConfigurationError, TurnspitError
from turnspit.limits import Concurrency, Rate
from turnspit.operations import is_id
from turnspit.web.bulk import BULK_VERBS
from turnspit.web.forms import read_form, read_id
from turnspit.web.paths import local_path, root_of
from turnspit.web.screens.jobs import refuse_hidden
from turnspit.web.searching import make_search
from turnspit.web.site import Site

__all__ = ["FLASH", "Buttons", "back_to"]

FLASH = "turnspit_flash"
"""The cookie that carries a message to the next page: what was done, or why not."""

_MOST_CHOSEN = 1000
_SECONDS_OF_FLASH = 20

Verbs: TypeAlias = Mapping[str, tuple[Callable[[], Awaitable[object]], str]]
"""By the verb in the path: what to do, and what the next page says once it is done."""


class Buttons:
    """Handlers of ``POST``."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def job(self, request: Request) -> Response:
        """Replay, cancel, delete or run one job."""
        number, form, changes = read_id(request), await read_form(request), self._site.changes
        verbs: Verbs = {
            "replay": (lambda: changes.replay(request, number), "replayed"),
            "cancel": (lambda: changes.cancel(request, number), "cancelled, or asked to end"),
            "delete": (lambda: changes.delete(request, number), "deleted"),
            "run": (lambda: changes.run_now(request, number), "made ready"),
        }
        return await self._press(request, form, f"job {number}", verbs)

    async def update(self, request: Request) -> Response:
        """Change a waiting job."""
        job_id, form = read_id(request), await read_form(request)

        async def update() -> None:
            try:
                priority = int(form["priority"]) if form.get("priority", "").strip() else None
                delay = float(form["delay"]) if form.get("delay", "").strip() else None
            except ValueError:
                raise ConfigurationError("priority is a whole number, and a delay a number of seconds") from None
            queue = form.get("queue", "").strip() or None
            await self._site.changes.update(request, job_id, priority=priority, queue=queue, delay=delay)

        return await self._do(request, form, f"job {job_id} changed", update)

    async def chosen(self, request: Request) -> Response:
        """The jobs that were ticked in a list."""
        form = await read_form(request)
        verb = form.get("verb", "")
        ids = [int(text) for text in form.getlist("id") if is_id(text)][:_MOST_CHOSEN]
        changes = self._site.changes
        calls = {
            "replay": changes.replay,
            "cancel": changes.cancel,
            "run": changes.run_now,
            "delete": changes.delete,
        }
        if verb not in calls:
            raise HTTPException(404, f"jobs cannot be asked to {verb}")
        done, refused = 0, ""
        for job_id in ids:
            try:
                await calls[verb](request, job_id)
                done += 1
            except TurnspitError as error:
                refused = refused or str(error)
        text = f"{done} {'job' if done == 1 else 'jobs'} {BULK_VERBS[verb].change.done}" if ids else "no job was ticked"
        text = f"{text}; {refused}" if refused else text
        return back_to(request, text, path=form.get("back", "/"), is_bad=bool(refused) or not ids)

    async def bulk(self, request: Request) -> Response:
        """All jobs that match a search, in the background."""
        form = await read_form(request)
        verb, search, given = form.get("verb", ""), form.get("q", ""), form.get("rate", "").strip()

        async def start() -> None:
            try:
                rate = float(given) if given else None
            except ValueError:
                raise ConfigurationError("a rate is a number of jobs a second") from None
            filter_ = make_search(search)
            refuse_hidden(self._site, filter_)
            await self._site.bulk.start(request, verb, filter_, search, rate)

        known = BULK_VERBS.get(verb)
        return await self._do(request, form, f"the jobs are being {known.change.done if known else verb}", start)

    async def stop_bulk(self, request: Request) -> Response:
        """Stop a bulk change that runs in the background."""
        number, form = read_id(request), await read_form(request)
        return await self._do(request, form, "stopped", lambda: self._site.bulk.stop(request, number))

    async def schedule(self, request: Request) -> Response:
        """Pause, resume or run a schedule."""
        form, changes = await read_form(request), self._site.changes
        name = form.get("name", "")
        verbs: Verbs = {
            "pause": (lambda: changes.pause_schedule(request, name), "paused"),
            "resume": (lambda: changes.resume_schedule(request, name), "resumed"),
            "run": (lambda: changes.run_schedule(request, name), "run: its job is stored"),
        }
        return await self._press(request, form, f"schedule {name}", verbs)

    async def worker(self, request: Request) -> Response:
        """Quiet or stop a worker."""
        number, form, changes = read_id(request), await read_form(request), self._site.changes
        verbs: Verbs = {
            "quiet": (lambda: changes.quiet_worker(request, number), "takes no more jobs, and ends with its last one"),
            "stop": (lambda: changes.stop_worker(request, number), "was asked to stop"),
        }
        return await self._press(request, form, f"worker {number}", verbs)

    async def workflow(self, request: Request) -> Response:
        """Cancel or replay a workflow."""
        number, form, changes = read_id(request), await read_form(request), self._site.changes
        verbs: Verbs = {
            "cancel": (lambda: changes.cancel_workflow(request, number), "cancelled"),
            "replay": (lambda: changes.replay_workflow(request, number), "goes on where it failed"),
            "again": (lambda: changes.replay_workflow(request, number, whole=True), "begins again"),
        }
        return await self._press(request, form, f"workflow {number}", verbs)

    async def pause(self, request: Request) -> Response:
        """Pause or resume a queue, a task or a tag."""
        form, changes = await read_form(request), self._site.changes
        kind, name = form.get("kind", ""), form.get("name", "").strip()
        verbs: Verbs = {
            "pause": (lambda: changes.pause(request, kind, name), "paused"),
            "resume": (lambda: changes.resume(request, kind, name), "resumed"),
        }
        return await self._press(request, form, f"{kind} {name}", verbs)

    async def limit(self, request: Request) -> Response:
        """Change a limit, or reset it to what the app declares."""
        form = await read_form(request)
        name, changes = form.get("name", ""), self._site.changes

        async def change() -> None:
            try:
                allowed = int(form.get("allowed", ""))
                burst = int(form["burst"]) if form.get("burst") else None
                limit = Rate(allowed, per=float(form["per"]), burst=burst) if form.get("per") else Concurrency(allowed)
            except ValueError:
                raise ConfigurationError("a limit is a whole number") from None
            await changes.set_limit(request, name, limit)

        verbs: Verbs = {
            "set": (change, "changed"),
            "reset": (lambda: changes.reset_limit(request, name), "reset"),
        }
        return await self._press(request, form, f"limit {name}", verbs)

    async def _press(self, request: Request, form: MultiDict, whom: str, verbs: Verbs) -> Response:
        """Do what the path's verb says; messages call its object ``whom``."""
        verb = request.path_params["verb"]
        if verb not in verbs:
            raise HTTPException(404, f"{whom} cannot be asked to {verb}")
        act, done = verbs[verb]
        return await self._do(request, form, f"{whom} {done}", act)

    async def _do(self, request: Request, form: MultiDict, done: str, act: Callable[[], Awaitable[object]]) -> Response:
        try:
            await act()
        except TurnspitError as error:
            return back_to(request, str(error), path=form.get("back", "/"), is_bad=True)
        return back_to(request, done, path=form.get("back", "/"))


def back_to(request: Request, text: str, *, path: str, is_bad: bool = False) -> Response:
    """A redirect to a screen, with a message about what was done."""
    root = root_of(request.scope)
    response = RedirectResponse(root + local_path(path), 303)
    value = quote(("bad:" if is_bad else "good:") + text[:300])
    response.set_cookie(FLASH, value, max_age=_SECONDS_OF_FLASH, path=root or "/", httponly=True, samesite="strict")
    return response
