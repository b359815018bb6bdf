"""What ``import turnspit`` gives, costs and loads."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import turnspit

PUBLIC_NAMES = [
    "Alert",
    "Batch",
    "Blueprint",
    "Cancel",
    "Concurrency",
    "ConfigurationError",
    "Cron",
    "Debounce",
    "EngineUnavailable",
    "Event",
    "Every",
    "GiveUp",
    "Health",
    "InvalidArguments",
    "InvalidPayload",
    "Job",
    "JobCancelled",
    "JobContext",
    "JobDead",
    "JobExists",
    "JobNotFound",
    "JobState",
    "JobTimeout",
    "Queue",
    "QueueFull",
    "Rate",
    "RateLimited",
    "ResultTimeout",
    "Retry",
    "RetryAfter",
    "Snooze",
    "Turnspit",
    "TurnspitError",
    "Unique",
    "Workflow",
    "WorkflowBuilder",
    "current_job",
]
DRIVERS_AND_FRAMEWORKS = [
    "sqlite3",
    "psycopg",
    "asyncpg",
    "sqlalchemy",
    "starlette",
    "django",
    "flask",
    "typer",
    "rich",
]
LONGEST_IMPORT_BESIDE_PYDANTIC = 1.6

MEASURE = """
import json, sys, time
began = time.process_time()
import {first}
between = time.process_time()
import turnspit
ended = time.process_time()
print(json.dumps({{"first": between - began, "beyond": ended - between, "modules": sorted(sys.modules)}}))
"""


def run(code: str, environment: Mapping[str, str] | None = None) -> Any:
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(answer.stdout)


def test_the_public_names_are_exactly_these() -> None:
    assert sorted(turnspit.__all__) == PUBLIC_NAMES


def test_nothing_else_is_exposed() -> None:
    modules = {name for name, value in vars(turnspit).items() if type(value).__name__ == "module"}
    exposed = {name for name in vars(turnspit) if not name.startswith("_")} - modules
    assert exposed == set(PUBLIC_NAMES)


def test_public_names_show_their_public_path() -> None:
    assert {getattr(turnspit, name).__module__ for name in turnspit.__all__} == {"turnspit"}


def test_importing_loads_no_driver_and_no_web_framework() -> None:
    modules = set(run(MEASURE.format(first="json"))["modules"])
    assert modules.isdisjoint(DRIVERS_AND_FRAMEWORKS)


def test_constructing_an_app_opens_nothing(tmp_path: Any) -> None:
    code = f"""
import json, os, threading
from turnspit import Turnspit
app = Turnspit("sqlite:///{tmp_path}/shop.db")
@app.task
async def greet(name: str) -> None: ...
print(json.dumps([os.listdir({str(tmp_path)!r}), threading.active_count()]))
"""
    assert run(code) == [[], 1]


def test_importing_costs_little_beside_pydantic(tmp_path: Path) -> None:
    # As an installed package: compiled once, which an environment that keeps no bytecode would do in every process.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = str(tmp_path)
    # Processor time as a share, and the median of several: what the machine's other work adds falls on both.
    warm = "pydantic, pydantic.json_schema, asyncio, logging, importlib.resources, concurrent.futures"
    measured = [run(MEASURE.format(first=warm), environment) for _ in range(9)]
    assert median(run["beyond"] / run["first"] for run in measured) < LONGEST_IMPORT_BESIDE_PYDANTIC
