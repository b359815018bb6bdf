"""One app, seen from every side: logs as JSON, metrics, a trace, an alert. ``python observed.py`` runs two orders.

It needs ``pip install 'turnspit[metrics,otel]' opentelemetry-sdk``.
"""

import logging
import sys

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry

from turnspit import Alert, Retry, Turnspit
from turnspit.telemetry.logs import JobFilter
from turnspit.telemetry.prometheus import Metrics
from turnspit.telemetry.tracing import trace_jobs

spans = InMemorySpanExporter()  # in real life: the OTLP exporter, behind a BatchSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
tracer = provider.get_tracer("shop")
logger = logging.getLogger("shop")

app = Turnspit("sqlite:///observed.db")
trace_jobs(app, tracer_provider=provider)
registry = CollectorRegistry()  # in real life: prometheus_client.REGISTRY, or `turnspit worker --metrics-port 9464`
registry.register(Metrics(app))


@app.task(queue="orders", retry=Retry(attempts=1))
def ship(order_id: int) -> None:
    with tracer.start_as_current_span("print label"):
        logger.info("shipping order %s", order_id)
    if order_id == 13:
        raise ConnectionError("the label printer is out of paper")


@app.alert(dead=1)
def page_somebody(alert: Alert) -> None:
    print(alert.text)


def main() -> None:
    """Ship two orders and show what was seen."""
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(JobFilter())  # or setFormatter(JsonFormatter()), or `turnspit worker --log-format json`
    handler.setFormatter(logging.Formatter("%(message)s · job %(job_id)s (%(task)s), attempt %(attempt)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)

    with app.worker(until_empty=True, concurrency=1) as worker:
        with tracer.start_as_current_span("checkout"):
            app.enqueue_many([ship.new(order_id=7), ship.new(order_id=13)])
        worker.wait()

    for name in ("turnspit_jobs_completed_total", "turnspit_jobs_dead_total"):
        print(name, registry.get_sample_value(name, {"queue": "orders", "task": "ship"}))
    names = [span.name for span in spans.get_finished_spans()]
    traces = {span.context.trace_id for span in spans.get_finished_spans() if span.context is not None}
    print(f"{len(names)} spans in {len(traces)} trace: {', '.join(sorted(set(names)))}")


if __name__ == "__main__":
    main()
