"""Random workflows on an engine and on a model that counts nothing: it looks at every edge each time."""

from contextlib import AbstractContextManager, ExitStack
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.contract.store import BOOM, OwnedClock, Store
from tests.contract.workflows import Flow, node
from turnspit.records import Claim, Completion, Ending, EndingMove

MAX_CRASHES = 1
FAILED = ("cancelled", "dead")
RULES = st.sampled_from(["cancel", "cancel", "run", "wait"])


class Model:
    """What must be so."""

    def __init__(self) -> None:
        self.states: list[str] = []
        self.rules: list[str] = []
        self.edges: dict[tuple[int, int], bool] = {}
        """Whether the later one does not wait for the earlier one any more."""
        self.cancelled_by: dict[int, int] = {}
        self.crashes: dict[int, int] = {}
        self.deleted_as: list[str] = []
        """As what those count that were deleted."""

    def add(self, after: set[int], before: set[int], rule: str) -> None:
        """A job more."""
        job = len(self.states)
        self.states.append("blocked")
        self.rules.append(rule)
        self.edges.update({(dependency, job): False for dependency in after})
        self.edges.update({(job, dependant): False for dependant in before})
        self._follow([dependency for dependency in sorted(after) if self.states[dependency] in ("completed", *FAILED)])
        self._release(job)

    def end(self, state: str, *jobs: int) -> None:
        """Jobs ended."""
        for job in jobs:
            self.states[job] = state
        self._follow(sorted(jobs))

    def replay(self, job: int) -> None:
        """A final job lives again, and with it what was cancelled because of it."""
        self.states[job] = "blocked"
        self.cancelled_by.pop(job, None)
        self.crashes[job] = 0
        self._release(job)
        self._follow([each for each, later in sorted(self.edges) if later == job and self.states[each] == "deleted"])
        if self.states[job] in FAILED:
            return
        for other in [other for other, by in sorted(self.cancelled_by.items()) if by == job]:
            self.replay(other)

    def delete(self, job: int) -> None:
        """What has not completed ends as if it was cancelled, but for good: nobody waits for it to be replayed."""
        before, self.states[job] = self.states[job], "deleted"
        self.deleted_as.append("completed" if before == "completed" else "cancelled")
        if before != "completed":
            self._follow([job])

    def _follow(self, ended: list[int]) -> None:
        """Step by step away from jobs that ended."""
        while ended:
            doomed: dict[int, int] = {}
            for dependency, dependant in sorted(edge for edge, is_settled in self.edges.items() if not is_settled):
                if dependency not in ended:
                    continue
                rule = self.rules[dependant]
                if self.states[dependency] == "completed" or rule == "run":
                    self.edges[dependency, dependant] = True
                elif self.states[dependant] == "blocked" and (rule == "cancel" or self.states[dependency] == "deleted"):
                    doomed.setdefault(dependant, dependency)
            for _, dependant in list(self.edges):
                if dependant not in doomed:
                    self._release(dependant)
            self.cancelled_by.update(doomed)
            for job in doomed:
                self.states[job] = "cancelled"
            ended = sorted(doomed)

    def _release(self, job: int) -> None:
        waits = any(later == job and not is_settled for (_, later), is_settled in self.edges.items())
        if self.states[job] == "blocked" and not waits:
            self.states[job] = "ready"

    def waits_rightly(self, job: int) -> bool:
        """Whether a job that may begin has only dependencies that are done, or that it need not wait for."""
        return all(self.edges[dependency, dependant] for dependency, dependant in self.edges if dependant == job)

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        """Jobs, unfinished, completed, cancelled, dead."""
        ended = [(self.states + self.deleted_as).count(state) for state in ("completed", "cancelled", "dead")]
        return (len(self.states), len(self.states) - sum(ended), *ended)  # type: ignore[return-value]


