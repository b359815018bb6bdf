"""What ``turnspit jobs show`` says that a job waits for."""

from dataclasses import replace
from typing import Any

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_doctor_workers import NOW, worker
from turnspit.cli.obstacles import say_obstacle, say_trouble
from turnspit.records import JobRecord, PauseRecord, WorkerRecord
from turnspit.states import JobState

READY = JobRecord(7, "send", "email", JobState.READY, "{}", tags='["spring"]')
HELD = replace(READY, state=JobState.HELD)
OTHER = PauseRecord("queue", "other", NOW)
NOBODY = "a worker that knows send: none is alive"


@pytest.mark.parametrize(
    ("record", "pauses", "workers", "expected"),
    [
        (READY, [OTHER], [worker(queues=["email"])], ""),
        (READY, [], [], NOBODY),
        (READY, [], [worker(live=False), replace(worker(2), asked_to="quiet")], NOBODY),
        (READY, [], [worker(tasks=["old"])], "a worker that knows send: the one that is alive does not"),
        (
            READY,
            [],
            [worker(queues=["x"]), worker(2, queues=["y"])],
            "a worker that serves email and knows send: none of the 2 live ones does",
        ),
        (READY, [], [worker(running=12)], "a free slot: 1 live worker with 10 run 12 jobs"),
        (
            HELD,
            [],
            [worker()],
            (
                "a limit of send or of queue email: see turnspit limits list shop:app; or, if that is one in order, an "
                "earlier job of its key, which runs or waits for its next attempt: see turnspit jobs list shop:app "
                "--task send"
            ),
        ),
    ],
    ids=["its turn", "no worker", "ending", "unknown", "unserved", "no slot", "limit"],
)
def test_what_a_job_waits_for(
    record: JobRecord, pauses: list[PauseRecord], workers: list[WorkerRecord], expected: str
) -> None:
    assert say_obstacle(record, pauses, workers, "shop:app ") == expected


def test_a_job_waits_for_an_event_loop_that_is_blocked_though_slots_are_free() -> None:
    """Also one that runs, for it is told of nothing else."""
    blocked = replace(worker(running=2), blocked_since=NOW, blocked_by="job 1 (hang) at jobs.py:17 in hang")
    said = (
        "the event loop of box:41#1, which is blocked by job 1 (hang) at jobs.py:17 in hang: turnspit workers stop "
        "shop:app 1 ends that worker"
    )
    assert say_obstacle(READY, [], [blocked], "shop:app ") == said
    assert say_obstacle(READY, [], [blocked, worker(2)], "shop:app ") == ""
    assert say_obstacle(READY, [], [blocked, worker(2, running=10)]) == "a free slot: 1 live worker with 10 run 10 jobs"
    running = replace(READY, state=JobState.RUNNING, worker="box:41#1")
    assert say_trouble(running, [blocked, worker(2)], "shop:app ") == said
    assert say_trouble(running, [worker()]) == ""
    lost = say_trouble(running, [worker(live=False)])
    assert lost.startswith("its worker, which stopped renewing its lease ")
    assert lost.endswith(": a worker that starts takes it back")


@pytest.mark.parametrize(
    ("pause", "end"),
    [
        (PauseRecord("queue", "email", 1), "--queue email"),
        (PauseRecord("task", "send", 1), "--task send"),
        (PauseRecord("tag", "spring", 1), "--tag spring"),
    ],
)
def test_a_pause_is_named_with_what_ends_it(pause: PauseRecord, end: str) -> None:
    said = say_obstacle(HELD, [OTHER, pause], [worker()], "shop:app ")
    assert said.startswith(f"the end of a pause: {pause.kind} {pause.name} since ")
    assert said.endswith(f"; turnspit queues resume shop:app {end}")


def test_a_name_in_a_command_is_quoted() -> None:
    """Whoever may enqueue chooses names, and commands are copied."""
    odd = "x; rm -r ~"
    said = say_obstacle(replace(HELD, queue=odd), [PauseRecord("queue", odd, 1)], [worker()])
    assert said.endswith(f"queues resume --queue '{odd}'")
    knowing = replace(worker(), tasks=frozenset({odd}))
    assert say_obstacle(replace(HELD, task=odd), [], [knowing]).endswith(f"jobs list --task '{odd}'")


def test_show_says_it_of_a_stored_job(cli: Cli) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    assert "  waits for  a worker that knows make_invoice: none is alive\n" in cli("jobs", "show", "shop", "1").out
    cli("jobs", "cancel", "shop", "1")
    assert "waits for" not in cli("jobs", "show", "shop", "1").out


def waits_for(cli: Cli, job: int) -> str:
    return " ".join(cli("jobs", "show", "shop", str(job)).out.partition("  waits for  ")[2].split())


def test_a_blocked_job_names_what_is_before_it(cli: Cli, shop: Any) -> None:
    with shop.app.workflow("fulfil") as flow:
        first = flow.add(shop.make_invoice.using(delay=3600).new(order_id=1))
        second = flow.add(shop.make_invoice.new(order_id=2), after=[first], on_failure="wait")
    assert waits_for(cli, second.id) == (
        "job 1 (make_invoice), scheduled: see turnspit jobs show shop 1, or turnspit workflows show shop 1"
    )
    assert cli("workflows", "show", "shop", "1").out.endswith("\n→ turnspit jobs show shop 1\n")
    shop.app.jobs.cancel(first.id)
    assert waits_for(cli, second.id) == (
        "job 1 (make_invoice), which was cancelled: turnspit workflows replay shop 1 lets it go on; see turnspit "
        "workflows show shop 1"
    )
    assert cli("workflows", "show", "shop", "1").out.endswith("\n→ turnspit workflows replay shop 1\n")
