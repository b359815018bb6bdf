"""What a person does with jobs: cancel, replay, update, run now, delete."""

from typing import Any

import pytest

from tests.contract.store import SECOND, Store
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.jobs import JobFilter
from turnspit.records import EndingMove, JobChanges, LogLine, ProgressUpdate
from turnspit.states import JobState


def in_state(store: Store, state: str) -> int:
    """A job in this state; its id."""
    job = store.insert("report" if state == "held" else "send", delay=SECOND if state == "scheduled" else 0)
    if state == "held":
        store.claim(1)
    elif state in ("running", "completed"):
        claim = store.claim_one(job=job)
        if state == "completed":
            store.complete(claim)
    elif state == "dead":
        store.kill(job)
    elif state == "cancelled":
        store.cancel(job)
    assert store.state(job) == state
    return job


def update(store: Store, job: int, **changes: Any) -> JobState | None:
    return store.engine.write(store.engine.update_job, job, JobChanges(**changes))


def run_now(store: Store, job: int) -> JobState | None:
    done = store.engine.write(store.engine.run_jobs_now, JobFilter(id=job), 0, 9)
    assert [each for each, _ in done] in ([], [job])
    return done[0][1] if done else None


ALL = ["scheduled", "held", "ready", "running", "completed", "cancelled", "dead"]
WAITING = ["scheduled", "held", "ready"]
FINAL = ["completed", "cancelled", "dead"]


@pytest.mark.parametrize("state", WAITING)
def test_a_waiting_job_is_cancelled_at_once(store: Store, state: str) -> None:
    job = in_state(store, state)
    assert store.cancel(job, "the order was deleted") == [(job, JobState.CANCELLED)]
    record = store.job(job)
    assert (record.state, record.reason) == (JobState.CANCELLED, "the order was deleted")
    assert record.finished_at == store.clock.moment


def test_a_running_job_is_asked_to_end(store: Store) -> None:
    job = in_state(store, "running")
    assert store.cancel(job, "the order was deleted") == [(job, JobState.RUNNING)]
    record = store.job(job)
    assert (record.state, record.cancel_requested_at) == (JobState.RUNNING, store.clock.moment)
    assert store.engine.read(store.engine.find_cancelled, store.default_worker) == [job]
    assert store.engine.read(store.engine.find_cancelled, store.worker()) == []
    assert store.cancel(job, "again") == []
    assert store.job(job).reason == "the order was deleted"


@pytest.mark.parametrize("state", FINAL)
def test_a_final_job_cannot_be_cancelled(store: Store, state: str) -> None:
    job = in_state(store, state)
    before = store.job(job)
    assert store.cancel(job) == []
    assert store.job(job) == before


def test_a_cancellation_outlives_the_crash_of_its_worker(store: Store) -> None:
    job = store.insert()
    claim = store.claim_one()
    store.cancel(job, "the order was deleted")
    report = store.crash(claim, store.worker())
    assert (report.returned, report.cancelled) == ((), (job,))
    record = store.job(job)
    assert (record.state, record.reason) == (JobState.CANCELLED, "the order was deleted")
    assert [attempt.outcome for attempt in record.attempts] == ["crashed"]


@pytest.mark.parametrize("state", FINAL)
def test_a_final_job_is_made_ready_again_with_its_history(store: Store, state: str) -> None:
    job = store.insert(
        queue="mail", priority=3, args='{"n": 1}', tags='["a"]', metadata='{"k":1}', retry="{}", timeout=9
    )
    store.end(store.claim_one(job=job))
    claim = store.claim_one(job=job)
    store.engine.write(store.engine.record_progress, [ProgressUpdate(job, claim.fence, 0.5, "half")])
    if state == "completed":
        store.complete(claim)
    elif state == "dead":
        store.end(claim, EndingMove.DEAD)
    else:
        store.cancel(job)
        store.end(claim)
    before = store.job(job)
    store.clock.advance(10)
    assert store.replay(job) == [job]
    record = store.job(job)
    assert (record.state, record.run_at) == (JobState.READY, store.clock.moment)
    assert (record.attempt, record.crashes, record.fence) == (0, 0, 2)
    assert (record.queue, record.priority, record.args) == ("mail", 3, '{"n": 1}')
    assert (record.tags, record.metadata, record.retry, record.timeout) == ('["a"]', '{"k":1}', "{}", 9)
    assert (record.reason, record.error_type, record.fingerprint, record.result) == (None,) * 4
    assert (record.progress, record.cancel_requested_at, record.finished_at) == (None,) * 3
    assert record.created_at == before.created_at
    assert record.attempts == before.attempts
    again = store.claim_one(job=job)
    assert (again.attempt, again.fence) == (1, 3)
    store.complete(again)
    assert len(store.job(job).attempts) == 3


