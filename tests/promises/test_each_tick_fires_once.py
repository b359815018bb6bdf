"""8. Every schedule tick fires once across the fleet, through restarts, DST changes and clock steps.

Clock steps and ten thousand ticks are in tests/contract/test_schedules.py, on a clock that the test owns.
"""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from tests.behaviour.support import wait_until
from turnspit import Cron, Every, JobContext, Turnspit
from turnspit.testing import override

PROGRAM = """
import sys
from turnspit import Every, Turnspit
app = Turnspit(sys.argv[1])

@app.task(schedule=Every(seconds=1, missed="run_all"))
def work() -> None: ...

app.run_worker(on_start=lambda worker: print("started", flush=True))
"""


def start(url: str) -> "subprocess.Popen[str]":
    worker = subprocess.Popen([sys.executable, "-c", PROGRAM, url], stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None
    assert worker.stdout.readline() == "started\n"
    return worker


def kill(worker: "subprocess.Popen[str]") -> None:
    with worker:  # which closes its pipe and waits for its end
        worker.kill()


def test_each_tick_fires_once_through_kills(store_url: str) -> None:
    app = Turnspit(store_url)
    workers = [start(store_url) for _ in range(2)]
    try:
        for seen in range(1, 4):
            wait_until(lambda seen=seen: app.jobs.count() >= seen, "a tick")
            victim = workers.pop(0)
            kill(victim)  # just after a tick was taken
            if seen < 3:
                workers.append(start(store_url))
    finally:
        for worker in workers:
            kill(worker)
    ticks = sorted(datetime.fromisoformat(job.metadata["tick"]) for job in app.jobs.list())
    assert len(ticks) >= 3
    assert {later - earlier for earlier, later in pairwise(ticks)} == {timedelta(seconds=1)}
    app.close()


def test_each_day_has_its_tick_through_daylight_saving_time(app: Turnspit) -> None:
    seen: list[datetime] = []

    @app.task(schedule=Cron("30 2 * * *", tz="Europe/Berlin"))
    def nightly(job: JobContext) -> None:
        assert job.tick is not None
        seen.append(job.tick.astimezone(ZoneInfo("Europe/Berlin")))

    with override(app) as t:
        t.clock.set(datetime(2030, 1, 1, tzinfo=UTC))
        t.advance(timedelta(days=365))
        t.drain()
    assert [tick.timetuple().tm_yday for tick in seen] == list(range(1, 366))


def test_a_due_tick_is_ready_at_once_and_nobody_polls_for_it(store_url: str) -> None:
    app = Turnspit(store_url)
    late: list[float] = []

    @app.task(schedule=Every(seconds=1))
    def work(job: JobContext) -> None:
        assert job.tick is not None
        late.append((job.created_at - job.tick).total_seconds())

    with app.worker():
        # Who asked once a second would be late by as much each time; a busy machine is late now and then.
        wait_until(lambda: sum(each < 0.05 for each in late) > 1, "two ticks in time")
    app.close()
