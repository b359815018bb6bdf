"""The command line in this process (``cli``) and in a process of its own (``start``), in a folder of its own."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from turnspit import Turnspit
from turnspit.cli import connecting, output
from turnspit.cli.main import main
from turnspit.clock import utc_now

SHOP = Path(__file__).with_name("shop.py")


@dataclass
class Answer:
    """How a command ended."""

    code: int
    out: str
    err: str


Cli = Callable[..., Answer]
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def _here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test works in its own folder, with the shop in it and nothing in the environment."""
    for name in ("TURNSPIT_APP", "FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(connecting, "_SOON", 60.0)  # a slow machine is no news here
    monkeypatch.chdir(folder)
    shutil.copy(SHOP, folder)
    modules, path = set(sys.modules), list(sys.path)
    yield
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(folder)):
            del sys.modules[name]
    sys.path[:] = path


@pytest.fixture(autouse=True)
def _utc() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run one command line in this process."""

    def call(*words: object) -> Answer:
        capsys.readouterr()
        code = main([str(word) for word in words])
        shown = capsys.readouterr()
        return Answer(code, shown.out, shown.err)

    return call


@pytest.fixture
def start() -> Iterator[Start]:
    """Start ``turnspit`` in a process of its own; it is killed when the test is over."""
    started: list[subprocess.Popen[str]] = []
    # A shell starts what runs behind it (make test &) with SIGINT ignored, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def begin(*words: object, **options: Any) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-m", "turnspit", *map(str, words)],
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        started.append(process)
        return process

    yield begin
    signal.signal(signal.SIGINT, before)
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def store() -> Iterator[Turnspit]:
    """The shop's store as an app without tasks."""
    with Turnspit("sqlite:///shop.db") as app:
        yield app


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """The person looks three minutes later."""
    monkeypatch.setattr(output, "utc_now", lambda: utc_now() + timedelta(minutes=3))


@pytest.fixture
def shop(folder: Path) -> Iterator[Any]:
    """The shop's module, as the commands import it; its app is closed after the test."""
    sys.path.insert(0, str(folder))
    import shop  # type: ignore[import-not-found]

    yield shop
    shop.app.close()


@pytest.fixture
def work(shop: Any) -> Callable[[], None]:
    """Work off what is ready."""

    def until_empty() -> None:
        with shop.app.worker(until_empty=True) as worker:
            worker.wait()

    return until_empty
