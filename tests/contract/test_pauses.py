"""Pauses: no claim takes a job of a paused queue, task or tag, and what waited goes on when they end."""

from typing import Any

import pytest

from tests.contract.store import SECOND, TASKS, Store
from turnspit.contract.verbs import Statement, Verb, Wake, WakeKind
from turnspit.jobs import JobFilter
from turnspit.records import (
    Claim,
    JobChanges,
    Lane,
    LimitedRequest,
    LimitRule,
    NewJob,
    PauseKind,
    PauseRecord,
    UniqueRule,
)
from turnspit.states import JobState

KINDS: list[PauseKind] = ["queue", "task", "tag"]
NAMES = {"queue": "default", "task": "send", "tag": "import"}
TAGGED = '["nightly","import"]'


def pause(store: Store, kind: PauseKind, name: str | None = None) -> bool:
    return store.engine.write(store.engine.pause, kind, name or NAMES[kind])


def resume(store: Store, kind: PauseKind, name: str | None = None) -> bool:
    return store.engine.write(store.engine.resume, kind, name or NAMES[kind])


def insert(store: Store, **fields: Any) -> int:
    """A job of the queue, task and tag that are paused here."""
    return store.insert(tags=TAGGED, **fields)


def insert_many(store: Store, count: int) -> list[int]:
    return [insert(store) for _ in range(count)]


def count_ready_or_running(store: Store) -> int:
    return store.engine.read(store.engine.count_ready_or_running, None, frozenset({"send"}))


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_it_is_claimed_until_it_is_resumed(store: Store, kind: PauseKind) -> None:
    jobs = insert_many(store, 3)
    assert pause(store, kind)
    assert store.claim(10) == []
    assert count_ready_or_running(store) == 0
    assert resume(store, kind)
    assert [claim.id for claim in store.claim(10)] == jobs


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"queues": ("default",)}, {"queues": ("default", "other")}, {"job": 1}])
def test_no_kind_of_claim_goes_past_it(store: Store, kind: PauseKind, options: dict[str, Any]) -> None:
    if "job" in options:
        options = {"job": insert(store)}
    else:
        insert(store)
    pause(store, kind)
    assert store.claim(10, **options) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_worker_that_has_just_claimed_from_it_stops(store: Store, kind: PauseKind) -> None:
    insert_many(store, 4)
    assert len(store.claim(2)) == 2
    pause(store, kind)
    assert store.claim(2) == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_paused_runs_past_it(store: Store, kind: PauseKind) -> None:
    insert_many(store, 3)
    other = store.insert(task="render", queue="images")
    pause(store, kind)
    worker = store.worker(["send", "render"])
    assert [claim.id for claim in store.claim(10, worker=worker, tasks=("send", "render"))] == [other]


@pytest.mark.parametrize("kind", ["task", "tag"])
def test_jobs_of_a_paused_task_or_tag_step_aside_and_say_why(store: Store, kind: PauseKind) -> None:
    jobs = insert_many(store, 3)
    pause(store, kind)
    store.claim(10)
    assert {store.state(job) for job in jobs} == {JobState.HELD}
    assert store.job(jobs[0]).reason == f"paused: {kind} {NAMES[kind]}"
    assert store.engine.write(store.engine.admit_jobs, ["send"], 10) == 0
    store.worker()  # registering admits held jobs of its tasks, but not these
    assert store.state(jobs[0]) is JobState.HELD
    resume(store, kind)
    assert {store.state(job) for job in jobs} == {JobState.READY}
    assert store.job(jobs[0]).reason is None


@pytest.mark.parametrize("kind", ["task", "tag"])
def test_what_a_resume_left_behind_is_a_duty_of_workers(store: Store, kind: PauseKind) -> None:
    """Its portion is full, or a claim held a job at the same moment."""
    job = insert(store)
    worker = store.default_worker
    pause(store, kind)
    store.claim(1)
    assert not store.engine.read(store.engine.find_duties, worker, None, TASKS).held
    store.engine.write(run_statement, store.engine.sql["resume"], {"kind": kind, "name": NAMES[kind]})
    assert store.engine.read(store.engine.find_duties, worker, None, TASKS).held
    assert store.engine.write(store.engine.admit_jobs, ["print"], 10) == 1
    assert store.state(job) is JobState.READY


def run_statement(sql: str, params: dict[str, Any]) -> Verb[None]:
    yield Statement(sql, params)


def test_a_job_under_two_pauses_waits_for_the_end_of_both(store: Store) -> None:
    insert(store)
    pause(store, "task")
    pause(store, "tag")
    store.claim(1)
    resume(store, "task")
    assert store.claim(1) == []
    resume(store, "tag")
    assert len(store.claim(1)) == 1


@pytest.mark.parametrize("kind", ["task", "tag"])
def test_a_job_that_is_run_now_or_moved_is_still_paused(store: Store, kind: PauseKind) -> None:
    moved, now = insert_many(store, 2)
    pause(store, kind)
    store.claim(2)
    store.engine.write(store.engine.update_job, moved, JobChanges(None, "other", None, None))
    store.engine.write(store.engine.run_jobs_now, JobFilter(id=now), 0, 1)
    store.engine.write(store.engine.admit_jobs, ["send"], 10)
    assert store.claim(2) == []
    resume(store, kind)
    assert {claim.id for claim in store.claim(2)} == {moved, now}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("limit", ["rate", "concurrency", "fair"])
