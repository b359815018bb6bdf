"""``turnspit dev``: the worker begins anew when the code changes, and waits where it cannot be imported."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.behaviour.support import wait_until
from tests.cli.conftest import Cli
from tests.faults.program import PATIENCE, Program
from tests.postgres import hold_port, port_of
from turnspit import Turnspit
from turnspit.cli import reloading

CODE = """
import asyncio
from turnspit import Every, Turnspit

app = Turnspit("sqlite:///{folder}/dev.db")

@app.task
def answer() -> str:
    return "{answer}"

@app.task
async def hold() -> None:
    await asyncio.sleep({seconds})

@app.task(schedule=Every(seconds=1))
def tick() -> str:
    return "{answer}"
"""


class Dev(Program):
    """``turnspit dev``, killed with its children."""

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__("-m", "turnspit", "dev", f"{folder}/jobs.py:app", "--watch", str(folder), *options)

    def __exit__(self, *error: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        super().__exit__(*error)  # type: ignore[arg-type]


def write(folder: Path, answer: str, seconds: float = 30) -> None:
    (folder / "jobs.py").write_text(CODE.format(folder=folder, answer=answer, seconds=seconds))


@pytest.fixture
def app(folder: Path) -> Iterator[Turnspit]:
    with Turnspit(f"sqlite:///{folder}/dev.db") as app:

        @app.task
        def answer() -> str:
            return "not here"

        @app.task
        def hold() -> None: ...

        yield app


def test_it_begins_anew_when_the_code_changes(app: Turnspit, folder: Path) -> None:
    write(folder, "one")
    with Dev(folder, "--no-dashboard", "--grace", "0.2") as dev:
        dev.hear("started: pid")
        assert app.tasks["answer"].enqueue().get_result(timeout=PATIENCE) == "one"
        held = app.tasks["hold"].enqueue()
        wait_until(lambda: held.refresh().state == "running", "running")
        write(folder, "two", seconds=0)
        dev.hear("jobs.py changed: starting again")
        dev.hear("started: pid")
        assert app.tasks["answer"].enqueue().get_result(timeout=PATIENCE) == "two"
        assert held.get_result(timeout=PATIENCE) is None
        assert held.refresh().attempt == 1, "it was handed back, not failed"
        wait_until(lambda: "two" in ticks(app), "tick")
        (folder / "jobs.py").write_text("def broken(")
        dev.hear("jobs could not be imported: SyntaxError")
        dev.hear("the worker ended with exit code 2: waiting for a change")
        write(folder, "three")
        dev.hear("started: pid")
        assert app.tasks["answer"].enqueue().get_result(timeout=PATIENCE) == "three"
        dev.signal(signal.SIGINT)
        assert dev.wait(PATIENCE) == 0
        assert "stopped" in dev.rest()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sqlite:///x.db"], "this command needs the app, as in"),
        (["jobs.py:app", "--watch", "/none"], "--watch: there is no /none"),
        ([], "which app?"),
    ],
)
def test_wrong_usage(cli: Cli, words: list[str], message: str) -> None:
    answer = cli("dev", *words)
    assert answer.code == 2
    assert message in answer.err


def test_the_dashboard_is_there_and_begins_anew_too(app: Turnspit, folder: Path) -> None:
    write(folder, "one")
    with hold_port() as held, Dev(folder, "--port", str(port_of(held))) as dev:
        address = f"http://127.0.0.1:{port_of(held)}/"
        wait_until(lambda: shows(address, "Turnspit"), "the dashboard")
        wait_until(lambda: "started: pid" in dev.so_far(), "a worker")
        write(folder, "two")
        dev.hear("jobs.py changed: starting again")
        dev.hear("started: pid")
        wait_until(lambda: shows(address, "Turnspit"), "the dashboard again")
        dev.signal(signal.SIGTERM)
        assert dev.wait(PATIENCE) == 0


class Interrupted(reloading.Program):
    """The signal comes when it is about to begin."""

    def start(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        self._command = [sys.executable, "-c", "import threading; threading.Event().wait()"]
        super().start()


def test_a_signal_while_a_program_begins_reaches_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        reloading.Reloader([Interrupted("worker", [], 0)], [folder]).run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "killing it" not in capsys.readouterr().err


def ticks(app: Turnspit) -> list[str]:
    return [job.get_result(timeout=0) for job in app.jobs.list(task="tick", state="completed")]


def shows(address: str, text: str) -> bool:
    try:
        with urlopen(address, timeout=PATIENCE) as answer:
            return text in answer.read().decode()
    except OSError:
        return False
