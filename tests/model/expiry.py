"""Random operations with jobs that expire."""

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.model.limits import LANES
from tests.model.machine import DELAYS, QUEUES, TASKS, EngineAndModel
from tests.model.reference import SECOND
from turnspit.records import Lane, NewJob

EXPIRES = st.sampled_from([8, 40])


class WithExpiry(EngineAndModel):
    """Jobs that nobody may begin after a moment."""

    @rule(task=st.sampled_from(TASKS), queue=st.sampled_from(QUEUES), delay=DELAYS, expires=EXPIRES)
    def insert_expiring(self, task: str, queue: str, delay: int, expires: int) -> None:
        self.insert_late(NewJob(task, queue, "{}", delay=delay * SECOND), None, expires)

    @rule(lane=st.sampled_from(LANES), delay=DELAYS, expires=EXPIRES)
    def insert_limited_expiring(self, lane: Lane, delay: int, expires: int) -> None:
        new = NewJob[object](lane.task, lane.queue, "{}", delay=delay * SECOND, lane=lane.to_text())
        self.insert_late(new, lane, expires)

    def insert_late(self, new: NewJob[object], lane: Lane | None, expires: int) -> None:
        job = self.newest = self.write(self.engine.insert_job, new._replace(expires_in=expires * SECOND)).id
        self.model.insert(job, new.task, new.queue, new.priority, new.delay, None, lane)
        self.model.jobs[job].expires_at = self.model.now + expires * SECOND
