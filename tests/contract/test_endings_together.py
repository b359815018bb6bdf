"""Many attempts that end at once without completing, as when a service is down: docs/decisions/0075."""

from contextlib import suppress

import pytest

from tests.contract.store import BOOM, SECOND, Store
from turnspit.contract.verbs import Statement, Verb
from turnspit.records import (
    Claim,
    Completion,
    Ending,
    EndingMove,
    ErrorRecord,
    Lane,
    LimitedRequest,
    LimitRule,
)


def test_they_are_stored_together_each_as_alone(store: Store) -> None:
    jobs, limited = store.insert_many(8), Lane("default", "send", (LimitRule("send", "send", 9, SECOND),)).to_text()
    claims = [store.claim_one(job=job) for job in jobs]
    store.insert(lane=limited)
    request = LimitedRequest(store.default_worker, 9, frozenset({"send"}))
    claims += store.engine.write(store.engine.claim_limited_jobs, request).claims
    later, at_once, stale, cancelled, dead, dead_too, snoozed, done, held = claims
    store.cancel(cancelled.id, "not wanted")
    errors = {
        each.id: ErrorRecord("OSError", f"no {each.id}", f"Traceback {each.id}", f"f{each.id}") for each in claims
    }

    def ending(claim: Claim, move: EndingMove = EndingMove.RETRY, delay: int = 0, fence: int = 0) -> Ending:
        return Ending(claim.id, claim.fence + fence, move, errors[claim.id], delay * SECOND)

    report = store.engine.write(
        store.engine.finish_jobs,
        [ending(later, delay=60), ending(later, fence=-1), ending(stale, fence=-1), ending(at_once),
         ending(cancelled, delay=60), ending(dead, EndingMove.DEAD), Completion(done.id, done.fence, "1"),
         ending(held, delay=60), ending(dead_too, EndingMove.DEAD), ending(snoozed, EndingMove.SNOOZE, delay=60)],
    )  # fmt: skip
    assert report.lost == [(later.id, later.fence - 1), (stale.id, stale.fence - 1)]
    states = {later: "scheduled", at_once: "ready", stale: "running", cancelled: "cancelled", dead: "dead"}
    states |= {dead_too: "dead", snoozed: "scheduled", done: "completed", held: "scheduled"}
    assert {claim.id: store.state(claim.id) for claim in claims} == {claim.id: state for claim, state in states.items()}
    assert {job: str(state) for job, state in report.states.items()} == {
        claim.id: state for claim, state in states.items() if claim not in (stale, done)
    }
    for claim in (later, at_once, held, dead, dead_too, snoozed):
        record, error = store.job(claim.id), errors[claim.id]
        assert (record.error_type, record.reason, record.fingerprint) == (error.type, error.message, error.fingerprint)
        [attempt] = record.attempts
        outcome = {dead: "dead", dead_too: "dead", snoozed: "snoozed"}.get(claim, "failed")
        assert (attempt.outcome, attempt.error_message, attempt.traceback) == (outcome, error.message, error.traceback)
    assert {store.job(claim.id).finished_at for claim in (dead, dead_too)} == {store.clock.moment}
    assert {store.job(claim.id).run_at for claim in (later, snoozed)} == {store.clock.moment + 60 * SECOND}
    assert [store.job(claim.id).attempt for claim in (later, snoozed)] == [1, 0]
    counted = {each.outcome: each.count for each in store.engine.read(store.engine.list_counters, 5, 1)}
    assert (counted["failed"], counted["dead"], counted["snoozed"]) == (4, 2, 1)


@pytest.mark.parametrize("move", [EndingMove.RETRY, EndingMove.SNOOZE, EndingMove.DEAD])
def test_many_take_no_more_statements_than_two(store: Store, move: EndingMove) -> None:
    """Else a worker is ahead of its store by thousands of attempts while a service is down."""

    def statements(count: int) -> int:
        store.insert_many(count)
        endings = [Ending(claim.id, claim.fence, move, BOOM, SECOND) for claim in store.claim(count)]
        yielded: list[Statement] = []

        def counting() -> Verb[None]:
            verb = store.engine.finish_jobs(endings)
            step = next(verb)
            with suppress(StopIteration):
                while True:
                    if isinstance(step, Statement):
                        yielded.append(step)
                    step = verb.send((yield step))

        store.engine.write(counting)
        return len(yielded)

    assert statements(2) == statements(50)
