"""What is redacted is nowhere: not in what is shown of a job, not in texts that quote it, not in a search."""

from html import unescape
from typing import Any

import pytest

from tests.web.conftest import ORIGIN, text_of
from tests.web.test_access import person
from turnspit import JobContext, Retry, Turnspit, Unique
from turnspit.job_waiting import is_in_loop
from turnspit.testing import TestStore
from turnspit.web.models import writing
from turnspit.web.reading.jobs import PREVIEW
from turnspit.web.redaction import ELSEWHERE, Redaction

SECRET = "tr0ub4dor"
PIN = 735_119


def test_what_is_redacted_is_nowhere(shop: TestStore) -> None:
    @shop.app.task(name="login")
    def login(user: str, nested: dict[str, Any]) -> dict[str, str]:
        return {"session_token": "s3cret-result"}

    @shop.app.task(name="medical")
    def medical(diagnosis: str) -> str:
        return "s3cret-diagnosis"

    jobs = [
        login.using(metadata={"api_key": "s3cret-meta"}).enqueue(user="ada", nested={"a": [{"Password": "s3cret"}]}),
        medical.enqueue(diagnosis="s3cret"),
    ]
    shop.drain()
    with person(shop, ORIGIN, only_loopback=True, redact_tasks=["medical"]) as client:
        for path in ("/jobs", *(f"/jobs/{job.id}" for job in jobs), *(f"/jobs/{job.id}/duplicate" for job in jobs)):
            html = client.get(path).text
            assert "s3cret" not in html, path
            assert "[hidden]" in html
        for search in (
            "args.password=x",
            "task:medical args.diagnosis=flu",
            "args.diagnosis=flu",
            "task:medical key:x",
        ):
            answer = client.get("/jobs", params={"q": search})
            assert answer.status_code == 400
            assert "redacted" in answer.text


def test_a_list_has_the_beginning_of_long_arguments(shop: TestStore) -> None:
    """What is hidden may come behind: then no text of the job is shown that could quote it."""

    @shop.app.task(name="login", retry=Retry(attempts=1), unique=Unique())
    def login(user: str, body: str, password: str) -> None:
        raise PermissionError(f"{password} is wrong")

    job = login.enqueue(user="ada", body="x" * PREVIEW, password=SECRET)
    shop.drain()
    pages = ("/jobs", "/dead", "/jobs/bulk?verb=replay&q=state:dead", "/api/dead")
    with person(shop, ORIGIN, only_loopback=True) as client:
        for path in pages:
            page = client.get(path).text
            assert SECRET not in page, path
            assert ELSEWHERE in unescape(page), path
        assert "[hidden] is wrong" in client.get(f"/jobs/{job.id}").text
        [whole] = client.get("/api/jobs").json()["jobs"]
    assert (whole["is_cut"], len(whole["args"]["body"]), whole["reason"]) == (False, PREVIEW, "[hidden] is wrong")
    with person(shop, ORIGIN, only_loopback=True, redact=[]) as client:
        assert f"{SECRET} is wrong" in text_of(client.get("/jobs").text), "where nothing is hidden"