class WorkflowAndModel(RuleBasedStateMachine):
    """One workflow, and everything that can happen to its jobs."""

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        engine, clock = self._stack.enter_context(self.new_engine()), OwnedClock()
        engine.clock = clock
        self.store, self.engine, self.model = Store(engine, clock), engine, Model()
        self.claims: dict[int, Claim] = {}
        self.begun: dict[int, int] = {}

    def new_engine(self) -> AbstractContextManager[Any]:
        """An empty store."""
        raise AssertionError

    def teardown(self) -> None:
        self.engine.close()
        self._stack.close()

    @initialize(graph=st.lists(st.tuples(st.sets(st.integers(1, 6), max_size=3), RULES), min_size=1, max_size=12))
    def begin(self, graph: list[tuple[set[int], str]]) -> None:
        nodes = []
        for place, (back, rule_) in enumerate(graph):
            after = {place - distance for distance in back if distance <= place}
            self.model.add(after, set(), rule_)
            nodes.append(node(*[-job - 1 for job in sorted(after)], on_failure=rule_))
        self.flow = Flow(self.store, *nodes)
        self.rescuer = self.store.worker()

    def _in(self, data: Any, *states: str) -> int | None:
        jobs = [job for job, state in enumerate(self.model.states) if state in states]
        return data.draw(st.sampled_from(jobs)) if jobs else None

    def _finish(self, job: int, *finishes: Any) -> None:
        assert self.engine.write(self.engine.finish_jobs, finishes).lost == []

    @rule(data=st.data())
    def claim(self, data: Any) -> None:
        job = self._in(data, "ready")
        if job is not None:
            assert self.model.waits_rightly(job)
            self.claims[job] = self.flow.claim(job)
            self.begun[job] = self.begun.get(job, 0) + 1
            self.model.states[job] = "running"

    @rule(data=st.data(), both=st.booleans())
    def complete(self, data: Any, both: bool) -> None:
        running = [job for job, state in enumerate(self.model.states) if state == "running"]
        chosen = data.draw(st.permutations(running))[: 2 if both else 1] if running else []
        if chosen:
            self._finish(chosen[0], *[Completion(self.claims[job].id, self.claims[job].fence, "1") for job in chosen])
            self.model.end("completed", *chosen)

    @rule(data=st.data(), move=st.sampled_from([EndingMove.DEAD, EndingMove.CANCEL, EndingMove.RETRY]))
    def fail(self, data: Any, move: EndingMove) -> None:
        job = self._in(data, "running")
        if job is not None:
            self._finish(job, Ending(self.claims[job].id, self.claims[job].fence, move, BOOM))
            if move is EndingMove.RETRY:
                self.model.states[job] = "ready"
            else:
                self.model.end("dead" if move is EndingMove.DEAD else "cancelled", job)

    @rule(data=st.data())
    def kill_its_worker(self, data: Any) -> None:
        job = self._in(data, "ready")
        if job is not None:
            mortal = self.store.worker()
            self.store.claim_one(job=self.flow.jobs[job], worker=mortal)
            self.engine.write(self.engine.declare_dead, mortal, MAX_CRASHES)
            self.model.crashes[job] = self.model.crashes.get(job, 0) + 1
            if self.model.crashes[job] > MAX_CRASHES:
                self.model.end("dead", job)

    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        job = self._in(data, "ready", "blocked")
        if job is not None:
            self.store.cancel(self.flow.jobs[job])
            self.model.end("cancelled", job)

    @rule(data=st.data())
    def replay(self, data: Any) -> None:
        job = self._in(data, "completed", *FAILED)
        if job is not None:
            assert self.store.replay(self.flow.jobs[job]) == [self.flow.jobs[job]]
            self.model.replay(job)

    @rule(data=st.data())
    def delete(self, data: Any) -> None:
        job = self._in(data, "ready", "blocked", "completed", *FAILED)
        if job is not None:
            assert self.store.delete(self.flow.jobs[job]) == [self.flow.jobs[job]]
            self.model.delete(job)

    @precondition(lambda self: "running" in self.model.states)
    @rule(data=st.data(), rule_=RULES)
    def extend(self, data: Any, rule_: str) -> None:
        adder = self._in(data, "running")
        assert adder is not None
        there = [job for job, state in enumerate(self.model.states) if state != "deleted"]
        after = data.draw(st.sets(st.sampled_from(there), max_size=2))
        waiting = [
            job for job, state in enumerate(self.model.states) if state == "blocked" and job > max(after, default=0)
        ]
        before = data.draw(st.sets(st.sampled_from(waiting), max_size=1)) if waiting else set()
        if any(self._is_behind(origin, job) for origin in before for job in after):
            before = set()
        new = node(
            *[self.flow.jobs[job] for job in sorted(after)],
            before=[self.flow.jobs[job] for job in before],
            on_failure=rule_,
        )
        self.flow.jobs += self.flow.extend(new, by=self.claims[adder])
        self.model.add(after, before, rule_)

    def _is_behind(self, origin: int, job: int) -> bool:
        return origin == job or any(
            self._is_behind(dependant, job) for dependency, dependant in self.model.edges if dependency == origin
        )

    @invariant()
    def both_say_the_same(self) -> None:
        if hasattr(self, "flow"):
            found = [self.store.find(job) for job in self.flow.jobs]
            states = ["deleted" if job is None else str(job.state) for job in found]
            assert states == self.model.states
            assert self.flow.counts == self.model.counts
            has_ended = self.model.counts[1] == 0
            assert (self.flow.record.finished_at is not None) == has_ended

    def end_all(self) -> None:
        """Whatever happened: when what can run completes and what is dead is cancelled, the workflow ends."""
        while True:
            ready = [job for job, state in enumerate(self.model.states) if state in ("ready", "running")]
            stuck = [job for job, state in enumerate(self.model.states) if state == "blocked"]
            if not ready and not stuck:
                break
            if ready:
                job = ready[0]
                if self.model.states[job] == "ready":
                    self.claims[job] = self.flow.claim(job)
                self._finish(job, Completion(self.claims[job].id, self.claims[job].fence, "1"))
                self.model.end("completed", job)
            else:
                self.store.cancel(self.flow.jobs[stuck[0]])
                self.model.end("cancelled", stuck[0])
        self.both_say_the_same()
