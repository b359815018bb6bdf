"""``turnspit workers``."""

import json
import os
import threading
from collections.abc import Iterator

import pytest

from tests.cli.conftest import Cli
from turnspit import Turnspit, __version__
from turnspit.records import BlockedLoop, NewWorker

LEASE = 15_000_000


class Held:
    """A worker of this process with one job that runs until it may end."""

    def __init__(self, app: Turnspit, url: str) -> None:
        self.url = url
        self.begun, self.may_end = threading.Event(), threading.Event()

        @app.task
        def hold(order_id: int) -> None:
            self.begun.set()
            self.may_end.wait(20)

        self.task = hold


@pytest.fixture
def held(app: Turnspit, store_url: str) -> Iterator[Held]:
    held = Held(app, store_url)
    with app.worker(concurrency=3):
        held.task.enqueue(order_id=7)
        assert held.begun.wait(20)
        yield held
        held.may_end.set()


def test_a_worker_is_listed_with_what_it_runs(cli: Cli, held: Held, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "140")
    heading, row = (line.split() for line in cli("workers", "list", held.url).out.splitlines())
    assert heading == ["ID", "WORKER", "STATE", "VERSION", "MEMORY", "HEARTBEAT", "RUNS"]
    assert row[1].endswith(f":{os.getpid()}")
    assert (row[0], row[2:4], row[-5:]) == ("1", ["live", __version__], ["1", "of", "3:", "1", "hold"])
    [document] = json.loads(cli("workers", "list", held.url, "--json").out)["workers"]
    assert list(document) == [
        "id",
        "host",
        "pid",
        "version",
        "state",
        "asked_to",
        "blocked_since",
        "blocked_by",
        "queues",
        "tasks",
        "concurrency",
        "running",
        "memory_bytes",
        "heartbeat_seconds",
        "started_at",
        "renewed_at",
        "stopped_at",
        "jobs",
    ]
    assert (document["pid"], document["state"], document["running"]) == (os.getpid(), "live", 1)
    assert document["heartbeat_seconds"] >= 0
    [job] = document["jobs"]
    assert (job["id"], job["task"], job["queue"], job["attempt"]) == (1, "hold", "default", 1)


def test_a_worker_whose_event_loop_is_blocked_does_not_look_alive(cli: Cli, app: Turnspit, store_url: str) -> None:
    new = NewWorker("box", 41, "1", None, frozenset({"hang"}), 10, LEASE)
    worker = app.engine.write(app.engine.register_worker, new)
    blocked = BlockedLoop(44_000_000, "job 1 (hang) at jobs.py:17 in hang")
    app.engine.write(app.engine.renew_lease, worker, LEASE, None, blocked)
    row = cli("workers", "list", store_url, "--live").out.splitlines()[1]
    assert row.split()[2] == "blocked"
    assert "nothing for 44 s: job 1" in row
    [document] = json.loads(cli("workers", "list", store_url, "--json").out)["workers"]
    assert (document["state"], document["blocked_by"]) == ("blocked", "job 1 (hang) at jobs.py:17 in hang")
    assert document["blocked_since"] < document["renewed_at"]
    answer = cli("doctor", store_url)
    assert answer.code == 1
    assert answer.out.splitlines()[1].startswith("✘  event loop ")
    assert "box:41#1 has begun and ended nothing" in answer.out


def test_a_worker_is_stopped(cli: Cli, app: Turnspit, store_url: str) -> None:
    @app.task
    async def greet() -> None: ...

    with app.worker() as worker:
        answer = cli("workers", "stop", store_url, 1)
        assert answer.out == "worker 1 stops; its running jobs may go on for its grace time\n"
        worker.wait()
    [document] = json.loads(cli("workers", "list", store_url, "--json").out)["workers"]
    assert (document["state"], document["asked_to"], document["jobs"]) == ("stopped", "stop", [])
    answer = cli("workers", "list", store_url, "--live")
    assert (answer.code, answer.out, answer.err.startswith("no worker is alive at ")) == (0, "", True)
    answer = cli("workers", "stop", store_url, 1)
    assert (answer.code, answer.err.startswith("turnspit: no live worker has the id 1")) == (1, True)


def test_a_quiet_worker_says_so(cli: Cli, app: Turnspit, store_url: str) -> None:
    app.migrate()
    new = NewWorker("api-1", 77, "0.0.9", ("email",), frozenset({"greet"}), 4, LEASE)
    app.engine.write(app.engine.register_worker, new)
    answer = cli("workers", "quiet", store_url, 1)
    assert answer.out == "worker 1 takes no more jobs, and ends with its last one\n"
    lines = cli("workers", "list", store_url).out.splitlines()
    assert max(map(len, lines)) <= 80
    row = lines[1].split()
    assert (row[:4], row[-3:]) == (["1", "api-1:77", "quiet", "0.0.9"], ["0", "of", "4"])  # between them, how long ago


def test_workers_that_ended_are_below_those_that_are_there(cli: Cli, app: Turnspit, store_url: str) -> None:
    app.migrate()
    for number in range(1, 4):
        new = NewWorker(f"api-{number}", 77, "0.0.9", None, frozenset({"greet"}), 4, LEASE)
        app.engine.write(app.engine.register_worker, new)
    app.engine.write(app.engine.retire_worker, 3)
    assert [row.split()[0] for row in cli("workers", "list", store_url).out.splitlines()[1:]] == ["2", "1", "3"]
    found = json.loads(cli("workers", "list", store_url, "--json").out)["workers"]
    assert [worker["id"] for worker in found] == [2, 1, 3]


@pytest.mark.parametrize("words", [("stop",), ("stop", "STORE", "worker-1"), ("quiet", "STORE", "1", "2")])
def test_what_cannot_be_meant(cli: Cli, store_url: str, words: tuple[str, ...]) -> None:
    answer = cli("workers", *(store_url if word == "STORE" else word for word in words))
    assert (answer.code, answer.out) == (2, "")
