"""``turnspit worker`` with a supervisor, as the tests start it: every process is gone when the test is over."""

import json
import os
import re
import signal
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.behaviour.support import wait_until
from tests.faults.program import PATIENCE, Program
from turnspit import Turnspit

__all__ = ["Fleet", "ask", "is_alive", "write_app"]

TASKS = """
import asyncio, os, socket, subprocess
from turnspit import Turnspit

app = Turnspit({url!r})
kept = []

@app.task
async def quick() -> int:
    return os.getpid()

@app.task
async def hold(gate: str) -> int:
    reader, writer = await asyncio.open_unix_connection(gate)
    writer.write(f"{{os.getpid()}}\\n".encode())
    try:
        await reader.read()
    finally:
        writer.close()
    return os.getpid()

@app.task
async def block(gate: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(gate)
        connection.recv(1)

@app.task(timeout=0.05)
def hang(gate: str) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(gate)
        connection.recv(1)

@app.task
def grow(megabytes: int) -> None:
    kept.append(b"x" * megabytes * 1_000_000)

@app.task
def orphan() -> None:
    subprocess.run("sleep 0.3 &", shell=True)
"""


def write_app(folder: Path, url: str, more: str = "") -> str:
    """The app's file, for the command line; its name there."""
    (folder / "jobs.py").write_text(TASKS.format(url=url) + more)
    return f"{folder}/jobs.py:app"


def make_app(url: str) -> Turnspit:
    """The same app in this process."""
    names: dict[str, Turnspit] = {"__name__": "jobs"}  # type: ignore[dict-item]
    exec(TASKS.format(url=url), names)
    return names["app"]


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that ended and was not reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def ask(address: str, path: str) -> tuple[int, dict[str, object]]:
    """What health says over HTTP."""
    try:
        with urlopen(address + path, timeout=PATIENCE) as answer:
            return answer.status, json.load(answer)
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


class Fleet(Program):
    """A supervisor and its worker processes."""

    def __init__(self, app: str, *options: str) -> None:
        super().__init__("-m", "turnspit", "worker", app, *options)

    def children(self) -> list[int]:
        """The processes of which it said that it started them."""
        return [int(pid) for pid in re.findall(r"process \d+ \(pid (\d+)\) started", self.so_far())]

    def wait_started(self, count: int) -> None:
        """Wait until so many workers began to claim."""
        for _ in range(count):
            self.hear("started: pid")

    @property
    def address(self) -> str:
        """Where it shows its health, once it has said so."""
        for line in self.lines:
            if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                return found[0]
        return re.search(r"http://127\.0\.0\.1:\d+", self.hear("health is shown"))[0]  # type: ignore[index]

    def wait_gone(self, pids: Iterable[int]) -> None:
        """Wait until these processes have ended."""
        for pid in pids:
            wait_until(lambda pid=pid: not is_alive(pid), f"process {pid} gone: {self.so_far()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None or self._process.poll() is None:  # its jobs may wait for a gate that nobody opens
            self._process.kill()
            for pid in filter(is_alive, self.children()):
                os.kill(pid, signal.SIGKILL)
        super().__exit__(kind, error, trace)
        self.wait_gone(self.children())
