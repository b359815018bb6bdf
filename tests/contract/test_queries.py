"""Looking at jobs and queues."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.contract.store import BOOM, SECOND, TASKS, Store
from turnspit.clock import from_moment
from turnspit.jobs import JobFilter
from turnspit.records import EndingMove, ErrorRecord
from turnspit.states import JobState


def one_of_each(store: Store) -> dict[str, int]:
    held = store.insert("report")
    store.claim(1)
    jobs = {"held": held, "running": store.insert(), "completed": store.insert()}
    store.claim_one(job=jobs["running"])
    store.complete(store.claim_one(job=jobs["completed"]))
    jobs |= {"dead": store.kill(), "cancelled": store.insert(), "ready": store.insert()}
    store.cancel(jobs["cancelled"])
    jobs["scheduled"] = store.insert(delay=SECOND)
    return jobs


def test_a_job_is_found_in_whatever_state_it_is(store: Store) -> None:
    for state, job in one_of_each(store).items():
        record = store.job(job)
        assert (record.id, record.state) == (job, state)
        assert isinstance(record.state, JobState)
    assert store.find(4711) is None
    assert store.find(2**70) is None


def test_the_newest_come_first_live_and_final_together(store: Store) -> None:
    jobs = one_of_each(store)
    assert store.ids() == sorted(jobs.values(), reverse=True)
    assert store.count() == 7
    for state, job in jobs.items():
        assert store.ids(state=state) == [job]
        assert store.count(state=state) == 1


def test_a_cursor_walks_through_everything_once(store: Store) -> None:
    jobs = store.insert_many(10)
    for job in jobs[::3]:
        store.complete(store.claim_one(job=job))
    store.kill(jobs[4])
    pages, before = [], None
    while page := store.ids(limit=4, before=before):
        pages.append(page)
        before = page[-1]
    assert pages == [jobs[:5:-1], jobs[5:1:-1], jobs[1::-1]]


def test_what_arrives_meanwhile_does_not_shift_a_page(store: Store) -> None:
    jobs = store.insert_many(4)
    first = store.ids(limit=2)
    store.insert_many(3)
    store.complete(*store.claim(4))
    assert store.ids(limit=2, before=first[-1]) == [jobs[1], jobs[0]]


def test_every_filter(store: Store) -> None:
    mail = store.insert(queue="mail", tags='["a","b"]', args='{"n":1,"to":"ada","ok":true,"nothing":null}')
    store.clock.advance(10)
    report = store.insert("print", tags='["b"]', args='{"n":2,"to":["ada"],"where":{"x":1,"y":[2]},"f":1.5}')
    store.clock.advance(10)
    dead = store.kill(error=ErrorRecord("KeyError", "'x'", None, "f2"))
    expected: list[tuple[dict[str, object], list[int]]] = [
        ({"queue": "mail"}, [mail]),
        ({"task": "print"}, [report]),
        ({"tag": "b"}, [report, mail]),
        ({"tag": "a"}, [mail]),
        ({"args": {"n": 2}}, [report]),
        ({"args": {"to": "ada"}}, [mail]),
        ({"args": {"to": ["ada"]}}, [report]),
        ({"args": {"where": {"x": 1, "y": [2]}}}, [report]),
        ({"args": {"where": {"y": [2.0], "x": 1}}}, [report]),
        ({"args": {"where": {"x": 1, "y": [True]}}}, []),
        ({"args": {"where": {"x": 1}}}, []),
        ({"args": {"where": {"x": 1, "y": [2], "z": None}}}, []),
        ({"args": {"to": '["ada"]'}}, []),
        ({"args": {"ok": True}}, [mail]),
        ({"args": {"ok": 1}}, []),
        ({"args": {"n": True}}, []),
        ({"args": {"n": 1.0}}, [mail]),
        ({"args": {"nothing": None}}, [mail]),
        ({"args": {"f": 1.5, "n": 2}}, [report]),
        ({"args": {"n": 1, "to": "bob"}}, []),
        ({"args": {"n": 2**70}}, []),
        ({"args": {"to": "a\0da"}}, []),
        ({"args": {"t\0": "ada"}}, []),
        ({"error": "KeyError"}, [dead]),
        ({"fingerprint": "f2"}, [dead]),
        ({"created_after": from_moment(store.clock.moment - 10 * SECOND)}, [dead, report]),
        ({"created_before": from_moment(store.clock.moment - 10 * SECOND)}, [mail]),
        ({"queue": "mail", "task": "send", "tag": "a", "state": "ready"}, [mail]),
        ({"queue": "mail", "state": "dead"}, []),
    ]
    for fields, jobs in expected:
        assert store.ids(**fields) == jobs, fields
        assert store.count(**fields) == len(jobs), fields


@pytest.mark.parametrize("value", ["' OR 1=1 --", "a'b", "%", "ä😀", "\\", '"', "{where}", ":f_task"])
def test_a_filter_takes_any_text_for_what_it_is(store: Store, value: str) -> None:
    store.insert()
    odd = store.insert(queue=value)
    assert store.ids(queue=value) == [odd]
    assert store.ids(args={value: value}) == store.ids(tag=value) == store.ids(task=value) == []


def test_filters_hold_in_history_too(store: Store) -> None:
    job = store.insert(queue="mail", tags='["a"]', args='{"n":1}')
    store.complete(store.claim_one())
    assert store.ids(queue="mail", tag="a", args={"n": 1}, state="completed") == [job]
    assert store.ids(queue="mail", tag="a", args={"n": 2}) == []


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_arguments_that_are_no_json_match_nothing_and_break_nothing(store: Store) -> None:
    """A foreign writer can put anything into a file; PostgreSQL takes JSON only."""
    foreign, own = store.insert(args="not json"), store.insert(args='{"n":1}')
    assert store.ids(args={"n": 1}) == [own]
    assert store.job(foreign).args == "not json"


def test_a_time_zone_is_understood(store: Store) -> None:
    job = store.insert()
    here = datetime.fromtimestamp(store.clock.moment / SECOND, UTC).astimezone()
    assert store.ids(created_after=here, created_before=here + timedelta(seconds=1)) == [job]


def test_lines_of_one_job_only(store: Store) -> None:
    assert store.engine.read(store.engine.list_logs, 4711) == []


def test_dead_letters_are_grouped_by_fingerprint(store: Store) -> None:
    first = store.clock.moment
    for number in range(3):
        store.kill(error=ErrorRecord("ValueError", f"order {number}", None, "many"))
        store.clock.advance(1)
    other = store.kill(store.insert("print"), error=ErrorRecord("KeyError", "'x'", None, "one"))
    replayed = store.kill(error=ErrorRecord("ValueError", "order 9", None, "many"))
    store.replay(replayed)
    many, one = store.engine.read(store.engine.group_dead_letters, None)
    assert (many.fingerprint, many.task, many.error_type, many.count) == ("many", "send", "ValueError", 3)
    assert many.message.startswith("order ")
    assert (many.first_at, many.last_at) == (first, first + 2 * SECOND)
    assert (one.fingerprint, one.task, one.count, one.newest_id) == ("one", "print", 1, other)
    assert store.engine.read(store.engine.group_dead_letters, "print") == [one]
    assert store.engine.read(store.engine.group_dead_letters, "none") == []


def test_queues_show_what_waits_runs_and_ended(store: Store) -> None:
    one_of_each(store)
    retrying = store.insert()
    store.end(store.claim_one(job=retrying), delay=60)
    store.insert(queue="another")
    another, default = store.engine.read(store.engine.list_queues)
    assert (another.queue, another.ready, another.oldest_ready_at) == ("another", 1, store.clock.moment)
    assert (default.ready, default.scheduled, default.retrying, default.held) == (1, 1, 1, 1)
    assert (default.running, default.dead) == (1, 1)
    assert (default.completed_last_hour, default.failed_last_hour) == (1, 2)


def test_the_oldest_ready_job_of_a_queue(store: Store) -> None:
    began = store.clock.moment
    for priority in (5, 0, 9):
        store.insert_many(2)
        store.insert(priority=priority)
        store.clock.advance(60)
    store.claim(3)
    [default] = store.engine.read(store.engine.list_queues)
    assert default.oldest_ready_at == began


def test_a_queue_is_shown_for_an_hour_after_its_last_job_ended(store: Store) -> None:
    store.insert(queue="mail")
    store.complete(store.claim_one())
    store.clock.advance(59 * 60)
    [mail] = store.engine.read(store.engine.list_queues)
    assert (mail.queue, mail.ready, mail.completed_last_hour) == ("mail", 0, 1)
    store.clock.advance(2 * 60)
    assert store.engine.read(store.engine.list_queues) == []


def test_crashes_count_as_failures(store: Store) -> None:
    store.insert()
    store.crash(store.claim_one(), store.worker())
    [default] = store.engine.read(store.engine.list_queues)
    assert default.failed_last_hour == 1


def test_tasks_show_what_waits_and_runs(store: Store) -> None:
    one_of_each(store)
    report, send = store.engine.read(store.engine.list_tasks)
    assert (report.task, report.held, report.ready) == ("report", 1, 0)
    assert (send.task, send.ready, send.scheduled, send.running, send.dead) == ("send", 1, 1, 1, 1)
    assert send.oldest_ready_at == store.clock.moment


def test_how_much_is_left_to_do(store: Store) -> None:
    def left(*queues: str, tasks: frozenset[str] = TASKS) -> int:
        return store.engine.read(store.engine.count_ready_or_running, queues or None, tasks)

    assert left() == 0
    one_of_each(store)
    store.insert(queue="mail")
    store.insert("unknown")
    assert (left(), left("mail"), left("default"), left("mail", "default")) == (3, 1, 2, 3)
    assert left(tasks=frozenset({"unknown"})) == 1
    assert left(tasks=frozenset()) == 0


def test_how_much_is_left_for_later(store: Store) -> None:
    def later(*queues: str, tasks: frozenset[str] = TASKS) -> tuple[int, int | None]:
        return store.engine.read(store.engine.count_scheduled, queues or None, tasks)

    assert later() == (0, None)
    one_of_each(store)
    retried = store.insert(queue="mail")
    store.end(store.claim_one(job=retried), EndingMove.RETRY, delay=5)
    store.insert("unknown", delay=1)
    now = store.clock.moment
    assert (later(), later("default"), later("mail")) == ((2, now + SECOND), (1, now + SECOND), (1, now + 5 * SECOND))
    assert later(tasks=frozenset({"unknown"})) == (1, now + 1)
    assert later(tasks=frozenset()) == (0, None)


def test_attempts_of_every_listed_job(store: Store) -> None:
    jobs = store.insert_many(3)
    for job in jobs:
        store.end(store.claim_one(job=job), EndingMove.RETRY, error=BOOM)
    records = store.engine.read(store.engine.list_jobs, JobFilter(), 10, None)
    assert [[attempt.outcome for attempt in record.attempts] for record in records] == [["failed"]] * 3
