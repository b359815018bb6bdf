"""Traces with OpenTelemetry (extra ``otel``): a span for each enqueue, and one for each attempt, in the same trace.

::

    from turnspit.telemetry.tracing import trace_jobs

    trace_jobs(app)       # where the app is made, before other middleware

The trace travels in the job's metadata, as W3C writes it (``traceparent``, ``tracestate``, ``baggage``), so that jobs
of other languages can take part. Attributes follow the semantic conventions of messaging.
"""

import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from opentelemetry import context as contexts
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, TracerProvider

from turnspit._runtime.worker.failures import message_of
from turnspit.app import Turnspit
from turnspit.codec import decode_object, encode
from turnspit.context import JobContext, claim_of
from turnspit.hooks import CallNext
from turnspit.outcomes import Cancel, Snooze
from turnspit.records import BrokenAttempt, Claim, NewJob
from turnspit.sending import Sending, UnwatchedSending

__all__ = ["trace_jobs"]

logger = logging.getLogger("turnspit")

_SYSTEM = "turnspit"


def trace_jobs(app: Turnspit, *, tracer_provider: TracerProvider | None = None, new_trace: bool = False) -> None:
    """Make a span for each enqueue and each attempt of the app's jobs.

    An attempt's span is a child of the span that enqueued its job, and linked to it. A task's own spans are below it,
    on the event loop, in threads and in processes (``isolate=True``).

    :param tracer_provider: the global one by default.
    :param new_trace: each attempt begins a trace of its own, with only the link to the enqueue: for jobs that run long
        after, or by the thousand for one enqueue.
    """
    tracing = _Tracing(trace.get_tracer(_SYSTEM, tracer_provider=tracer_provider), new_trace=new_trace)
    app.senders.append(tracing.send)
    app.middleware(tracing.process)
    app.middleware(continue_trace)
    app.bus.on_broken.append(tracing.broken)


class _Tracing:
    def __init__(self, tracer: trace.Tracer, *, new_trace: bool) -> None:
        self._tracer = tracer
        self._new_trace = new_trace

    def send(self, jobs: Sequence[NewJob[Any]]) -> Sending:
        try:
            return self._send(jobs)
        except Exception:
            logger.exception("an enqueue has no span")
            return UnwatchedSending(jobs)

    def _send(self, jobs: Sequence[NewJob[Any]]) -> Sending:
        tasks, queues = {job.task for job in jobs}, {job.queue for job in jobs}
        attributes: dict[str, Any] = {
            "messaging.system": _SYSTEM,
            "messaging.operation.name": "enqueue",
            "messaging.operation.type": "send",
        }
        if len(queues) == 1:
            attributes["messaging.destination.name"] = jobs[0].queue
        if len(tasks) == 1:
            attributes["turnspit.task"] = jobs[0].task
        if len(jobs) == 1:
            attributes["messaging.message.body.size"] = len(jobs[0].args.encode())
        else:
            attributes["messaging.batch.message_count"] = len(jobs)
        name = f"enqueue {jobs[0].task}" if len(tasks) == 1 else "enqueue"
        span = self._tracer.start_span(name, kind=SpanKind.PRODUCER, attributes=attributes)
        return _Sending(span, jobs)

    async def process(self, job: JobContext, call_next: CallNext) -> Any:
        try:
            parent = _extract(job.metadata)
            span = self._begin(claim_of(job), parent)
        except Exception:  # of a sampler or a span processor of the application's own
            logger.exception("job %s has no span", job.id)
            return await call_next(job)
        token = contexts.attach(trace.set_span_in_context(span, parent))
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        job.carrier = carrier
        try:
            return await call_next(job)
        except BaseException as error:
            _record(span, job, error)
            raise
        finally:
            contexts.detach(token)
            try:
                span.end()
            except Exception:  # of a span processor or exporter: the attempt ended as it did
                logger.exception("the span of job %s cannot be exported", job.id)

    def broken(self, attempt: BrokenAttempt) -> None:
        """Make the span of an attempt that no middleware saw. If its worker died, both times are the store's."""
        claim, ended = attempt.claim, attempt.finished_at
        span = self._begin(
            claim, _extract(decode_object(claim.metadata)), None if ended is None else claim.started_at * 1000
        )
        error = {"exception.type": attempt.error_type, "exception.message": attempt.error_message}
        span.add_event("exception", error, None if ended is None else ended * 1000)
        span.set_attribute("error.type", attempt.error_type)
        span.set_status(Status(StatusCode.ERROR, f"{attempt.error_type}: {attempt.error_message}"))
        span.end(None if ended is None else ended * 1000)

    def _begin(self, claim: Claim, parent: Context, started: int | None = None) -> Span:
        """A span for an attempt; ``started`` in nanoseconds since 1970, by default now."""
        creation = trace.get_current_span(parent).get_span_context()
        return self._tracer.start_span(
            f"process {claim.task}",
            context=Context() if self._new_trace else parent,
            kind=SpanKind.CONSUMER,
            links=[Link(creation)] if creation.is_valid else [],
            attributes=_attributes(claim),
            start_time=started,
        )


