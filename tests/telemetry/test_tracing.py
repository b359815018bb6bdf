"""Traces: from the enqueue to each attempt, wherever it runs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import baggage, context, trace

from tests.behaviour.support import wait_until
from tests.faults.fleet import Fleet, write_app
from tests.telemetry.spans import Spans
from turnspit import Cancel, JobContext, Retry, Snooze, Turnspit
from turnspit.errors import InvalidTransaction
from turnspit.telemetry.tracing import trace_jobs

pytestmark = pytest.mark.on_sqlite

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
ONCE = Retry(attempts=1)


@pytest.fixture
def spans() -> Spans:
    return Spans()


def work(app: Turnspit) -> None:
    with app.worker(until_empty=True) as worker:
        worker.wait()


class Nameless(Exception):
    def __str__(self) -> str:
        raise ValueError("it has no text")


def test_an_error_without_a_text_stays_what_it_is(app: Turnspit, spans: Spans) -> None:
    trace_jobs(app, tracer_provider=spans.provider)

    @app.task(retry=ONCE)
    async def fail() -> None:
        raise Nameless

    job = fail.enqueue()
    work(app)
    assert job.refresh().error_type == "Nameless"
    assert (spans.one("process fail").attributes or {})["error.type"] == "Nameless"


def test_an_attempt_is_below_its_enqueue_and_linked_to_it(app: Turnspit, spans: Spans) -> None:
    trace_jobs(app, tracer_provider=spans.provider)
    tracer = spans.provider.get_tracer("shop")

    @app.task(queue="email")
    async def on_loop(order_id: int) -> None:
        with tracer.start_as_current_span("inside loop"):
            await in_thread.aenqueue()

    @app.task
    def in_thread() -> None:
        tracer.start_span("inside thread").end()

    with tracer.start_as_current_span("request") as request:
        job = on_loop.using(metadata={"customer": 3}).enqueue(order_id=7)
    work(app)
    sent, processed = spans.one("enqueue on_loop"), spans.one("process on_loop")
    assert sent.parent == request.get_span_context()
    assert sent.kind is trace.SpanKind.PRODUCER
    assert dict(sent.attributes or {}) == {
        "messaging.system": "turnspit",
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
        "messaging.destination.name": "email",
        "messaging.message.id": str(job.id),
        "messaging.message.body.size": len('{"order_id":7}'),
        "turnspit.task": "on_loop",
    }
    assert processed.parent is not None
    assert processed.parent.span_id == sent.context.span_id
    assert processed.kind is trace.SpanKind.CONSUMER
    assert [link.context.span_id for link in processed.links] == [sent.context.span_id]
    attributes = dict(processed.attributes or {})
    assert 0 <= attributes.pop("turnspit.wait") < 60  # type: ignore[operator]
    assert attributes == {
        "messaging.system": "turnspit",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "email",
        "messaging.message.id": str(job.id),
        "messaging.message.body.size": len('{"order_id":7}'),
        "turnspit.task": "on_loop",
        "turnspit.attempt": 1,
    }
    assert spans.one("inside loop").parent.span_id == processed.context.span_id  # type: ignore[union-attr]
    inner = spans.one("enqueue in_thread")
    assert inner.parent.span_id == spans.one("inside loop").context.span_id  # type: ignore[union-attr]
    threaded = spans.one("inside thread")
    assert threaded.parent.span_id == spans.one("process in_thread").context.span_id  # type: ignore[union-attr]
    assert len({span.context.trace_id for span in spans.exporter.get_finished_spans()}) == 1
    assert job.refresh().metadata["customer"] == 3


def test_each_attempt_has_its_span_and_says_how_it_ended(app: Turnspit, spans: Spans) -> None:
    trace_jobs(app, tracer_provider=spans.provider)

    @app.task(retry=Retry(attempts=2, base=0.001, cap=0.001))
    async def fail() -> None:
        raise ValueError("no")

    @app.task
    async def snooze() -> None:
        raise Snooze(3600)

    @app.task
    async def cancel() -> None:
        raise Cancel("no more")

    @app.task(timeout=0.05, retry=ONCE)
    async def sleep() -> None:
        await asyncio.Event().wait()

    for task in (fail, snooze, cancel, sleep):
        task.enqueue()
    with app.worker():
        wait_until(lambda: len(app.jobs.list(state="dead")) == 2, "dead")
        wait_until(lambda: app.jobs.list(state="cancelled"), "cancelled")
    first, second = sorted(spans.named("process fail"), key=lambda span: span.start_time or 0)
    assert [(span.attributes or {})["turnspit.attempt"] for span in (first, second)] == [1, 2]
    assert first.context.trace_id == second.context.trace_id == spans.one("enqueue fail").context.trace_id
    for span in (first, second):
        assert span.status.status_code is trace.StatusCode.ERROR
        assert span.status.description == "ValueError: no"
        assert (span.attributes or {})["error.type"] == "ValueError"
        assert [event.name for event in span.events] == ["exception"]
    for name in ("snooze", "cancel"):
        ended = spans.one(f"process {name}")
        assert ended.status.status_code is trace.StatusCode.UNSET
        assert (ended.attributes or {})["turnspit.ended"] == name
        assert not ended.events
    late = spans.one("process sleep")
    assert (late.status.status_code, (late.attributes or {})["error.type"]) == (trace.StatusCode.ERROR, "JobTimeout")


def test_many_jobs_are_one_span_and_each_is_linked_to_it(app: Turnspit, spans: Spans) -> None:
    trace_jobs(app, tracer_provider=spans.provider, new_trace=True)

    @app.task
    async def end() -> None: ...

    @app.task(queue="email")
    async def other() -> None: ...

    app.enqueue_many([end.new(), end.new(), other.new()])
    work(app)
    sent = spans.one("enqueue")
    assert dict(sent.attributes or {}) == {
        "messaging.system": "turnspit",
        "messaging.operation.name": "enqueue",
        "messaging.operation.type": "send",
        "messaging.batch.message_count": 3,
    }
    processed = spans.named("process end") + spans.named("process other")
    assert len(processed) == 3
    assert [[link.context.span_id for link in span.links] for span in processed] == [[sent.context.span_id]] * 3
    assert all(span.parent is None for span in processed), "each began a trace of its own"
    assert len({span.context.trace_id for span in processed}) == 3


def test_what_could_not_be_stored_is_an_error_of_its_enqueue(app: Turnspit, spans: Spans) -> None:
    trace_jobs(app, tracer_provider=spans.provider)

    @app.task
    async def end() -> None: ...

    async def enqueue() -> None:
        await end.using(tx=object()).aenqueue()

    with pytest.raises(InvalidTransaction):
        asyncio.run(enqueue())
    sent = spans.one("enqueue end")
    assert sent.status.status_code is trace.StatusCode.ERROR
    assert "messaging.message.id" not in (sent.attributes or {})


def test_a_trace_of_another_producer_and_its_baggage_are_taken_up(app: Turnspit, spans: Spans) -> None:
    trace_jobs(app, tracer_provider=spans.provider)
    heard: list[object] = []

    @app.task
    def end() -> None:
        heard.append(baggage.get_baggage("customer"))

    end.using(metadata={"traceparent": PARENT, "baggage": "customer=ada", "tick": 5}).enqueue()
    token = context.attach(baggage.set_baggage("customer", "bob"))
    end.enqueue()
    context.detach(token)
    work(app)
    first, second = sorted(spans.named("process end"), key=lambda span: span.start_time or 0)
    assert f"{first.context.trace_id:032x}" == PARENT.split("-")[1]
    assert f"{first.parent.span_id:016x}" == PARENT.split("-")[2]  # type: ignore[union-attr]
    assert second.context.trace_id != first.context.trace_id
    assert sorted(map(str, heard)) == ["ada", "bob"]


def test_an_app_that_is_not_traced_stores_no_trace(app: Turnspit, spans: Spans) -> None:
    @app.task
    async def end(job: JobContext) -> None: ...

    with spans.provider.get_tracer("shop").start_as_current_span("request"):
        job = end.enqueue()
    assert job.refresh().metadata == {}


TRACED = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
from turnspit.telemetry.tracing import trace_jobs

exporter = ConsoleSpanExporter(out=open({path!r}, "a"), formatter=lambda span: span.to_json(indent=None) + "\\n")
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace_jobs(app, tracer_provider=provider)

@app.task(isolate=True)
def apart(pid: int) -> None:
    assert os.getpid() != pid
    with provider.get_tracer("shop").start_as_current_span("inside process"):
        quick.enqueue()
"""


