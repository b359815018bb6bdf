"""``extend_workflow``, where it is refused: nothing of it is stored."""

from tests.contract.store import Store
from tests.contract.workflows import Flow, node
from turnspit.contract.verbs import Verb
from turnspit.errors import MoveNotAllowed
from turnspit.records import Claim, NewWorkflowJob


def test_what_is_refused_leaves_nothing_to_commit(store: Store) -> None:
    """A caller may catch the error in a transaction of its own, and commit."""
    engine = store.engine
    flow, cancelled = Flow(store, node(), node(-1)), Flow(store, node(), node())
    claims = [each.claim(0) for each in (flow, cancelled)]
    cancelled.cancel()

    def caught(claim: Claim, *nodes: NewWorkflowJob) -> Verb[str]:
        try:
            yield from engine.extend_workflow(None, nodes, by=(claim.id, claim.fence))
        except MoveNotAllowed as error:
            return str(error)
        return "stored"

    before = store.ids()
    late = engine.write(caught, claims[0], node(before=[flow.jobs[1]]), node(before=[claims[0].id]))
    assert "does not wait any more" in late
    assert "was cancelled" in engine.write(caught, claims[1], node(), node(-1))
    assert store.ids() == before
    assert [len(engine.read(engine.list_workflow_jobs, each.id, 10, 0)) for each in (flow, cancelled)] == [2, 2]
    store.complete(*claims)
    assert (flow.states(), flow.counts) == ("cr", (2, 1, 1, 0, 0))
    assert cancelled.record.finished_at is not None
