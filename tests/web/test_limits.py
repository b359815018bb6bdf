"""Limits that let nothing through now, on the screens and in the API."""

from datetime import timedelta
from typing import Any

import pytest

from tests.web.conftest import ORIGIN, Site, text_of
from tests.web.test_access import person
from turnspit import Concurrency, Queue, Rate, Turnspit
from turnspit.records import LimitedRequest, NewWorker
from turnspit.testing import TestStore, override

SECRET = "s3cret"


def begin(app: Turnspit) -> None:
    """What may begin, begins."""
    engine, tasks = app.engine, frozenset(app.tasks)
    worker = engine.write(engine.register_worker, NewWorker("web-1", 7, "0.1.0", None, tasks, 9, 60_000_000))
    engine.write(engine.claim_limited_jobs, LimitedRequest(worker, 9, tasks))


def test_full_keys_are_shown_with_when_there_is_room_again() -> None:
    app = Turnspit(queues=[Queue("partner", concurrency=1)])

    @app.task(rate=Rate(2, per=60, key="customer"))
    def call(customer: str) -> None: ...

    @app.task(queue="partner")
    def report() -> None: ...

    with override(app) as store:
        app.enqueue_many([*(call.new(customer="<ada>") for _ in range(3)), call.new(customer="bob")])
        app.enqueue_many(report.new() for _ in range(2))
        with person(store, ORIGIN, only_loopback=True) as client:
            site = Site(client)
            assert "lets none through" not in site.text("/queues")
            begin(app)
            store.advance(timedelta(seconds=15))
            text = site.text("/queues")
            assert 'call rate ["<ada>"] 2 2 in 1 min in 45 s' in text
            assert "queue partner concurrency 1 1 at a time when one ends" in text
            one = site.text("/queue?name=partner")
            assert "queue partner concurrency 1 1 at a time when one ends" in one
            assert "call rate" not in one
            first, second = client.get("/api/limits/full").json()
    assert (first["name"], first["kind"], first["key"], first["taken"]) == ("call", "rate", '["<ada>"]', 2)
    assert (second["name"], second["kind"], second["key"]) == ("queue partner", "concurrency", "")
    assert (second["per"], second["opens_at"]) == (None, None)


@pytest.mark.parametrize(
    ("key", "is_hidden"),
    [
        (["user"], False),
        (["user", "password"], True),
        (["user", "account"], True),
        (lambda user, password, account: user, True),
    ],
    ids=["a plain argument", "a hidden one", "one with a hidden field", "a function, who knows"],
)
def test_a_key_that_is_made_of_what_is_hidden_is_hidden(shop: TestStore, key: Any, is_hidden: bool) -> None:
    @shop.app.task(concurrency=Concurrency(1, key=key))
    def login(user: str, password: str, account: dict[str, str]) -> None: ...

    for _ in range(2):
        login.enqueue(user=SECRET if is_hidden else "ada", password=SECRET, account={"pin": SECRET})
    begin(shop.app)
    with person(shop, ORIGIN, only_loopback=True) as client:
        found = [text_of(client.get("/queues").text), client.get("/api/limits/full").text]
    assert [SECRET in each for each in found] == [False, False]
    assert ["[hidden]" in each for each in found] == [is_hidden, is_hidden]


@pytest.mark.parametrize(("hidden", "is_shown"), [((), True), (("login",), False)])
def test_the_key_of_a_task_that_is_hidden_whole(shop: TestStore, hidden: tuple[str, ...], is_shown: bool) -> None:
    @shop.app.task(name="login", concurrency=Concurrency(1, key="user"))
    def login(user: str) -> None: ...

    for _ in range(2):
        login.enqueue(user="ada-of-the-shop")
    begin(shop.app)
    with person(shop, ORIGIN, only_loopback=True, redact_tasks=hidden) as client:
        assert ("ada-of-the-shop" in client.get("/queues").text) is is_shown
