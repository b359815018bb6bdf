"""Giving an app a private store for a while."""

import shutil
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote

from turnspit._runtime.worker.settings import Lifespan
from turnspit.app import Turnspit
from turnspit.contract import Engine
from turnspit.engines import open_engine
from turnspit.errors import ConfigurationError, TurnspitError
from turnspit.testing.clock import TestClock
from turnspit.testing.store import TestStore

__all__ = ["Override", "override"]


class Override:
    """The context manager that ``override`` returns, for ``with`` and ``async with``."""

    def __init__(self, app: Turnspit, now: datetime | None, resources: Mapping[str, Any] | None) -> None:
        self._app = app
        self._now = now
        self._resources = resources
        self._folder: Path | None = None
        self._engine: Engine | None = None
        self._before: Engine | None = None
        self._lifespans: tuple[Lifespan, ...] | None = None

    def __enter__(self) -> TestStore:
        if self._folder is not None:
            raise TurnspitError("this override is in force already: call turnspit.testing.override(app) once more")
        clock = TestClock(self._now)
        folder = Path(tempfile.mkdtemp(prefix="turnspit-"))
        # Nothing in this folder needs to survive a power cut.
        url = f"sqlite:///{quote(str(folder / 'test.db'))}"
        self._engine = open_engine(url, durability="relaxed", clock=clock)
        self._folder = folder
        self._before = self._app.replace_engine(self._engine)
        self._lifespans = self._app.replace_lifespans(None)
        return TestStore(self._app, self._engine, clock, self._resources)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        engine, folder = self._engine, self._folder
        self._engine = self._folder = None
        self._app.replace_engine(self._before)
        self._app.replace_lifespans(self._lifespans)
        if engine is not None and folder is not None:
            engine.close()
            shutil.rmtree(folder, ignore_errors=True)

    async def __aenter__(self) -> TestStore:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


def override(app: Turnspit, *, now: datetime | None = None, resources: Mapping[str, Any] | None = None) -> Override:
    """Point ``app``, and with it every task it has, at a private store until the block ends.

    The store is a SQLite file in a temporary folder, removed afterwards; then the app has its own store again,
    also after an error. Each block has a store of its own, so tests that run in parallel processes share nothing.
    Overrides of one app may be nested; the innermost is in force. One process overrides an app in one place at a
    time, not in two threads at once.

    :param now: where the clock starts, an aware datetime; by default at the real time.
    :param resources: what tasks find in ``job.resources`` instead of what the app's lifespan provides.

    ::

        with turnspit.testing.override(app, resources={"mail": FakeMail()}) as t:
            send_confirmation.enqueue(to="ada@example.com", order_id=7)
            [job] = t.drain()
            assert job.state == "completed"
    """
    if not isinstance(app, Turnspit):
        raise ConfigurationError(f"override() takes a Turnspit app, not {app!r}")
    return Override(app, now, resources)
