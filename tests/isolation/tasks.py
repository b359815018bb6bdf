"""An app whose tasks run in processes of their own; those import this module too."""

import ctypes
import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import PlainSerializer
from typing_extensions import TypedDict

from turnspit import (
    Blueprint,
    Cancel,
    ConfigurationError,
    GiveUp,
    JobContext,
    Retry,
    RetryAfter,
    Snooze,
    Turnspit,
    current_job,
)

app = Turnspit(retry=Retry(attempts=2, delay=0))
parts = Blueprint("parts")
app.include(parts)


class Refused(Exception):
    """Has a state of its own, and wants two arguments."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code, why)
        self.code = code

    def __str__(self) -> str:
        return f"refused with {self.code}"


class Where(TypedDict):
    """Where a task ran."""

    pid: int
    thread: str
    when: datetime
    resource: int
    wrapped: str
    same_job: bool


def leave_mark(path: Path) -> None:
    """An empty file."""
    path.touch()


@app.lifespan
async def lifespan(_: Turnspit) -> AsyncIterator[dict[str, Any]]:
    """Provides the process that opened it, and leaves a mark when it is closed."""
    yield {"opened_in": os.getpid()}
    if "CLOSED_MARK" in os.environ:
        leave_mark(Path(os.environ["CLOSED_MARK"], str(os.getpid())))


@app.middleware
def wrap(job: JobContext, call_next: Callable[[JobContext], Any]) -> Any:
    """Says where it was."""
    threading.current_thread().name = f"wrapped {os.getpid()}"
    return call_next(job)


@app.task(isolate=True)
def where(job: JobContext, when: datetime) -> Where:
    """What can be seen from inside."""
    job.progress(0.5, "half")
    job.log("a line", "warning")
    return {
        "pid": os.getpid(),
        "thread": type(threading.current_thread()).__name__,
        "when": when,
        "resource": job.resources["opened_in"],
        "wrapped": threading.current_thread().name,
        "same_job": current_job() is job and job.metadata == {"a": 1} and job.idempotency_key.endswith(str(job.id)),
    }


@app.task(isolate=True)
def price() -> Annotated[int, PlainSerializer(lambda amount: f"{amount} EUR")]:
    """Has a text that is no price."""
    return 5


@parts.task(isolate=True)
def double(number: int) -> int:
    """On a blueprint."""
    return number * 2


@app.task
def thread_double(number: int) -> int:
    """Not isolated."""
    return number * 2


@app.task(isolate=True)
def end(how: str) -> str:
    """Ends in the way it is told."""
    match how:
        case "segfault":
            ctypes.string_at(0)
        case "exit":
            os._exit(3)
        case "kill":
            os.kill(os.getpid(), 9)
        case "sys.exit":
            sys.exit(4)
        case "refused":
            raise Refused(7, "no")
        case "snooze":
            raise Snooze(3600, reason="later")
        case "cancel":
            raise Cancel("not needed")
        case "give up":
            raise GiveUp("hopeless")
        case "retry after":
            raise RetryAfter(3600)
    return how


@app.task(isolate=True, retry=Retry(attempts=3, delay=0, never_on=Refused))
def refused() -> None:
    """Not worth trying again."""
    raise Refused(7, "no")


@app.task(isolate=True)
def unstorable() -> Any:
    """Has no JSON."""
    return object()


def deep(folder: str) -> None:
    """Says that it is here, with another process, and hangs."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    mark = Path(folder, "began.new")
    mark.write_text(f"{os.getpid()} {child.pid}")
    mark.rename(Path(folder, "began"))
    time.sleep(600)


@app.task(isolate=True)
def hang(folder: str) -> None:
    """Hangs for good."""
    deep(folder)


@app.task(isolate=True, retry=Retry(attempts=1))
def leaves_a_daemon(folder: str, ends: bool) -> None:
    """Starts one that outlives it, with all that it had open; ends as a crash does, or hangs."""
    reads, writes = os.pipe()
    if (daemon := os.fork()) == 0:
        os.setsid()
        os.write(writes, b".")
        time.sleep(600)
    os.read(reads, 1)  # before that it is killed along with its parent's group
    Path(folder, "began").write_text(str(daemon))
    if ends:
        os._exit(3)
    time.sleep(600)


