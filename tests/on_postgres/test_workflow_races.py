"""An edge that is added while its dependency finishes: whoever commits first, the dependant begins exactly once."""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.behaviour.support import DEADLINE, wait_until
from tests.contract.store import Store
from tests.contract.workflows import Flow, node
from tests.postgres import server_url
from turnspit.engines.postgres import writer
from turnspit.engines.verbs import workflows
from turnspit.errors import MoveNotAllowed
from turnspit.records import Completion
from turnspit.states import JobState


@pytest.fixture
def connection(store_url: str, store: Store) -> Iterator[psycopg.Connection[Any]]:
    """Another process, in the middle of its transaction."""
    store.engine.prepare()
    with psycopg.connect(server_url(store_url)) as connection:
        yield connection


def waits_for_a_lock(connection: psycopg.Connection[Any], url: str) -> bool:
    with psycopg.connect(server_url(url), autocommit=True) as watcher:
        [(waiting,)] = watcher.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        ).fetchall()
    return bool(waiting)


@pytest.mark.parametrize("first", ["the edge", "the end"])
def test_an_edge_added_while_its_dependency_finishes(
    store: Store, store_url: str, connection: psycopg.Connection[Any], first: str
) -> None:
    flow = Flow(store, node(), node())
    adder, dependency = flow.claim(0), flow.claim(1)
    engine = store.engine

    def extend(write: Any) -> list[int]:
        return write(engine.extend_workflow, None, [node(dependency.id)], by=(adder.id, adder.fence))

    def finish(write: Any) -> Any:
        return write(engine.finish_jobs, [Completion(dependency.id, dependency.fence, "1")])

    inside = lambda verb, *args, **options: engine.write_in(connection, verb, *args, **options)  # noqa: E731
    steps = [extend, finish] if first == "the edge" else [finish, extend]
    answers = [steps[0](inside)]
    other = threading.Thread(target=lambda: answers.append(steps[1](engine.write)), daemon=True)
    other.start()
    wait_until(lambda: waits_for_a_lock(connection, store_url) or not other.is_alive(), "the other waits")
    connection.commit()
    other.join(DEADLINE)
    [added] = next(answer for answer in answers if isinstance(answer, list))
    assert (store.state(added), store.state(dependency.id)) == (JobState.READY, JobState.COMPLETED)


def test_two_dependencies_that_finish_at_once_release_once(
    store: Store, store_url: str, connection: psycopg.Connection[Any]
) -> None:
    flow = Flow(store, node(), node(), node(-1, -2))
    claims = flow.claim(0), flow.claim(1)
    engine = store.engine
    finishes = [[Completion(claim.id, claim.fence, "1")] for claim in claims]
    engine.write_in(connection, engine.finish_jobs, finishes[0])
    other = threading.Thread(target=lambda: engine.write(engine.finish_jobs, finishes[1]), daemon=True)
    other.start()
    wait_until(lambda: waits_for_a_lock(connection, store_url) or not other.is_alive(), "the other waits")
    assert flow.states() == "**b"
    connection.commit()
    other.join(DEADLINE)
    assert (flow.states(), flow.counts) == ("ccr", (3, 1, 2, 0, 0))


def test_a_job_added_before_one_that_the_start_of_a_large_workflow_is_about_to_reach(
    store: Store, store_url: str, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflows, "_PORTION", 1)
    flow, engine = Flow(store, node(), node(), is_sealed=False), store.engine
    flow.seal()
    adder = flow.claim(0)
    [added] = engine.write_in(
        connection, engine.extend_workflow, None, [node(before=flow.jobs[1:])], by=(adder.id, adder.fence)
    )
    other = threading.Thread(target=flow.tend, daemon=True)
    other.start()
    wait_until(lambda: waits_for_a_lock(connection, store_url) or not other.is_alive(), "it waits, or is done")
    connection.commit()
    other.join(DEADLINE)
    assert flow.states() == "*b"
    store.complete(store.claim_one(job=added))
    assert flow.states() == "*r"


def test_two_jobs_that_close_a_circle_together(
    store: Store, store_url: str, connection: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_LOCK_TIMEOUT", 60_000)  # the other waits, and does not begin again
    flow, engine = Flow(store, node(), node(), node(-1), node(-2)), store.engine
    *adders, one, two = [flow.claim(0), flow.claim(1), *flow.jobs[2:]]
    first, second = [(claim.id, claim.fence) for claim in adders]
    engine.write_in(connection, engine.extend_workflow, None, [node(one, before=[two])], by=first)
    errors: list[Exception] = []

    def close() -> None:
        try:
            engine.write(engine.extend_workflow, None, [node(two, before=[one])], by=second)
        except MoveNotAllowed as error:
            errors.append(error)

    other = threading.Thread(target=close, daemon=True)
    other.start()
    wait_until(lambda: waits_for_a_lock(connection, store_url) or not other.is_alive(), "the other waits")
    connection.commit()
    other.join(DEADLINE)
    assert ["would close a circle" in str(error) for error in errors] == [True]
    store.complete(*adders)
    assert flow.states() == "ccrb"
