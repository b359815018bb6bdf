"""Workflows: who waits for whom, what a failure does, what is counted."""

import json

import pytest

from tests.contract.store import BOOM, SECOND, Store
from tests.contract.workflows import Flow, node
from turnspit.contract.verbs import Verb
from turnspit.engines.verbs import ends
from turnspit.errors import LostClaim, MoveNotAllowed
from turnspit.records import Completion, Confirmation, Ending, EndingMove, ErrorRecord, NewJob
from turnspit.states import JobState


def diamond(store: Store, **fields: str) -> Flow:
    """charge, then reserve and invoice, then ship."""
    return Flow(store, node(), node(-1), node(-1), node(-2, -3, **fields))


def test_a_job_waits_until_all_its_dependencies_are_done(store: Store) -> None:
    flow = diamond(store)
    assert flow.states() == "rbbb"
    flow.run(0)
    assert flow.states() == "crrb"
    flow.run(2)
    assert flow.states() == "crcb"
    flow.run(1)
    assert flow.states() == "cccr"
    flow.run(3)
    assert (flow.counts, flow.record.finished_at) == ((4, 0, 4, 0, 0), store.clock.moment)


def test_dependencies_that_end_in_one_batch_are_counted_each(store: Store) -> None:
    flow = diamond(store)
    flow.run(0)
    store.complete(flow.claim(1), flow.claim(2))
    assert flow.states() == "cccr"


def test_jobs_of_no_workflow_ask_nothing_more(store: Store) -> None:
    claim = store.claim_one(job=store.insert())
    statements: list[str] = []

    def counting() -> Verb[None]:
        verb = store.engine.finish_jobs([Completion(claim.id, claim.fence, "null")])
        step = next(verb)
        while True:
            statements.append(str(step))
            try:
                step = verb.send((yield step))
            except StopIteration:
                return

    store.engine.write(counting)
    assert [each for each in statements if "workflow_jobs" in each or "workflow_edges" in each] == []


def test_a_dead_dependency_cancels_what_waits_for_it(store: Store) -> None:
    flow = diamond(store)
    flow.run(0)
    flow.kill(1)
    assert flow.states() == "cdrX"
    assert store.job(flow.jobs[3]).reason == f"job {flow.jobs[1]}, for which it waited, is dead"
    flow.run(2)
    assert (flow.counts, flow.record.finished_at is None) == ((4, 0, 2, 1, 1), False)


def test_dependencies_that_die_in_one_batch_are_counted_each(store: Store) -> None:
    flow = diamond(store)
    flow.run(0)
    endings = [Ending(claim.id, claim.fence, EndingMove.DEAD, BOOM) for claim in (flow.claim(1), flow.claim(2))]
    store.engine.write(store.engine.finish_jobs, endings)
    assert flow.states() == "cddX"
    assert (flow.counts, flow.record.finished_at) == ((4, 0, 1, 1, 2), store.clock.moment)


def test_a_cancelled_dependency_cancels_on_and_on(store: Store) -> None:
    flow = Flow(store, node(), node(-1), node(-2), node(-3))
    store.cancel(flow.jobs[0])
    assert (flow.states(), flow.counts) == ("XXXX", (4, 0, 0, 4, 0))


def test_a_job_can_run_whatever_becomes_of_its_dependencies(store: Store) -> None:
    flow = diamond(store, on_failure="run")
    flow.run(0)
    flow.kill(1)
    assert flow.states() == "cdrb"
    flow.run(2)
    assert flow.states() == "cdcr"


def test_a_job_can_wait_for_a_replay(store: Store) -> None:
    flow = diamond(store, on_failure="wait")
    flow.run(0, 2)
    flow.kill(1)
    assert (flow.states(), flow.record.finished_at) == ("cdcb", None)
    store.replay(flow.jobs[1])
    flow.run(1, 3)
    assert (flow.states(), flow.counts) == ("cccc", (4, 0, 4, 0, 0))


def test_a_replayed_dead_letter_brings_back_what_was_cancelled_with_it(store: Store) -> None:
    flow = Flow(store, node(), node(-1), node(-2), node(-3))
    flow.run(0)
    flow.kill(1)
    assert flow.states() == "cdXX"
    store.replay(flow.jobs[1])
    assert (flow.states(), flow.counts, flow.record.finished_at) == ("crbb", (4, 3, 1, 0, 0), None)
    flow.run(1, 2, 3)
    assert (flow.states(), flow.counts) == ("cccc", (4, 0, 4, 0, 0))


