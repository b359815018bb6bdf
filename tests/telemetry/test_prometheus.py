"""Metrics of one process: each is right, and asking costs the store little."""

import asyncio
import re
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from werkzeug.test import Client

from tests.behaviour.support import wait_until
from tests.programs import running
from tests.telemetry.scraping import Samples, read, scrape
from turnspit import Cancel, ConfigurationError, EngineUnavailable, Retry, Snooze, Turnspit
from turnspit.records import ClaimAtOnce, ClaimRequest
from turnspit.telemetry.metrics import METRICS
from turnspit.telemetry.prometheus import Metrics
from turnspit.telemetry.recorder import recorder_of

MAIL, DEFAULT = "email", "default"


@pytest.fixture
def metrics(app: Turnspit) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Metrics(app))
    return registry


def samples(metrics: CollectorRegistry) -> Samples:
    return read(generate_latest(metrics).decode())


def test_a_workflow_that_was_stored_before_is_not_counted_again(app: Turnspit, metrics: CollectorRegistry) -> None:
    @app.task
    async def end() -> None: ...

    for _ in range(2):
        app.chain(end.new(), end.new(), idempotency_key="order 7")
    assert samples(metrics)["turnspit_jobs_enqueued_total", DEFAULT, "end"] == 2


def test_each_thing_that_happens_is_counted(app: Turnspit, metrics: CollectorRegistry) -> None:
    once = Retry(attempts=1)

    @app.task(queue=MAIL)
    async def end() -> None: ...

    @app.task(retry=Retry(attempts=2, base=0.001, cap=0.001))
    def fail() -> None:
        raise ValueError("no")

    @app.task
    async def snooze() -> None:
        raise Snooze(3600)

    @app.task(retry=once)
    async def cancel() -> None:
        raise Cancel("no more")

    end.enqueue()
    app.enqueue_many(end.new() for _ in range(2))
    for task in (fail, snooze, cancel):
        task.enqueue()
    with app.worker() as worker:
        wait_until(lambda: samples(metrics).get(("turnspit_jobs_dead_total", DEFAULT, "fail")), "dead")
        wait_until(lambda: len(app.jobs.list(state="completed")) == 3, "completed")
        assert samples(metrics)["turnspit_worker_slots",] == 10
        assert worker is not None
    found = samples(metrics)
    counted = {
        key[0][9:-6]: key[1:] for key in found if key[0].endswith("_total") and len(key) == 3 and key[2] != "end"
    }
    assert found["turnspit_jobs_enqueued_total", MAIL, "end"] == 3
    assert found["turnspit_attempts_started_total", MAIL, "end"] == 3
    assert found["turnspit_jobs_completed_total", MAIL, "end"] == 3
    assert found["turnspit_attempts_started_total", DEFAULT, "fail"] == 2
    assert found["turnspit_attempts_failed_total", DEFAULT, "fail"] == 2
    assert found["turnspit_jobs_retried_total", DEFAULT, "fail"] == 1
    assert found["turnspit_jobs_dead_total", DEFAULT, "fail"] == 1
    assert found["turnspit_jobs_snoozed_total", DEFAULT, "snooze"] == 1
    assert found["turnspit_jobs_cancelled_total", DEFAULT, "cancel"] == 1
    assert ("turnspit_attempts_failed_total", DEFAULT, "cancel") not in found, counted
    assert found["turnspit_job_run_seconds_count", MAIL, "end"] == 3
    assert found["turnspit_job_run_seconds_bucket", "+Inf", MAIL, "end"] == 3
    assert found["turnspit_job_wait_seconds_count", DEFAULT, "fail"] == 2
    assert found["turnspit_store_seconds_count", "insert_job"] == 4
    assert found["turnspit_store_seconds_count", "exchange"] > 0
    assert found["turnspit_worker_slots",] == 0, "the worker is gone"