def test_limited_jobs_are_paused_too(store: Store, kind: PauseKind, limit: str) -> None:
    rules = {"rate": (LimitRule("r", "r", 10, SECOND),), "concurrency": (LimitRule("c", "c", 9, 0),), "fair": ()}[limit]
    lane = Lane("default", "send", rules, "send [1]").to_text()
    jobs = [insert(store, lane=lane) for _ in range(3)]
    other = store.insert(lane=Lane("other", "print", ()).to_text(), task="print", queue="other")
    pause(store, kind)
    assert [claim.id for claim in claim_limited(store)] == [other]
    assert count_ready_or_running(store) == 0
    assert {store.state(job) for job in jobs} == {JobState.HELD}
    resume(store, kind)
    assert [claim.id for claim in claim_limited(store)] == jobs


def test_jobs_behind_many_with_a_paused_tag_are_reached(store: Store) -> None:
    lane = Lane("default", "send", (), "send [1]").to_text()
    tagged = NewJob("send", "default", "{}", lane=lane, tags=TAGGED)
    store.engine.write(store.engine.insert_jobs, [tagged] * 30 + [tagged._replace(tags=None)])
    pause(store, "tag")
    found = claim_limited(store, slots=1)
    assert [claim.tags for claim in found] == [None]


def claim_limited(store: Store, slots: int = 10) -> tuple[Claim, ...]:
    request = LimitedRequest(store.default_worker, slots, TASKS)
    return store.engine.write(store.engine.claim_limited_jobs, request).claims


def test_tags_that_are_no_list_of_texts_stop_no_claim(store: Store) -> None:
    """Somebody else's INSERT can store them. They count as none."""
    jobs = [store.insert(tags=tags) for tags in (None, "5", '{"a": 1}', '["a\\u0000"]')]
    store.engine.write(store.engine.pause, "tag", "email")
    assert store.ids(tag="email") == []
    assert [claim.id for claim in store.claim(10)] == jobs


def test_jobs_of_a_paused_queue_stay_as_they_are(store: Store) -> None:
    job = insert(store)
    pause(store, "queue")
    store.claim(10)
    assert store.state(job) is JobState.READY


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arrow", ["due", "retry", "return", "replay", "insert"])
def test_no_arrow_into_ready_leads_around_it(store: Store, kind: PauseKind, arrow: str) -> None:
    if arrow == "due":
        insert(store, delay=SECOND)
    elif arrow == "replay":
        store.kill(insert(store))
    elif arrow != "insert":
        insert(store)
    running = store.claim_one() if arrow in ("retry", "return") else None
    pause(store, kind)
    if arrow == "due":
        store.clock.advance(2)
        store.promote()
    elif arrow == "replay":
        store.replay()
    elif arrow == "insert":
        insert(store)
    elif arrow == "return":
        store.give_back(running)
    else:
        store.end(running)
    assert store.claim(10) == []
    resume(store, kind)
    assert len(store.claim(10)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_what_runs_runs_on(store: Store, kind: PauseKind) -> None:
    insert(store)
    claim = store.claim_one()
    pause(store, kind)
    assert store.complete(claim).lost == []


def test_pauses_are_listed_with_their_moment(store: Store) -> None:
    assert store.engine.read(store.engine.list_pauses) == []
    moment = store.clock.moment
    pause(store, "task")
    pause(store, "queue", "mail")
    found = store.engine.read(store.engine.list_pauses)
    assert found == [PauseRecord("queue", "mail", moment), PauseRecord("task", "send", moment)]


@pytest.mark.parametrize("kind", KINDS)
def test_pausing_and_resuming_twice_changes_nothing(store: Store, kind: PauseKind) -> None:
    assert [pause(store, kind), pause(store, kind)] == [True, False]
    assert [resume(store, kind), resume(store, kind)] == [True, False]


@pytest.mark.parametrize("kind", KINDS)
def test_resuming_wakes_workers(store: Store, kind: PauseKind) -> None:
    insert(store)
    pause(store, kind)
    assert Wake(WakeKind.READY) in store.wakes(store.engine.resume, kind, NAMES[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_pause_tells_workers_what_to_hand_back(store: Store, kind: PauseKind) -> None:
    assert store.wakes(store.engine.pause, kind, NAMES[kind]) == [Wake(WakeKind.PAUSE)]
    duties = store.engine.read(store.engine.find_duties, store.default_worker, None, TASKS)
    assert duties.paused_at == store.clock.moment


def test_a_job_that_was_replaced_while_it_was_set_aside_has_nothing_to_do_with_the_pause(store: Store) -> None:
    """Its end would make a job ready that runs."""
    rule = UniqueRule("scheduled,held,ready,running", 0, "replace")
    job = insert(store, unique_key="k", unique_rule=rule)
    pause(store, "tag")
    assert store.claim(10) == []
    assert store.state(job) is JobState.HELD
    assert store.insert(unique_key="k", unique_rule=rule) == job
    claim = store.claim_one()
    resume(store, "tag")
    assert (store.state(job), store.claim(10)) == (JobState.RUNNING, [])
    assert not store.complete(claim).lost


def test_a_limited_job_that_is_started_while_its_tag_is_paused_begins_when_that_ends(store: Store) -> None:
    """It was on its lane's list already, which nobody looked at again."""
    lane = Lane("default", "send", (LimitRule("send rate", "send rate", 100, SECOND),)).to_text()
    job = insert(store, lane=lane)
    pause(store, "tag")
    assert not claim_limited(store)
    store.engine.write(store.engine.run_jobs_now, JobFilter(id=job), 0, 1)
    resume(store, "tag")
    assert [claim.id for claim in claim_limited(store)] == [job]


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_tags_that_are_no_json_pause_nothing_and_break_nothing(store: Store) -> None:
    """A foreign writer can put anything into a file."""
    job = store.insert(tags="import")
    pause(store, "tag")
    assert [claim.id for claim in store.claim(10)] == [job]
    assert store.ids(tag="import") == []