def test_a_replay_brings_back_in_portions_what_is_left_of_those_cancelled(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ends, "_MOST_DEPENDANTS", 2)
    flow = Flow(store, node(), *[node(-1)] * 5)
    flow.kill(0)
    while flow.tend()[0]:
        pass
    for job in flow.jobs[1:3]:
        store.delete(job)
    store.replay(flow.jobs[0])
    while flow.tend()[0]:
        pass
    assert (store.count(state="blocked"), store.count(state="cancelled")) == (3, 0)


def test_a_cancelled_job_that_is_replayed_alone_waits_for_its_dead_dependency(store: Store) -> None:
    flow = Flow(store, node(), node(-1))
    flow.kill(0)
    store.replay(flow.jobs[1])
    assert flow.states() == "db"
    store.replay(flow.jobs[0])
    flow.run(0, 1)
    assert flow.states() == "cc"


def test_a_deleted_dependency_cannot_be_waited_for(store: Store) -> None:
    flow = Flow(store, node(), node(-1, on_failure="wait"), node())
    flow.kill(0)
    store.delete(flow.jobs[0])
    assert (store.state(flow.jobs[1]), flow.counts) == (JobState.CANCELLED, (3, 1, 0, 2, 0))


def test_a_delay_counts_from_the_end_of_the_last_dependency(store: Store) -> None:
    flow = Flow(store, node(), node(-1, delay=60 * SECOND))
    store.clock.advance(100)
    flow.run(0)
    assert flow.states() == "cs"
    store.clock.advance(60)
    store.promote()
    assert flow.states() == "cr"


def test_results_become_arguments(store: Store) -> None:
    template = {"receipt": ["result", -1, ["number"]], "all": ["list", [["result", -1, []], ["value", 7]]]}
    flow = Flow(store, node(), node(-1, args='{"order_id":7}', results=template))
    flow.run(0, result='{"number": "A-1"}')
    assert json.loads(store.job(flow.jobs[1]).args) == {"order_id": 7, "receipt": "A-1", "all": [{"number": "A-1"}, 7]}


def test_a_result_that_lacks_a_part_makes_a_dead_letter(store: Store) -> None:
    flow = Flow(store, node(), node(-1, results={"receipt": ["result", -1, ["number"]]}), node(-2))
    flow.run(0, result="{}")
    assert flow.states() == "cdX"
    assert "argument receipt" in (store.job(flow.jobs[1]).reason or "")
    assert flow.counts == (3, 0, 1, 1, 1)


def test_a_job_that_runs_after_a_failure_gets_null(store: Store) -> None:
    flow = Flow(store, node(), node(-1, on_failure="run", results={"receipt": ["result", -1, []]}))
    flow.kill(0)
    assert json.loads(store.job(flow.jobs[1]).args) == {"receipt": None}


def test_nothing_begins_before_the_workflow_is_sealed(store: Store) -> None:
    flow = Flow(store, node(), is_sealed=False)
    flow.jobs += flow.extend(node(flow.jobs[0]), node())
    assert flow.states() == "bbb"
    flow.seal()
    assert flow.states() == "rbr"


def test_edges_can_follow_their_jobs(store: Store) -> None:
    flow = Flow(store, node(), node(), node(-1), is_sealed=False)
    first, second, last = flow.jobs
    store.engine.write(store.engine.extend_workflow, flow.id, (), edges=[(second, last)])
    flow.seal()
    flow.run(0)
    assert flow.states() == "crb"
    flow.run(1)
    assert flow.states() == "ccr"
    assert first


def test_an_empty_workflow_ends_at_once(store: Store) -> None:
    flow = Flow(store, is_sealed=False, hooks=(("on_success", NewJob("print", "default", "{}")),))
    flow.seal()
    assert flow.record.finished_at is not None
    assert store.count(task="print") == 1


@pytest.mark.parametrize(("fails", "told"), [(False, "on_success"), (True, "on_failure")])
def test_the_end_becomes_jobs(store: Store, fails: bool, told: str) -> None:
    new = tuple((hook, NewJob("print", "default", "{}")) for hook in ("on_complete", "on_success", "on_failure"))
    flow = Flow(store, node(), hooks=new)
    (flow.kill if fails else flow.run)(0)
    metadata = [json.loads(store.job(job).metadata or "") for job in store.ids(task="print")]
    assert sorted(each["hook"] for each in metadata) == ["on_complete", told]
    assert {each["workflow"] for each in metadata} == {flow.id}