@pytest.mark.parametrize("when", ["on_start", "on_end"])
def test_a_span_processor_that_raises_loses_no_job(
    app: Turnspit, spans: Spans, when: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An enqueue said that nothing was stored, and a job that was done was done again."""
    runs: list[int] = []

    @app.task(retry=Retry(attempts=3, delay=0))
    async def run(job: JobContext) -> None:
        runs.append(job.attempt)

    def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionError("the collector is away")

    monkeypatch.setattr(spans.processor, when, refuse)
    trace_jobs(app, tracer_provider=spans.provider)
    jobs = [run.enqueue(), app.jobs.get(app.enqueue_many([run.new()])[0])]
    work(app)
    assert [job.refresh().state for job in jobs] == ["completed"] * 2
    assert runs == [1, 1]
    assert "the collector is away" in caplog.text


def test_a_trace_goes_through_three_processes(folder: Path, store_url: str, spans: Spans) -> None:
    file = folder / "spans"
    name = write_app(folder, store_url, TRACED.format(path=str(file)))
    with Turnspit(store_url) as app:
        trace_jobs(app, tracer_provider=spans.provider)

        @app.task(name="apart", isolate=False)
        def apart(pid: int) -> None: ...

        apart.enqueue(pid=1)
    with Fleet(name, "--until-empty") as fleet:
        fleet.end()
    found: dict[str, Any] = {(span := json.loads(line))["name"]: span for line in file.read_text().splitlines()}
    sent = spans.one("enqueue apart")
    chain = ["process apart", "inside process", "enqueue quick", "process quick"]
    parent = f"0x{sent.context.span_id:016x}"
    for each in chain:
        assert found[each]["parent_id"] == parent, each
        assert found[each]["context"]["trace_id"] == f"0x{sent.context.trace_id:032x}"
        parent = found[each]["context"]["span_id"]
    assert found["process apart"]["links"][0]["context"]["span_id"] == f"0x{sent.context.span_id:016x}"
    resources = {found[each]["attributes"].get("turnspit.task") for each in chain}
    assert resources == {"apart", "quick", None}
