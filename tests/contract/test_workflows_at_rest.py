"""Looking at workflows, and forgetting them."""

from tests.contract.store import SECOND, Store
from tests.contract.workflows import Flow, node
from turnspit.jobs import JobFilter
from turnspit.states import JobState


def test_looking_at_a_workflow(store: Store) -> None:
    flow = Flow(store, node(name="charge"), node(-1, name="ship"), node())
    flow.run(0, result="7")
    engine = store.engine
    jobs = engine.read(engine.list_workflow_jobs, flow.id, 2, 0)
    assert [(job.id, job.name, job.state, job.task) for job in jobs] == [
        (flow.jobs[0], "charge", JobState.COMPLETED, "send"),
        (flow.jobs[1], "ship", JobState.READY, "send"),
    ]
    assert [job.id for job in engine.read(engine.list_workflow_jobs, flow.id, 2, jobs[-1].id)] == [flow.jobs[2]]
    assert engine.read(engine.list_workflow_edges, flow.jobs) == [(flow.jobs[0], flow.jobs[1])]
    assert engine.read(engine.list_workflow_results, flow.id) == [("charge", "send", "7")]
    other = Flow(store, node())
    other.run(0)
    assert [each.id for each in engine.read(engine.list_workflows, None, None, 10, None)] == [other.id, flow.id]
    assert [each.id for each in engine.read(engine.list_workflows, "fulfil", False, 10, None)] == [flow.id]
    assert [each.id for each in engine.read(engine.list_workflows, None, None, 10, other.id)] == [flow.id]
    assert store.ids(workflow=flow.id, state="ready") == [flow.jobs[2], flow.jobs[1]]


def test_workflows_are_forgotten_with_history(store: Store) -> None:
    flow, kept = Flow(store, node(), node(-1)), Flow(store, node())
    flow.run(0, 1)
    kept.kill(0)
    store.clock.advance(100)
    engine = store.engine
    assert engine.write(engine.prune_workflows, None, 100) == 0
    assert engine.write(engine.prune_workflows, 200 * SECOND, 100) == 0
    while engine.write(engine.prune_workflows, 50 * SECOND, 1):
        pass
    assert [each.id for each in engine.read(engine.list_workflows, None, None, 10, None)] == [kept.id]
    assert engine.read(engine.list_workflow_edges, flow.jobs) == []


def test_a_job_outlives_its_workflow(store: Store) -> None:
    flow = Flow(store, node(), node(-1))
    flow.run(0, 1)
    store.clock.advance(100)
    while store.engine.write(store.engine.prune_workflows, SECOND, 100):
        pass
    store.replay(flow.jobs[1])
    assert flow.states() == "cr"
    flow.run(1)
    assert flow.states() == "cc"


def test_jobs_are_found_and_cancelled_by_their_workflow(store: Store) -> None:
    flow = Flow(store, node(), node(-1), node(-1), node(-2, -3))
    store.insert()
    cancelled = store.engine.write(store.engine.cancel_jobs, JobFilter(workflow=flow.id), "no", 0, 100)
    assert [job for job, _ in cancelled] == flow.jobs
    assert flow.counts == (4, 0, 0, 4, 0)