def test_the_waits_and_runs_are_as_long_as_they_were(app: Turnspit, metrics: CollectorRegistry) -> None:
    ended = threading.Event()

    @app.task
    def hold() -> None:
        assert ended.wait(20)

    hold.using(delay=0.3).enqueue()
    with app.worker(concurrency=2):
        wait_until(lambda: samples(metrics)["turnspit_worker_busy",] == 1, "busy")
        assert samples(metrics)["turnspit_worker_slots",] == 2
        ended.set()
        wait_until(lambda: samples(metrics).get(("turnspit_jobs_completed_total", DEFAULT, "hold")), "completed")
        found = samples(metrics)
    assert found["turnspit_worker_busy",] == 0
    assert found["turnspit_job_wait_seconds_sum", DEFAULT, "hold"] < 20, "from when it was due, not from the enqueue"
    assert found["turnspit_job_run_seconds_sum", DEFAULT, "hold"] > 0


def test_the_stores_figures(app: Turnspit, metrics: CollectorRegistry) -> None:
    @app.task(queue=MAIL)
    async def end() -> None: ...

    end.enqueue()
    end.using(delay=3600).enqueue()
    found = samples(metrics)
    assert found["turnspit_store_up",] == 1
    assert {key[2]: value for key, value in found.items() if key[0] == "turnspit_jobs"} == {
        "ready": 1,
        "scheduled": 1,
        "retrying": 0,
        "limited": 0,
        "unknown": 0,
        "paused": 0,
        "running": 0,
        "dead": 0,
    }
    assert 0 <= found["turnspit_oldest_ready_seconds", MAIL] < 60
    assert found["turnspit_fleet_slots",] == 0
    assert found["turnspit_fleet_blocked",] == 0
    app.jobs.delete(all=True)
    wait_until(lambda: samples(metrics)["turnspit_jobs", MAIL, "ready"] == 0, "0, and not gone")


@pytest.mark.on_sqlite
def test_asking_again_at_once_asks_the_store_once(app: Turnspit, metrics: CollectorRegistry) -> None:
    for _ in range(5):
        samples(metrics)
    assert samples(metrics)["turnspit_store_seconds_count", "look"] == 1