def test_a_replayed_job_is_not_cancelled_by_the_request_that_ended_it(store: Store) -> None:
    job = store.insert()
    claim = store.claim_one()
    store.cancel(job)
    store.end(claim)
    store.replay(job)
    assert store.end(store.claim_one(), delay=1).states == {job: JobState.SCHEDULED}


def test_nor_is_one_that_died_although_its_end_was_requested(store: Store) -> None:
    job = store.insert()
    claim = store.claim_one()
    store.cancel(job)
    assert store.end(claim, EndingMove.DEAD).states == {job: JobState.DEAD}
    store.replay(job)
    assert store.end(store.claim_one(), delay=1).states == {job: JobState.SCHEDULED}


def test_a_job_that_crashed_its_workers_may_crash_anew_after_a_replay(store: Store) -> None:
    job, rescuer = store.insert(), store.worker()
    for _ in range(2):
        store.crash(store.claim_one(worker=store.worker(), job=job), rescuer)
    store.kill(job)
    store.replay(job)
    assert store.claim_one(job=job).crashes == 0


@pytest.mark.parametrize("state", [*WAITING, "running"])
def test_a_live_job_cannot_be_replayed(store: Store, state: str) -> None:
    job = in_state(store, state)
    before = store.job(job)
    assert store.replay(job) == []
    assert store.job(job) == before


def test_what_is_replayed_can_be_found_by_state_and_error(store: Store) -> None:
    dead, done = in_state(store, "dead"), in_state(store, "completed")
    assert store.replay(state="dead", error="KeyError") == []
    assert store.replay(state="dead", error="ValueError") == [dead]
    assert store.state(done) is JobState.COMPLETED
    assert store.replay(state="completed") == [done]


@pytest.mark.parametrize("state", WAITING)
def test_a_waiting_job_is_given_another_queue_and_priority(store: Store, state: str) -> None:
    job = in_state(store, state)
    run_at = store.job(job).run_at
    assert update(store, job, queue="mail") == state
    assert update(store, job, priority=9) == state
    record = store.job(job)
    assert (record.queue, record.priority, record.run_at) == ("mail", 9, run_at)


@pytest.mark.parametrize("state", WAITING)
def test_a_waiting_job_is_given_another_time(store: Store, state: str) -> None:
    job = in_state(store, state)
    assert update(store, job, delay=60 * SECOND) is JobState.SCHEDULED
    assert store.job(job).run_at == store.clock.moment + 60 * SECOND
    assert update(store, job, at=store.clock.moment + SECOND) is JobState.SCHEDULED
    assert store.promote() == (0, SECOND)
    assert update(store, job, at=store.clock.moment) is JobState.READY
    assert update(store, job, delay=0) is JobState.READY


def test_a_more_urgent_job_is_claimed_first(store: Store) -> None:
    first, second = store.insert_many(2)
    update(store, second, priority=1)
    assert [claim.id for claim in store.claim(2)] == [second, first]


@pytest.mark.parametrize("state", WAITING)
def test_a_waiting_job_is_run_now(store: Store, state: str) -> None:
    job = in_state(store, state)
    store.clock.advance(0.5)
    assert run_now(store, job) is JobState.READY
    assert (store.state(job), store.job(job).run_at) == (JobState.READY, store.clock.moment)


def test_what_waits_for_its_next_attempt_runs_now_with_the_attempts_that_it_has(store: Store) -> None:
    jobs = store.insert_many(5)
    for job in jobs[:4]:
        store.end(store.claim_one(job=job), EndingMove.RETRY, delay=60)
    waiting = store.insert(delay=3600 * SECOND)
    engine, filter_ = store.engine, JobFilter(task="send", state="scheduled")
    assert engine.write(engine.run_jobs_now, filter_, 0, 3) == [(job, JobState.READY) for job in jobs[:3]]
    rest = [(job, JobState.READY) for job in (jobs[3], waiting)]
    assert engine.write(engine.run_jobs_now, filter_, jobs[2], 3) == rest
    assert engine.write(engine.run_jobs_now, filter_, 0, 3) == []
    assert [claim.attempt for claim in store.claim(9) if claim.id in jobs[:4]] == [2, 2, 2, 2]


