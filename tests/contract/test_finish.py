"""How attempts end: which moves they make, and which they may not make any more."""

from collections.abc import Callable

import pytest

from tests.contract.store import BOOM, LEASE, SECOND, Store
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.records import (
    Claim,
    Completion,
    Ending,
    EndingMove,
    ErrorRecord,
    FinishReport,
)
from turnspit.states import JobState

NOTHING = FinishReport()


def test_a_completion_moves_the_job_to_history(store: Store) -> None:
    store.insert(queue="mail", priority=4, tags='["a"]', metadata='{"k":1}')
    claim = store.claim_one()
    store.clock.advance(2)
    assert store.complete(claim, result='{"pages": 3}') == NOTHING
    record = store.job(claim.id)
    assert (record.state, record.result, record.queue, record.priority) == ("completed", '{"pages": 3}', "mail", 4)
    assert (record.tags, record.metadata) == ('["a"]', '{"k":1}')
    assert (record.attempt, record.fence, record.finished_at) == (1, 1, store.clock.moment)
    [attempt] = record.attempts
    assert (attempt.number, attempt.outcome) == (1, "completed")
    assert (attempt.finished_at or 0) - (attempt.started_at or 0) == 2 * SECOND


@pytest.mark.parametrize(
    "result", [None, "null", '"ä\\u0000\\ud83d\\ude00"', '{"a": [1, 2.5, "\\u2028"]}', '"😀 \\" \\\\ \'"']
)
def test_a_result_comes_back_as_it_was_given(store: Store, result: str | None) -> None:
    job = store.insert()
    store.complete(store.claim_one(), result=result)
    assert store.job(job).result == result


def test_a_note_says_why_a_result_is_not_kept(store: Store) -> None:
    store.insert()
    claim = store.claim_one()
    finish = Completion(claim.id, claim.fence, None, None, "2 MB are over the limit")
    store.engine.write(store.engine.finish_jobs, [finish])
    record = store.job(claim.id)
    assert (record.state, record.result, record.reason) == ("completed", None, "2 MB are over the limit")


def test_a_batch_of_completions_and_endings(store: Store) -> None:
    store.insert_many(300)
    claims = store.claim(300)
    finishes: list[Completion | Ending] = [Completion(claim.id, claim.fence) for claim in claims[:200]]
    finishes += [Ending(claim.id, claim.fence, EndingMove.RETRY, BOOM, SECOND) for claim in claims[200:]]
    report = store.engine.write(store.engine.finish_jobs, finishes)
    assert report.lost == []
    assert report.states == {claim.id: JobState.SCHEDULED for claim in claims[200:]}
    assert (store.count(state="completed"), store.count(state="scheduled")) == (200, 100)


def test_completions_in_a_hurry(store: Store) -> None:
    """What nothing follows from ends at once; the rest is left to finish_jobs."""
    store.insert_many(3)
    store.insert(lane="one at a time")
    [first, *others] = store.claim(3)
    finishes = [Completion(first.id, first.fence, "null"), Completion(others[0].id, 7)]
    finishes.append(Completion(others[1].id, others[1].fence, '{"pages": 3}', 5 * SECOND, "a note"))
    done = store.engine.write(store.engine.finish_jobs_at_once, finishes)
    assert sorted(done) == sorted([first.id, others[1].id])
    assert (store.state(first.id), store.state(others[0].id)) == ("completed", "running")
    assert (store.job(first.id).result, store.job(others[1].id).result) == ("null", '{"pages": 3}')
    assert store.job(others[1].id).reason == "a note"
    assert sum(each.count for each in store.engine.read(store.engine.list_counters, 60, 1)) == 2


def test_of_two_claims_of_a_job_the_newer_one_ends_it(store: Store) -> None:
    job = store.insert()
    old = store.claim_one()
    store.engine.write(store.engine.return_jobs, [(old.id, old.fence)])
    new = store.claim_one()
    finishes = [Completion(job, new.fence, '"new"'), Completion(job, old.fence, '"old"')]
    assert store.engine.write(store.engine.finish_jobs, finishes) == NOTHING
    assert (store.state(job), store.job(job).result) == ("completed", '"new"')


@pytest.mark.parametrize(
    ("move", "delay", "state", "attempt", "outcome"),
    [
        (EndingMove.RETRY, 5, JobState.SCHEDULED, 1, "failed"),
        (EndingMove.RETRY, 0, JobState.READY, 1, "failed"),
        (EndingMove.SNOOZE, 5, JobState.SCHEDULED, 0, "snoozed"),
        (EndingMove.INVALID, 5, JobState.SCHEDULED, 0, "invalid"),
        (EndingMove.CANCEL, 0, JobState.CANCELLED, 1, "cancelled"),
        (EndingMove.DEAD, 0, JobState.DEAD, 1, "dead"),
    ],
)
def test_every_ending(store: Store, move: EndingMove, delay: int, state: JobState, attempt: int, outcome: str) -> None:
    job = store.insert()
    claim = store.claim_one()
    store.clock.advance(1)
    assert store.end(claim, move, delay=delay, patience=60).states == {job: state}
    record = store.job(job)
    assert (record.state, record.attempt, record.fence) == (state, attempt, 1)
    assert record.reason == "boom"
    if not state.is_final:
        assert record.run_at == store.clock.moment + delay * SECOND
        assert record.worker is None
    else:
        assert record.finished_at == store.clock.moment
    [kept] = record.attempts
    assert (kept.number, kept.fence, kept.outcome) == (1, 1, outcome)
    assert (kept.error_type, kept.error_message, kept.traceback) == ("ValueError", "boom", "Traceback ...")
    assert (kept.finished_at or 0) - (kept.started_at or 0) == SECOND
    assert kept.worker is not None


