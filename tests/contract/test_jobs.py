"""Jobs on their way in, their progress, and their removal."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.contract.store import SECOND, Store
from turnspit.contract.verbs import Wake, WakeKind
from turnspit.errors import EngineError
from turnspit.records import EndingMove, LogLine, NewJob, ProgressUpdate, PruneRequest
from turnspit.states import JobState

DAY = 24 * 3600
KEEP = PruneRequest(history=DAY * SECOND, dead=None)


def insert(store: Store, **times: int):
    return store.engine.write(store.engine.insert_job, NewJob("send", "default", "{}", **times))


def test_a_job_without_a_time_is_ready_now(store: Store) -> None:
    inserted = insert(store)
    assert inserted.state is JobState.READY
    assert inserted.run_at == inserted.created_at == store.clock.moment


@pytest.mark.parametrize(
    ("at", "delay", "state", "run_at"),
    [
        (60, 0, JobState.SCHEDULED, 60),
        (0, 60, JobState.SCHEDULED, 60),
        (30, 60, JobState.SCHEDULED, 60),
        (60, 30, JobState.SCHEDULED, 60),
        (-60, 0, JobState.READY, 0),
        (0, 0, JobState.READY, 0),
        (-60, 10, JobState.SCHEDULED, 10),
    ],
)
@pytest.mark.parametrize("in_bulk", [False, True])
def test_the_later_of_moment_and_delay_decides(
    store: Store, at: int, delay: int, state: JobState, run_at: int, in_bulk: bool
) -> None:
    now = store.clock.moment
    new = NewJob("send", "default", "{}", at=now + at * SECOND, delay=delay * SECOND)
    if in_bulk:
        [job] = store.engine.write(store.engine.insert_jobs, [new])
    else:
        job = store.engine.write(store.engine.insert_job, new).id
    record = store.job(job)
    # A moment that has passed is kept as it was only where nobody waits for it.
    assert (record.state, max(record.run_at, now)) == (state, now + run_at * SECOND)


def test_a_job_is_stored_as_it_was_given(store: Store) -> None:
    new = NewJob("send", "mail", '{"to": "ä\\n"}', 7, None, 0, '{"attempts":2}', 5, '["a"]', '{"k":1}')
    engine = store.engine
    for job in (engine.write(engine.insert_job, new).id, *engine.write(engine.insert_jobs, [new])):
        record = store.job(job)
        assert (record.task, record.queue, record.args, record.priority) == ("send", "mail", new.args, 7)
        assert (record.retry, record.timeout, record.tags, record.metadata) == (new.retry, 5, '["a"]', '{"k":1}')
        assert (record.attempt, record.crashes, record.fence, record.attempts) == (0, 0, 0, ())


@pytest.mark.parametrize("queues", [["default"], ["default", "mail"]], ids=["alike", "different"])
def test_many_jobs_get_their_ids_in_the_order_given(store: Store, queues: list[str]) -> None:
    fields: dict[str, Any] = {"tags": '["a"]', "metadata": '{"k": 1}', "retry": "{}", "timeout": 5, "priority": 3}
    new = [
        NewJob("send", queues[number % len(queues)], json.dumps({"n": number, "t": '"\\'}), **fields)
        for number in range(50)
    ]
    ids = store.engine.write(store.engine.insert_jobs, new)
    assert ids == sorted(set(ids))
    assert [store.job(job).args for job in ids] == [job.args for job in new]
    assert [store.job(job).queue for job in ids] == [job.queue for job in new]
    assert {(job.tags, job.metadata, job.retry, job.timeout, job.priority) for job in map(store.job, ids)} == {
        ('["a"]', '{"k": 1}', "{}", 5, 3)
    }
    assert store.engine.write(store.engine.insert_jobs, []) == []


def test_many_jobs_are_stored_all_or_none(store: Store) -> None:
    bad = NewJob("send", "default", None)  # type: ignore[arg-type]
    with pytest.raises(EngineError):
        store.engine.write(store.engine.insert_jobs, [NewJob("send", "default", "{}"), bad])
    assert store.count() == 0


def test_ids_are_never_used_again(store: Store) -> None:
    first, second, third = store.insert_many(3)
    store.delete(third)
    store.complete(*store.claim(2))
    store.clock.advance(2 * DAY)
    assert store.engine.write(store.engine.prune_jobs, KEEP) == 2
    assert store.count() == 0
    assert store.insert() > third > second > first


def test_due_jobs_are_promoted_oldest_first(store: Store) -> None:
    late, early, later = (store.insert(delay=seconds * SECOND) for seconds in (20, 10, 60))
    assert store.promote() == (0, 10 * SECOND)
    store.clock.advance(30)
    assert store.promote(limit=1) == (1, -10 * SECOND)
    assert (store.state(early), store.state(late)) == (JobState.READY, JobState.SCHEDULED)
    assert store.promote(limit=1) == (1, 30 * SECOND)
    store.clock.advance(30)
    assert store.promote() == (1, None)
    assert store.state(later) is JobState.READY


def test_a_job_is_promoted_at_its_very_moment(store: Store) -> None:
    job = store.insert(delay=SECOND)
    store.clock.moment += SECOND - 1
    assert store.promote() == (0, 1)
    store.clock.moment += 1
    assert store.promote() == (1, None)
    assert store.state(job) is JobState.READY


def test_storing_and_promoting_wake_those_who_sleep(store: Store) -> None:
    engine = store.engine
    assert store.wakes(engine.insert_job, NewJob("send", "default", "{}")) == [Wake(WakeKind.READY)]
    later = NewJob("send", "default", "{}", delay=SECOND)
    assert store.wakes(engine.insert_job, later) == [Wake(WakeKind.SCHEDULED)]
    assert set(store.wakes(engine.insert_jobs, [later])) >= {Wake(WakeKind.SCHEDULED)}
    assert set(store.wakes(engine.insert_jobs, [NewJob("send", "default", "{}")])) == {Wake(WakeKind.READY)}
    assert store.wakes(engine.promote_jobs, 10) == []
    store.clock.advance(1)
    assert store.wakes(engine.promote_jobs, 10) == [Wake(WakeKind.READY)]


def report(store: Store, job: int, fence: int, *lines: str, progress: float | None = None, message: str | None = None):
    update = ProgressUpdate(job, fence, progress, message, tuple(LogLine(1, None, "info", line) for line in lines))
    reported = store.engine.write(store.engine.record_progress, [update])
    assert not reported.locked
    return reported.lost


def logs_of(store: Store, job: int) -> list[LogLine]:
    return list(store.engine.read(store.engine.list_logs, job))


def test_many_jobs_report_in_one_call(store: Store) -> None:
    def lines(*texts: str) -> tuple[LogLine, ...]:
        return tuple(LogLine(1, None, "info", text) for text in texts)

    store.insert_many(3)
    first, second, third = store.claim(3)
    store.complete(third)
    updates = [
        ProgressUpdate(first.id, first.fence, 0.25, "begun", lines("1", "2"), '{"n": 1}', "c1"),
        ProgressUpdate(second.id, second.fence, None, None, lines(*map(str, range(1001)))),
        ProgressUpdate(third.id, third.fence, 0.9, "late", lines("lost")),
        ProgressUpdate(first.id, first.fence + 1, 0.9, "of another claim", lines("lost")),
    ]
    report = store.engine.write(store.engine.record_progress, updates)
    assert (set(report.lost), report.locked) == ({(third.id, third.fence), (first.id, first.fence + 1)}, set())
    again = [ProgressUpdate(each.id, each.fence, 0.5, None, lines("more")) for each in (first, second)]
    assert store.engine.write(store.engine.record_progress, again).lost == []

    record = store.job(first.id)
    assert (record.progress, record.progress_message, record.progress_data) == (0.5, "begun", '{"n": 1}')
    assert store.job(second.id).progress == 0.5
    said = {each.id: [line.message for line in logs_of(store, each.id)] for each in (first, second, third)}
    assert (said[first.id], said[third.id]) == (["1", "2", "more"], [])
    assert said[second.id] == [*map(str, range(999)), "more than 1,000 lines: the rest is not kept"]


def test_progress_and_lines_are_kept_with_the_job(store: Store) -> None:
    store.insert()
    claim = store.claim_one()
    assert report(store, claim.id, claim.fence, "one", progress=0.25, message="begun") == []
    store.clock.advance(1)
    assert report(store, claim.id, claim.fence, "two", progress=0.5) == []
    assert report(store, claim.id, claim.fence, "three") == []
    record = store.job(claim.id)
    assert (record.progress, record.progress_message) == (0.5, "begun")
    logs = store.engine.read(store.engine.list_logs, claim.id)
    assert [(line.attempt, line.level, line.message) for line in logs] == [
        (1, "info", "one"),
        (1, "info", "two"),
        (1, "info", "three"),
    ]
    assert [line.at for line in logs] == [store.clock.moment - SECOND, store.clock.moment, store.clock.moment]


def test_progress_of_a_claim_that_is_not_current_is_refused(store: Store) -> None:
    store.insert()
    old = store.claim_one()
    store.give_back(old)
    assert report(store, old.id, old.fence, "late", progress=0.9) == [(old.id, old.fence)]
    new = store.claim_one()
    assert report(store, old.id, old.fence, "late", progress=0.9) == [(old.id, old.fence)]
    store.complete(new)
    assert report(store, new.id, new.fence, "late") == [(new.id, new.fence)]
    assert store.job(old.id).progress is None
    assert store.engine.read(store.engine.list_logs, old.id) == []


def test_a_job_that_logs_without_end_keeps_a_bounded_number_of_lines(store: Store) -> None:
    store.insert()
    claim = store.claim_one()
    report(store, claim.id, claim.fence, *(str(number) for number in range(1500)))
    report(store, claim.id, claim.fence, "even more")
    logs = store.engine.read(store.engine.list_logs, claim.id)
    assert len(logs) == 1000
    assert logs[0].message == "0"
    assert logs[-1].level == "warning"


def ended(store: Store, *, logs: bool = True) -> int:
    """A job that failed once, logged, and completed."""
    job = store.insert()
    store.end(store.claim_one(job=job))
    claim = store.claim_one(job=job)
    if logs:
        report(store, claim.id, claim.fence, "a line")
    store.complete(claim)
    return job


def test_final_jobs_are_pruned_with_everything_of_theirs(store: Store) -> None:
    old = ended(store)
    cancelled = store.insert()
    store.cancel(cancelled)
    store.clock.advance(DAY - 1)
    assert store.engine.write(store.engine.prune_jobs, KEEP) == 0
    young = ended(store)
    store.clock.advance(1)
    assert store.engine.write(store.engine.prune_jobs, KEEP) == 2
    assert store.find(old) is None
    assert store.find(cancelled) is None
    assert store.engine.read(store.engine.list_logs, old) == []
    assert store.outcomes(young) == ["failed", "completed"]
    assert len(store.engine.read(store.engine.list_logs, young)) == 1


def test_what_was_pruned_leaves_nothing_for_a_later_job(store: Store) -> None:
    """Attempts and lines go by the job's id: none may stay behind."""
    job = ended(store)
    store.replay(job, state="completed")
    store.complete(store.claim_one(job=job))
    assert store.outcomes(job) == ["failed", "completed", "completed"]
    store.clock.advance(2 * DAY)
    assert store.engine.write(store.engine.prune_jobs, KEEP) == 1
    assert store.engine.read(store.engine.list_logs, job) == []


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_on_sqlite_no_row_stays_behind_in_any_table(store: Store, folder: Path) -> None:
    """Nobody would ever see it again, but it would take its space for good."""
    ended(store)
    dead, deleted = ended(store), ended(store)
    store.replay(dead, state="completed")
    store.kill(dead)
    store.delete(deleted)
    store.clock.advance(2 * DAY)
    everything = PruneRequest(history=0, dead=0)
    assert store.engine.write(store.engine.prune_jobs, everything) == 2
    store.engine.close()
    with sqlite3.connect(folder / "jobs.db") as connection:
        for table in ("jobs", "history", "attempts", "logs"):
            assert connection.execute(f"SELECT count(*) FROM turnspit_{table}").fetchone() == (0,), table
    connection.close()