class _Sending:
    """Jobs that are being stored, with their span's context in their metadata."""

    def __init__(self, span: Span, jobs: Sequence[NewJob[Any]]) -> None:
        self._span = span
        carrier: dict[str, str] = {}
        propagate.inject(carrier, trace.set_span_in_context(span))
        alone = encode(carrier, what="metadata") if carrier else None
        self.jobs = [_with_carrier(job, carrier, alone) for job in jobs] if carrier else jobs

    def end(self, ids: Sequence[int], error: BaseException | None) -> None:
        if len(ids) == 1:
            self._span.set_attribute("messaging.message.id", str(ids[0]))
        if error is not None:
            _fail(self._span, error)
        self._span.end()


def _with_carrier(job: NewJob[Any], carrier: dict[str, str], alone: str | None) -> NewJob[Any]:
    if job.metadata is None:
        return job._replace(metadata=alone)
    metadata = decode_object(job.metadata)
    if "traceparent" in metadata:
        return job  # the caller's own choice
    return job._replace(metadata=encode(carrier | metadata, what="metadata"))


def _extract(metadata: Mapping[str, Any]) -> Context:
    """The trace in a job's metadata, independent of the worker's own context."""
    return propagate.extract({key: value for key, value in metadata.items() if isinstance(value, str)}, Context())


def _attributes(claim: Claim) -> dict[str, Any]:
    return {
        "messaging.system": _SYSTEM,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": claim.queue,
        "messaging.message.id": str(claim.id),
        "messaging.message.body.size": len(claim.args.encode()),
        "turnspit.task": claim.task,
        "turnspit.attempt": claim.attempt,
        "turnspit.wait": max(0, claim.started_at - claim.run_at) / 1_000_000,
    }


def _record(span: Span, job: JobContext, error: BaseException) -> None:
    """Snoozing, cancellation and shutdown are no errors; a time-out is one, though the task sees a cancellation."""
    if job.stop_reason == "timeout":
        span.set_attribute("error.type", "JobTimeout")
        span.set_status(Status(StatusCode.ERROR, "over its time-out"))
    elif isinstance(error, Snooze | Cancel) or job.stop_reason is not None:
        span.set_attribute("turnspit.ended", job.stop_reason or type(error).__name__.lower())
    else:
        _fail(span, error)


def _fail(span: Span, error: BaseException) -> None:
    with suppress(Exception):  # the error's own text may raise, and must not take the error's place
        span.record_exception(error)
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {message_of(error)}"))


def continue_trace(job: JobContext, call_next: Any) -> Any:
    """Plain middleware: continue the trace in an isolated process, which has no context from its worker."""
    if not job.carrier or trace.get_current_span().get_span_context().is_valid:
        return call_next(job)
    token = contexts.attach(propagate.extract(job.carrier, Context()))
    try:
        return call_next(job)
    finally:
        contexts.detach(token)