def test_every_attempt_is_kept_with_its_error(store: Store) -> None:
    job = store.insert()
    for number in range(1, 4):
        store.end(store.claim_one(job=job), error=ErrorRecord("ValueError", f"boom {number}"))
    store.end(store.claim_one(job=job), EndingMove.SNOOZE)
    store.complete(store.claim_one(job=job))
    attempts = store.job(job).attempts
    assert [(each.number, each.outcome) for each in attempts] == [
        (1, "failed"),
        (2, "failed"),
        (3, "failed"),
        (4, "snoozed"),
        (4, "completed"),
    ]
    assert [each.error_message for each in attempts] == ["boom 1", "boom 2", "boom 3", "boom", None]
    assert [each.fence for each in attempts] == [1, 2, 3, 4, 5]


def test_a_payload_that_does_not_validate_is_dead_when_patience_ends(store: Store) -> None:
    job = store.insert()

    def try_again() -> JobState:
        claim = store.claim_one(job=job)
        assert claim.attempt == 1
        return store.end(claim, EndingMove.INVALID, delay=0, patience=60).states[job]

    assert try_again() is JobState.READY
    store.clock.advance(59)
    assert try_again() is JobState.READY
    store.clock.advance(1)
    assert try_again() is JobState.DEAD
    assert store.outcomes(job) == ["invalid", "invalid", "dead"]


def test_patience_begins_anew_after_the_payload_did_validate(store: Store) -> None:
    job = store.insert()
    store.end(store.claim_one(job=job), EndingMove.INVALID, patience=60)
    store.clock.advance(50)
    store.end(store.claim_one(job=job), EndingMove.RETRY)
    store.clock.advance(50)
    assert store.end(store.claim_one(job=job), EndingMove.INVALID, patience=60).states == {job: JobState.READY}


def lose_by_return(store: Store, claim: Claim) -> None:
    store.give_back(claim)


def lose_by_rescue(store: Store, claim: Claim) -> None:
    store.crash(claim, store.worker())


def lose_to_another(store: Store, claim: Claim) -> None:
    store.give_back(claim)
    store.claim_one(worker=store.worker(), job=claim.id)


def lose_to_itself(store: Store, claim: Claim) -> None:
    store.give_back(claim)
    store.claim_one(job=claim.id)


def lose_by_cancel(store: Store, claim: Claim) -> None:
    store.give_back(claim)
    store.cancel(claim.id)


def lose_by_delete(store: Store, claim: Claim) -> None:
    store.give_back(claim)
    store.delete(claim.id)


def lose_to_another_completion(store: Store, claim: Claim) -> None:
    store.give_back(claim)
    store.complete(store.claim_one(job=claim.id))


def lose_by_death(store: Store, claim: Claim) -> None:
    store.give_back(claim)
    store.end(store.claim_one(job=claim.id), EndingMove.DEAD)


LOSSES = [
    lose_by_return,
    lose_by_rescue,
    lose_to_another,
    lose_to_itself,
    lose_by_cancel,
    lose_by_delete,
    lose_to_another_completion,
    lose_by_death,
]


@pytest.mark.parametrize("lose", LOSSES)
@pytest.mark.parametrize("move", [None, *EndingMove])
def test_a_claim_that_is_not_current_writes_nothing(
    store: Store, lose: Callable[[Store, Claim], None], move: EndingMove | None
) -> None:
    store.insert()
    claim = store.claim_one()
    lose(store, claim)
    before = store.find(claim.id)
    report = store.complete(claim) if move is None else store.end(claim, move, delay=1)
    assert report == FinishReport(lost=[(claim.id, claim.fence)])
    assert store.find(claim.id) == before


def test_a_completion_whose_answer_was_lost_succeeded(store: Store) -> None:
    store.insert()
    claim = store.claim_one()
    store.complete(claim, result="1")
    assert store.complete(claim, result="2") == NOTHING
    assert store.job(claim.id).result == "1"
    assert store.outcomes(claim.id) == ["completed"]


@pytest.mark.parametrize("is_cancelled", [False, True])
@pytest.mark.parametrize("move", EndingMove)
def test_an_ending_whose_answer_was_lost_is_reported_as_it_is_stored(
    store: Store, move: EndingMove, is_cancelled: bool
) -> None:
    store.insert()
    claim = store.claim_one()
    if is_cancelled:
        store.cancel(claim.id)
    first = store.end(claim, move, delay=1)
    before = store.find(claim.id)
    assert store.end(claim, move, delay=1) == first
    assert store.find(claim.id) == before


