"""An ASGI server starts and stops the app: uvicorn, also with --reload and in a container."""

import asyncio
import inspect
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.behaviour.support import DEADLINE, url_of, wait_until
from tests.postgres import hold_port, port_of
from tests.programs import running
from turnspit import Turnspit
from turnspit.cli.worker import worker

SERVER = """
import os
from contextlib import asynccontextmanager
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from turnspit import Turnspit

app = Turnspit(os.environ["STORE"])

@app.task
async def double(number: int) -> int:
    return number * 2

async def endpoint(request):
    job = await double.aenqueue(int(request.query_params["number"]))
    return JSONResponse(await job.aget_result(10))

@asynccontextmanager
async def lifespan(_):
    async with app, app.worker():
        print("up", flush=True)
        yield
    print("down", flush=True)

web = Starlette(routes=[Route("/double", endpoint)], lifespan=lifespan)
"""
AS_PROCESS_1 = ["unshare", "--pid", "--fork", "--kill-child"]
if os.geteuid():
    AS_PROCESS_1 += ["--user", "--map-root-user"]
CLIENT = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())
"""


@contextmanager
def uvicorn(folder: Path, store: str, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server above as a program, and where to ask it; it prints "up" before it listens."""
    (folder / "server.py").write_text(SERVER)
    held = hold_port()
    port = port_of(held)
    command = [sys.executable, "-m", "uvicorn", "server:web", "--port", str(port), "--log-level", "warning", *options]
    environment = {"STORE": store, "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with held, running(*command, cwd=folder, env=environment, **pipes) as process:
        yield process, f"http://127.0.0.1:{port}/double?number=21"


def says(process: subprocess.Popen[str]) -> str:
    """Its next line."""
    assert process.stdout is not None
    return process.stdout.readline()


def ask(url: str) -> str:
    """The answer, once it listens: uvicorn does so only after the lifespan's start."""
    wait_until(lambda: _listens(url), "listening")
    client = subprocess.run([sys.executable, "-c", CLIENT, url], capture_output=True, text=True, check=False)
    assert not client.stderr
    return client.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_uvicorn_ends_promptly_and_the_app_with_it(app: Turnspit, folder: Path, number: signal.Signals) -> None:
    with uvicorn(folder, url_of(app)) as (process, url):
        assert says(process) == "up\n"
        assert ask(url) == "42\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE)
    assert (out, "Traceback" in err) == ("down\n", False), err
    assert app.jobs.count(state="completed") == 1
    [worker] = app.engine.read(app.engine.list_workers)
    assert not worker.live


def test_uvicorn_reloads_a_changed_file_and_the_app_goes_on(app: Turnspit, folder: Path) -> None:
    """With --reload the server is a child process: stopped in order, and started again with the new code."""
    with uvicorn(folder, url_of(app), "--reload") as (process, url):
        assert says(process) == "up\n"
        assert ask(url) == "42\n"
        wait_until(lambda: watches_files(process.pid), "watching files")
        # Of another size: of the same size and second, Python would take its compiled file for current.
        (folder / "server.py").write_text(SERVER.replace("number * 2", "number * 30 // 10"))
        assert (says(process), says(process)) == ("down\n", "up\n")
        assert ask(url) == "63\n"
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
    assert (out, "Traceback" in err) == ("down\n", False), err
    assert [worker.live for worker in app.engine.read(app.engine.list_workers)] == [False, False]


def watches_files(pid: int) -> bool:
    """The reloader begins to watch only after it has started its server, and sees no change from before that."""
    links = Path(f"/proc/{pid}/fd").iterdir()
    return any("inotify" in os.readlink(link) for link in links if os.path.lexists(link))


def _can_unshare() -> bool:
    return shutil.which("unshare") is not None and not subprocess.run([*AS_PROCESS_1, "true"], check=False).returncode


@pytest.mark.skipif(not _can_unshare(), reason="this machine lets nobody be process 1 of a namespace")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_is_a_good_process_1(app: Turnspit, folder: Path, number: signal.Signals) -> None:
    """As in a container without an init: the kernel drops a signal that process 1 has no handler for."""
    (folder / "jobs.py").write_text(
        f"from turnspit import Turnspit\napp = Turnspit({url_of(app)!r})\n@app.task\ndef task() -> None: ...\n"
    )
    command = [*AS_PROCESS_1, sys.executable, "-m", "turnspit", "worker", "jobs:app"]
    with running(*command, cwd=folder, stderr=subprocess.PIPE) as outside:
        assert outside.stderr is not None
        assert any("started: pid 1," in line for line in outside.stderr)
        [inside] = Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split()
        os.kill(int(inside), number)
        _, err = outside.communicate(timeout=DEADLINE)
    assert outside.returncode == 0
    assert err.endswith("stopped\n")


def test_the_default_grace_time_is_below_that_of_kubernetes() -> None:
    for start in (Turnspit.worker, Turnspit.run_worker, worker):
        assert float(inspect.signature(start).parameters["grace"].default) < 30


def _listens(url: str) -> bool:
    with socket.socket() as client:
        return not client.connect_ex(("127.0.0.1", urlsplit(url).port))


def test_an_app_is_started_and_stopped_again_and_again(app: Turnspit) -> None:
    """As a reloading server or a test client with a lifespan does it, in one process."""

    @app.task
    async def double(number: int) -> int:
        return number * 2

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        async with app, app.worker():
            yield

    async def serve(number: int) -> Any:
        async with lifespan():
            job = await double.aenqueue(number)
            return await job.aget_result(DEADLINE)

    assert [asyncio.run(serve(number)) for number in range(4)] == [0, 2, 4, 6]


def test_an_app_used_without_its_context_manager_works_too(app: Turnspit) -> None:
    @app.task
    def double(number: int) -> int:
        return number * 2

    app.close()
    app.close()
    job = double.enqueue(2)
    app.close()
    with app.worker():
        assert job.get_result(DEADLINE) == 4


def test_an_async_program_opens_and_closes_its_app_itself(app: Turnspit) -> None:
    @app.task
    async def double(number: int) -> int:
        return number * 2

    async def use() -> Any:
        await app.amigrate()
        job = await double.aenqueue(2)
        await app.aclose()
        await app.aclose()
        async with app.worker():
            return await job.aget_result(DEADLINE)

    assert asyncio.run(use()) == 4
    assert asyncio.run(app.amigrate()) == ()


def test_an_interrupt_in_an_async_program_stops_its_worker_in_order(folder: Path) -> None:
    """Ctrl-C under asyncio.run: the main task is cancelled, and the worker ends with it."""
    (folder / "program.py").write_text(
        "import asyncio, sys\n"
        "from turnspit import Turnspit\n"
        "app = Turnspit(sys.argv[1])\n"
        "@app.task\n"
        "async def forever() -> None:\n"
        "    print('began', flush=True)\n"
        "    await asyncio.Event().wait()\n"
        "async def main():\n"
        "    async with app, app.worker(grace=0):\n"
        "        await forever.aenqueue()\n"
        "        await asyncio.Event().wait()\n"
        "try:\n"
        "    asyncio.run(main())\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted', flush=True)\n"
    )
    command = [sys.executable, "program.py", f"sqlite:///{folder}/jobs.db"]
    with running(*command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert says(process) == "began\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert (out, err) == ("interrupted\n", "")
    with Turnspit(f"sqlite:///{folder}/jobs.db") as app:
        [job] = app.jobs.list()
        assert (job.state, job.attempt) == ("ready", 0)
