"""Something is replayed while the pruner removes it: whoever commits first, nothing that lives is removed."""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.behaviour.support import DEADLINE, wait_until
from tests.contract.store import Store
from tests.contract.workflows import Flow, node
from tests.on_postgres.test_workflow_races import waits_for_a_lock
from tests.postgres import server_url
from turnspit.jobs import JobFilter
from turnspit.records import PruneRequest
from turnspit.states import JobState


@pytest.fixture
def replaying(store_url: str, store: Store) -> Iterator[psycopg.Connection[Any]]:
    """Another process, in the middle of its transaction."""
    for _ in range(5):  # it makes the partitions of these days first, one a call, and waits for other locks then
        store.engine.write(store.engine.prune_jobs, PruneRequest(None, None))
    with psycopg.connect(server_url(store_url)) as connection:
        yield connection


def prune_meanwhile(connection: psycopg.Connection[Any], url: str, verb: Any, *args: Any) -> None:
    """The pruner looks before that transaction has committed, and removes after it."""
    pruner = threading.Thread(target=verb, args=args, daemon=True)
    pruner.start()
    wait_until(lambda: waits_for_a_lock(connection, url) or not pruner.is_alive(), "it waits, or is done")
    connection.commit()
    pruner.join(DEADLINE)


def test_a_dead_letter(store: Store, store_url: str, replaying: psycopg.Connection[Any]) -> None:
    job, engine = store.kill(), store.engine
    store.clock.advance(1)
    assert engine.write_in(replaying, engine.replay_jobs, JobFilter(id=job), 0, 1) == [(job, JobState.READY)]
    prune_meanwhile(replaying, store_url, engine.write, engine.prune_jobs, PruneRequest(None, 0))
    assert store.claim_one().id == job


def test_a_completed_job(store: Store, store_url: str, replaying: psycopg.Connection[Any]) -> None:
    job, engine = store.insert(), store.engine
    store.end(store.claim_one())
    store.complete(store.claim_one())
    store.clock.advance(1)
    assert engine.write_in(replaying, engine.replay_jobs, JobFilter(id=job), 0, 1) == [(job, JobState.READY)]
    prune_meanwhile(replaying, store_url, engine.write, engine.prune_jobs, PruneRequest(0, None))
    assert (store.state(job), store.outcomes(job)) == (JobState.READY, ["failed", "completed"])


def test_a_workflow(store: Store, store_url: str, replaying: psycopg.Connection[Any]) -> None:
    flow, engine = Flow(store, node(), node(-1)), store.engine
    flow.run(0, 1)
    store.clock.advance(1)
    engine.write_in(replaying, engine.replay_workflow, flow.id, 0, 10, whole=True)
    engine.write_in(replaying, engine.seal_workflow, flow.id)
    prune_meanwhile(replaying, store_url, engine.write, engine.prune_workflows, 0, 10)
    assert flow.states() == "rb"
    flow.run(0, 1)
    assert flow.counts == (2, 0, 2, 0, 0)
