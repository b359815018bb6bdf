"""Every way to change something is refused to other sites and to readers, and told of in the audit."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.routing import Route

from tests.web.conftest import ORIGIN
from tests.web.test_access import person
from turnspit import Cron, GiveUp, Rate
from turnspit.records import NewWorker
from turnspit.testing import TestStore
from turnspit.web import Permission, bulk, make_dashboard

COPY = {"args": '{"to": "ada"}', "queue": "", "priority": "", "delay": "", "tags": ""}
QUEUE, DIGEST = {"kind": "queue", "name": "email"}, {"name": "digest"}
MANY = {"verb": "cancel", "state": "scheduled", "rate": 0.01}

FORMS: list[tuple[str, str, dict[str, Any], str]] = [
    ("/jobs/{id}/{verb}", "/jobs/{dead}/replay", {}, "replay"),
    ("/jobs/{id}/{verb}", "/jobs/{waiting}/run", {}, "run"),
    ("/jobs/{id}/update", "/jobs/{waiting}/update", {"priority": "3"}, "edit"),
    ("/jobs/{id}/duplicate", "/jobs/{waiting}/duplicate", COPY, "enqueue"),
    ("/jobs/{id}/{verb}", "/jobs/{waiting}/cancel", {}, "cancel"),
    ("/jobs/{id}/{verb}", "/jobs/{waiting}/delete", {}, "delete"),
    ("/jobs/chosen", "/jobs/chosen", {"verb": "cancel", "id": "{dead}"}, "cancel"),
    ("/jobs/bulk", "/jobs/bulk", {"verb": "cancel", "q": "state:scheduled", "rate": "0.01"}, "cancel"),
    ("/bulk/{id}/stop", "/bulk/1/stop", {}, "cancel"),
    ("/workflows/{id}/{verb}", "/workflows/1/cancel", {}, "cancel"),
    ("/workflows/{id}/{verb}", "/workflows/1/replay", {}, "replay"),
    ("/workers/{id}/{verb}", "/workers/{worker}/quiet", {}, "worker"),
    ("/workers/{id}/{verb}", "/workers/{worker}/stop", {}, "worker"),
    ("/schedules/{verb}", "/schedules/pause", DIGEST, "pause"),
    ("/schedules/{verb}", "/schedules/resume", DIGEST, "pause"),
    ("/schedules/{verb}", "/schedules/run", DIGEST, "run"),
    ("/queues/{verb}", "/queues/pause", QUEUE, "pause"),
    ("/queues/{verb}", "/queues/resume", QUEUE, "pause"),
    ("/limits/{verb}", "/limits/set", {"name": "call", "per": "1.0", "allowed": "4"}, "limit"),
    ("/limits/{verb}", "/limits/reset", {"name": "call"}, "limit"),
]
API: list[tuple[str, str, str, Any, str]] = [
    ("POST", "/api/jobs", "/api/jobs", {"task": "send", "args": {"to": "ada"}}, "enqueue"),
    ("POST", "/api/jobs/{id}/replay", "/api/jobs/{dead}/replay", None, "replay"),
    ("PATCH", "/api/jobs/{id}", "/api/jobs/{waiting}", {"priority": 3}, "edit"),
    ("POST", "/api/jobs/{id}/run", "/api/jobs/{waiting}/run", None, "run"),
    ("POST", "/api/jobs/{id}/cancel", "/api/jobs/{waiting}/cancel", {"reason": "no"}, "cancel"),
    ("DELETE", "/api/jobs/{id}", "/api/jobs/{waiting}", None, "delete"),
    ("POST", "/api/bulk", "/api/bulk", MANY, "cancel"),
    ("POST", "/api/bulk/{id}/stop", "/api/bulk/1/stop", None, "cancel"),
    ("POST", "/api/workflows/{id}/cancel", "/api/workflows/1/cancel", {}, "cancel"),
    ("POST", "/api/workflows/{id}/replay", "/api/workflows/1/replay", {"whole": True}, "replay"),
    ("POST", "/api/workers/{id}/quiet", "/api/workers/{worker}/quiet", None, "worker"),
    ("POST", "/api/workers/{id}/stop", "/api/workers/{worker}/stop", None, "worker"),
    ("POST", "/api/pauses", "/api/pauses", QUEUE, "pause"),
    ("POST", "/api/pauses/resume", "/api/pauses/resume", QUEUE, "pause"),
    ("POST", "/api/schedules/pause", "/api/schedules/pause", DIGEST, "pause"),
    ("POST", "/api/schedules/resume", "/api/schedules/resume", DIGEST, "pause"),
    ("POST", "/api/schedules/run", "/api/schedules/run", DIGEST, "run"),
    ("POST", "/api/limits", "/api/limits", {"name": "call", "allowed": 4, "per": 1.0}, "limit"),
    ("POST", "/api/limits/reset", "/api/limits/reset", {"name": "call"}, "limit"),
]
OF_THE_PERSON = {"/login", "/logout", "/theme"}
"""They change a cookie of who asks, and nothing else."""


@pytest.fixture
def ids(shop: TestStore, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """A store in which all of that can be done."""
    app = shop.app
    monkeypatch.setattr(bulk, "randbelow", lambda most: 0)  # the first change has the number 1

    @app.task(rate=Rate(10, per=1.0))
    def call() -> None: ...

    @app.task
    def fail() -> None:
        raise GiveUp("no")

    dead = fail.enqueue()
    shop.drain()
    with app.workflow("fulfil") as flow:
        flow.add(app.tasks["send"].new(to="bob"))
    assert flow.id == 1
    app.schedules.create("digest", app.tasks["send"], Cron("0 8 * * *", args={"to": "ada"}))
    engine = app.engine
    worker = engine.write(
        engine.register_worker, NewWorker("web-1", 7, "0.1.0", None, frozenset({"send"}), 9, 60_000_000)
    )
    waiting = [app.tasks["send"].using(delay=60).enqueue(to="ada") for _ in range(3)]
    return {"dead": dead.id, "waiting": waiting[0].id, "worker": worker}


def may(request: Any, action: str) -> bool:
    return action in request.headers["x-may"].split(",")


def filled(value: Any, ids: dict[str, int]) -> Any:
    return value.format(**ids) if isinstance(value, str) and value in ("{dead}", "{waiting}") else value


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "turnspit.audit"]


def writes() -> Iterator[tuple[str, str, dict[str, Any], str]]:
    for _, path, fields, permission in FORMS:
        yield "POST", path, {"data": fields}, permission
    for method, _, path, body, permission in API:
        yield method, path, {} if body is None else {"json": body}, permission


@pytest.mark.parametrize("kind", ["data", "json"], ids=["buttons", "api"])
def test_a_write_is_ours_allowed_and_audited(
    shop: TestStore, ids: dict[str, int], caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    caplog.set_level(logging.INFO, "turnspit.audit")
    with person(shop, ORIGIN, authorize=may) as client:
        for method, path, content, permission in writes():
            if path.startswith("/api") is not (kind == "json"):
                continue
            address, before = path.format(**ids), len(lines(caplog))
            sent = {name: {key: filled(each, ids) for key, each in fields.items()} for name, fields in content.items()}

            def ask(origin: str, allowed: str) -> Any:
                headers = {"Origin": origin, "X-May": allowed, "Accept": "text/html"}
                return client.request(method, address, headers=headers, **sent)  # noqa: B023 (called at once)

            evil = ask("https://evil.example", ",".join(Permission))
            assert evil.status_code == 403, path
            others = ",".join(each for each in Permission if each != permission)
            refused = ask(ORIGIN, others)
            assert (refused.status_code, f"you may not {permission}" in refused.text) == (403, True), path
            assert len(lines(caplog)) == before, f"nothing was done by {path}"
            done = ask(ORIGIN, f"read,{permission}")
            assert done.status_code < 400, (path, done.text)
            assert "bad:" not in done.headers.get("set-cookie", ""), (path, done.headers["set-cookie"])
            assert len(lines(caplog)) == before + 1, path


def test_the_table_has_every_route_that_writes(shop: TestStore) -> None:
    routes = [
        route for route in make_dashboard(shop.app, only_loopback=True)._make().routes if isinstance(route, Route)
    ]
    found = {
        (method, route.path) for route in routes for method in route.methods or () if method not in ("GET", "HEAD")
    }
    known = {("POST", route) for route, *_ in FORMS} | {(method, route) for method, route, *_ in API}
    assert {pair for pair in found if pair[1] not in OF_THE_PERSON} == known