def test_dead_letters_stay_until_their_own_time(store: Store) -> None:
    dead = store.kill()
    store.clock.advance(10 * DAY)
    assert store.engine.write(store.engine.prune_jobs, KEEP) == 0
    week = PruneRequest(history=None, dead=7 * DAY * SECOND)
    assert store.engine.write(store.engine.prune_jobs, week) == 1
    assert store.find(dead) is None


def test_live_jobs_are_never_pruned(store: Store) -> None:
    running, ready, scheduled = store.insert(), store.insert(), store.insert(delay=1000 * DAY * SECOND)
    store.claim_one(job=running)
    retried = store.insert()
    store.end(store.claim_one(job=retried), delay=1000 * DAY)
    store.clock.advance(100 * DAY)
    everything = PruneRequest(history=0, dead=0)
    assert store.engine.write(store.engine.prune_jobs, everything) == 0
    assert {store.state(job) for job in (running, ready, scheduled)} == {"running", "ready", "scheduled"}
    assert store.outcomes(retried) == ["failed"]


def test_pruning_goes_in_portions(store: Store) -> None:
    jobs = [ended(store, logs=False) for _ in range(5)]
    store.clock.advance(2 * DAY)
    portion = PruneRequest(history=DAY * SECOND, dead=None, limit=2)
    assert [store.engine.write(store.engine.prune_jobs, portion) for _ in range(4)] == [2, 2, 1, 0]
    assert [store.find(job) for job in jobs] == [None] * 5


def test_a_result_is_removed_after_its_own_time_and_the_job_stays(store: Store) -> None:
    short, long = store.insert(), store.insert()
    store.complete(store.claim_one(job=short), result='"secret"', keep=60 * SECOND)
    store.complete(store.claim_one(job=long), result='"kept"')
    store.clock.advance(59)
    store.engine.write(store.engine.prune_jobs, KEEP)
    assert store.job(short).result == '"secret"'
    store.clock.advance(1)
    assert store.engine.write(store.engine.prune_jobs, KEEP) == 1
    record = store.job(short)
    assert (record.result, record.state) == (None, JobState.COMPLETED)
    assert record.reason
    assert store.job(long).result == '"kept"'


def test_a_dead_letter_made_by_giving_up_keeps_its_reason(store: Store) -> None:
    dead = store.kill()
    record = store.job(dead)
    assert (record.state, record.reason, record.error_type, record.fingerprint) == ("dead", "boom", "ValueError", "f1")
    assert record.finished_at == store.clock.moment
    assert store.outcomes(dead) == [str(EndingMove.DEAD)]