@app.task(isolate=True)
def forks(ends: bool) -> int:
    """Leaves its function twice; the copy by an error, or as it does itself."""
    copy = os.fork()
    if not copy:
        if ends:
            return 0
        raise RuntimeError("in the copy")
    os.waitpid(copy, 0)
    return copy


@app.task(isolate=True)
def waits_for_all_children() -> int:
    """Waits until it has none."""
    count = 0
    for _ in range(2):
        os.fork() or os._exit(0)
    with suppress(ChildProcessError):
        while os.wait():
            count += 1
    return count


_left: list[Callable[[], None]] = []


@app.task(isolate=True)
def leaves_a_thread(job: JobContext) -> None:
    """Its thread lives on, and reports when it is told to."""
    may_report, has_reported = threading.Event(), threading.Event()

    def report() -> None:
        may_report.wait()
        job.progress(0.9)
        job.log("too late")
        job.move_cursor("steps", 8, is_complete=False)
        with suppress(Exception):
            job.finish(sqlite3.connect(":memory:"))
        has_reported.set()

    threading.Thread(target=report, daemon=True).start()
    _left[:] = [may_report.set, lambda: has_reported.wait() and None]


@app.task(isolate=True)
def tells_the_thread() -> str:
    """Runs where it was left, and waits until it has reported."""
    for step in _left:
        step()
    return "well"


@app.task(isolate=True)
def hang_with_the_lock(folder: str) -> None:
    """Hangs in C, with the interpreter's lock: no thread of its process runs any more."""
    mark = Path(folder, "began.new")
    mark.write_text(str(os.getpid()))
    mark.rename(Path(folder, "began"))
    ctypes.PyDLL(None).sleep(600)


@app.task(isolate=True)
def gives_in(job: JobContext, folder: str) -> str:
    """Looks whether it should stop."""
    Path(folder, "began").touch()
    job.wait_cancelled(60)
    job.raise_if_cancelled()
    return "never"


@app.task(isolate=True)
def walk(job: JobContext, steps: int) -> int:
    """Iterates."""
    return sum(1 for _ in job.iterate(range(steps), key=lambda step: step))


@app.task(isolate=True)
def charge(job: JobContext, file: str, commit: bool) -> str:
    """Its row and its end are one transaction."""
    connection = sqlite3.connect(file, isolation_level=None)
    connection.execute("begin immediate")
    connection.execute("create table if not exists payments (job integer)")
    connection.execute("insert into payments values (?)", (job.id,))
    job.finish(connection, result="charged")
    connection.execute("commit" if commit else "rollback")
    return "not used"


@app.task(isolate=True)
def charge_late(job: JobContext, file: str, folder: str) -> str:
    """The first run waits until it may go on, and leaves a mark that names what happened to it."""
    is_first = not Path(folder, "began").exists()
    Path(folder, "began").touch()
    while is_first and not Path(folder, "go").exists():
        time.sleep(0.01)
    connection = sqlite3.connect(file, isolation_level=None, timeout=20)
    connection.execute("create table if not exists payments (job integer)")
    connection.execute("begin immediate")
    connection.execute("insert into payments values (?)", (job.id,))
    try:
        job.finish(connection, result="charged")
    except Exception as error:
        connection.execute("rollback")
        Path(folder, type(error).__name__).touch()
        raise
    connection.execute("commit")
    return "not used"


@app.task(isolate=True)
def say() -> None:
    """Prints and logs."""
    sys.stdout.write("printed in a process\n")
    logging.getLogger("shop").warning("logged in a process")


@app.task(isolate=True, timeout=60)
def thumbnail(path: str, width: int) -> str:
    """The library that reads the picture may hang on it, or crash."""
    return f"{path}.{width}.png"


@app.task(queue="inner")
def inner() -> str:
    """What a job enqueues for the worker that it starts."""
    return "done"


@app.task(isolate=True)
def start_worker(how: str) -> str:
    """Start a worker inside a job."""
    try:
        if how == "run_worker":
            app.run_worker(until_empty=True)
        with app.worker(until_empty=how == "until_empty", queues=None if how == "until_empty" else ["inner"]):
            return inner.enqueue().get_result(20)
    except ConfigurationError as error:
        return str(error)