@pytest.mark.on_sqlite
def test_a_call_that_would_have_had_to_wait_and_was_not_made_is_not_timed(
    app: Turnspit, metrics: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = app.engine
    assert samples(metrics)["turnspit_store_up",] == 1
    answers = [None, ClaimAtOnce([], is_partial=False)]
    monkeypatch.setattr(app.store._watched[0], "try_write", lambda *_: answers.pop(0))  # type: ignore[index]
    for _ in range(2):
        engine.try_write(engine.claim_jobs_at_once, ClaimRequest(1, 1, frozenset()))
    assert samples(metrics)["turnspit_store_seconds_count", "claim_jobs_at_once"] == 1


@pytest.mark.on_sqlite
def test_a_store_that_is_away_is_said_and_the_rest_is_there(
    app: Turnspit, metrics: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    @app.task
    async def end() -> None: ...

    end.enqueue()

    def away(*_: object) -> None:
        raise EngineUnavailable("nobody answers")

    monkeypatch.setattr(app.store._watched[0], "read", away)  # type: ignore[index]
    found = samples(metrics)
    assert found["turnspit_store_up",] == 0
    assert not [key for key in found if key[0] in ("turnspit_jobs", "turnspit_workers")]
    assert found["turnspit_jobs_enqueued_total", DEFAULT, "end"] == 1
    assert found["turnspit_store_errors_total", "EngineUnavailable", "look"] == 1


@pytest.mark.on_sqlite
def test_jobs_that_were_not_stored_are_not_counted(app: Turnspit, metrics: CollectorRegistry) -> None:
    @app.task
    async def end() -> None: ...

    with pytest.raises(ValueError, match="stop"):
        app.enqueue_many(_two_then_raise(end), chunk=2)
    assert samples(metrics)["turnspit_jobs_enqueued_total", DEFAULT, "end"] == len(app.jobs.list()) == 2

    async def enqueue() -> None:
        await end.aenqueue()
        await app.aenqueue_many([end.new()] * 3, chunk=2)

    asyncio.run(enqueue())
    assert samples(metrics)["turnspit_jobs_enqueued_total", DEFAULT, "end"] == 6


def _two_then_raise(task: object) -> object:
    for _ in range(2):
        yield task.new()  # type: ignore[attr-defined]
    raise ValueError("stop")


@pytest.mark.on_sqlite
def test_a_queue_for_each_customer_does_not_become_a_series_for_each(app: Turnspit, metrics: CollectorRegistry) -> None:
    @app.task
    async def end() -> None: ...

    app.enqueue_many(end.using(queue=f"customer-{number}").new() for number in range(1200))
    found = {key: value for key, value in samples(metrics).items() if key[0] == "turnspit_jobs_enqueued_total"}
    assert len(found) == 1001
    assert found["turnspit_jobs_enqueued_total", "other", "end"] == 200
    stored = {
        key[1]: value for key, value in samples(metrics).items() if key[0] == "turnspit_jobs" and key[2] == "ready"
    }
    assert (len(stored), stored["other"], sum(stored.values())) == (1001, 200, 1200)
    assert samples(metrics)["turnspit_oldest_ready_seconds", "other"] >= 0


@pytest.mark.on_sqlite
def test_registering_asks_no_store_and_counts_once(app: Turnspit) -> None:
    assert not hasattr(app.engine, "_open") or app.engine._open is None
    registry = CollectorRegistry()
    registry.register(Metrics(app))
    assert app.store._watched is None or app.store._watched[0]._open is None  # type: ignore[attr-defined]
    assert recorder_of(app) is recorder_of(app)
    Metrics(app)
    assert len(app.senders) == 1
    names = {family.name for family in Metrics(app).describe()}
    assert names == {metric.name.removesuffix("_total") for metric in METRICS}


@pytest.mark.on_sqlite
def test_the_ways_to_show_them(app: Turnspit) -> None:
    metrics = Metrics(app, store=False)
    port, stop = metrics.serve(0)
    try:
        assert "turnspit_worker_slots" in str(scrape(f"http://127.0.0.1:{port}/metrics"))
        with pytest.raises(ConfigurationError, match=rf"metrics cannot be shown on 127\.0\.0\.1, port {port}: Address"):
            metrics.serve(port)
    finally:
        stop()
    assert Client(metrics.wsgi()).get("/metrics").text.count("turnspit_worker_busy 0.0") == 1

    async def ask() -> str:
        transport = httpx.ASGITransport(metrics.asgi())
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            return (await client.get("/metrics")).text

    assert "turnspit_worker_busy 0.0" in asyncio.run(ask())
    assert "turnspit_store_up" not in read(asyncio.run(ask()))


FORKING = """
import os, sys
from turnspit import Turnspit
from turnspit.telemetry.recorder import recorder_of

app = Turnspit(sys.argv[1])

@app.task
async def end() -> None: ...

def counted():
    return recorder_of(app).series.get(("turnspit_jobs_enqueued_total", "default", "end"))

recorder = recorder_of(app)
end.enqueue(), end.enqueue()
recorder._lock.acquire()  # as another thread of the parent may
child = os.fork()
if not child:
    print(counted(), flush=True)
    end.enqueue()
    print(counted(), flush=True)
    os._exit(0)
recorder._lock.release()
os.waitpid(child, 0)
print(counted())
"""


@pytest.mark.on_sqlite
def test_a_forked_process_counts_anew(store_url: str) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(sys.executable, "-c", FORKING, store_url, **pipes) as process:
        assert process.communicate(timeout=30) == ("None\n(1.0,)\n(2.0,)\n", "")


@pytest.mark.parametrize("page", ["guide/metrics.md", "grafana.json"])
def test_pages_ask_for_metrics_and_labels_that_there_are(page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    asked = set(re.findall(r"\bturnspit_[a-z_]+", text))
    labels = {label for metric in METRICS for label in metric.labels} | {"le"}
    assert {name for by in re.findall(r"by \(([a-z, ]+)\)", text) for name in by.split(", ")} <= labels
    ends = {"histogram": ("_bucket", "_count", "_sum"), "counter": ("",), "gauge": ("",)}
    there = {metric.name + end for metric in METRICS for end in ends[metric.kind]}
    assert asked - there == set()
    assert len(asked) > 10
