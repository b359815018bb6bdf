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


def filled(store: LargeStore) -> Claim:
    """Many workflows, each a job and two that wait; the first job of one is running."""
    engine = PostgresEngine(store.url, clock=store.clock)

    def build() -> Verb[int]:
        workflow = yield from engine.insert_workflow(NewWorkflow("flow"), is_sealed=True)
        jobs = yield from engine.extend_workflow(workflow, [node(), node(-1), node(-1)])
        return jobs[0]

    try:
        worker = engine.write(engine.register_worker, NewWorker("host", 1, "", None, TASKS, 1, 10**9))
        first = [engine.write(build) for _ in range(FLOWS)]
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
