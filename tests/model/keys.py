"""Random operations with unique keys."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from tests.model.machine import DELAYS, QUEUES, EngineAndModel
from tests.model.reference import LIVE, SECOND
from turnspit.errors import JobExists
from turnspit.records import OPEN_KEY, Claim, NewJob, OpenClaim, UniqueRule

KEYS = st.sampled_from(["k1", "k2"])
RULES = st.builds(
    lambda states, within, on_conflict: UniqueRule(states, within, on_conflict),
    st.sampled_from([",".join(LIVE), ",".join((*LIVE, "dead")), "scheduled,held,ready", ""]),
    st.sampled_from([0, 60 * SECOND]),
    st.sampled_from(["keep", "replace", "raise"]),
)
LIVE_RULE = UniqueRule(",".join(LIVE))


class WithKeys(EngineAndModel):
    """Jobs that exclude each other, and jobs of producers that know no keys."""

    @rule(
        keys=st.lists(KEYS, min_size=1, max_size=3),
        how=RULES,
        queue=st.sampled_from(QUEUES),
        priority=st.integers(-2, 2),
        delay=DELAYS,
    )
    def insert_unique(self, keys: list[str], how: UniqueRule, queue: str, priority: int, delay: int) -> None:
        """One or several in one call, which are as one after the other."""
        new = [NewJob("a", queue, "{}", priority, delay=delay * SECOND, unique_key=k, unique_rule=how) for k in keys]
        if how.on_conflict == "raise" and (len({*keys}) < len(keys) or any(map(self.model.holder, keys))):
            self.is_refused(new)
            return
        if len(new) > 1:
            ids = self.write(self.engine.insert_jobs, new)
        else:
            inserted = self.write(self.engine.insert_job_at_once, new[0]) or self.write(self.engine.insert_job, new[0])
            ids = [inserted.id]
            assert inserted.created == (inserted.id > self.newest)
        here: dict[str, int] = {}
        for key, job in zip(keys, ids, strict=True):
            if key in here:
                assert job == here[key], "the earlier one of the same call"
                continue
            here[key] = job
            self.insert_one(key, job, how, queue, priority, delay * SECOND)

    def is_refused(self, new: list[NewJob[Any]]) -> None:
        try:
            self.write(self.engine.insert_jobs, new)
        except JobExists:
            return
        raise AssertionError("a key that is held was given away")

    def insert_one(self, key: str, job: int, how: UniqueRule, queue: str, priority: int, delay: int) -> None:
        holder = self.model.holder(key)
        if holder is not None and (how.on_conflict == "keep" or self.model.replace(holder, queue, priority, delay)):
            assert job == holder.id
            return
        assert job > self.newest, "a job of its own"
        self.newest = job
        self.model.insert(job, "a", queue, priority, delay)
        self.model.take_key(key, job, how.states.split(","), how.within)

    @rule(queue=st.sampled_from(QUEUES))
    def insert_from_sql(self, queue: str) -> None:
        """Its producer knows neither task nor key."""
        self.newest = self.write(self.engine.insert_job, NewJob("b", queue, "{}", unique_key=OPEN_KEY)).id
        self.model.insert(self.newest, "b", queue, 0, 0)

    @rule(key=KEYS)
    def look_for_its_holder(self, key: str) -> None:
        found = self.write(self.engine.find_holder, NewJob("a", "q1", "{}", unique_key=key, unique_rule=LIVE_RULE))
        holder = self.model.holder(key)
        assert (found and found.id) == (holder and holder.id)

    def open_claims(self) -> list[Claim]:
        return [claim for claim in self.interesting() if claim.unique_key == OPEN_KEY]

    @precondition(lambda self: self.open_claims())
    @rule(data=st.data(), key=KEYS)
    def settle(self, data: st.DataObject, key: str) -> None:
        """The worker that claimed it knows the key."""
        claim = data.draw(st.sampled_from(self.open_claims()))
        job = self.model.jobs.get(claim.id)
        if job is not None and job.key not in (None, key):
            return  # a task computes the same key again
        new = NewJob[Any]("b", claim.queue, "{}", unique_key=key, unique_rule=LIVE_RULE)
        going_on = self.write(self.engine.settle_keys, [OpenClaim(claim.id, claim.fence, new)])
        assert bool(going_on) == self.model.settle_key(claim, key, LIVE)

    @rule()
    def prune_keys(self) -> None:
        """It forgets only what holds nothing."""
        self.write(self.engine.prune_keys, 100)