def test_long_arguments_do_not_hold_up_the_event_loop(shop: TestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read, on_the_loop = Redaction.of, set[bool]()
    monkeypatch.setattr(Redaction, "of", lambda *given: (on_the_loop.add(is_in_loop()), read(*given))[1])
    write, writes_on_the_loop = writing.to_json, set[bool]()

    def note_writer(*given: Any, **options: Any) -> bytes:
        writes_on_the_loop.add(is_in_loop())
        return write(*given, **options)

    monkeypatch.setattr(writing, "to_json", note_writer)

    @shop.app.task
    def greet(name: str) -> None: ...

    job = greet.enqueue(name="ada")
    with person(shop, ORIGIN, only_loopback=True) as client:
        for path in ("/jobs", f"/jobs/{job.id}", "/api/jobs"):
            on_the_loop.clear()
            client.get(path)
            assert on_the_loop == {False}, path
        client.get(f"/api/jobs/{job.id}")
    assert writes_on_the_loop == {False}, "JSON, too"


def test_a_value_of_which_nothing_is_hidden_is_not_copied() -> None:
    redaction = Redaction(["*password*"], [])
    value = {"rows": [{"id": 1, "names": ["ada"]}, {}], "n": None}
    assert redaction.of("send", value) is value
    value["rows"][0]["password"] = "x"  # type: ignore[index]
    shown = redaction.of("send", value)
    assert shown == {"rows": [{"id": 1, "names": ["ada"], "password": "[hidden]"}, {}], "n": None}
    assert value["rows"][0]["password"] == "x"  # type: ignore[index]


def quoting(app: Turnspit, name: str, queue: str) -> Any:
    """A task whose errors, log lines and progress quote what it was given."""

    @app.task(name=name, queue=queue, retry=Retry(attempts=2, delay=0))
    def quote(job: JobContext, password: str, pins: dict[str, list[int]]) -> None:
        job.log(f"signing in with {password}")
        job.progress(0.5, f"as {password!r}")
        try:
            raise ValueError(f"{password!r} is wrong")
        except ValueError as error:
            raise PermissionError(f"pin {pins['pin'][0]} of {password} was refused") from error

    return quote


@pytest.mark.parametrize("task", ["by_field", "whole"])
def test_texts_do_not_tell_what_is_redacted(shop: TestStore, task: str) -> None:
    app = shop.app
    quote = quoting(app, task, "default")
    job = quote.enqueue(password=SECRET, pins={"pin": [PIN]})
    shop.drain()
    with app.workflow("sign in") as flow:
        flow.add(quote.new(password=SECRET + "'2", pins={"pin": [PIN]}), name="first")
    shop.drain()
    assert SECRET in str(app.jobs.get(job.id).reason), "the store has it"
    pages = [
        "/",
        "/jobs",
        f"/jobs/{job.id}",
        f"/jobs/{job.id}/duplicate",
        "/dead",
        "/jobs/bulk?verb=replay&q=state:dead",
    ]
    pages += [f"/workflows/{flow.id}", f"/live?once&page=/jobs/{job.id}", "/workers"]
    pages += ["/api/jobs", f"/api/jobs/{job.id}", "/api/dead", "/api/overview", f"/api/workflows/{flow.id}"]
    with person(shop, ORIGIN, only_loopback=True, redact_tasks=["whole"]) as client:
        found = {path: client.get(path, headers={"Accept": "*/*"}).text for path in pages}
        details = client.get(f"/api/jobs/{job.id}").json()
    for path, text in found.items():
        assert SECRET not in text, path
        assert str(PIN) not in text, path
    said = "pin [hidden] of [hidden] was refused" if task == "by_field" else "[hidden]"
    assert said in found["/dead"]
    assert (details["reason"], details["error_type"]) == (said, "PermissionError")
    assert [attempt["error_message"] for attempt in details["attempts"]] == [said, said]
    assert {line["message"] for line in details["logs"]} == {
        "signing in with [hidden]" if task == "by_field" else "[hidden]"
    }
    assert "PermissionError" in found[f"/jobs/{job.id}"]


def test_a_copy_that_is_refused_does_not_tell_its_key(shop: TestStore) -> None:
    @shop.app.task(unique=Unique(key=["password"], on_conflict="raise"))
    def sign_in(password: str) -> None: ...

    job = sign_in.using(delay=60).enqueue(password=SECRET)
    with person(shop, ORIGIN, only_loopback=True) as client:
        form = {"args": '{"password": "[hidden]"}', "queue": "", "delay": "60", "tags": "", "priority": ""}
        answer = client.post(f"/jobs/{job.id}/duplicate", data=form, headers={"Origin": ORIGIN, "Accept": "text/html"})
        assert answer.status_code == 422
        assert "holds the unique key" in answer.text
        assert SECRET not in answer.text
        assert client.get(f"/api/jobs/{job.id}").json()["unique_key"] == "[hidden]"


@pytest.mark.parametrize("key", ["password", "new_password"])
def test_a_hidden_value_without_an_original_is_not_stored_as_text(shop: TestStore, key: str) -> None:
    """Somebody removed an entry of a list, or gave a field another name: which value was meant?"""

    @shop.app.task
    def invite(users: list[dict[str, str]]) -> None: ...

    job = invite.enqueue(users=[{"name": "ada", "password": SECRET}, {"name": "bob", "password": "hunter22"}])
    with person(shop, ORIGIN, only_loopback=True) as client:
        args = f'{{"users": [{{"name": "bob", "{key}": "[hidden]"}}]}}'
        form = {"args": args, "queue": "", "delay": "", "tags": "", "priority": ""}
        answer = client.post(f"/jobs/{job.id}/duplicate", data=form, headers={"Origin": ORIGIN, "Accept": "text/html"})
        assert answer.status_code == 422
        assert "type the value itself" in answer.text
    assert shop.app.jobs.count() == 1


def test_a_search_for_a_field_inside_an_argument_is_refused(shop: TestStore) -> None:
    with person(shop, ORIGIN, only_loopback=True) as client:
        for value, status in (('{"pin": [735119]}', 422), ('{"width": 3}', 200)):
            answer = client.get("/api/jobs", params={"args": f'{{"nested": {value}}}'})
            assert answer.status_code == status, answer.text


def test_hidden_values_are_looked_for_only_where_there_is_a_text() -> None:
    """A newsletter's job may have thousands of device tokens, and a list has fifty jobs."""
    looked: list[str] = []

    class Arguments(dict[str, Any]):
        def items(self) -> Any:
            looked.append("looked")
            return super().items()

    tokens = [f"token{number}" for number in range(20_000)]
    texts = Redaction(["*token*"], []).texts("push", Arguments(device_tokens=tokens))
    assert (texts(None), texts(""), texts.key(None), looked) == (None, "", None, [])
    assert texts("token19999 and token1 of token") == "[hidden] and [hidden] of token"
    assert texts("nothing") == "nothing"
    assert looked == ["looked"]


def test_a_short_hidden_value_is_not_told_by_a_unique_key() -> None:
    texts = Redaction(["cvc", "password"], []).texts("pay", {"cvc": "735", "password": ""})
    assert texts.key('["735"]') == "[hidden]"
    assert texts("735 m") == "735 m"
    assert Redaction(["password"], []).texts("pay", {"password": ""}).key('["7"]') == '["7"]'