def test_a_completion_found_in_history_under_another_fence_is_lost(store: Store) -> None:
    store.insert()
    old = store.claim_one()
    store.give_back(old)
    new = store.claim_one()
    store.complete(new)
    assert store.complete(old).lost == [(old.id, old.fence)]
    assert store.complete(new).lost == []


def test_a_lost_claim_takes_no_other_of_its_batch_with_it(store: Store) -> None:
    store.insert_many(3)
    first, lost, last = store.claim(3)
    store.give_back(lost)
    assert store.complete(first, lost, last).lost == [(lost.id, lost.fence)]
    assert [store.state(claim.id) for claim in (first, lost, last)] == ["completed", "ready", "completed"]


@pytest.mark.parametrize("move", [EndingMove.RETRY, EndingMove.SNOOZE, EndingMove.INVALID, EndingMove.CANCEL])
def test_a_job_whose_cancellation_was_requested_is_not_tried_again(store: Store, move: EndingMove) -> None:
    job = store.insert()
    claim = store.claim_one()
    assert store.cancel(job, "the order was deleted") == [(job, JobState.RUNNING)]
    assert store.end(claim, move, delay=60, patience=60).states == {job: JobState.CANCELLED}
    record = store.job(job)
    assert (record.state, record.reason) == (JobState.CANCELLED, "the order was deleted")
    assert len(record.attempts) == 1


def test_a_cancellation_that_came_too_late_changes_nothing(store: Store) -> None:
    job = store.insert()
    claim = store.claim_one()
    store.cancel(job)
    store.complete(claim)
    assert store.state(job) is JobState.COMPLETED


def test_a_job_that_cancels_itself_says_why(store: Store) -> None:
    """Also on a later attempt, when the job still carries the error of the one before."""
    job = store.insert()
    store.end(store.claim_one(job=job), error=ErrorRecord("ValueError", "the first error"))
    store.end(store.claim_one(job=job), EndingMove.CANCEL, error=ErrorRecord("Cancel", "the order was deleted"))
    assert store.job(job).reason == "the order was deleted"


def test_endings_wake_those_who_wait_for_them(store: Store) -> None:
    store.insert_many(4)
    one, two, three, four = store.claim(4)
    finish = store.engine.finish_jobs

    def woken(*finishes: Completion | Ending) -> dict[WakeKind, tuple[int, ...]]:
        return {wake.kind: wake.jobs for wake in store.wakes(finish, finishes)}

    assert woken(Completion(one.id, one.fence)) == {WakeKind.FINISHED: (one.id,)}
    assert WakeKind.FINISHED in woken(Ending(two.id, two.fence, EndingMove.DEAD, BOOM))
    assert woken(Ending(three.id, three.fence, EndingMove.RETRY, BOOM, SECOND)) == {WakeKind.SCHEDULED: ()}
    assert woken(Ending(four.id, four.fence, EndingMove.RETRY, BOOM)) == {WakeKind.READY: ()}


def test_returned_jobs_are_ready_with_their_attempt_restored(store: Store) -> None:
    store.insert_many(3)
    kept, *returned = store.claim(3)
    assert sorted(store.give_back(*returned)) == [claim.id for claim in returned]
    for claim in returned:
        record = store.job(claim.id)
        assert (record.state, record.attempt, record.fence) == (JobState.READY, 0, 1)
        assert (record.worker, record.started_at, record.attempts) == (None, None, ())
    assert store.state(kept.id) is JobState.RUNNING


@pytest.mark.parametrize("lose", LOSSES)
def test_only_current_claims_are_returned(store: Store, lose: Callable[[Store, Claim], None]) -> None:
    store.insert()
    claim = store.claim_one()
    lose(store, claim)
    before = store.find(claim.id)
    assert store.give_back(claim) == []
    assert store.find(claim.id) == before


def test_a_returned_job_whose_cancellation_was_requested_is_cancelled(store: Store) -> None:
    store.insert()
    claim = store.claim_one()
    store.cancel(claim.id, "the order was deleted")
    assert store.give_back(claim) == [claim.id]
    record = store.job(claim.id)
    assert (record.state, record.reason) == (JobState.CANCELLED, "the order was deleted")


def test_returned_jobs_can_be_claimed_at_once(store: Store) -> None:
    store.insert()
    claim = store.claim_one()
    returning = store.engine.return_jobs
    assert store.wakes(returning, [(claim.id, claim.fence)]) == [Wake(WakeKind.READY)]
    again = store.claim_one()
    store.cancel(again.id)
    assert [wake.kind for wake in store.wakes(returning, [(again.id, again.fence)])] == [WakeKind.FINISHED]


def test_a_lapsed_lease_that_nobody_took_costs_no_finish(store: Store) -> None:
    """The claim is still the current one."""
    store.insert()
    claim = store.claim_one()
    store.clock.advance(10 * LEASE / SECOND)
    assert store.complete(claim).lost == []