def test_a_running_job_adds_jobs_before_one_that_waits(store: Store) -> None:
    flow = Flow(store, node(), node(-1))
    claim = flow.claim(0)
    parts = [node(name=name, before=[flow.jobs[1]]) for name in ("part 1", "part 2")]
    added = flow.extend(*parts, by=claim)
    store.complete(claim)
    assert flow.states() == "cb"
    flow.jobs += added
    flow.run(2)
    assert flow.states() == "cbcr"
    flow.run(3)
    assert flow.states() == "crcc"
    assert flow.counts == (4, 1, 3, 0, 0)


def test_another_attempt_adds_nothing_twice(store: Store) -> None:
    flow = Flow(store, node(), node(-1))
    claim = flow.claim(0)
    first = flow.extend(node(name="a", before=[flow.jobs[1]]), node(-1, name="b"), by=claim)
    store.end(claim)
    found = node(name="a", before=[flow.jobs[1]])
    again = flow.extend(found, node(name="c"), node(-1, -2, name="b"), by=flow.claim(0))
    assert [again[0], again[2]] == first
    assert flow.counts[:2] == (5, 5)
    flow.jobs += again
    flow.run(2)
    assert store.state(again[2]) is JobState.BLOCKED  # it waits for the new one too
    flow.run(3)
    assert store.state(again[2]) is JobState.READY


def test_only_the_current_claim_adds(store: Store) -> None:
    flow = Flow(store, node(), node(-1))
    claim = flow.claim(0)
    store.end(claim)
    with pytest.raises(LostClaim, match="nothing was added"):
        flow.extend(node(), by=claim)
    outside = store.claim_one(job=store.insert())
    with pytest.raises(MoveNotAllowed, match="belongs to no workflow"):
        flow.extend(node(), by=outside)


def test_an_edge_to_a_dependency_that_has_ended_counts_as_done(store: Store) -> None:
    flow = Flow(store, node(), node(), node(), node(), node(on_failure="wait"))
    claim = flow.claim(1)
    flow.run(0, result="7")
    flow.kill(2)
    flow.jobs += flow.extend(
        node(flow.jobs[0], results={"value": ["result", flow.jobs[0], []]}),
        node(flow.jobs[2]),
        node(flow.jobs[2], on_failure="run"),
        node(flow.jobs[2], on_failure="wait"),
        node(flow.jobs[3]),
        by=claim,
    )
    assert flow.states() == "c*drr" + "rXrbb"
    assert json.loads(store.job(flow.jobs[5]).args) == {"value": 7}


def test_edges_that_cannot_be_are_refused(store: Store) -> None:
    flow = Flow(store, node(), node(-1), node(-2), node(-3), node())
    claim = flow.claim(0)
    stranger = store.insert()
    with pytest.raises(MoveNotAllowed, match="is not part of workflow"):
        flow.extend(node(stranger), by=claim)
    with pytest.raises(MoveNotAllowed, match="does not wait any more"):
        flow.extend(node(before=[flow.jobs[4]]), by=claim)
    with pytest.raises(MoveNotAllowed, match="would close a circle"):
        flow.extend(node(flow.jobs[3]), node(-1, before=[flow.jobs[1]]), by=claim)
    assert flow.counts[0] == 5


def test_cancelling_stops_everything(store: Store) -> None:
    flow = Flow(store, node(), node(), node(-1, on_failure="run"), node(-2))
    claim = flow.claim(0)
    assert flow.cancel() == 4
    assert (flow.states(), flow.record.reason) == ("*XXX", "not needed")
    with pytest.raises(MoveNotAllowed, match="was cancelled"):
        flow.extend(node(), by=claim)
    store.complete(claim)
    assert (flow.states(), flow.counts) == ("cXXX", (4, 0, 1, 3, 0))
    assert flow.cancel() is None


def test_a_workflow_over_its_deadline_is_cancelled(store: Store) -> None:
    flow = Flow(store, node(), node(-1), deadline=60 * SECOND)
    assert flow.tend() == (0, 60 * SECOND)
    store.clock.advance(60)
    assert flow.tend()[0] > 0
    assert (flow.states(), flow.record.reason) == ("XX", "over its deadline")
    assert flow.tend() == (0, None)


