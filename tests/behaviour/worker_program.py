"""A worker process for the tests: ``python -m tests.behaviour.worker_program URL [OPTION=VALUE ...]``.

It says on its output what happens, a line each. Its jobs wait for a line on its input, so that a test decides when
they end.
"""

import asyncio
import logging
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

from tests.behaviour.support import SOON
from turnspit import JobContext, Retry, Turnspit
from turnspit._runtime import last_resort, process
from turnspit._runtime.worker import claimer, worker

may_end = threading.Event()
own_log = logging.StreamHandler()


def say(what: str) -> None:
    """One line, at once."""
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


async def on_loop() -> str:
    """Ends when it is told to, or cancelled."""
    say("on_loop began")
    try:
        while not may_end.is_set():  # noqa: ASYNC110 (set in a thread)
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        say("on_loop cancelled")
        raise
    return "on_loop"


async def stubborn() -> None:
    """Ignores every cancellation."""
    say("stubborn began")
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            say("stubborn stays")


def in_thread() -> str:
    """Ends when it is told to, and only then."""
    say("in_thread began")
    may_end.wait()
    return "in_thread"


def never_ends() -> None:
    """Is where no signal reaches it."""
    say("never_ends began")
    threading.Event().wait()


async def blocks() -> None:
    """Blocks the event loop for ever."""
    say("blocks began")
    threading.Event().wait()


def over_its_time() -> None:
    """Ends neither in its time nor later."""
    say("over_its_time began")
    threading.Event().wait()


async def to_thread() -> None:
    """Can be cancelled, but what it waits for cannot."""
    say("to_thread began")
    await asyncio.to_thread(threading.Event().wait)


def holds_output() -> None:
    """Stands still in the middle of logging a line, in a log of its own."""
    own_log.acquire()
    say("holds_output began")
    threading.Event().wait()


def gives_in(job: JobContext) -> None:
    """Looks whether it should stop."""
    say("gives_in began")
    job.wait_cancelled(60)
    job.raise_if_cancelled()


async def quick(number: int) -> int:
    """Ends at once."""
    return number


def declare(app: Turnspit) -> Turnspit:
    """The tasks, on this app."""
    for function in (on_loop, stubborn, in_thread, never_ends, to_thread, holds_output, gives_in, quick, blocks):
        app.task(function)
    app.task(name="blocks_too_long", timeout=0.05, retry=Retry(attempts=2, delay=3600))(blocks)
    app.task(timeout=SOON, retry=Retry(attempts=2, delay=3600))(over_its_time)
    return app


may_close = threading.Event()


async def lifespan(_: Turnspit) -> AsyncIterator[dict[str, Any]]:
    """Says when it ends; with ``hold=1`` it ends when it is told to."""
    yield {}
    if not may_close.is_set():
        say("lifespan closing")
    while not may_close.is_set():  # noqa: ASYNC110 (set in a thread)
        await asyncio.sleep(0.01)
    say("lifespan closed")


def main(url: str, *given: str) -> int:
    """Be a worker."""
    options = {name: float(value) for name, _, value in (each.partition("=") for each in given)}

    def listen() -> None:
        if sys.stdin.readline():
            may_end.set()
            may_close.set()

    if not options.get("hold"):
        may_close.set()
    threading.Thread(target=listen, daemon=True).start()
    worker._CANCEL_TIME = options.get("cancel_time", worker._CANCEL_TIME)
    last_resort._ASK = options.get("ask", last_resort._ASK)
    process._CLOSE_TIME = options.get("close_time", process._CLOSE_TIME)
    watching: list[asyncio.Task[None]] = []

    async def watch(started: worker.Worker) -> None:
        await started.stopping.wait()
        say("stopping")

    def on_start(started: worker.Worker) -> None:
        watching.append(asyncio.create_task(watch(started)))
        say("started")

    claimer._STALE = options.get("stale", claimer._STALE)
    app = declare(Turnspit(url))
    app.lifespan(lifespan)
    code = app.run_worker(
        concurrency=int(options.get("concurrency", 10)),
        grace=options.get("grace", 20),
        lease=options.get("lease", 15),
        on_start=on_start,
    )
    say(f"exit {code}")
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
