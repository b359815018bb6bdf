"""What ``turnspit doctor`` makes of jobs, workers and schedules."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from turnspit.cli import output
from turnspit.cli.doctor import excuse_workers
from turnspit.cli.doctor_workers import (
    Finding,
    examine,
    examine_blocked,
    examine_late,
    examine_progress,
    examine_schedules,
    examine_time_outs,
)
from turnspit.clock import from_moment
from turnspit.records import JobRecord, PauseRecord, QueueRecord, ScheduleRecord, TaskStats, WorkerRecord
from turnspit.states import JobState

NOW = 1_900_000_000_000_000
MINUTE = 60_000_000


def worker(number: int = 1, *, tasks: Sequence[str] = ("send",), queues: Sequence[str] | None = None, live: bool = True,
           stopped: int | None = None, expires: int = NOW + MINUTE, running: int = 0) -> WorkerRecord:  # fmt: skip
    return WorkerRecord(
        id=number,
        host="box",
        pid=40 + number,
        version="1",
        queues=None if queues is None else tuple(queues),
        tasks=tuple(tasks),
        concurrency=10,
        started_at=NOW - 60 * MINUTE,
        renewed_at=NOW - MINUTE,
        expires_at=expires,
        stopped_at=stopped,
        live=live,
        running=running,
    )


def task(name: str, *, ready: int = 0, scheduled: int = 0, held: int = 0, dead: int = 0) -> TaskStats:
    return TaskStats(name, ready, scheduled, held, 0, dead, None)


def queue(name: str, *, ready: int = 0, oldest: int | None = None) -> QueueRecord:
    return QueueRecord(
        queue=name,
        ready=ready,
        scheduled=0,
        retrying=0,
        held=0,
        running=0,
        dead=0,
        oldest_ready_at=oldest,
        completed_last_hour=0,
        failed_last_hour=0,
    )


@pytest.fixture
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "utc_now", lambda: from_moment(NOW))


@pytest.mark.usefixtures("_now")
@pytest.mark.parametrize(
    ("tasks", "queues", "workers", "expected"),
    [
        ([], [], [], [("workers", True, "none is alive, and no job waits for one")]),
        (
            [task("send", scheduled=2)],
            [],
            [],
            [("workers", False, "none is alive, with 2 jobs waiting: start turnspit worker shop:app")],
        ),
        (
            [task("send", ready=1)],
            [queue("email", ready=1, oldest=NOW - 5 * MINUTE), queue("rare", ready=1, oldest=NOW - 4 * MINUTE)],
            [worker(), worker(2, queues=["email", "slow"])],
            [
                ("workers", True, "2 live: box:41#1 (all queues), box:42#2 (email, slow)"),
                ("tasks", True, "a live worker knows the task of every waiting job"),
            ],
        ),
        (
            [task("old_name", ready=1, held=2), task("send", ready=1)],
            [],
            [worker()],
            [
                ("workers", True, "1 live: box:41#1 (all queues)"),
                (
                    "tasks",
                    False,
                    (
                        "no live worker knows old_name, with 3 jobs waiting: start a worker whose code "
                        "declares it (a "
                        "renamed task keeps its old name in aliases=), or turnspit jobs cancel shop:app --task old_name"
                    ),
                ),
            ],
        ),
        (
            [task("send", ready=4)],
            [queue("email", ready=1), queue("slow", ready=3), queue("quiet")],
            [worker(queues=["email"])],
            [
                ("workers", True, "1 live: box:41#1 (email)"),
                ("tasks", True, "a live worker knows the task of every waiting job"),
                ("queues", False, "no live worker serves slow, with 3 jobs waiting: start one with --queues slow"),
            ],
        ),
        (
            [],
            [],
            [worker(live=False, expires=NOW - 1, running=8), worker(2)],
            [
                ("workers", True, "1 live: box:42#2 (all queues)"),
                (
                    "lost worker",
                    False,
                    "box:41#1 stopped renewing its lease 60 s ago with 8 jobs running: the others take its jobs back",
                ),
                ("tasks", True, "a live worker knows the task of every waiting job"),
            ],
        ),
        (
            [],
            [],
            [worker(live=False, expires=NOW - 1, running=1)],
            [
                ("workers", True, "none is alive, and no job waits for one"),
                (
                    "lost worker",
                    False,
                    (
                        "box:41#1 stopped renewing its lease 60 s ago with 1 job running: start a worker, "
                        "which takes its "
                        "jobs back"
                    ),
                ),
            ],
        ),
        (
            [task("send", dead=1200)],
            [],
            [
                worker(live=False, stopped=NOW - MINUTE, expires=NOW - 2 * MINUTE),
                worker(2, live=False, stopped=NOW, expires=NOW),
                worker(3, live=False, stopped=NOW - 2 * MINUTE, expires=NOW - MINUTE),
            ],
            [
                ("workers", True, "none is alive, and no job waits for one"),
                (
                    "lost worker",
                    True,
                    ("2 died within the last hour, their jobs were rescued: box:41#1 60 s ago, box:43#3 2 min ago"),
                    True,
                ),
            ],
        ),
    ],
    ids=["nothing", "no worker", "well", "unknown task", "unserved queue", "lost", "lost alone", "died"],
)
def test_what_jobs_and_workers_say(
    tasks: list[TaskStats],
    queues: list[QueueRecord],
    workers: list[WorkerRecord],
    expected: list[tuple[str, bool, str] | tuple[str, bool, str, bool]],
) -> None:
    assert list(examine(tasks, queues, workers, "shop:app ")) == [Finding(*each) for each in expected]


def test_a_worker_whose_heartbeat_is_missing_is_named_before_its_lease_ends() -> None:
    second = MINUTE // 60
    silent = replace(worker(running=1), renewed_at=NOW - 11 * second, expires_at=NOW + 4 * second)
    well = replace(worker(2), renewed_at=NOW - 4 * second, expires_at=NOW + 11 * second)
    [found] = examine_late([silent, well, worker(3, live=False, expires=NOW - 1)], NOW)
    assert found.level == "notable"
    assert found.detail == (
        "box:41#1 has not renewed its lease for 11 s: was it killed or stopped, or is the store away from it? In "
        "4.0 s others may take its 1 job"
    )


def test_releases_that_work_side_by_side_are_named() -> None:
    workers = [worker(1), worker(2), replace(worker(3), version="9.0")]
    found = [finding for finding in examine([], [], workers) if finding.subject == "versions"]
    said = "several releases work at once: 1 (2 workers), 9.0 (1 worker); that is fine while you deploy"
    assert found == [Finding("versions", True, said)]


def test_many_names_are_cut() -> None:
    said = next(iter(examine([], [], [worker(number) for number in range(1, 9)]))).detail
    assert said.endswith("box:45#5 (all queues) and 3 more")


def test_a_name_in_a_command_is_quoted() -> None:
    """Whoever may enqueue chooses names, and commands are copied."""
    odd = "x; rm -r ~"
    found = {
        each.subject: each for each in examine([task(odd, ready=1)], [queue(odd, ready=1)], [worker(queues=["email"])])
    }
    assert found["queues"].detail.endswith(f"start one with --queues '{odd}'")
    assert found["tasks"].detail.endswith(f"turnspit jobs cancel --task '{odd}'")


def test_many_queues_and_tasks_that_nobody_serves_are_one_line_each() -> None:
    tasks = [task(f"old{number}", ready=number) for number in range(1, 8)]
    queues = [queue(f"q{number:03}", ready=250 if number else 900) for number in range(200)]
    found = {finding.subject: finding for finding in examine(tasks, queues, [worker(queues=["email"])])}
    assert found["queues"] == Finding(
        "queues",
        False,
        "no live worker serves q000 (900), q001 (250), q002 (250), q003 (250), q004 (250) and 195 more, with 50,650 "
        "jobs waiting: start one with --queues q000,q001,q002,q003,q004",
    )
    assert found["tasks"].detail.startswith(
        "no live worker knows old7 (7), old6 (6), old5 (5), old4 (4), old3 (3) and 2 more, with 28 jobs waiting: start "
        "a worker whose code declares them "
    )


def test_workers_that_were_asked_to_end_serve_nothing() -> None:
    workers = [replace(worker(1), asked_to="quiet"), replace(worker(2), asked_to="stop")]
    [only] = examine([task("send", ready=3)], [queue("email", ready=3)], workers)
    assert only == Finding(
        "workers",
        False,
        "each was asked to end and takes no more jobs, with 3 jobs waiting: start turnspit worker APP; "
        "box:41#1 (quiet), box:42#2 (stop)",
    )


def running(number: int, *, minutes: float) -> JobRecord:
    began = NOW - int(minutes * MINUTE)
    return JobRecord(number, "make_invoice", "email", JobState.RUNNING, "{}", started_at=began, worker="box:41#1")


@pytest.mark.parametrize(
    ("youngest", "waited", "paused", "expected"),
    [(6, 7, False, False), (3, 7, False, True), (0.5, 7, False, None), (6, 0.5, False, None), (6, 7, True, None)],
    ids=["stands still", "for a while", "begins jobs", "nothing is late", "paused"],
)
def test_a_worker_whose_slots_are_full_of_old_jobs_is_found(
    youngest: float, waited: float, paused: bool, expected: bool | None
) -> None:
    busy = replace(worker(queues=["email"]), concurrency=2)
    jobs = [running(1, minutes=9), running(2, minutes=youngest)]
    queues = [queue("email", ready=4, oldest=NOW - int(waited * MINUTE)), queue("rare", ready=1, oldest=1)]
    pauses = [PauseRecord("queue", "email", NOW)] if paused else []
    found = list(examine_progress(jobs, queues, [busy, worker(2)], pauses, NOW, "shop:app "))
    assert [finding.ok for finding in found] == ([] if expected is None else [expected])
    assert list(examine_progress(jobs[:1], queues, [busy], [], NOW)) == []
    if expected is False:
        assert found[0].detail == (
            "box:41#1 has begun no job for 6 min: its 2 slots run 2 jobs, 1 (make_invoice) for 9 min, while others "
            "wait in email, with 4 jobs ready: see turnspit jobs show shop:app 1; start another worker, or turnspit "
            "queues pause shop:app --task make_invoice, so that they do not hang in the next one too, and turnspit "
            "workers stop shop:app 1"
        )


def test_a_worker_whose_event_loop_is_blocked_is_found_and_not_told_to_be_full() -> None:
    """It renews its lease, and would look alive."""
    jobs = [running(1, minutes=9), running(2, minutes=6)]
    silent = replace(worker(), renewed_at=NOW, concurrency=2, running=2)
    blocked = replace(silent, blocked_since=NOW - 44_000_000, blocked_by="job 1 (make_invoice) at jobs.py:17 in run")
    later = replace(blocked, id=3, pid=43, blocked_since=NOW - 6_000_000, blocked_by="job 9 (send) at jobs.py:4 in f")
    assert list(examine_blocked([later, blocked, worker(2)], jobs, NOW, "shop ")) == [
        Finding(
            "event loop",
            False,
            "box:41#1 has begun and ended nothing for 44 s: its event loop is blocked by job 1 (make_invoice) at "
            "jobs.py:17 in run, and with it its 2 jobs (2 make_invoice); turnspit workers stop shop 1 ends it after "
            "its grace time, and gives its jobs to others; for good, declare that task with def instead of async def, "
            "or await asyncio.to_thread(...) what blocks; blocked too: box:43#3 by job 9 (send) at jobs.py:4 in f",
        )
    ]
    [outside] = examine_blocked(
        [replace(blocked, running=0, blocked_by="code outside a job at web.py:4 in f")], [], NOW
    )
    assert "blocked by code outside a job at web.py:4 in f; turnspit workers stop 1 ends it" in outside.detail
    queues = [queue("email", ready=4, oldest=NOW - 7 * MINUTE)]
    assert list(examine_progress(jobs, queues, [silent], [], NOW))
    assert list(examine_progress(jobs, queues, [blocked], [], NOW)) == []
    gone = (
        replace(blocked, renewed_at=1),
        replace(blocked, live=False),
        replace(blocked, stopped_at=NOW),
    )
    assert list(examine_blocked(gone, jobs, NOW)) == []


def schedule(name: str, due: float, *, task: str = "send", is_paused: bool = False) -> ScheduleRecord:
    tick, paused_at = NOW - int(due * MINUTE), NOW if is_paused else None
    return ScheduleRecord("shop", name, task, "", "", "skip", "allow", True, NOW, paused_at, tick, None, None, "[]")


def test_ticks_that_are_due_and_have_not_come_are_found() -> None:
    schedules = [
        schedule("soon", -5),
        schedule("just", 0.5),
        schedule("late", 4),
        schedule("gone", 9, task="old"),
        schedule("off", 60, is_paused=True),
    ]
    assert list(examine_schedules(schedules, [worker()], NOW)) == [
        Finding(
            "schedules",
            False,
            "due and not run: late of shop (send) since 4 min; a live worker knows its task: look into that worker's "
            "log",
        ),
        Finding(
            "schedules",
            False,
            "due and not run: gone of shop (old) since 9 min; no live worker knows its task: start one whose code "
            "declares it, or remove the schedule",
        ),
        Finding("schedules", True, "paused: off", is_notable=True),
    ]
    assert list(examine_schedules(schedules[:-1], [worker(live=False)], NOW)) == []


def test_workers_whose_heartbeat_the_store_cannot_take_are_excused() -> None:
    full, fine = Finding("disk", False, "0.0 GB free"), Finding("tasks", True, "known")
    gone, died = Finding("workers", False, "none is alive"), Finding("lost worker", False, "box:41#1 is silent")
    assert excuse_workers([gone, died, fine]) == [gone, died, fine]
    excuse = "; or one lives, and only looks so because of what is said of disk: then it goes on by itself"
    assert [found.detail for found in excuse_workers([full, gone, died, fine])] == [
        "0.0 GB free",
        f"none is alive{excuse}",
        f"box:41#1 is silent{excuse}",
        "known",
    ]


def test_a_schedule_that_fires_faster_than_its_jobs_end_is_found() -> None:
    runaway = schedule("sync", -1, task="sync")
    waiting = TaskStats("sync", 50, 0, 0, 8, 0, NOW - 2 * MINUTE)
    others = [schedule("daily", -9, task="fine"), runaway._replace(name="alone", overlap="skip")]
    assert list(examine_schedules([runaway, *others], [worker()], NOW, [waiting], "shop:app ")) == [
        Finding(
            "schedules",
            True,
            "fired while many jobs of the same task wait: sync (sync); if these are its own, turnspit schedules pause "
            'shop:app sync, and for good overlap="skip"',
            is_notable=True,
        )
    ]
    for fewer in (waiting._replace(ready=19), waiting._replace(oldest_ready_at=NOW)):
        assert list(examine_schedules([runaway], [worker()], NOW, [fewer])) == []
    assert list(examine_schedules([runaway], [], NOW, [waiting])) == []


@pytest.mark.usefixtures("_now")
def test_pauses_are_named_and_jobs_that_are_held_are_no_fault() -> None:
    pauses = [PauseRecord("queue", "email", NOW - 5 * MINUTE), PauseRecord("task", "send", NOW - 4 * MINUTE)]
    queues = [queue("email", ready=1200, oldest=NOW - 9 * MINUTE)]
    for named, said in (
        (
            pauses,
            (
                "queue email since 5 min ago (1,200 jobs ready), task send since 4 min ago: their jobs wait for "
                "turnspit queues resume shop:app --queue email"
            ),
        ),
        (pauses[1:], "task send since 4 min ago: its jobs wait for turnspit queues resume shop:app --task send"),
        (
            [PauseRecord("tag", "a b", NOW - MINUTE)],
            "tag a b since 60 s ago: its jobs wait for turnspit queues resume shop:app --tag 'a b'",
        ),
    ):
        held = [task("send", held=2)]
        found = {each.subject: each for each in examine(held, queues, [worker()], "shop:app ", pauses=named)}
        assert found["paused"] == Finding("paused", False, said)
        assert "held" not in found


def test_jobs_that_did_not_stop_at_their_time_out_are_found() -> None:
    """They were told to stop a minute ago or longer; what has its own limit keeps to that."""
    limits = {"make_invoice": 2 * MINUTE}
    jobs = [running(1, minutes=9), running(2, minutes=4), running(3, minutes=2.5)]
    patient = replace(running(4, minutes=9), timeout=60 * MINUTE)
    foreign = replace(running(5, minutes=9), task="somebody_elses")
    rescued = replace(running(6, minutes=9), worker="gone:1#7")
    [found] = examine_time_outs([*jobs, patient, foreign, rescued], limits, [worker()], NOW, "shop:app ")
    assert found == Finding(
        "time-outs",
        False,
        "2 jobs over their time-out did not stop, and keep their slots: 1 (make_invoice) for 9 min of 2 min, "
        "2 (make_invoice) for 4 min of 2 min; turnspit jobs show shop:app 1 has where it hangs, and turnspit workers "
        "stop shop:app 1 ends its process",
    )
    assert list(examine_time_outs(jobs[2:], limits, [worker()], NOW)) == []
