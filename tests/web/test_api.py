"""The JSON API: the same as the screens, for programs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic_core import core_schema, to_json

from tests.web.conftest import ORIGIN, Site, TestClient
from turnspit import Cron, EngineUnavailable, JobState
from turnspit.records import JobRecord
from turnspit.testing import TestStore
from turnspit.web import make_dashboard
from turnspit.web.models import Count, DeadGroupDocument, DeadGroups
from turnspit.web.models.answers import Done
from turnspit.web.models.writing import write_json
from turnspit.web.reading import jobs
from turnspit.web.reading.jobs import JobReader

TOKEN = "a-token-that-nobody-guesses"


class Api:
    """A program."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def __call__(self, method: str, path: str, status: int = 200, body: Any = None, **query: Any) -> Any:
        answer = self.client.request(method, f"/api{path}", json=body, params=query)
        assert answer.status_code == status, (path, answer.status_code, answer.text)
        kind = "application/json" if status < 400 else "application/problem+json"
        assert answer.headers["content-type"] == kind
        return answer.json()


@pytest.fixture
def api(site: Site) -> Api:
    return Api(site.client)


def test_another_language_enqueues(api: Api, shop: TestStore) -> None:
    answer = api("POST", "/jobs", 201, {"task": "send", "args": {"to": "ada"}, "priority": 3, "tags": ["a"]})
    job = shop.app.jobs.get(answer["job"]["id"])
    assert (job.args, job.priority, job.tags, job.queue, answer["created"]) == ({"to": "ada"}, 3, ("a",), "email", True)
    shop.drain()
    found = api("GET", f"/jobs/{job.id}")
    assert (found["state"], found["result"], found["has_result"]) == ("completed", "sent to ada", True)
    assert found["attempts"][0]["outcome"] == "completed"


def test_a_task_that_only_workers_know_is_enqueued(api: Api) -> None:
    answer = api("POST", "/jobs", 201, {"task": "of another service", "args": {"to": "ada"}})
    assert (answer["created"], answer["job"]["task"]) == (True, "of another service")


