"""What ``turnspit doctor`` makes of work that goes wrong although workers live."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from turnspit.cli import output
from turnspit.cli.doctor_jobs import (
    examine_crashes,
    examine_dead,
    examine_failures,
    examine_limits,
    examine_loads,
    examine_workflows,
    failing_tasks,
    recovered_tasks,
)
from turnspit.cli.doctor_workers import Finding
from turnspit.clock import from_moment
from turnspit.records import (
    CounterRecord,
    DeadGroupRecord,
    FullKey,
    JobRecord,
    PauseRecord,
    QueueLoad,
    StandingWorkflow,
)
from turnspit.states import JobState

NOW = 1_900_000_000_000_000
SECOND = 1_000_000
MINUTE = 60 * SECOND


@pytest.fixture(autouse=True)
def _now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "utc_now", lambda: from_moment(NOW))


def ended(task: str, outcome: str, count: int, minute: int = 0) -> CounterRecord:
    return CounterRecord(minute, "default", task, outcome, count, 0)


def test_tasks_fail_by_the_share_of_their_attempts() -> None:
    counters = [ended("fine", "completed", 90), ended("fine", "failed", 10), ended("rare", "failed", 9)]
    counters += [ended("down", "failed", 1200), ended("down", "completed", 100), ended("down", "snoozed", 5000)]
    counters += [ended("shaky", "invalid", 20), ended("shaky", "completed", 80)]
    counters += [ended("beside", "crashed", 50), ended("beside", "completed", 10)]
    assert failing_tasks(counters) == {"down": (1200, 1300), "shaky": (20, 100)}


def test_a_failing_task_is_told_with_its_error_and_how_it_goes_on() -> None:
    error = {"error_type": "ConnectionRefusedError", "reason": "no smtp"}
    job = JobRecord(7, "down", "email", JobState.SCHEDULED, "{}", **error)
    found = list(
        examine_failures({"down": (1200, 1300), "shaky": (20, 100)}, {"down": job, "shaky": None}, hint="shop ")
    )
    assert found[0] == Finding(
        "failing",
        False,
        "1,200 of 1,300 attempts of down failed within 15 minutes: ConnectionRefusedError: no smtp; see turnspit jobs "
        "show shop 7; once it is mended, turnspit jobs run-now shop --task down does not wait for their next attempts",
        is_notable=True,
    )
    assert (found[1].level, found[1].detail) == ("notable", "20 of 100 attempts of shaky failed within 15 minutes")


def test_a_task_that_failed_and_goes_again_is_no_fault() -> None:
    counters = [
        ended("mended", "failed", 20, 1),
        ended("mended", "completed", 5, 1),
        ended("mended", "completed", 9, 2),
    ]
    counters += [ended("down", "completed", 5, 1), ended("down", "failed", 20, 2), ended("down", "crashed", 1, 3)]
    assert recovered_tasks(counters) == {"mended"}

    failing = failing_tasks(counters)
    [mended, down] = examine_failures(failing, {}, recovered_tasks(counters))
    assert (down.level, mended.level) == ("fault", "notable")
    assert mended.detail == "20 of 34 attempts of mended failed within 15 minutes, none of the newest"

    waits = JobRecord(7, "mended", "email", JobState.SCHEDULED, "{}", error_type="OSError")
    assert [each.level for each in examine_failures(failing, {"mended": waits}, {"mended"})] == ["fault", "fault"]


def test_what_a_shell_would_take_for_more_than_a_name_is_quoted() -> None:
    """Whoever may enqueue chooses names, and these commands are copied."""
    job = JobRecord(7, "down", "email", JobState.SCHEDULED, "{}", error_type="E", reason="no")
    [found] = examine_failures({"x; rm -r ~": (9, 9)}, {"x; rm -r ~": job})
    assert "jobs run-now --task 'x; rm -r ~' does" in found.detail


def test_a_long_error_is_one_line_with_its_beginning() -> None:
    """A database's message has many lines, and two thousand characters would hide what else was found."""
    dead = replace(group(3, NOW, "f1"), error_type="Refused", message="no\nway\t " + "m" * 2000)
    [found] = examine_dead([dead], 3, NOW)
    assert f"charge with Refused: no way {'m' * 184}…, the newest now" in found.detail