def test_a_workflow_that_nobody_completed_is_cancelled_after_a_day(store: Store) -> None:
    flow = Flow(store, node(), node(-1), is_sealed=False)
    store.clock.advance(86_400)
    flow.tend()
    assert (flow.states(), flow.record.finished_at is None) == ("XX", False)


def test_replaying_the_failed_jobs_leaves_the_others(store: Store) -> None:
    flow = Flow(store, node(), node(-1), node(-2), node(-1))
    flow.run(0, 3)
    flow.kill(1)
    assert flow.states() == "cdXc"
    assert flow.replay() == flow.jobs[1:3]
    assert flow.states() == "crbc"
    flow.run(1, 2)
    assert flow.counts == (4, 0, 4, 0, 0)


def test_replaying_a_cancelled_workflow_brings_it_back(store: Store) -> None:
    flow = diamond(store)
    flow.run(0)
    flow.cancel()
    assert flow.replay() == flow.jobs[1:]
    assert (flow.states(), flow.record.cancelled_at) == ("crrb", None)


def test_replaying_the_whole_begins_again(store: Store) -> None:
    flow = Flow(store, node(), node(-1, results={"value": ["result", -1, []]}))
    flow.run(0, result="1")
    assert flow.replay(whole=True) == []  # it has not ended
    flow.run(1)
    last = flow.replay(limit=1, whole=True)
    assert (last, flow.states()) == ([flow.jobs[0]], "bc")
    flow.replay(after=last[-1], whole=True)
    assert flow.states() == "bb"
    flow.seal()
    assert (flow.states(), flow.counts) == ("rb", (2, 2, 0, 0, 0))
    flow.run(0, result="2")
    assert json.loads(store.job(flow.jobs[1]).args) == {"value": 2}


def test_what_a_transaction_of_the_task_completed_goes_on_after_its_commit(store: Store) -> None:
    flow = Flow(store, node(), node(-1))
    claim = flow.claim(0)
    store.engine.write(store.engine.finish_job, Completion(claim.id, claim.fence, "null"))
    assert flow.states() == "cb"
    otherwise = Ending(claim.id, claim.fence, EndingMove.RETRY, ErrorRecord("E", "e"))
    store.engine.write(store.engine.finish_jobs, [Confirmation(claim.id, claim.fence, otherwise)])
    assert (flow.states(), flow.counts) == ("cr", (2, 1, 1, 0, 0))


def test_a_job_that_kills_its_workers_ends_for_its_workflow_too(store: Store) -> None:
    flow = Flow(store, node(), node(-1))
    rescuer = store.worker()
    for _ in range(4):
        store.claim_one(job=flow.jobs[0], worker=(mortal := store.worker()))
        store.engine.write(store.engine.declare_dead, mortal, 3)
    assert (flow.states(), flow.counts) == ("dX", (2, 0, 0, 1, 1))
    assert rescuer


def test_a_large_fan_out_goes_on_in_portions(store: Store) -> None:
    flow = Flow(store, node(), *[node(-1)] * 5300, node(*range(-5301, -1), name="end"))
    flow.run(0)
    ready = store.count(state="ready")
    assert (ready, store.count(state="blocked")) == (5000, 301)
    assert flow.tend()[1] is None
    assert (store.count(state="ready"), store.count(state="blocked")) == (5300, 1)
    while claims := store.claim(1000):
        store.complete(*claims)
    assert flow.counts == (5302, 0, 5302, 0, 0)


def test_a_long_chain_is_cancelled_in_portions(store: Store) -> None:
    flow = Flow(store, node(), *[node(-place) for place in range(1, 150)])
    store.cancel(flow.jobs[0])
    assert store.count(state="cancelled") < 150
    while flow.tend()[0]:
        pass
    assert flow.counts == (150, 0, 0, 150, 0)
    store.replay(flow.jobs[0])
    while flow.tend()[0]:
        pass
    assert (flow.counts, store.count(state="blocked")) == ((150, 150, 0, 0, 0), 149)


def test_what_a_job_had_cancelled_stays_so_if_its_arguments_cannot_be_made_again(store: Store) -> None:
    """Brought back, it would wait for a job that is dead, though it is cancelled with it."""
    flow = Flow(store, node(), node(-1, results={"x": ["result", -1, ["number"]]}), node(-2))
    flow.run(0, result="{}")
    assert flow.states() == "cdX"
    store.replay(flow.jobs[1])
    assert (flow.states(), flow.counts) == ("cdX", (3, 0, 1, 1, 1))
