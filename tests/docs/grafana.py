"""``docs/grafana.json``: a dashboard of Turnspit's metrics for Grafana, to be imported as it is."""

import json
from typing import Any, NamedTuple

__all__ = ["PANELS", "grafana_page"]

_RATE = "[$__rate_interval]"
_BY_TASK = f"sum by (task) (rate(turnspit_{{}}_total{_RATE}))"
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT, _COLUMNS = 8, 8, 3


class Panel(NamedTuple):
    """One graph: what it asks, and how each of its lines is called."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str = ""


def _rate(metric: str, by: str) -> tuple[tuple[str, str], ...]:
    return ((f"sum by ({by}) (rate({metric}{_RATE}))", f"{{{{{by}}}}}"),)


def _quantiles(metric: str, by: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        (
            f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{_RATE})))",
            f"{{{{{by}}}}} p{share * 100:g}",
        )
        for share in (0.5, 0.95)
    )


PANELS = (
    Panel("Completed a second", "ops", _rate("turnspit_jobs_completed_total", "queue")),
    Panel(
        "Waiting",
        "short",
        (('max by (queue) (turnspit_jobs{state="ready"})', "{{queue}}"),),
        "Counted as far as 10,000.",
    ),
    Panel("Age of the oldest", "s", (("max by (queue) (turnspit_oldest_ready_seconds)", "{{queue}}"),)),
    Panel("Wait until claimed", "s", _quantiles("turnspit_job_wait_seconds", "queue")),
    Panel("Run time", "s", _quantiles("turnspit_job_run_seconds", "task")),
    Panel(
        "Share of attempts that fail",
        "percentunit",
        ((f"{_BY_TASK.format('attempts_failed')} / {_BY_TASK.format('attempts_started')}", "{{task}}"),),
    ),
    Panel(
        "Dead letters within an hour",
        "short",
        (("sum by (task) (increase(turnspit_jobs_dead_total[1h]))", "{{task}}"),),
    ),
    Panel(
        "Retried, snoozed, rescued, lost a second",
        "ops",
        tuple(
            (f"sum(rate(turnspit_{name}_total{_RATE}))", name)
            for name in ("jobs_retried", "jobs_snoozed", "jobs_rescued", "attempts_lost")
        ),
    ),
    Panel("How busy workers are", "percentunit", (("sum(turnspit_worker_busy) / sum(turnspit_worker_slots)", "busy"),)),
    Panel("Live workers", "short", (("max by (version) (turnspit_workers)", "{{version}}"),)),
    Panel("Calls of the store", "s", _quantiles("turnspit_store_seconds", "verb")),
    Panel(
        "Store",
        "short",
        (
            ("min(turnspit_store_up)", "up"),
            (f"sum by (error) (rate(turnspit_store_errors_total{_RATE}))", "{{error}} a second"),
        ),
    ),
)


def grafana_page() -> str:
    """The dashboard as JSON."""
    variable = {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    page = {
        "title": "Turnspit",
        "uid": "turnspit",
        "tags": ["turnspit"],
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "templating": {"list": [variable]},
        "panels": [_panel(number, panel) for number, panel in enumerate(PANELS)],
    }
    return json.dumps(page, indent=1) + "\n"


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, _COLUMNS)
    return {
        "id": number + 1,
        "type": "timeseries",
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "gridPos": {"h": _HEIGHT, "w": _WIDTH, "x": column * _WIDTH, "y": row * _HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": expr, "legendFormat": legend}
            for place, (expr, legend) in enumerate(panel.queries)
        ],
    }