@pytest.mark.parametrize("state", ["running", *FINAL])
def test_what_is_not_waiting_is_not_changed(store: Store, state: str) -> None:
    job = in_state(store, state)
    before = store.job(job)
    assert update(store, job, priority=9, delay=SECOND) is None
    assert run_now(store, job) is None
    assert store.job(job) == before


@pytest.mark.parametrize("state", [each for each in ALL if each != "running"])
def test_a_deleted_job_leaves_nothing(store: Store, state: str) -> None:
    job = store.insert("report" if state == "held" else "send")
    if state != "held":
        claim = store.claim_one()
        lines = (LogLine(1, None, "info", "a line"),)
        store.engine.write(store.engine.record_progress, [ProgressUpdate(job, claim.fence, None, None, lines)])
        move = {"dead": EndingMove.DEAD, "cancelled": EndingMove.CANCEL}.get(state, EndingMove.RETRY)
        if state == "completed":
            store.complete(claim)
        else:
            store.end(claim, move, delay=1 if state == "scheduled" else 0)
    else:
        store.claim(1)
    assert store.state(job) == state
    assert store.delete(job) == [job]
    assert store.find(job) is None
    assert store.engine.read(store.engine.list_logs, job) == []
    assert store.count() == 0


def test_a_running_job_cannot_be_deleted(store: Store) -> None:
    job = in_state(store, "running")
    assert store.delete(job) == []
    assert store.delete(state="running") == []
    assert store.state(job) is JobState.RUNNING


def test_deleting_one_job_takes_nothing_of_another(store: Store) -> None:
    gone, kept = in_state(store, "dead"), in_state(store, "dead")
    store.delete(gone)
    assert store.outcomes(kept) == ["dead"]


@pytest.mark.parametrize("state", ALL)
def test_no_verb_knows_a_job_that_does_not_exist(store: Store, state: str) -> None:
    in_state(store, state)
    job = 4711
    assert store.cancel(job) == store.replay(job) == store.delete(job) == []
    assert update(store, job, priority=1) is run_now(store, job) is None


def portions(store: Store, verb: Any, *args: Any) -> list[list[int]]:
    """What the callers of these verbs do: go on behind the largest id until nothing comes back."""
    found: list[list[int]] = []
    after = 0
    while done := store.engine.write(verb, JobFilter(task="send"), *args, after, 3):
        ids = [each if isinstance(each, int) else each[0] for each in done]
        found.append(ids)
        after = ids[-1]
    return found


def test_verbs_with_a_filter_work_through_the_oldest_first(store: Store) -> None:
    """Live and final jobs together, each met once."""
    jobs = store.insert_many(8)
    for job in (jobs[1], jobs[4], jobs[6]):
        store.complete(store.claim_one(job=job))
    store.kill(jobs[2])
    live = [job for job in jobs if store.state(job) is JobState.READY]
    assert portions(store, store.engine.cancel_jobs, "reason") == [live[:3], live[3:]]
    assert portions(store, store.engine.replay_jobs) == [jobs[:3], jobs[3:6], jobs[6:]]
    for job in (jobs[1], jobs[4]):
        store.complete(store.claim_one(job=job))
    assert portions(store, store.engine.delete_jobs) == [jobs[:3], jobs[3:6], jobs[6:]]


def test_a_running_job_is_not_asked_twice_by_a_cancellation_in_portions(store: Store) -> None:
    jobs = store.insert_many(7)
    store.claim(5)
    assert portions(store, store.engine.cancel_jobs, "reason") == [jobs[:3], jobs[3:6], jobs[6:]]


def test_what_a_person_does_wakes_those_who_sleep(store: Store) -> None:
    engine = store.engine
    waiting, running, dead = in_state(store, "ready"), in_state(store, "running"), in_state(store, "dead")

    def kinds(verb: Any, *args: Any) -> set[WakeKind]:
        return {wake.kind for wake in store.wakes(verb, *args)}

    assert kinds(engine.cancel_jobs, JobFilter(id=running), "", 0, 9) == {WakeKind.CANCEL}
    assert kinds(engine.update_job, waiting, JobChanges(priority=1)) == {WakeKind.READY}
    assert kinds(engine.update_job, waiting, JobChanges(delay=SECOND)) == {WakeKind.SCHEDULED}
    assert kinds(engine.run_jobs_now, JobFilter(id=waiting), 0, 9) == {WakeKind.READY}
    assert store.wakes(engine.cancel_jobs, JobFilter(id=waiting), "", 0, 9) == [Wake(WakeKind.FINISHED, (waiting,))]
    assert kinds(engine.replay_jobs, JobFilter(id=dead), 0, 9) == {WakeKind.READY}
