"""Who is let in, what each may do, and that no other site acts through a person's browser."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount
from werkzeug.utils import redirect

from tests.web.conftest import ORIGIN, Site, TestClient, text_of
from turnspit import ConfigurationError
from turnspit.testing import TestStore
from turnspit.web import Permission, make_dashboard

TOKEN = "a-token-that-nobody-guesses"


@contextmanager
def person(shop: TestStore, base_url: str = "https://ops.example", **options: Any) -> Iterator[TestClient]:
    with TestClient(make_dashboard(shop.app, **options), base_url=base_url, follow_redirects=False) as client:
        yield client


def test_nobody_opens_it_to_everybody_by_mistake(shop: TestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="who may see the dashboard"):
        shop.app.dashboard()
    with pytest.raises(ConfigurationError, match="at least 16 characters"):
        shop.app.dashboard(token="short")
    monkeypatch.setenv("TURNSPIT_DASHBOARD_TOKEN", TOKEN)
    shop.app.dashboard()


def test_a_token_lets_in_by_a_form_or_a_header(shop: TestStore) -> None:
    with person(shop, token=TOKEN) as client:
        answer = client.get("/jobs?q=state:dead", headers={"Accept": "text/html"})
        assert (answer.status_code, answer.headers["location"]) == (303, "/login?next=%2Fjobs%3Fq%3Dstate%3Adead")
        assert client.get("/login?next=/jobs").status_code == 200
        own = {"Origin": "https://ops.example"}
        assert client.post("/login", data={"token": TOKEN + "x"}, headers=own).status_code == 403
        assert not client.cookies
        answer = client.post("/login", data={"token": TOKEN, "next": "/jobs?q=state:dead"}, headers=own)
        assert (answer.status_code, answer.headers["location"]) == (303, "/jobs?q=state:dead")
        cookie = answer.headers["set-cookie"].lower()
        assert all(part in cookie for part in ("httponly", "samesite=strict", "secure"))
        assert TOKEN not in cookie
        assert client.get("/jobs").status_code == 200
        client.post("/logout", headers=own)
        assert client.get("/jobs").status_code == 303
        assert client.get("/jobs", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/jobs", headers={"Authorization": f"Bearer {TOKEN}x"}).status_code == 303
        assert client.post("/jobs/1/replay", headers=own).status_code == 401


def test_a_stranger_is_not_told_where_the_store_is(shop: TestStore) -> None:
    with person(shop, token=TOKEN) as client:
        assert shop.app.engine.location not in client.get("/login").text
        assert client.get("/loginx", headers={"Accept": "text/html"}).status_code == 303
        for path in ("/static/nope.css", "/static/a/b"):
            assert shop.app.engine.location not in client.get(path, headers={"Accept": "text/html"}).text
        own = {"Origin": "https://ops.example", "Accept": "text/html"}
        for body, status in ((b"\xff", 400), (b"x" * 3_000_000, 413)):
            answer = client.post("/login", content=body, headers=own)
            assert (answer.status_code, shop.app.engine.location in answer.text) == (status, False)
        known = client.get("/", headers={"Authorization": f"Bearer {TOKEN}", "Accept": "text/html"})
        assert shop.app.engine.location in known.text


@pytest.mark.parametrize("target", ["//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nX: y"])
def test_nobody_is_led_away(shop: TestStore, target: str) -> None:
    with person(shop, token=TOKEN) as client:
        own = {"Origin": "https://ops.example"}
        assert client.post("/login", data={"token": TOKEN, "next": target}, headers=own).headers["location"] == "/"
        assert client.post("/theme", data={"theme": "dark", "back": target}, headers=own).headers["location"] == "/"
        assert client.post("/jobs/1/run", data={"back": target}, headers=own).headers["location"] == "/"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://[::1"},
        {"Origin": "https://ops.example", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {},
    ],
)
def test_a_write_comes_from_our_own_pages(shop: TestStore, headers: dict[str, str]) -> None:
    job = shop.app.tasks["send"].enqueue(to="ada")
    with person(shop, token=TOKEN) as client:
        client.post("/login", data={"token": TOKEN}, headers={"Origin": "https://ops.example"})
        assert client.post(f"/jobs/{job.id}/cancel", headers=headers).status_code == 403
        assert job.refresh().state == "ready"
        assert client.post(f"/jobs/{job.id}/cancel", headers={"Sec-Fetch-Site": "same-origin"}).status_code == 303
    assert job.refresh().state == "cancelled"


def test_a_program_with_the_token_needs_no_origin(shop: TestStore) -> None:
    job = shop.app.tasks["send"].enqueue(to="ada")
    with person(shop, token=TOKEN) as client:
        client.post(f"/jobs/{job.id}/cancel", headers={"Authorization": f"Bearer {TOKEN}"})
    assert job.refresh().state == "cancelled"


def test_on_loopback_another_name_is_not_answered(shop: TestStore) -> None:
    """A name of another site that was made to lead to this machine."""
    with person(shop, "http://127.0.0.1:8181", only_loopback=True) as client:
        for host, status in (("127.0.0.1:8181", 200), ("[::1]:8181", 200), ("evil.example", 421)):
            assert client.get("/", headers={"Host": host}).status_code == status


def test_the_hosts_own_answer_decides_each_action(shop: TestStore) -> None:
    asked: list[str] = []

    async def authorize(request: Request, action: str) -> bool:
        asked.append(action)
        return action in request.headers.get("x-may", "").split(",")

    job = shop.app.tasks["send"].enqueue(to="ada")
    with person(shop, ORIGIN, authorize=authorize) as client:
        own = {"Origin": ORIGIN, "Accept": "text/html"}
        assert client.get("/", headers=own).status_code == 403
        reader = own | {"X-May": "read"}
        page = client.get(f"/jobs/{job.id}", headers=reader).text
        assert ">Cancel<" not in page
        assert ">Delete for good<" not in page
        answer = client.post(f"/jobs/{job.id}/cancel", headers=reader)
        assert answer.status_code == 403
        assert "you may not cancel here" in answer.text
        assert job.refresh().state == "ready"
        operator = own | {"X-May": "read,cancel"}
        assert ">Cancel<" in client.get(f"/jobs/{job.id}", headers=operator).text
        assert client.post(f"/jobs/{job.id}/cancel", headers=operator).status_code == 303
    assert job.refresh().state == "cancelled"
    assert set(asked) == {str(each) for each in Permission}


def test_the_hosts_own_answer_may_lead_to_its_sign_in(shop: TestStore) -> None:
    async def authorize(request: Request, action: str) -> bool | Response:
        return True if "x-user" in request.headers else RedirectResponse("/sign-in", 303)

    with person(shop, ORIGIN, authorize=authorize) as client:
        answer = client.get("/jobs")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in")
        assert "frame-ancestors" in answer.headers["content-security-policy"]
        for path in ("/api/jobs", "/live"):
            assert client.get(path).status_code == 403
        assert client.post("/jobs/chosen", headers={"Origin": ORIGIN}).status_code == 403
        assert client.get("/jobs", headers={"X-User": "ada"}).status_code == 200


def test_a_response_of_another_framework_lets_nobody_in(shop: TestStore) -> None:
    """It is true, as every object, and who wrote it did not mean yes."""
    with (
        person(shop, ORIGIN, authorize=lambda *_: redirect("/sign-in")) as client,
        pytest.raises(ConfigurationError, match=r"a Starlette response, as in RedirectResponse\('/login'\), not <Resp"),
    ):
        client.get("/")


BUTTONS = {
    "/jobs/{id}/replay": "replay",
    "/jobs/{id}/cancel": "cancel",
    "/jobs/{id}/delete": "delete",
    "/jobs/{id}/run": "run",
    "/jobs/{id}/update": "edit",
    "/jobs/{id}/duplicate": "enqueue",
    "/jobs/chosen": "delete",
    "/jobs/bulk": "cancel",
    "/schedules/pause": "pause",
    "/schedules/resume": "pause",
    "/schedules/run": "run",
}


@pytest.mark.parametrize("path", BUTTONS)
def test_read_only_is_read_only(shop: TestStore, path: str) -> None:
    job = shop.app.tasks["send"].enqueue(to="ada")
    fields = {
        "priority": "1",
        "queue": "x",
        "args": '{"to":"x"}',
        "id": str(job.id),
        "name": "x",
        "delay": "",
        "tags": "",
    }
    fields |= {"verb": BUTTONS[path], "q": "task:send"}
    with person(shop, ORIGIN, token=TOKEN, read_only=True) as client:
        headers = {"Authorization": f"Bearer {TOKEN}", "Accept": "text/html"}
        answer = client.post(path.format(id=job.id), data=fields, headers=headers)
        assert answer.status_code == 403
        assert f"you may not {BUTTONS[path]}" in answer.text
        assert "read only" in client.get("/", headers=headers).text
    assert (job.refresh().state, shop.app.jobs.count()) == ("ready", 1)


def test_every_answer_tells_the_browser_to_trust_nobody_else(site: Site) -> None:
    for path in ("/", "/nowhere", "/static/turnspit.js", "/live?page=/&once=1", "/login"):
        headers = site.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "frame-ancestors 'none'" in policy
    assert site.client.get("/").headers["cache-control"] == "no-store"


def test_pages_bring_no_script_or_style_of_their_own(site: Site) -> None:
    for path in ("/", "/jobs", "/dead", "/metrics"):
        html = site.get(path)
        assert " style=" not in html
        assert "<style" not in html
        assert re.findall(r"<[^>]*\son\w+=", html) == []
        assert html.count("<script") == html.count('<script type="module" src="/static/turnspit.js') == 1
        assert "http://" not in html.replace("http://www.w3.org", "")


def test_below_another_app_every_link_stays_there(shop: TestStore) -> None:
    dashboard = shop.app.dashboard(authorize=lambda request, action: True)
    job = shop.app.tasks["send"].enqueue(to="ada")
    with TestClient(Starlette(routes=[Mount("/ops/jobs", dashboard)]), base_url=ORIGIN) as client:
        answer = client.get("/ops/jobs/jobs", headers={"Accept": "text/html"})
        assert f"/ops/jobs/jobs/{job.id}" in answer.text
        links = [part.partition('"')[0] for part in answer.text.replace("action=", "href=").split('href="')[1:]]
        assert [link for link in links if link.startswith("/") and not link.startswith("/ops/jobs/")] == []
        assert client.get("/ops/jobs/static/turnspit.css").status_code == 200
        answer = client.post(f"/ops/jobs/jobs/{job.id}/cancel", data={"back": "/jobs"}, headers={"Origin": ORIGIN})
        assert answer.url.path == "/ops/jobs/jobs"
        assert f"job {job.id} cancelled" in text_of(answer.text)


def test_the_audit_says_who(shop: TestStore, caplog: pytest.LogCaptureFixture) -> None:
    job = shop.app.tasks["send"].enqueue(to="ada")
    options = {"authorize": lambda *_: True, "identify": lambda request: request.headers["x-user"]}
    with person(shop, ORIGIN, **options) as client, caplog.at_level(logging.INFO, "turnspit.audit"):
        client.post(f"/jobs/{job.id}/cancel", headers={"Origin": ORIGIN, "X-User": "ada lovelace"})
    assert f"action=cancel who='ada lovelace' from=testclient job={job.id}" in caplog.text


def test_a_body_has_an_end(site: Site) -> None:
    answer = site.client.post("/jobs/chosen", content=b"x" * 3_000_000, headers={"Origin": ORIGIN})
    assert answer.status_code == 413
    answer = site.client.post("/jobs/chosen", content=b"\xff\xfe", headers={"Origin": ORIGIN})
    assert answer.status_code == 400


def test_what_was_done_is_told_whatever_the_function_that_names_people_raises(
    shop: TestStore, caplog: pytest.LogCaptureFixture
) -> None:
    """The change was made by then: an error would say that it was not."""
    job = shop.app.tasks["send"].enqueue(to="ada")
    options = {"authorize": lambda *_: True, "identify": lambda request: request.headers["x-user"]}
    with caplog.at_level(logging.INFO, "turnspit.audit"), person(shop, ORIGIN, **options) as client:
        answer = client.post(f"/jobs/{job.id}/cancel", headers={"Origin": ORIGIN})
        assert answer.status_code == 303
    assert job.refresh().state == "cancelled"
    assert f"action=cancel who=unknown from=testclient job={job.id}" in caplog.text
