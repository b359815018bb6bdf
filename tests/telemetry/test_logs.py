"""Log records that say which job they are about, in every place where a job runs."""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

from tests.faults.fleet import Fleet, write_app
from tests.telemetry.lines import json_lines
from turnspit import Retry, Turnspit

pytestmark = pytest.mark.on_sqlite

logger = logging.getLogger("shop")

TASKS = """
import logging
logger = logging.getLogger("shop")

@app.task(retry=Retry(attempts=1))
async def on_loop() -> None:
    logger.warning("on the loop", extra={"order": 7})
    raise ValueError("no")

@app.task
def in_thread() -> None:
    logger.warning("in a thread")

@app.task(isolate=True)
def in_process() -> None:
    logger.warning("in a process")
"""


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What the shop logs."""
    with json_lines(logger, {"service": "shop"}) as written:
        yield written


def test_every_record_made_inside_a_job_names_it(app: Turnspit, lines: list[str]) -> None:
    @app.task(queue="email")
    async def on_loop() -> None:
        logger.warning("on %s", "loop")

    @app.task
    def in_thread() -> None:
        logger.warning("in thread")

    traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    with app.worker():
        first = on_loop.enqueue()
        first.get_result(timeout=20)
        second = in_thread.using(metadata={"traceparent": traceparent}).enqueue()
        second.get_result(timeout=20)
    logger.warning("outside")
    loop, thread, outside = map(json.loads, lines)
    assert (loop["message"], loop["job_id"], loop["task"], loop["queue"], loop["attempt"]) == (
        "on loop",
        first.id,
        "on_loop",
        "email",
        1,
    )
    assert "trace_id" not in loop
    assert (thread["message"], thread["job_id"]) == ("in thread", second.id)
    assert thread["trace_id"] == "0af7651916cd43dd8448eb211c80319c", "the trace that it was enqueued in"
    assert "job_id" not in outside
    assert outside["service"] == "shop"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00", outside["time"])


def test_on_dead_is_inside_its_job_too(app: Turnspit, lines: list[str]) -> None:
    def gone(job: object, error: BaseException) -> None:
        logger.error("gone")

    @app.task(on_dead=gone, retry=Retry(attempts=1))
    async def fail() -> None:
        raise ValueError("no")

    job = fail.enqueue()
    with app.worker(until_empty=True) as worker:
        worker.wait()
    assert json.loads(lines[0])["job_id"] == job.id


def test_the_span_of_opentelemetry_wins(lines: list[str]) -> None:
    with TracerProvider().get_tracer("test").start_as_current_span("request") as span:
        logger.warning("inside")
    context = span.get_span_context()
    said = json.loads(lines[0])
    assert (said["trace_id"], said["span_id"]) == (f"{context.trace_id:032x}", f"{context.span_id:016x}")


def test_extra_fields_exceptions_and_what_json_does_not_know(lines: list[str]) -> None:
    try:
        raise ValueError("no\nsecond line")
    except ValueError:
        logger.exception("failed", extra={"order": 7, "path": Path("/tmp/x"), "job_id": 12, "task": "given"})
    said = json.loads(lines[0])
    assert "\n" not in lines[0]
    assert (said["order"], said["path"], said["job_id"], said["task"]) == (7, "/tmp/x", 12, "given")
    assert said["exception"].startswith("Traceback")
    assert said["exception"].endswith("ValueError: no\nsecond line")


class Nameless:
    def __repr__(self) -> str:
        raise ValueError("it has no text")


def test_no_value_loses_its_line(lines: list[str]) -> None:
    itself: list[object] = []
    itself.append(itself)
    values = {"pairs": {("a", "b"): 1}, "itself": itself, "none": float("nan"), "text": Nameless(), "well": {"a": [1]}}
    logger.warning("counted", extra=values)

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    line = json.loads(lines[0], parse_constant=refuse)
    assert {name: line[name] for name in values} == {
        "pairs": "{('a', 'b'): 1}",
        "itself": "[[...]]",
        "none": "nan",
        "text": "<Nameless without a repr: ValueError>",
        "well": {"a": [1]},
    }


@pytest.mark.parametrize("several", [(), ("--processes", "2")], ids=["a worker", "a supervisor"])
def test_a_worker_writes_nothing_but_json(folder: Path, store_url: str, several: tuple[str, ...]) -> None:
    name = write_app(folder, store_url, "from turnspit import Retry\n" + TASKS)
    with Turnspit(store_url) as app:
        exec("from turnspit import Retry\n" + TASKS, {"app": app, "__name__": "jobs"})
        jobs = [app.tasks[task].enqueue() for task in ("on_loop", "in_thread", "in_process")]
    with Fleet(name, "--until-empty", "--log-format", "json", *several) as fleet:
        said = [json.loads(line) for line in fleet.end().splitlines()]
    found = {line["message"]: line for line in said}
    for job, text in zip(jobs, ("on the loop", "in a thread", "in a process"), strict=True):
        line = found[text]
        assert (line["logger"], line["job_id"], line["task"], line["attempt"]) == ("shop", job.id, job.task, 1)
    assert found["on the loop"]["order"] == 7
    [dead] = [
        line for line in said if line["message"].startswith(f"job {jobs[0].id} (on_loop) is dead: ValueError: no")
    ]
    assert (dead["job_id"], dead["level"]) == (jobs[0].id, "error")
    [ended] = [line for line in said if line["message"].startswith(f"job {jobs[1].id} (in_thread) completed")]
    assert ended["job_id"] == jobs[1].id
    assert ended["seconds"] >= 0
    if several:
        assert {line.get("process") for line in said if "job_id" in line} <= {1, 2, None}
        assert {ended["process"]} <= {1, 2}


def test_another_format_is_refused(folder: Path, store_url: str) -> None:
    with Fleet(write_app(folder, store_url), "--log-format", "xml") as fleet:
        fleet.hear("turnspit: --log-format is one of text, json, not 'xml'")
        assert fleet.wait(20) == 2
