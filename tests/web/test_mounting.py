"""The dashboard inside FastAPI, Django and Flask, with the application's own idea of who may do what."""

import asyncio
import re
import subprocess
import sys
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from flask import Flask, session
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import EnvironBuilder

from tests.web.conftest import text_of
from turnspit.testing import TestStore

URL = "http://shop.example"
OWN = {"Origin": URL, "Accept": "text/html"}


def test_in_fastapi(shop: TestStore) -> None:
    api = FastAPI()

    async def may_operate(request: Request, action: str) -> bool:
        return request.headers.get("x-role") == "operator" or (action == "read" and "x-role" in request.headers)

    api.mount("/turnspit", shop.app.dashboard(authorize=may_operate))
    job = shop.app.tasks["send"].enqueue(to="ada")

    async def visit() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url=URL) as client:
            assert (await client.get("/turnspit/")).status_code == 403
            page = await client.get("/turnspit/jobs", headers={"X-Role": "reader", **OWN})
            assert f'href="/turnspit/jobs/{job.id}"' in page.text
            path = f"/turnspit/jobs/{job.id}/cancel"
            assert (await client.post(path, headers={"X-Role": "reader", **OWN})).status_code == 403
            answer = await client.post(path, headers={"X-Role": "operator", **OWN}, data={"back": "/jobs"})
            assert (answer.status_code, answer.headers["location"]) == (303, "/turnspit/jobs")

    asyncio.run(visit())
    assert job.refresh().state == "cancelled"


def test_in_flask(shop: TestStore) -> None:
    flask = Flask(__name__)
    flask.secret_key = "a secret"
    logins = flask.session_interface.get_signing_serializer(flask)

    def is_operator(request: Any, action: str) -> bool:
        cookie = request.cookies.get("session", "")
        return logins is not None and bool(cookie) and logins.loads(cookie).get("user") == "ada"

    @flask.post("/login")
    def login() -> str:
        session["user"] = "ada"
        return "hello"

    dashboard = shop.app.dashboard(authorize=is_operator)
    flask.wsgi_app = DispatcherMiddleware(flask.wsgi_app, {"/turnspit": dashboard.wsgi})  # type: ignore[method-assign]
    job = shop.app.tasks["send"].enqueue(to="ädä")
    client = flask.test_client()
    assert client.get("/turnspit/").status_code == 403
    client.post("/login")
    page = client.get("/turnspit/jobs?q=task:send").text
    assert "ädä" in page
    assert "data-polls" in page
    assert f'href="/turnspit/jobs/{job.id}"' in page
    assert "ädä" in client.get("/turnspit/live?page=/jobs").text
    assert client.get("/turnspit/static/turnspit.css").content_type == "text/css; charset=utf-8"
    answer = client.post(
        f"/turnspit/jobs/{job.id}/cancel", data={"back": "/jobs"}, headers={"Origin": "http://localhost"}
    )
    assert (answer.status_code, answer.headers["Location"]) == (303, "/turnspit/jobs")
    assert job.refresh().state == "cancelled"
    body = {"task": "send", "args": {"to": "bob"}}
    own = {"Origin": "http://localhost"}
    assert client.post("/turnspit/api/jobs", json=body, headers=own).json["job"]["args"]["to"] == "bob"


def test_in_django(shop: TestStore) -> None:
    """As its asgi.py does: by the path, beside Django's own application."""
    from django.conf import settings

    if not settings.configured:
        settings.configure(USE_TZ=True)  # as every test here that needs some
    from django.core.asgi import get_asgi_application
    from django.test.utils import override_settings

    django = get_asgi_application()
    dashboard = shop.app.dashboard(authorize=lambda request, action: True)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/turnspit/"):
            await dashboard({**scope, "root_path": "/turnspit"}, receive, send)
        else:
            await django(scope, receive, send)

    async def visit() -> None:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url=URL) as client:
            assert "All is well" in text_of((await client.get("/turnspit/", headers=OWN)).text)
            assert "/turnspit/static/turnspit.js" in (await client.get("/turnspit/jobs", headers=OWN)).text
            assert (await client.get("/elsewhere", headers=OWN)).status_code == 404

    with override_settings(ALLOWED_HOSTS=["*"], ROOT_URLCONF=__name__):
        asyncio.run(visit())


urlpatterns: list[Any] = []
"""Django's."""


@pytest.mark.parametrize("path", ["/", "/jobs", "/dead", "/queues", "/workers", "/metrics", "/schedules"])
def test_every_screen_works_on_wsgi(shop: TestStore, path: str) -> None:
    from werkzeug.test import Client

    client = Client(shop.app.dashboard(authorize=lambda *_: True).wsgi)
    assert client.get(path).status_code == 200


UNPROCESSABLE = f"422 {HTTPStatus(422).phrase}"  # ... Entity up to Python 3.12, ... Content since


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"CONTENT_LENGTH": "15"}, "201 Created"),
        ({"wsgi.input_terminated": True}, "201 Created"),  # without a length: in chunks
        ({"CONTENT_LENGTH": "15", "REMOTE_PORT": 51000}, "201 Created"),  # a number, as flask run has it
        ({"CONTENT_LENGTH": "-1"}, UNPROCESSABLE),
        ({"CONTENT_LENGTH": "many", "SERVER_PORT": "x", "REMOTE_PORT": "x"}, UNPROCESSABLE),
    ],
)
def test_whatever_a_wsgi_server_passes_on_is_answered(shop: TestStore, sent: dict[str, Any], status: str) -> None:
    class Input(BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert size is not None
            assert size >= 0, "a server that keeps the connection would wait for ever"
            return super().read(size)

    request = EnvironBuilder("/api/jobs", method="POST", content_type="application/json").get_environ()
    request |= {"wsgi.input": Input(b'{"task":"gone"}'), "CONTENT_LENGTH": "", **sent}
    statuses: list[str] = []
    b"".join(shop.app.dashboard(authorize=lambda *_: True).wsgi(request, lambda status, _: statuses.append(status)))
    assert statuses == [status]


def test_where_its_extra_is_missing_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['starlette'] = None\n"
        "from turnspit import ConfigurationError, Turnspit\n"
        "try:\n    Turnspit('sqlite:///shop.db').dashboard(token='x' * 20)\n"
        "except ConfigurationError as error:\n    print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert re.fullmatch(r"the dashboard needs starlette\S*: pip install 'turnspit\[dashboard\]'\n", answer.stdout)


def test_what_a_wsgi_process_leaves_unfinished_is_in_its_log(folder: Path) -> None:
    """Its event loop is in a thread, which ends with the process whatever it does."""
    code = (
        "from werkzeug.test import Client\n"
        "from turnspit import Turnspit\n"
        "app = Turnspit('sqlite:///shop.db')\n"
        "@app.task\n"
        "def send(): ...\n"
        "app.enqueue_many(send.new() for _ in range(3))\n"
        "client = Client(app.dashboard(authorize=lambda *_: True).wsgi)\n"
        "body = {'verb': 'cancel', 'task': 'send', 'rate': 0.01}\n"
        "client.post('/api/bulk', headers={'Origin': 'http://localhost'}, json=body)\n"
        "while client.get('/api/bulk').json[0]['changed'] == 0: pass\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=30, check=True
    )
    assert "1 of 3 jobs that match 'task:send' were cancelled; the others are as they were" in answer.stderr
