"""``finish_job``: an attempt that completes its job inside a caller's transaction, and what follows the commit."""

from typing import Any

from tests.contract.store import BOOM, SECOND, Store
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.records import Claim, Completion, Confirmation, Ending, EndingMove, FinishReport
from turnspit.states import JobState


def finish(store: Store, claim: Claim, result: str | None = "null") -> bool:
    return store.engine.write(store.engine.finish_job, Completion(claim.id, claim.fence, result))


def confirmation(claim: Claim) -> Confirmation:
    return Confirmation(claim.id, claim.fence, Ending(claim.id, claim.fence, EndingMove.RETRY, BOOM, SECOND))


def confirm(store: Store, claim: Claim) -> FinishReport:
    return store.engine.write(store.engine.finish_jobs, [confirmation(claim)])


def completed(store: Store) -> int:
    return sum(queue.completed_last_hour for queue in store.engine.read(store.engine.list_queues))


def test_the_job_is_completed_at_once_and_counted_when_it_is_confirmed(store: Store) -> None:
    store.insert()
    claim = store.claim_one()
    store.clock.advance(2)
    assert finish(store, claim, '{"paid": true}')
    record = store.job(claim.id)
    assert (record.state, record.result, record.finished_at) == ("completed", '{"paid": true}', store.clock.moment)
    assert completed(store) == 0
    assert confirm(store, claim) == FinishReport()
    assert completed(store) == 1


def test_a_second_confirmation_counts_nothing(store: Store) -> None:
    """Its answer was lost: the worker asks again."""
    store.insert()
    claim = store.claim_one()
    finish(store, claim)
    assert confirm(store, claim) == confirm(store, claim) == FinishReport()
    assert completed(store) == 1


def test_without_a_commit_the_attempt_ends_otherwise(store: Store) -> None:
    job = store.insert()
    claim = store.claim_one()
    assert confirm(store, claim).states == {job: JobState.SCHEDULED}
    assert store.outcomes(job) == ["failed"]
    assert completed(store) == 0


def test_a_stale_claim_finishes_nothing(store: Store) -> None:
    job = store.insert()
    stale = store.claim_one()
    store.give_back(stale)
    assert not finish(store, stale)
    current = store.claim_one()
    assert not finish(store, stale)
    assert confirm(store, stale).lost == [(job, stale.fence)]
    assert store.job(job).fence == current.fence
    assert store.state(job) is JobState.RUNNING


def test_a_finished_claim_cannot_finish_again(store: Store) -> None:
    job = store.insert()
    claim = store.claim_one()
    assert finish(store, claim)
    assert not finish(store, claim)
    assert store.complete(claim) == FinishReport(), "a finish that is found under its own fence succeeded"
    assert store.count(state="completed") == 1
    assert store.state(job) is JobState.COMPLETED


def test_a_confirmation_wakes_those_who_wait_for_the_result(store: Store) -> None:
    job = store.insert()
    claim = store.claim_one()
    assert store.wakes(store.engine.finish_job, Completion(claim.id, claim.fence)) == []
    heard = store.wakes(store.engine.finish_jobs, [confirmation(claim)])
    assert Wake(WakeKind.FINISHED, (job,)) in heard


def test_rescue_counts_for_a_worker_that_died_before_it_confirmed(store: Store) -> None:
    job = store.insert()
    claim = store.claim_one()
    rescuer = store.worker()
    finish(store, claim)
    store.rescue(rescuer)
    assert completed(store) == 0, "its worker is live and will confirm it"
    report = store.crash(claim, rescuer)
    assert report.returned == report.dead == ()
    assert completed(store) == 1
    assert store.state(job) is JobState.COMPLETED
    assert store.outcomes(job) == ["completed"]


def test_a_replayed_job_can_be_finished_so_again(store: Store) -> None:
    job = store.insert()
    first = store.claim_one()
    finish(store, first)
    store.replay(job)
    second = store.claim_one()
    assert second.fence > first.fence
    assert finish(store, second)
    assert confirm(store, second) == FinishReport()
    assert completed(store) == 1
    assert confirm(store, first) == FinishReport(), "late, and of a claim that did complete the job"
    assert completed(store) == 2


def test_a_batch_holds_all_kinds_of_finishes(store: Store) -> None:
    store.insert_many(4)
    one, two, three, four = store.claim(4)
    finish(store, two)
    finishes: list[Any] = [
        Completion(one.id, one.fence),
        confirmation(two),
        confirmation(three),
        Ending(four.id, four.fence, EndingMove.DEAD, BOOM),
    ]
    report = store.engine.write(store.engine.finish_jobs, finishes)
    assert report.states == {three.id: JobState.SCHEDULED, four.id: JobState.DEAD}
    assert completed(store) == 2


def test_a_confirmation_of_one_claim_is_not_that_of_another(store: Store) -> None:
    """The first one's worker died behind its commit; the job was replayed, and the second one's transaction failed."""
    job = store.insert()
    finish(store, store.claim_one())
    store.replay(job)
    assert confirm(store, store.claim_one()).states == {job: JobState.SCHEDULED}
    assert store.outcomes(job) == ["completed", "failed"]
