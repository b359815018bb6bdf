"""Attempts that no middleware sees leave a span and lines in the log: a dead worker's, and those of a wrong payload."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from tests.behaviour.support import wait_until
from tests.cli.gate import Gate
from tests.faults.fleet import Fleet, make_app, write_app
from tests.telemetry.lines import json_lines
from tests.telemetry.spans import Spans
from turnspit import Retry, Turnspit
from turnspit._runtime.maintenance.rescuer import Rescuer
from turnspit.records import Claim, ClaimRequest, JobRecord, NewWorker
from turnspit.telemetry.tracing import trace_jobs

MINUTE = 60_000_000


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What Turnspit logs."""
    with json_lines(logging.getLogger("turnspit")) as written:
        yield written


def claim_and_die(app: Turnspit, rescuer: Rescuer) -> Claim:
    """A worker takes the only job that is ready, and its process ends."""
    engine = app.engine
    new = NewWorker("host", 4711, "0.1.0", None, frozenset(app.tasks), 1, MINUTE)
    worker = engine.write(engine.register_worker, new)
    [claim] = engine.write(engine.claim_jobs, ClaimRequest(worker, 1, frozenset(app.tasks)))
    report = rescuer.declare_dead(worker)
    assert report.crashed == ((claim.id, claim.fence),)
    asyncio.run(rescuer.tell(report))
    return claim


def assert_below(span: ReadableSpan, sent: ReadableSpan) -> None:
    assert span.parent is not None
    assert span.parent.span_id == sent.context.span_id
    assert [link.context.span_id for link in span.links] == [sent.context.span_id]
    assert span.kind is trace.SpanKind.CONSUMER


def test_who_rescues_a_job_makes_the_span_of_its_crash(app: Turnspit, spans: Spans, lines: list[str]) -> None:
    trace_jobs(app, tracer_provider=spans.provider)
    died: list[JobRecord] = []

    async def on_dead(record: JobRecord) -> None:
        died.append(record)

    @app.task(queue="email")
    async def send(order_id: int) -> None: ...

    rescuer = Rescuer(
        app.engine,
        worker=lambda: 0,
        may_rescue=lambda: True,
        interval=1.0,
        max_crashes=1,
        bus=app.bus,
        on_dead=on_dead,
    )
    job = send.enqueue(order_id=7)
    claims = [claim_and_die(app, rescuer) for _ in range(2)]
    assert [record.id for record in died] == [job.id]
    sent, crashed = spans.one("enqueue send"), spans.named("process send")
    attempts = app.jobs.get(job.id).attempts
    assert len(crashed) == len(attempts) == 2
    for span, claim, attempt in zip(crashed, claims, attempts, strict=True):
        assert_below(span, sent)
        assert span.status.status_code is trace.StatusCode.ERROR
        assert str(span.status.description).startswith("WorkerDied: its worker died")
        attributes = dict(span.attributes or {})
        assert (attributes["error.type"], attributes["messaging.message.id"]) == ("WorkerDied", str(job.id))
        assert (attributes["turnspit.attempt"], attributes["messaging.destination.name"]) == (1, "email")
        assert span.start_time == claim.started_at * 1000, "the store's times"
        assert attempt.finished_at is not None
        assert abs((span.end_time or 0) / 1e9 - attempt.finished_at.timestamp()) < 1e-3
    said = [json.loads(line) for line in lines if "was running on worker host:4711#" in line]
    assert [line["message"].rpartition(": ")[2] for line in said] == ["it runs again", "it is dead"]
    for line in said:
        assert (line["job_id"], line["task"], line["queue"], line["attempt"]) == (job.id, "send", "email", 1)
        assert line["trace_id"] == f"{sent.context.trace_id:032x}"


def test_who_refuses_a_payload_makes_the_span_of_the_attempt(
    app: Turnspit, store_url: str, spans: Spans, lines: list[str]
) -> None:
    """Stored by a release whose task took other arguments."""
    trace_jobs(app, tracer_provider=spans.provider)

    @app.task(name="send")
    async def earlier(order: str) -> None: ...

    job = earlier.enqueue(order="seven")
    with Turnspit(store_url) as newer:
        trace_jobs(newer, tracer_provider=spans.provider)

        @newer.task
        async def send(order_id: int) -> None: ...

        with newer.worker():
            wait_until(lambda: spans.named("process send"), "the attempt has ended")
    span = spans.one("process send")
    assert_below(span, spans.one("enqueue send"))
    assert span.status.status_code is trace.StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "InvalidPayload"
    assert "order_id" in str(span.status.description)
    [line] = [json.loads(line) for line in lines if "does not fit its task" in line]
    assert (line["job_id"], line["task"], line["attempt"]) == (job.id, "send", 1)
    assert line["trace_id"] == f"{span.context.trace_id:032x}"


def test_a_listener_that_fails_harms_no_rescue(app: Turnspit, lines: list[str]) -> None:
    def broken(attempt: object) -> None:
        raise OSError("no route to the collector")

    async def on_dead(record: JobRecord) -> None: ...

    app.bus.on_broken.append(broken)

    @app.task(retry=Retry(attempts=1))
    async def send() -> None: ...

    send.enqueue()
    options = {"interval": 1.0, "max_crashes": 3, "bus": app.bus, "on_dead": on_dead}
    claim_and_die(app, Rescuer(app.engine, worker=lambda: 0, may_rescue=lambda: True, **options))  # type: ignore[arg-type]
    assert any("no route to the collector" in line for line in lines)
    assert any("it runs again" in line for line in lines)


TRACED = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from turnspit.telemetry.tracing import trace_jobs

exporter = ConsoleSpanExporter(out=open({path!r}, "a"), formatter=lambda span: span.to_json(indent=None) + "\\n")
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace_jobs(app, tracer_provider=provider)
"""


@pytest.mark.on_sqlite
def test_a_killed_process_leaves_a_span_by_its_sibling(folder: Path, store_url: str, spans: Spans) -> None:
    file = folder / "spans"
    name = write_app(folder, store_url, TRACED.format(path=str(file)))
    with make_app(store_url) as app, Gate(folder) as gate:
        trace_jobs(app, tracer_provider=spans.provider)
        with Fleet(name, "--processes", "2", "--lease=60", "--log-format", "json") as fleet:
            hold = app.tasks["hold"].enqueue(gate=gate.path)
            gate.wait_for_job()
            os.kill(int(gate.last().recv(20)), signal.SIGKILL)
            gate.wait_for_job()
            gate.last().recv(20)
            gate.open()
            wait_until(lambda: hold.refresh().state == "completed", "completed")
            fleet.signal(signal.SIGTERM)
            said = [json.loads(line) for line in fleet.end().splitlines() if line.startswith("{")]
    found = [json.loads(line) for line in file.read_text().splitlines()]
    processed = {span["status"]["status_code"]: span for span in found if span["name"] == "process hold"}
    sent = spans.one("enqueue hold")
    crashed = processed["ERROR"]
    assert crashed["attributes"]["error.type"] == "WorkerDied"
    assert crashed["parent_id"] == f"0x{sent.context.span_id:016x}"
    assert "UNSET" in processed, "and the attempt that completed has its own"
    [line] = [line for line in said if "was running on worker" in line["message"]]
    assert (line["job_id"], line["trace_id"]) == (hold.id, f"{sent.context.trace_id:032x}")
