"""Metrics for Prometheus (extra ``metrics``).

::

    from turnspit.telemetry.prometheus import Metrics

    metrics = Metrics(app)
    web.mount("/metrics", metrics.asgi())      # or metrics.wsgi(), metrics.serve(9464), REGISTRY.register(metrics)
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from turnspit.app import Turnspit
from turnspit.errors import ConfigurationError
from turnspit.telemetry.figures import Figures
from turnspit.telemetry.metrics import METRICS, Metric
from turnspit.telemetry.recorder import Key, Series, recorder_of

__all__ = ["Metrics"]


class Source(Protocol):
    """Something with metrics."""

    @property
    def series(self) -> Series:
        """What it has now."""
        ...


class Metrics:
    """An app's metrics: a collector for a registry of ``prometheus_client``, or an endpoint of its own.

    It counts from its construction on, so make it where the app is made. It counts in its own process only: scrape each
    worker for what it does, and a web process for what it enqueues.

    :param store: whether each scrape also has the fleet's figures, read from the store.
    :param counts: where the counts come from; this process by default.
    :raises ConfigurationError: without ``prometheus_client``.
    """

    def __init__(self, app: Turnspit, *, store: bool = True, counts: Source | None = None) -> None:
        self._core = _import_client().metrics_core
        counted = counts or recorder_of(app)
        # The store first, so that the counts include this very call of it.
        self._sources: list[Source] = [Figures(app), counted] if store else [counted]

    def collect(self) -> Iterator[Any]:
        """Every metric with its samples, for a registry."""
        found: defaultdict[str, list[tuple[Key, Sequence[float]]]] = defaultdict(list)
        for source in self._sources:
            for key, values in source.series.items():
                found[key[0]].append((key[1:], values))
        for metric in METRICS:
            family = self._family(metric)
            for labels, values in sorted(found[metric.name]):
                _add(family, metric, labels, values)
            yield family

    def describe(self) -> Iterator[Any]:
        """Every metric without its samples: a registry asks for them when it registers, and the store is not read."""
        return map(self._family, METRICS)

    def asgi(self) -> Any:
        """An ASGI application that answers with the metrics."""
        return _import_client().make_asgi_app(self._registry())

    def wsgi(self) -> Any:
        """A WSGI application that answers with the metrics."""
        return _import_client().make_wsgi_app(self._registry())

    def serve(self, port: int, host: str = "127.0.0.1") -> tuple[int, Callable[[], None]]:
        """Answer over HTTP, from a thread, until stopped: the port, and how to stop.

        :param port: 0 takes a free one.
        :raises ConfigurationError: if it cannot be taken.
        """
        try:
            server, thread = _import_client().start_http_server(port, host, self._registry())
        except (OSError, UnicodeError) as error:  # a name that no host can have is a UnicodeError
            where, why = f"{host}, port {port}", getattr(error, "strerror", None) or error
            raise ConfigurationError(f"metrics cannot be shown on {where}: {why}") from None

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return server.server_port, stop

    def _registry(self) -> Any:
        registry = _import_client().CollectorRegistry()
        registry.register(self)
        return registry

    def _family(self, metric: Metric) -> Any:
        core = self._core
        kinds = {
            "counter": core.CounterMetricFamily,
            "gauge": core.GaugeMetricFamily,
            "histogram": core.HistogramMetricFamily,
        }
        return kinds[metric.kind](metric.name, metric.help, labels=metric.labels)


def _add(family: Any, metric: Metric, labels: Key, values: Sequence[float]) -> None:
    if metric.kind != "histogram":
        family.add_metric(labels, values[0])
        return
    *counts, total = values
    buckets, so_far = [], 0.0
    for bound, count in zip((*map(str, metric.buckets), "+Inf"), counts, strict=True):
        so_far += count
        buckets.append((bound, so_far))
    family.add_metric(labels, buckets, total)


def _import_client() -> Any:
    try:
        import prometheus_client  # noqa: PLC0415  (optional extra)
    except ImportError:
        raise ConfigurationError("metrics need prometheus-client: pip install 'turnspit[metrics]'") from None
    return prometheus_client
