"""An ASGI server starts and stops the app: uvicorn, also with --reload and in a container."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.behaviour.support import DEADLINE
from turnspit import Turnspit

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
CLIENT = """
import sys, urllib.request
print(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_uvicorn_ends_promptly_and_the_app_with_it(folder: Path, number: signal.Signals) -> None:
    (folder / "server.py").write_text(SERVER)
    port = _free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "server:web", "--port", str(port), "--log-level", "warning"],
        cwd=folder,
        env={"STORE": f"sqlite:///{folder}/jobs.db", "PATH": "/usr/bin:/bin", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        url = f"http://127.0.0.1:{port}/double?number=21"
        client = subprocess.run([sys.executable, "-c", CLIENT, url], capture_output=True, text=True, check=False)
        assert client.stdout == "42\n", client.stderr
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE)
    finally:
        process.kill()
        process.wait()
    assert (out, "Traceback" in err) == ("down\n", False), err
    with Turnspit(f"sqlite:///{folder}/jobs.db") as app:
        assert app.jobs.count(state="completed") == 1
        [worker] = app.engine.read(app.engine.list_workers)
        assert not worker.live


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


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
    process = subprocess.Popen(
        [sys.executable, "program.py", f"sqlite:///{folder}/jobs.db"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "began\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE)
    assert (out, err) == ("interrupted\n", "")
    with Turnspit(f"sqlite:///{folder}/jobs.db") as app:
        [job] = app.jobs.list()
        assert (job.state, job.attempt) == ("ready", 0)
