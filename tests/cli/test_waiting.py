"""What ``turnspit jobs show`` says that a job waits for."""

from dataclasses import replace

import pytest

from tests.cli.conftest import Cli
from tests.cli.test_diagnosis import NOW, worker
from turnspit.cli.waiting import say_obstacle
from turnspit.records import JobRecord, Pause, WorkerRecord
from turnspit.states import JobState

READY = JobRecord(7, "send", "email", JobState.READY, "{}", tags='["spring"]')
HELD = replace(READY, state=JobState.HELD)
OTHER = Pause("queue", "other", NOW)
NOBODY = "a worker that knows send: none is alive"


@pytest.mark.parametrize(
    ("record", "pauses", "workers", "expected"),
    [
        (READY, [OTHER], [worker(queues=["email"])], ""),
        (READY, [], [], NOBODY),
        (READY, [], [worker(live=False), replace(worker(2), asked_to="quiet")], NOBODY),
        (READY, [], [worker(tasks=["old"])], "a worker that knows send: none of 1 live ones does"),
        (READY, [], [worker(queues=["x"])], "a worker that serves email and knows send: none of 1 live ones does"),
        (READY, [], [worker(running=12)], "a free slot: 1 live worker with 10 run 12 jobs"),
        (
            HELD,
            [],
            [worker()],
            "a limit of send or of queue email, or an earlier job of its key: see turnspit limits list shop:app",
        ),
    ],
    ids=["its turn", "no worker", "ending", "unknown", "unserved", "no slot", "limit"],
)
def test_what_a_job_waits_for(
    record: JobRecord, pauses: list[Pause], workers: list[WorkerRecord], expected: str
) -> None:
    assert say_obstacle(record, pauses, workers, "shop:app ") == expected


@pytest.mark.parametrize(
    ("pause", "end"),
    [
        (Pause("queue", "email", 1), "--queue email"),
        (Pause("task", "send", 1), "--task send"),
        (Pause("tag", "spring", 1), "--tag spring"),
    ],
)
def test_a_pause_is_named_with_what_ends_it(pause: Pause, end: str) -> None:
    said = say_obstacle(HELD, [OTHER, pause], [worker()], "shop:app ")
    assert said.startswith(f"the end of a pause: {pause.kind} {pause.name} since ")
    assert said.endswith(f"; turnspit queues resume shop:app {end}")


def test_show_says_it_of_a_stored_job(cli: Cli) -> None:
    cli("enqueue", "shop", "make_invoice", "order_id=7")
    assert "  waits for  a worker that knows make_invoice: none is alive\n" in cli("jobs", "show", "shop", "1").out
    cli("jobs", "cancel", "shop", "1")
    assert "waits for" not in cli("jobs", "show", "shop", "1").out