def test_workers_that_die_are_told_with_the_job_that_has_seen_most_of_them_die() -> None:
    """Which is not a failing task: those that ran beside it have done nothing."""
    counters = [ended("slow", "crashed", 5), ended("segv", "crashed", 2), ended("slow", "completed", 5)]
    jobs = [
        JobRecord(16, task, "default", JobState.RUNNING, "{}", crashes=crashes)
        for task, crashes in (("slow", 1), ("segv", 2))
    ]
    said = "7 runs ended with their worker within 15 minutes: 5 of slow, 2 of segv"
    assert list(examine_crashes(counters, jobs[:1])) == [Finding("lost worker", True, said, is_notable=True)]
    [found] = examine_crashes(counters, jobs, "shop ")
    assert found.detail == (
        f"{said}; job 16 (segv) has seen 2 workers die, and is dead after a few more: see turnspit jobs show shop 16"
    )
    assert not list(examine_crashes(counters[2:], jobs))


def load(queue: str, *, ready: int, oldest: float, throughput: float = 0.0) -> QueueLoad:
    return QueueLoad(queue, ready, 0, 20, oldest, throughput, ready / throughput if throughput else oldest)


@pytest.mark.parametrize(
    ("loads", "level", "detail"),
    [
        ([load("email", ready=3, oldest=2.0)], "well", "due 2.0 s ago in queue email, 3 jobs ready"),
        (
            [load("email", ready=6000, oldest=900, throughput=2), load("off", ready=1, oldest=9000)],
            "notable",
            (
                "due 15 min ago in queue email, 6,000 jobs ready: 20 slots of live workers, and 120 a minute end there "
                "(50 min for what waits)"
            ),
        ),
        (
            [load("email", ready=1, oldest=100)],
            "notable",
            (
                "due 100 s ago in queue email, 1 job ready: 20 slots of live workers, and nothing ended there within 5 "
                "minutes"
            ),
        ),
    ],
)
def test_a_queue_that_is_behind_says_how_fast_it_is(loads: Sequence[QueueLoad], level: str, detail: str) -> None:
    [found] = examine_loads(loads, [PauseRecord("queue", "off", NOW)])
    assert (found.level, found.detail) == (level, detail)
    assert list(examine_loads(loads[1:], [PauseRecord("queue", "off", NOW)])) == []


def test_used_up_limits_are_named_where_they_hold_jobs() -> None:
    full = [
        FullKey("sync", "concurrency", '["c1"]', 1, 1),
        FullKey("call", "rate", "", 2, 2),
        FullKey("x", "", "", 2, 1),
    ]
    [found] = examine_limits(full, 8)
    said = '8 jobs held; used up: sync of ["c1"] (1 of 1), call (2 of 2); see turnspit limits list'
    assert found == Finding("limits", True, said, is_notable=True)
    assert list(examine_limits(full, 0)) == list(examine_limits(full[2:], 8)) == []


def group(count: int, last: int, fingerprint: str) -> DeadGroupRecord:
    return DeadGroupRecord(fingerprint, "charge", "KeyError", "'customer'", count, 1, last, last, "{}", None)


def test_dead_letters_of_the_last_hour_are_named_with_their_replay() -> None:
    old, new, few = group(900, NOW - 61 * MINUTE, "f1"), group(50, NOW - 5 * MINUTE, "f2"), group(2, NOW, "f3")
    [found] = examine_dead([few, new, old], 952, NOW, "shop ")
    assert found.level == "notable"
    assert found.detail == (
        "952, 50 of them charge with KeyError: 'customer', the newest 5 min ago: mend it, and turnspit dead replay "
        "shop --group f2; see turnspit dead groups shop"
    )
    [alone] = examine_dead([few], 2, NOW)
    assert alone.detail.startswith("2 of charge with KeyError: 'customer', the newest ")
    assert list(examine_dead([old], 900, NOW)) == [Finding("dead letters", True, "900; see turnspit dead groups")]
    assert list(examine_dead([old], 2, NOW)) == list(examine_dead([old], 900, NOW))
    assert list(examine_dead([], 0, NOW)) == []


def test_workflows_that_stand_still_are_told_with_what_lets_them_go_on() -> None:
    found = StandingWorkflow(7, "fulfil", 1, "step", JobState.CANCELLED, 2)
    assert list(examine_workflows([found])) == [
        Finding(
            "workflows",
            False,
            "1 workflow will not go on by itself: 7 (fulfil): job 1 (step) was cancelled, and 2 jobs wait for it; see "
            "turnspit jobs show 1; turnspit workflows replay 7 lets it go on, turnspit workflows cancel 7 ends it",
        )
    ]
    [told] = examine_workflows([found._replace(task=None)])
    assert told[2].endswith(
        "job 1 (forgotten) was cancelled, and 2 jobs wait for it; turnspit workflows cancel 7 ends it"
    )
    assert list(examine_workflows([])) == []