@pytest.mark.parametrize("task", ["send", "of another service"])
def test_a_store_that_is_away_after_a_change_does_not_hide_it(
    api: Api, shop: TestStore, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    """A program that is told that nothing was stored stores it once more."""

    async def away(*args: Any) -> Any:
        raise EngineUnavailable("store: the call was not carried out")

    with monkeypatch.context() as patched:
        patched.setattr(shop.app.engine, "aread", away)
        problem = api("POST", "/jobs", 503, {"task": task, "args": {"to": "ada"}})
        [job] = shop.app.jobs.list()
        assert problem["detail"].startswith(f"job {job.id} was stored, but cannot be shown: store")
        problem = api("PATCH", f"/jobs/{job.id}", 503, {"priority": 7})
        assert problem["detail"].startswith(f"job {job.id} was changed, but")
    assert job.refresh().priority == 7


def test_a_request_that_is_repeated_stores_one_job(api: Api, shop: TestStore) -> None:
    body = {"task": "send", "args": {"to": "ada"}, "idempotency_key": "order-7"}
    first, second = api("POST", "/jobs", 201, body), api("POST", "/jobs", 201, body)
    assert (first["created"], second["created"]) == (True, False)
    assert first["job"]["id"] == second["job"]["id"]
    api("POST", "/jobs", 201, {"task": "send", "args": {"to": "bob"}})
    found = api("GET", "/jobs", task="send", idempotency_key="order-7")
    assert [job["id"] for job in found["jobs"]] == [first["job"]["id"]]
    assert "name the task too" in api("GET", "/jobs", 422, idempotency_key="order-7")["detail"]


@pytest.mark.parametrize(
    ("body", "status", "why"),
    [
        ({"task": "send", "args": {}}, 422, "to: Field required"),
        ({"task": "send", "args": {"to": 7}}, 422, "to: Input should be a valid string"),
        ({"task": "send", "args": {"to": "a"}, "color": "red"}, 422, "color: Extra inputs"),
        ({"args": {}}, 422, "task: Field required"),
        ({"task": "send", "args": {"to": "a"}, "delay": 5, "at": "2030-01-01T00:00:00Z"}, 422, "not both"),
        ({"task": "send", "args": {"to": "a\0"}, "queue": "a\0"}, 422, "without NUL"),
    ],
)
def test_what_does_not_fit_is_refused_and_named(api: Api, shop: TestStore, body: Any, status: int, why: str) -> None:
    problem = api("POST", "/jobs", status, body)
    assert why in problem["detail"]
    assert (problem["status"], shop.app.jobs.count()) == (status, 0)


def test_bodies_that_are_no_json(api: Api) -> None:
    for content, kind, status in (
        (b"{", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b"\xff", "application/json", 400),
    ):
        answer = api.client.post("/api/jobs", content=content, headers={"Content-Type": kind})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


def test_every_change_of_a_job(api: Api, shop: TestStore) -> None:
    job = shop.app.tasks["send"].using(delay=3600).enqueue(to="ada").id
    assert api("PATCH", f"/jobs/{job}", body={"priority": 9})["priority"] == 9
    assert "something to change" in api("PATCH", f"/jobs/{job}", 422, {})["detail"]
    assert api("POST", f"/jobs/{job}/run")["state"] == "ready"
    assert api("POST", f"/jobs/{job}/cancel", body={"reason": "no more"})["reason"] == "no more"
    assert "cannot be cancelled" in api("POST", f"/jobs/{job}/cancel", 409, {})["detail"]
    assert api("POST", f"/jobs/{job}/replay")["state"] == "ready"
    assert api("DELETE", f"/jobs/{job}") == {"done": True}
    assert api("GET", f"/jobs/{job}", 404)["detail"].startswith(f"there is no job {job}")


def test_jobs_are_found_page_by_page(api: Api, shop: TestStore) -> None:
    ids = shop.app.enqueue_many(shop.app.tasks["send"].new(to="ada", order_id=number) for number in range(5))
    first = api("GET", "/jobs", limit=2, task="send")
    second = api("GET", "/jobs", limit=2, task="send", before=first["next"])
    assert [job["id"] for job in first["jobs"] + second["jobs"]] == ids[:0:-1]
    [one] = api("GET", "/jobs", args='{"order_id": 3}')["jobs"]
    assert one["id"] == ids[3]
    assert api("GET", "/jobs/count", state="ready") == {"count": 5, "at_least": False}
    assert api("GET", "/jobs/count", state="retrying") == {"count": 0, "at_least": False}
    assert "redacted" in api("GET", "/jobs", 422, args='{"password": "x"}')["detail"]
    assert "JSON object" in api("GET", "/jobs", 422, args="[1]")["detail"]
    assert "state: Input should be" in api("GET", "/jobs", 422, state="red")["detail"]


def test_the_job_of_a_key_is_changed(api: Api, shop: TestStore) -> None:
    for order in ("order 7", "order 8"):
        api("POST", "/jobs", 201, {"task": "send", "args": {"to": "ada"}, "idempotency_key": order})
    change = api("POST", "/bulk", 202, {"verb": "cancel", "task": "send", "idempotency_key": "order 7"})
    assert change["search"] == "task:send 'key:order 7'"
    while (found := api("GET", "/bulk")[0])["state"] == "running":
        pass
    assert (found["changed"], [job.state for job in shop.app.jobs.list()]) == (1, ["ready", "cancelled"])


def test_many_are_changed_in_the_background(api: Api, shop: TestStore) -> None:
    shop.app.enqueue_many(shop.app.tasks["send"].new(to=str(number)) for number in range(600))
    change = api("POST", "/bulk", 202, {"verb": "cancel", "task": "send"})
    assert (change["expected"], change["search"]) == ({"count": 600, "at_least": False}, "task:send")
    while (found := api("GET", "/bulk")[0])["state"] == "running":
        pass
    assert (found["state"], found["changed"]) == ("done", 600)
    assert api("POST", f"/bulk/{change['id']}/stop")["state"] == "done"
    assert "every job" in api("POST", "/bulk", 422, {"verb": "cancel"})["detail"]
    api("POST", "/bulk/77/stop", 404)


def test_pauses_schedules_and_limits(api: Api, shop: TestStore) -> None:
    shop.app.schedules.create("digest", shop.app.tasks["send"], Cron("0 8 * * *", args={"to": "ada"}))
    api("POST", "/pauses", body={"kind": "queue", "name": "email"})
    assert [(each["kind"], each["name"]) for each in api("GET", "/pauses")] == [("queue", "email")]
    api("POST", "/pauses/resume", body={"kind": "queue", "name": "email"})
    assert api("GET", "/pauses") == []
    api("POST", "/schedules/pause", body={"name": "digest"})
    assert api("GET", "/schedules")[0]["is_paused"] is True
    api("POST", "/schedules/resume", body={"name": "digest"})
    job = api("POST", "/schedules/run", body={"name": "digest"})["job"]
    assert shop.app.jobs.get(job).task == "send"
    api("POST", "/schedules/run", 404, {"name": "none"})
    assert "declares no" in api("POST", "/limits", 422, {"name": "send", "allowed": 3})["detail"]


def test_the_figures_of_the_screens(api: Api, shop: TestStore) -> None:
    shop.app.tasks["send"].enqueue(to="ada")
    shop.advance(timedelta(seconds=90))
    assert api("GET", "/overview")["attention"][0]["title"].startswith("No worker is running")
    [scale] = api("GET", "/scale")
    assert (scale["queue"], scale["ready"]["count"], scale["oldest_seconds"]) == ("email", 1, 90.0)
    assert scale["latency_seconds"] == 90.0
    assert api("GET", "/metrics", minutes="360", queue="email")["span"] == 360
    [task] = api("GET", "/tasks")
    assert (task["name"], task["args_schema"]["required"]) == ("send", ["to"])
    assert api("GET", "/dead") == {"groups": [], "count": {"count": 0, "at_least": False}, "all_groups": 0}
    assert api("GET", "/workers") == []


def test_what_is_not_there(api: Api) -> None:
    assert "openapi.json" in api("GET", "/nothing", 404)["detail"]
    api("DELETE", "/overview", 405)
    api("GET", "/jobs/0", 404)
    api("GET", f"/jobs/{2**63}", 404)


def test_without_the_token_there_is_nothing(shop: TestStore) -> None:
    with TestClient(make_dashboard(shop.app, token=TOKEN), base_url=ORIGIN) as client:
        for path in ("/api/overview", "/api/openapi.json", "/api/nothing"):
            answer = client.get(path)
            assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")
        own = {"Authorization": f"Bearer {TOKEN}"}
        assert client.get("/api/overview", headers=own).status_code == 200
        document = client.get("/api/openapi.json", headers=own).json()
        assert document["security"] == [{"token": []}]


def test_reading_is_all_that_a_reader_may(shop: TestStore) -> None:
    dashboard = make_dashboard(shop.app, authorize=lambda request, action: action == "read")
    with TestClient(dashboard, base_url=ORIGIN) as client:
        document = client.get("/api/openapi.json").json()
        bodies = {
            "enqueue_job": {"task": "send", "args": {"to": "a"}},
            "start_bulk_change": {"verb": "cancel", "task": "send"},
            "pause": {"kind": "queue", "name": "x"},
            "resume": {"kind": "queue", "name": "x"},
            "set_limit": {"name": "x", "allowed": 1},
            "reset_limit": {"name": "x"},
        }
        checked = 0
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if method != "get" and operation["operationId"] != "stop_bulk_change":
                    body = bodies.get(operation["operationId"], {"name": "x"} if "/schedules" in path else {})
                    answer = client.request(method, "/api" + path.replace("{id}", "1"), json=body)
                    assert (answer.status_code, "you may not" in answer.text) == (403, True), (
                        method,
                        path,
                        answer.text,
                    )
                    checked += 1
        assert checked == 18


def test_a_page_ends_early_where_it_would_carry_too_much(
    api: Api, shop: TestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`next` leads to the rest. A job that is too much by itself has a page of its own."""
    monkeypatch.setattr(jobs, "PREVIEW", 100)
    monkeypatch.setattr(jobs, "CARRIED", 1000)
    sizes = [10, 300, 300, 300, 300, 2000, 10, 10]
    shop.app.enqueue_many(shop.app.tasks["send"].new(to="x" * size) for size in sizes)
    pages, before = list[list[int]](), {}
    while True:
        page = api("GET", "/jobs", limit=4, **before)
        assert not any(job["is_cut"] for job in page["jobs"]), "arguments are whole, however long they are"
        pages.append([len(job["args"]["to"]) for job in page["jobs"]])
        assert not page["is_partial"]
        if page["next"] is None:
            break
        before = {"before": page["next"]}
    assert pages == [[10, 10], [2000], [300, 300, 300], [300, 10]]


def test_a_job_that_is_deleted_while_its_page_is_read_is_left_out(
    api: Api, shop: TestStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "PREVIEW", 100)
    shop.app.enqueue_many(shop.app.tasks["send"].new(to="x" * 300) for _ in range(3))
    read = JobReader._whole

    async def delete_first(self: JobReader, record: JobRecord) -> Any:
        if record.id == 2:
            await shop.app.jobs.adelete(2)
        return await read(self, record)

    monkeypatch.setattr(JobReader, "_whole", delete_first)
    page = api("GET", "/jobs", limit=3)
    assert [job["id"] for job in page["jobs"]] == [3, 1]


def test_what_is_written_in_pieces_is_what_pydantic_writes() -> None:
    now = datetime(2030, 1, 2, 3, 4, 5, 678, UTC)
    group = DeadGroupDocument(
        fingerprint="f", task="tâche \n\"", error_type="E", message="", count=Count(count=7, at_least=True),
        newest_id=2**60, first_at=now, last_at=now,
    )  # fmt: skip
    for document in (DeadGroups(groups=[group, group], count=group.count, all_groups=2), [group], [], None, [Done()]):
        assert write_json(document) == to_json(document)
    assert write_json([{"a": float("nan")}, [1.5, {"b": [JobState.DEAD]}]]) == b'[{"a":null},[1.5,{"b":["dead"]}]]'


@pytest.fixture
def openapi(site: Site) -> Any:
    return site.client.get("/api/openapi.json").json()


def test_the_document_names_every_operation_once(openapi: Any) -> None:
    names = [each["operationId"] for methods in openapi["paths"].values() for each in methods.values()]
    assert len(names) == len(set(names)) == 36
    assert openapi["servers"] == [{"url": "/api"}]


def test_a_type_without_a_schema_hides_no_task(shop: TestStore, site: Site) -> None:
    class Place:
        @classmethod
        def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
            return core_schema.no_info_plain_validator_function(lambda value: value)

    @shop.app.task(name="visit")
    def visit(place: Place) -> None: ...

    schemas = {task["name"]: task["args_schema"] for task in site.client.get("/api/tasks").json()}
    assert schemas["visit"] == {"type": "object"}
    assert schemas["send"]["required"] == ["to"]


@pytest.mark.parametrize("number", ["9" * 5000, "9" * 19, "0", "-1", "\u0661", "x"])
def test_what_is_no_id_is_not_found(site: Site, number: str) -> None:
    assert site.client.get(f"/api/jobs/{number}").status_code == 404
    assert site.client.post(f"/jobs/{number}/replay", headers={"Origin": ORIGIN}).status_code == 404
    assert site.client.post(f"/jobs/{number}/duplicate", headers={"Origin": ORIGIN}).status_code == 404
