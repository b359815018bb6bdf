"""What the verbs of workflows are given, where the server goes away in the middle of them."""

from collections.abc import Callable
from typing import Any

from tests.contract.store import SECOND, Store
from tests.contract.workflows import Flow, node
from turnspit.records import Completion, NewJob, NewWorkflow
from turnspit.records import NewWorkflowJob as New

WORKFLOWS = ("workflows", "workflow_jobs", "workflow_edges", "workflow_ends")


def fan_in(store: Store) -> list[Completion]:
    """The ends of all that a job waits for."""
    flow = Flow(store, node(), node(), node(-1, -2, results={"value": ["result", -1, []]}))
    return [Completion(claim.id, claim.fence, "1") for claim in (flow.claim(0), flow.claim(1))]


def extended(store: Store) -> tuple[Any, ...]:
    flow = Flow(store, node(), node(-1), is_sealed=False)
    return flow.id, [node(flow.jobs[0], name="more", before=[flow.jobs[1]]), New(NewJob("send", "default", "{}"))]


def failed(store: Store) -> Flow:
    """One job dead, one cancelled with it, one that completed."""
    flow = Flow(store, node(), node(-1), node())
    flow.run(2)
    flow.kill(0)
    return flow


def late(store: Store) -> tuple[Any, ...]:
    """A workflow over its deadline, and one that is not sealed for too long."""
    Flow(store, node(), node(-1), deadline=SECOND)
    Flow(store, node(), is_sealed=False)
    store.clock.advance(86_400)
    return (10,)


def old(store: Store) -> tuple[Any, ...]:
    Flow(store, node(), node(-1)).run(0, 1)
    store.clock.advance(10)
    return SECOND, 10


def run_through(store: Store) -> Flow:
    """One that has ended, with a named job and an edge."""
    flow = Flow(store, node(name="first"), node(-1))
    flow.run(0, 1)
    return flow


def keyed(store: Store) -> tuple[Any, ...]:
    Flow(store, node(name="first"), idempotency_key="order 7")
    return "fulfil", "order 7", ["first"]


def standing(store: Store) -> tuple[Any, ...]:
    """One of which all that is left waits for a dead letter."""
    Flow(store, node(), node(-1, on_failure="wait")).kill(0)
    return (10,)


CASES: dict[str, Callable[[Store], tuple[Any, ...]]] = {
    "find_workflow": keyed,
    "insert_workflow": lambda store: (NewWorkflow("flow", (("on_success", NewJob("send", "default", "{}")),), SECOND),),
    "extend_workflow": extended,
    "seal_workflow": lambda store: (Flow(store, node(), node(-1), is_sealed=False).id,),
    "cancel_workflow": lambda store: (Flow(store, node(), node(-1)).id, "no more", 10),
    "replay_workflow": lambda store: (failed(store).id, 0, 10),
    "replay_workflow, whole": lambda store: (failed(store).id, 0, 10),
    "tend_workflows": late,
    "prune_workflows": old,
}
LOOKS: dict[str, Callable[[Store], tuple[Any, ...]]] = {
    "get_workflow": lambda store: (run_through(store).id,),
    "list_workflows": lambda store: (None, True, 10, None) if run_through(store) else (),
    "list_workflow_jobs": lambda store: (run_through(store).id, 10, 0),
    "list_workflow_edges": lambda store: (run_through(store).jobs,),
    "list_workflow_results": lambda store: (run_through(store).id,),
    "find_standing_workflows": standing,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "insert_workflow": {"is_sealed": True},
    "replay_workflow": {"whole": False},
    "replay_workflow, whole": {"whole": True},
}
"""What they take by name."""
