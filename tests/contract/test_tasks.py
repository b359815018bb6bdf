"""Tasks as the store knows them: by the jobs that name them."""

from tests.contract.store import SECOND, Store
from turnspit.records import TaskStats


def tasks(store: Store) -> list[TaskStats]:
    return store.engine.read(store.engine.list_tasks)


def test_a_store_without_jobs_knows_no_task(store: Store) -> None:
    assert tasks(store) == []


def test_the_jobs_of_each_task_are_counted_by_state(store: Store) -> None:
    store.insert("report")
    store.claim(1)  # nobody knows it: held
    store.claim_one(job=store.insert("send"))
    store.complete(store.claim_one(job=store.insert("send")))
    store.kill(store.insert("send"))
    store.insert("send", delay=60)
    store.insert("print", delay=60)
    assert tasks(store) == [
        TaskStats("print", ready=0, scheduled=1, held=0, running=0, dead=0, oldest_ready_at=None),
        TaskStats("report", ready=0, scheduled=0, held=1, running=0, dead=0, oldest_ready_at=None),
        TaskStats("send", ready=0, scheduled=1, held=0, running=1, dead=1, oldest_ready_at=None),
    ]


def test_the_oldest_ready_job_is_the_one_that_was_due_first(store: Store) -> None:
    store.insert("send")
    began = store.clock.moment
    store.clock.advance(5)
    store.insert("send")
    assert tasks(store) == [TaskStats("send", 2, 0, 0, 0, 0, oldest_ready_at=began)]
    store.claim(1)
    assert tasks(store) == [TaskStats("send", 1, 0, 0, 1, 0, oldest_ready_at=began + 5 * SECOND)]
