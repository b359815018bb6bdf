"""Random operations of workers that claim and finish as soon as the store can."""

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.model.machine import QUEUES, EngineAndModel
from turnspit.records import ClaimRequest, Completion


class WithIdleWorkers(EngineAndModel):
    """They may get less than there is, never something else."""

    @rule(data=st.data(), limit=st.sampled_from([1, 5]))
    def claim_at_once(self, data: st.DataObject, limit: int) -> None:
        worker = self.model.workers[self.worker(data)]
        request = ClaimRequest(worker.id, limit, worker.tasks, None, self.after)
        claims = self.write(self.engine.claim_jobs_at_once, request).claims
        possible = [] if worker.stopped else self.model.claimable(worker.tasks, None)
        assert len(claims) <= min(limit, len(possible))
        for queue in QUEUES:
            taken = [claim.id for claim in claims if claim.queue == queue]
            assert taken == [job.id for job in possible if job.queue == queue][: len(taken)], "by priority, then id"
        for claim in claims:
            self.model.claim(claim, worker.id)
        self.claims += claims
        self.hold(worker.tasks, None, is_complete=False)

    @precondition(lambda self: self.claims)
    @rule(data=st.data())
    def finish_at_once(self, data: st.DataObject) -> None:
        """Some may be left: then they are ended the longer way."""
        chosen = data.draw(
            st.lists(st.sampled_from(self.interesting()), min_size=1, max_size=4, unique_by=lambda c: c.id)
        )
        finishes = [Completion(claim.id, claim.fence, "null") for claim in chosen]
        done = self.write(self.engine.finish_jobs_at_once, finishes)
        left = [finish for finish in finishes if finish.id not in done]
        report = self.write(self.engine.finish_jobs, left)
        lost = [(claim.id, claim.fence) for claim in chosen if self.model.complete(claim)]
        assert sorted(report.lost) == sorted(lost)
