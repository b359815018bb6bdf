"""Random operations of workers that wait, and claim as soon as the store can."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model.machine import QUEUES, EngineAndModel
from turnspit.records import ClaimRequest


class WithIdleWorkers(EngineAndModel):
    """They may get less than there is, never something else."""

    @rule(data=st.data(), limit=st.sampled_from([1, 5]))
    def claim_at_once(self, data: st.DataObject, limit: int) -> None:
        worker = self.model.workers[self.worker(data)]
        request = ClaimRequest(worker.id, limit, worker.tasks, None, self.after)
        claims = self.write(self.engine.claim_jobs_at_once, request)
        possible = [] if worker.stopped else self.model.claimable(worker.tasks, None)
        assert len(claims) <= min(limit, len(possible))
        for queue in QUEUES:
            taken = [claim.id for claim in claims if claim.queue == queue]
            assert taken == [job.id for job in possible if job.queue == queue][: len(taken)], "by priority, then id"
        for claim in claims:
            self.model.claim(claim, worker.id)
        self.claims += claims
        self.hold(worker.tasks, None, is_complete=False)
