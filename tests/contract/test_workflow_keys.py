"""Which workflow holds an idempotency key."""

from tests.contract.store import SECOND, Store
from tests.contract.workflows import Flow, node
from turnspit.records import FoundWorkflow

DAY = 86_400


def find(store: Store, key: str = "order 7", name: str = "fulfil", jobs: tuple[str, ...] = ()) -> int | None:
    found = store.engine.write(store.engine.find_workflow, name, key, jobs)
    return None if found is None else found.id


def test_nobody_holds_a_key_that_was_not_used(store: Store) -> None:
    Flow(store, node())
    Flow(store, node(), idempotency_key="order 8")
    assert find(store) is None


def test_a_workflow_holds_its_key_among_those_of_its_name(store: Store) -> None:
    flow = Flow(store, node(name="charge"), node(-1), node(-2, name="ship"), idempotency_key="order 7")
    assert flow.record.idempotency_key == "order 7"
    assert find(store, name="return") is None
    found = store.engine.write(store.engine.find_workflow, "fulfil", "order 7", ["charge", "ship", "call"])
    assert found == FoundWorkflow(flow.id, {"charge": flow.jobs[0], "ship": flow.jobs[2]})


def test_it_holds_it_for_a_day_after_it_was_stored(store: Store) -> None:
    flow = Flow(store, node(), idempotency_key="order 7")
    flow.run(0)
    store.clock.advance(DAY - 1)
    assert find(store) == flow.id
    store.clock.advance(1)
    assert find(store) is None


def test_and_for_as_long_as_it_has_not_ended(store: Store) -> None:
    flow = Flow(store, node(), idempotency_key="order 7")
    store.clock.advance(2 * DAY)
    assert find(store) == flow.id
    flow.run(0)
    assert find(store) is None


def test_one_that_is_forgotten_holds_nothing(store: Store) -> None:
    flow = Flow(store, node(), idempotency_key="order 7")
    flow.run(0)
    store.clock.advance(10)
    store.engine.write(store.engine.prune_workflows, SECOND, 10)
    assert find(store) is None


def test_a_later_one_holds_a_key_that_was_free_again(store: Store) -> None:
    first = Flow(store, node(), idempotency_key="order 7")
    first.kill(0)
    store.clock.advance(DAY)
    second = Flow(store, node(), idempotency_key="order 7")
    assert find(store) == second.id
    first.replay()
    assert find(store) == second.id
