"""What the end of a job costs its workflow on PostgreSQL, where plans were made, and kept, while tables were small."""

import pytest

from tests.contract.workflows import node
from tests.plans.large_postgres import TASKS, LargeStore, large_store
from tests.postgres import VERSIONS
from turnspit.contract.verbs import Verb
from turnspit.engines.postgres.engine import PostgresEngine
from turnspit.records import Claim, ClaimRequest, Completion, Ending, EndingMove, ErrorRecord, NewWorker, NewWorkflow

FLOWS = 200
BOOM = ErrorRecord("ValueError", "boom", None, None)


def filled(store: LargeStore, on_failure: str = "cancel") -> Claim:
    """Many workflows, each a job and two that wait; the first job of one is running."""
    engine = PostgresEngine(store.url, clock=store.clock)

    def build(number: int) -> Verb[int]:
        new = NewWorkflow("flow", idempotency_key=f"order {number}")
        workflow = yield from engine.insert_workflow(new, is_sealed=True)
        jobs = yield from engine.extend_workflow(workflow, [node(), *[node(-1, on_failure=on_failure)] * 2])
        return jobs[0]

    try:
        worker = engine.write(engine.register_worker, NewWorker("host", 1, "", None, TASKS, 1, 10**9))
        first = [engine.write(build, number) for number in range(FLOWS)]
        [claim] = engine.write(engine.claim_jobs, ClaimRequest(worker, 1, TASKS, job=first[FLOWS // 2]))
        return claim
    finally:
        engine.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_an_end_reads_its_own_dependants_alone(version: int) -> None:
    """Joined, they were planned as hashed with the whole table: 8,000 rows a hop in a store of 5,000 jobs."""
    with large_store(version) as store:
        claim = filled(store)
        for prepared in (False, True):
            for finish in (
                Completion(claim.id, claim.fence),
                Ending(claim.id, claim.fence, EndingMove.DEAD, BOOM, 0),
                Ending(claim.id, claim.fence, EndingMove.CANCEL, BOOM, 0),
            ):
                cost = store.cost(store.engine.finish_jobs([finish]), reads=False, prepared=prepared)
                assert cost.rows < 60, (finish, prepared, cost)
            served = ClaimRequest(1, 10, TASKS, ("other",))
            for claiming in (store.engine.claim_jobs, store.engine.claim_jobs_at_once):
                cost = store.cost(claiming(served), reads=False, prepared=prepared)
                assert cost.rows < 10, "what waits in other queues is not read"
            for key in ("order 7", "another order"):
                cost = store.cost(store.engine.find_workflow("flow", key, ["charge"]), reads=False, prepared=prepared)
                assert cost.rows < 10, "those of the same name with other keys are not read"


@pytest.mark.parametrize("version", VERSIONS)
def test_a_workflow_that_stands_still_is_found_without_reading_those_that_go_on(version: int) -> None:
    with large_store(version) as store:
        claim = filled(store, on_failure="wait")
        store.run(store.engine.finish_jobs([Ending(claim.id, claim.fence, EndingMove.DEAD, BOOM, 0)]))
        assert [each.blocked for each in store.run(store.engine.find_standing_workflows(10))] == [2]
        for prepared in (False, True):
            cost = store.cost(store.engine.find_standing_workflows(10), reads=True, prepared=prepared)
            assert cost.rows < 20, (prepared, cost)
