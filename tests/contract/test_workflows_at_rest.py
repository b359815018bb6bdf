"""Looking at workflows, and forgetting them."""

import pytest

from tests.contract.store import SECOND, Store
from tests.contract.workflows import Flow, node
from turnspit.jobs import JobFilter
from turnspit.records import EndingMove, NewWorkflowJob, PruneRequest, StandingWorkflow
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


def standing(store: Store, limit: int = 10, most_jobs: int | None = None) -> list[StandingWorkflow]:
    return store.engine.read(store.engine.find_standing_workflows, limit, most_jobs)


def waiting_flow(store: Store, *more: NewWorkflowJob) -> Flow:
    return Flow(store, node(), node(-1, on_failure="wait"), node(-2), *more)


@pytest.mark.parametrize("end", [JobState.DEAD, JobState.CANCELLED, None], ids=["dead", "cancelled", "forgotten"])
def test_a_workflow_stands_still_where_all_that_is_left_waits_for_what_ended_badly(
    store: Store, end: JobState | None
) -> None:
    flow, well = waiting_flow(store), waiting_flow(store)
    assert standing(store) == []
    if end is JobState.DEAD:
        flow.kill(0)
    else:
        store.cancel(flow.jobs[0])
    if end is None:
        store.clock.advance(100)
        while store.engine.write(store.engine.prune_jobs, PruneRequest(history=SECOND, dead=None)):
            pass
    found = StandingWorkflow(
        flow.id, "fulfil", flow.jobs[0], None if end is None else "send", end or JobState.CANCELLED, 2
    )
    assert standing(store) == [found]
    if end is not None:
        assert flow.replay() == flow.jobs[:1]
        assert standing(store) == []
    assert well.states() == "rbb"


@pytest.mark.parametrize("end", [JobState.DEAD, JobState.CANCELLED])
def test_it_stands_still_too_where_only_what_was_cancelled_with_it_was_replayed(store: Store, end: JobState) -> None:
    flow = Flow(store, node(), node(-1))
    if end is JobState.DEAD:
        flow.kill(0)
    else:
        store.cancel(flow.jobs[0])
    assert standing(store) == []
    store.replay(flow.jobs[1])
    assert store.state(flow.jobs[1]) is JobState.BLOCKED
    assert standing(store) == [StandingWorkflow(flow.id, "fulfil", flow.jobs[0], "send", end, 1)]


def test_a_workflow_of_which_no_job_is_left_is_not_replayed(store: Store) -> None:
    """It would have no end, which only a job can bring."""
    flow = Flow(store, node(), node(-1))
    flow.run(0, 1)
    for job in flow.jobs:
        store.delete(job)
    before = flow.record
    assert before.finished_at is not None
    assert flow.replay(whole=True) == []
    assert flow.record == before


def test_a_workflow_does_not_stand_while_anything_of_it_goes_on(store: Store) -> None:
    flow = waiting_flow(store, node())
    flow.kill(0)
    for move in (lambda: None, lambda: store.engine.write(store.engine.pause, "task", "send")):
        move()
        assert standing(store) == []  # ready, and then held: a pause has its own word
    store.engine.write(store.engine.resume, "task", "send")
    claim = flow.claim(3)
    assert standing(store) == []
    store.end(claim, EndingMove.SNOOZE, delay=60)
    assert (flow.states(), standing(store)) == ("dbbs", [])
    store.clock.advance(100)
    store.promote()
    flow.run(3)
    assert [each.id for each in standing(store)] == [flow.id]
    flow.cancel(limit=1)  # its other jobs are about to be
    assert standing(store) == []


def test_standing_workflows_are_found_beside_many_that_go_on_and_no_more_than_wanted(store: Store) -> None:
    stuck = waiting_flow(store)
    for _ in range(3):
        going_on = Flow(store, node(), node(-1, on_failure="run"), node(-1, on_failure="wait"))
        going_on.kill(0)
    also = waiting_flow(store)
    for flow in (stuck, also):
        flow.kill(0)
    assert [each.id for each in standing(store)] == [stuck.id, also.id]
    assert [each.id for each in standing(store, 1)] == [stuck.id]
    assert standing(store, most_jobs=1) == []


def test_a_deleted_job_that_was_cancelled_is_waited_for_no_more(store: Store) -> None:
    """Nothing could bring it back, and what waited for it stood still for ever."""
    flow = Flow(store, node(), node(-1, on_failure="wait"), node(-2, on_failure="run"))
    store.cancel(flow.jobs[0])
    assert flow.states() == "Xbb"
    store.delete(flow.jobs[0])
    assert store.job(flow.jobs[1]).reason == f"job {flow.jobs[0]}, for which it waited, is deleted"
    assert store.state(flow.jobs[2]) is JobState.READY
    assert flow.counts == (3, 1, 0, 2, 0)


@pytest.mark.parametrize("cancels", ["all at once", "each by itself", "nobody"])
def test_a_workflow_that_was_never_sealed_ends_when_its_jobs_have(store: Store, cancels: str) -> None:
    """Also if the last portion of them was full."""
    flow = Flow(store, node(), node(), is_sealed=False)
    if cancels == "all at once":
        flow.cancel(limit=2)
    elif cancels == "each by itself":
        for job in flow.jobs:
            store.cancel(job)
    store.clock.advance(24 * 3600)
    while flow.tend(2)[0]:
        pass
    assert flow.states() == "XX"
    assert flow.record.finished_at is not None


def test_a_job_that_failed_the_second_time_has_no_result(store: Store) -> None:
    """Its dependant got that of the first time."""
    flow = Flow(store, node(), node(-1, on_failure="run", results={"x": ["result", -1, []]}))
    flow.run(0, 1, result="7")
    flow.replay(whole=True)
    flow.seal()
    flow.kill(0)
    assert flow.claim(1).args == '{"x":null}'
